// SPDX-License-Identifier: MIT

#include "aws/checksum.h"

#include "base/base64.h"
#include "base/crc32c.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

// The polynomials, reflected: bit 0 is the highest power.
#define CRC32_POLYNOMIAL UINT64_C(0xEDB88320)
#define CRC32C_POLYNOMIAL UINT64_C(0x82F63B78)
#define CRC64NVME_POLYNOMIAL UINT64_C(0x9A6C9329AC4BC9B5)

static const struct {
    const char *name, *header;
    size_t bytes;
    uint64_t polynomial; // 0: no CRC
} kinds[] = {
    [CHECKSUM_NONE] = {"", "", 0, 0},
    [CHECKSUM_CRC32] = {"CRC32", "x-amz-checksum-crc32", 4, CRC32_POLYNOMIAL},
    [CHECKSUM_CRC32C] = {"CRC32C", "x-amz-checksum-crc32c", 4, CRC32C_POLYNOMIAL},
    [CHECKSUM_CRC64NVME] = {"CRC64NVME", "x-amz-checksum-crc64nvme", 8, CRC64NVME_POLYNOMIAL},
    [CHECKSUM_SHA1] = {"SHA1", "x-amz-checksum-sha1", 20, 0},
    [CHECKSUM_SHA256] = {"SHA256", "x-amz-checksum-sha256", 32, 0},
    [CHECKSUM_MD5] = {"MD5", "content-md5", 16, 0},
};

enum checksum_kind checksum_by_name(struct str name)
{
    for (int kind = CHECKSUM_CRC32; kind <= CHECKSUM_SHA256; kind++)
        if (str_equal_nocase(name, str_of(kinds[kind].name)))
            return (enum checksum_kind) kind;
    return CHECKSUM_NONE;
}

enum checksum_kind checksum_by_header(struct str name)
{
    for (int kind = CHECKSUM_CRC32; kind <= CHECKSUM_SHA256; kind++)
        if (str_equal_nocase(name, str_of(kinds[kind].header)))
            return (enum checksum_kind) kind;
    return CHECKSUM_NONE;
}

const char *checksum_name(enum checksum_kind kind)
{
    return kinds[kind].name;
}

const char *checksum_header(enum checksum_kind kind)
{
    return kinds[kind].header;
}

size_t checksum_bytes(enum checksum_kind kind)
{
    return kinds[kind].bytes;
}

bool checksum_is_crc(enum checksum_kind kind)
{
    return kinds[kind].polynomial != 0;
}

// ---- CRC64 by tables of eight bytes at a time ("slicing by 8"); zlib's own does CRC32

#define SLICES 8

static uint64_t crc64_slices[SLICES][256];
static pthread_once_t crc64_once = PTHREAD_ONCE_INIT;

static void crc64_fill(void)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint64_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? (crc >> 1) ^ CRC64NVME_POLYNOMIAL : crc >> 1;
        crc64_slices[0][byte] = crc;
    }
    for (unsigned byte = 0; byte < 256; byte++)
        for (int slice = 1; slice < SLICES; slice++) {
            uint64_t before = crc64_slices[slice - 1][byte];
            crc64_slices[slice][byte] = (before >> 8) ^ crc64_slices[0][before & 0xff];
        }
}

static uint64_t crc64_update(uint64_t crc, const uint8_t *data, size_t size)
{
    for (; size >= SLICES; size -= SLICES, data += SLICES) {
        uint64_t word;
        memcpy(&word, data,
               sizeof(word)); // x86-64 is little-endian, as the reflected form wants it
        word ^= crc;
        crc = crc64_slices[7][word & 0xff] ^ crc64_slices[6][(word >> 8) & 0xff] ^
              crc64_slices[5][(word >> 16) & 0xff] ^ crc64_slices[4][(word >> 24) & 0xff] ^
              crc64_slices[3][(word >> 32) & 0xff] ^ crc64_slices[2][(word >> 40) & 0xff] ^
              crc64_slices[1][(word >> 48) & 0xff] ^ crc64_slices[0][word >> 56];
    }
    for (; size > 0; size--, data++)
        crc = (crc >> 8) ^ crc64_slices[0][(crc ^ *data) & 0xff];
    return crc;
}

static uint64_t crc_update(enum checksum_kind kind, uint64_t crc, const void *data, size_t size)
{
    if (kind == CHECKSUM_CRC32)
        return crc32_z(crc, data, size);
    if (kind == CHECKSUM_CRC32C)
        return crc32c((uint32_t) crc, data, size);
    return ~crc64_update(~crc, data, size);
}

