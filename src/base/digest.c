// SPDX-License-Identifier: MIT

#include "base/digest.h"

#include "base/base64.h"
#include "base/mem.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HMAC_BLOCK 64

static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void fetch_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!sha256)
        abort();
}

static void must(int result)
{
    if (result != 1)
        abort();
}

static void start(struct digest_stream *stream)
{
    must(EVP_DigestInit_ex2((EVP_MD_CTX *) stream->context, sha256, NULL));
}

void digest_stream_init(struct digest_stream *stream)
{
    pthread_once(&sha256_once, fetch_sha256);
    stream->context = EVP_MD_CTX_new();
    if (!stream->context)
        abort();
    start(stream);
}

void digest_stream_done(struct digest_stream *stream)
{
    EVP_MD_CTX_free((EVP_MD_CTX *) stream->context);
    stream->context = NULL;
}

void digest_update(struct digest_stream *stream, const void *data, size_t size)
{
    must(EVP_DigestUpdate((EVP_MD_CTX *) stream->context, data, size));
}

struct digest digest_finish(struct digest_stream *stream)
{
    struct digest digest;
    must(EVP_DigestFinal_ex((EVP_MD_CTX *) stream->context, digest.bytes, NULL));
    start(stream);
    return digest;
}

// One context a thread, kept: making one costs more than hashing a short text. It is freed when the
// thread ends.
static pthread_key_t thread_context_key;
static pthread_once_t thread_context_once = PTHREAD_ONCE_INIT;

static void free_thread_context(void *context)
{
    EVP_MD_CTX_free((EVP_MD_CTX *) context);
}

static void make_thread_context_key(void)
{
    pthread_once(&sha256_once, fetch_sha256);
    if (pthread_key_create(&thread_context_key, free_thread_context) != 0)
        abort();
}

static struct digest_stream thread_stream(void)
{
    pthread_once(&thread_context_once, make_thread_context_key);
    struct digest_stream stream = {pthread_getspecific(thread_context_key)};
    if (!stream.context) {
        digest_stream_init(&stream);
        if (pthread_setspecific(thread_context_key, stream.context) != 0)
            abort();
    }
    start(&stream);
    return stream;
}

struct digest digest_of(const void *data, size_t size)
{
    struct digest_stream stream = thread_stream();
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

// RFC 2104: H(key ^ opad, H(key ^ ipad, text)). By hand on the kept context: OpenSSL's EVP_MAC makes
// several objects a call.
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
    struct digest_stream stream = thread_stream();
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
