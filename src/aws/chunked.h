// SPDX-License-Identifier: MIT
//
// aws-chunked: the framing inside a body that S3's clients send when its hash is not known ahead.
// Source: docs.aws.amazon.com, "Signature calculations: transferring payload in multiple chunks",
// and "... with trailing headers".
//
//     unsigned   <hex size>\r\n<data>\r\n ... 0\r\n[name:value\r\n ...]\r\n
//     signed     <hex size>;chunk-signature=<64 hex>\r\n<data>\r\n ... 0;chunk-signature=...\r\n
//                [name:value\r\n ... x-amz-trailer-signature:<64 hex>\r\n]\r\n
//
// A signed chunk's signature covers the one before it and the SHA-256 of its data, the first one's
// the request's own: what is handed on is proven only when its chunk has ended, so the caller keeps
// nothing until chunked_finish() said 0. Memory: one line. One thread at a time.

#ifndef LAMINA_AWS_CHUNKED_H
#define LAMINA_AWS_CHUNKED_H

#include "aws/sigv4.h"
#include "base/compiler.h"
#include "base/digest.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHUNKED_LINE_MAX 512 // of a chunk's head or a trailer, without the line's end
#define CHUNKED_TRAILERS_MAX 8
#define CHUNKED_CHUNK_MAX ((uint64_t) 5 * 1024 * 1024 * 1024)

enum chunked_form {
    CHUNKED_UNSIGNED_TRAILER, // STREAMING-UNSIGNED-PAYLOAD-TRAILER
    CHUNKED_SIGNED,           // STREAMING-AWS4-HMAC-SHA256-PAYLOAD
    CHUNKED_SIGNED_TRAILER,   // STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER
};

// What the signatures of chunks need. Copied.
struct chunked_signer {
    struct sigv4_key key;
    struct digest seed; // the request's signature
    char time[17];      // 20260102T030405Z
    char scope[192];    // 20260102/us-east-1/s3/aws4_request
};

struct chunked {
    enum chunked_form form;
    struct chunked_signer signer;
    int state;
    uint64_t left; // of the chunk
    struct digest signature;
    struct digest_stream hash; // of the chunk's data, when it is signed
    bool has_hash;
    struct digest trailer_signature;
    bool has_trailer_signature;
    char line[CHUNKED_LINE_MAX + 1];
    size_t line_size;
    char trailers[CHUNKED_TRAILERS_MAX * CHUNKED_LINE_MAX]; // "name:value\n", as it is signed
    size_t trailers_size;
    unsigned trailer_count;
    int (*data)(void *arg, const void *data, size_t size);
    void *arg;
};

// True when the text of x-amz-content-sha256 names such a form.
bool chunked_form_by_name(struct str name, enum chunked_form *ret_form) MUST_CHECK;

// `signer` NULL: CHUNKED_UNSIGNED_TRAILER. `data` gets the bytes without framing; what it returns
// below 0 ends the feed and is returned.
void chunked_init(struct chunked *chunked, enum chunked_form form,
                  const struct chunked_signer *signer,
                  int (*data)(void *arg, const void *data, size_t size), void *arg);
void chunked_done(struct chunked *chunked); // any time

// -EINVAL: not this framing; -EKEYREJECTED: a signature is not right.
int chunked_feed(struct chunked *chunked, const void *data, size_t size) MUST_CHECK;
// The body's end. -EINVAL when it is not at its end.
int chunked_finish(struct chunked *chunked) MUST_CHECK;

// A trailer's value by its lower-case name; data == NULL if it is absent. After chunked_finish.
struct str chunked_trailer(const struct chunked *chunked, struct str name);

#endif
