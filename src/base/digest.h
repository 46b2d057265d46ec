// SPDX-License-Identifier: MIT
//
// SHA-256 and HMAC-SHA-256 (OpenSSL EVP, algorithm fetched once per process: 1.4 us instead of 15
// for a signature). Any thread; a stream belongs to one thread at a time. Without memory for
// OpenSSL's contexts the functions abort: nothing useful is possible then.

#ifndef LAMINA_BASE_DIGEST_H
#define LAMINA_BASE_DIGEST_H

#include "base/compiler.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_BYTES 32
#define DIGEST_HEX_SIZE (2 * DIGEST_BYTES + 1) // with the NUL
#define DIGEST_BASE64_SIZE (44 + 1)            // with the NUL: Lambda's CodeSha256

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

struct digest_stream {
    _Alignas(8) unsigned char state[128]; // no memory besides: hashing cannot fail
};

#define AUTO_DIGEST AUTO(digest_stream_done)

// One stream: init, any number of updates, then done (any time) or finish. After digest_finish the
// stream is ready for another message.
void digest_stream_init(struct digest_stream *stream);
void digest_stream_done(struct digest_stream *stream);
void digest_update(struct digest_stream *stream, const void *data, size_t size);
struct digest digest_finish(struct digest_stream *stream);

struct digest digest_of(const void *data, size_t size);

// Of everything from the descriptor's position to its end; *ret_size is the number of bytes.
int digest_of_fd(int fd, struct digest *ret_digest, uint64_t *ret_size) MUST_CHECK;

struct digest digest_hmac(const void *key, size_t key_size, const void *data, size_t size);

bool digest_equal(const struct digest *left, const struct digest *right) MUST_CHECK; // secret-safe

// Lower-case hex. Parsing takes exactly 64 lower-case digits, else -EINVAL.
char *digest_hex(const struct digest *digest, char text[DIGEST_HEX_SIZE]);
int digest_parse_hex(struct str text, struct digest *ret_digest) MUST_CHECK;
char *digest_base64(const struct digest *digest, char text[DIGEST_BASE64_SIZE]);

// Lower-case hex of any bytes; `text` has room for 2 * size + 1.
char *hex_encode(const void *data, size_t size, char *text);

#endif
