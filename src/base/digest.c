// SPDX-License-Identifier: MIT

// The plain functions, not EVP's: those allocate a context for each digest, which can fail, and take longer.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "base/digest.h"

#include "base/base64.h"
#include "base/mem.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HMAC_BLOCK 64

_Static_assert(sizeof(SHA256_CTX) <= sizeof(((struct digest_stream *) NULL)->state), "room");

static void must(int result)
{
    if (result != 1) // cannot be: there is nothing that it could lack
        abort();
}

static SHA256_CTX *context(struct digest_stream *stream)
{
    return (SHA256_CTX *) (void *) stream->state;
}

void digest_stream_init(struct digest_stream *stream)
{
    must(SHA256_Init(context(stream)));
}

void digest_stream_done(struct digest_stream *stream)
{
    mem_wipe(stream, sizeof(*stream)); // of an HMAC it holds what is as good as the key
}

void digest_update(struct digest_stream *stream, const void *data, size_t size)
{
    must(SHA256_Update(context(stream), data, size));
}

struct digest digest_finish(struct digest_stream *stream)
{
    struct digest digest;
    must(SHA256_Final(digest.bytes, context(stream)));
    must(SHA256_Init(context(stream)));
    return digest;
}

struct digest digest_of(const void *data, size_t size)
{
    AUTO_DIGEST struct digest_stream stream;
    digest_stream_init(&stream);
    digest_update(&stream, data, size);
    return digest_finish(&stream);
}

int digest_of_fd(int fd, struct digest *ret_digest, uint64_t *ret_size)
{
    AUTO_FREE char *piece = malloc(64 * 1024);
    if (!piece)
        return -ENOMEM;
    AUTO_DIGEST struct digest_stream stream;
    digest_stream_init(&stream);
    uint64_t size = 0;
    for (;;) {
        ssize_t got = read(fd, piece, 64 * 1024);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        digest_update(&stream, piece, (size_t) got);
        size += (uint64_t) got;
    }
    *ret_digest = digest_finish(&stream);
    if (ret_size)
        *ret_size = size;
    return 0;
}

// RFC 2104: H(key ^ opad, H(key ^ ipad, text)). By hand: OpenSSL's EVP_MAC makes several objects a call.
struct digest digest_hmac(const void *key, size_t key_size, const void *data, size_t size)
{
    uint8_t inner[HMAC_BLOCK] = {0}, outer[HMAC_BLOCK];
    if (key_size > HMAC_BLOCK) {
        struct digest short_key = digest_of(key, key_size);
        memcpy(inner, short_key.bytes, DIGEST_BYTES);
    } else if (key_size) {
        memcpy(inner, key, key_size);
    }
    for (size_t i = 0; i < HMAC_BLOCK; i++) {
        outer[i] = inner[i] ^ 0x5c;
        inner[i] ^= 0x36;
    }
    AUTO_DIGEST struct digest_stream stream;
    digest_stream_init(&stream);
    digest_update(&stream, inner, HMAC_BLOCK);
    digest_update(&stream, data, size);
    struct digest middle = digest_finish(&stream);
    digest_update(&stream, outer, HMAC_BLOCK);
    digest_update(&stream, middle.bytes, DIGEST_BYTES);
    struct digest digest = digest_finish(&stream);
    mem_wipe(inner, sizeof inner);
    mem_wipe(outer, sizeof outer);
    return digest;
}

bool digest_equal(const struct digest *left, const struct digest *right)
{
    return mem_equal_secret(left->bytes, right->bytes, DIGEST_BYTES);
}

char *hex_encode(const void *data, size_t size, char *text)
{
    static const char hex[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = hex[bytes[i] >> 4];
        text[2 * i + 1] = hex[bytes[i] & 15];
    }
    text[2 * size] = '\0';
    return text;
}

char *digest_hex(const struct digest *digest, char text[DIGEST_HEX_SIZE])
{
    return hex_encode(digest->bytes, DIGEST_BYTES, text);
}

static int hex_value(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

int digest_parse_hex(struct str text, struct digest *ret_digest)
{
    if (text.size != DIGEST_HEX_SIZE - 1)
        return -EINVAL;
    struct digest digest;
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        int high = hex_value(text.data[2 * i]), low = hex_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        digest.bytes[i] = (uint8_t) (high << 4 | low);
    }
    *ret_digest = digest;
    return 0;
}

char *digest_base64(const struct digest *digest, char text[DIGEST_BASE64_SIZE])
{
    return base64_encode(digest->bytes, DIGEST_BYTES, text);
}