// ---- Joining: the left CRC is moved by the right one's length of zero bytes
//
// A CRC behind n zero bytes is the CRC times x^(8n) modulo the polynomial. Numbers are polynomials
// in the reflected form: the highest bit is x^0.

static uint64_t multiply(uint64_t left, uint64_t right, uint64_t polynomial, int bits)
{
    uint64_t product = 0;
    for (int bit = bits - 1; bit >= 0; bit--) {
        if (left & (UINT64_C(1) << bit))
            product ^= right;
        right = right & 1 ? (right >> 1) ^ polynomial : right >> 1;
    }
    return product;
}

static uint64_t crc_join(enum checksum_kind kind, uint64_t left, uint64_t right, uint64_t size)
{
    int bits = (int) kinds[kind].bytes * 8;
    uint64_t polynomial = kinds[kind].polynomial;
    uint64_t power = UINT64_C(1) << (bits - 1 - 8); // x^8
    for (; size > 0; size >>= 1) {
        if (size & 1)
            left = multiply(left, power, polynomial, bits);
        power = multiply(power, power, polynomial, bits);
    }
    return left ^ right;
}

// ---- Streams

static const EVP_MD *message_digest(enum checksum_kind kind)
{
    switch (kind) {
    case CHECKSUM_SHA1:
        return EVP_sha1();
    case CHECKSUM_SHA256:
        return EVP_sha256();
    case CHECKSUM_MD5:
        return EVP_md5();
    default:
        return NULL;
    }
}

void checksum_init(struct checksum_stream *stream, enum checksum_kind kind)
{
    *stream = (struct checksum_stream){.kind = kind};
    const EVP_MD *digest = message_digest(kind);
    if (!digest) {
        pthread_once(&crc64_once, crc64_fill);
        return;
    }
    stream->context = EVP_MD_CTX_new();
    if (!stream->context || EVP_DigestInit_ex(stream->context, digest, NULL) != 1)
        abort();
}

void checksum_update(struct checksum_stream *stream, const void *data, size_t size)
{
    if (checksum_is_crc(stream->kind))
        stream->crc = crc_update(stream->kind, stream->crc, data, size);
    else if (stream->context && EVP_DigestUpdate(stream->context, data, size) != 1)
        abort();
}

static struct checksum_value crc_value(enum checksum_kind kind, uint64_t crc)
{
    struct checksum_value value = {{0}};
    size_t size = kinds[kind].bytes;
    for (size_t i = 0; i < size; i++)
        value.bytes[i] = (uint8_t) (crc >> (8 * (size - 1 - i)));
    return value;
}

static uint64_t crc_of_value(enum checksum_kind kind, const struct checksum_value *value)
{
    uint64_t crc = 0;
    for (size_t i = 0; i < kinds[kind].bytes; i++)
        crc = crc << 8 | value->bytes[i];
    return crc;
}

struct checksum_value checksum_finish(struct checksum_stream *stream)
{
    struct checksum_value value = {{0}};
    if (checksum_is_crc(stream->kind))
        value = crc_value(stream->kind, stream->crc);
    else if (stream->context && EVP_DigestFinal_ex(stream->context, value.bytes, NULL) != 1)
        abort();
    checksum_done(stream);
    return value;
}

void checksum_done(struct checksum_stream *stream)
{
    EVP_MD_CTX_free(stream->context);
    stream->context = NULL;
    stream->kind = CHECKSUM_NONE;
}

struct checksum_value checksum_join(enum checksum_kind kind, const struct checksum_value *left,
                                    const struct checksum_value *right, uint64_t right_size)
{
    return crc_value(
        kind, crc_join(kind, crc_of_value(kind, left), crc_of_value(kind, right), right_size));
}

// ---- Texts

char *checksum_base64(enum checksum_kind kind, const struct checksum_value *value,
                      char text[CHECKSUM_BASE64_SIZE])
{
    return base64_encode(value->bytes, kinds[kind].bytes, text);
}

int checksum_parse(enum checksum_kind kind, struct str text, struct checksum_value *ret_value)
{
    struct checksum_value value = {{0}};
    uint8_t bytes[BASE64_DECODED_SIZE_MAX(CHECKSUM_BASE64_SIZE - 1)];
    if (text.size > CHECKSUM_BASE64_SIZE - 1)
        return -EINVAL;
    ptrdiff_t size = base64_decode(text, bytes);
    if (size < 0 || (size_t) size != kinds[kind].bytes || size == 0)
        return -EINVAL;
    memcpy(value.bytes, bytes, (size_t) size);
    *ret_value = value;
    return 0;
}

bool checksum_equal(enum checksum_kind kind, const struct checksum_value *left,
                    const struct checksum_value *right)
{
    return memcmp(left->bytes, right->bytes, kinds[kind].bytes) == 0;
}
