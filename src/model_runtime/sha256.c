// SPDX-License-Identifier: MIT

#include "model_runtime/sha256.h"

#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#define READ_BYTES (256 * 1024)

static const uint32_t constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

typedef void (*compress_function)(uint32_t state[8], const unsigned char *data, size_t blocks);

static uint32_t rotate(uint32_t value, int count)
{
    return value >> count | value << (32 - count);
}

static uint32_t load_be32(const unsigned char *data)
{
    return (uint32_t) data[0] << 24 | (uint32_t) data[1] << 16 | (uint32_t) data[2] << 8 | data[3];
}

static void store_be32(unsigned char *data, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        data[i] = (unsigned char) (value >> (24 - 8 * i));
}

static void expand(uint32_t w[64], const unsigned char *data)
{
    for (int i = 0; i < 16; i++)
        w[i] = load_be32(data + 4 * i);
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
}

static void compress_portable(uint32_t state[8], const unsigned char *data, size_t blocks)
{
    for (; blocks > 0; blocks--, data += 64) {
        uint32_t w[64], v[8];
        expand(w, data);
        memcpy(v, state, sizeof v);
        for (int i = 0; i < 64; i++) {
            uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
            uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
            uint32_t t1 = v[7] + s1 + choice + constants[i] + w[i];
            uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
            uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
            memmove(v + 1, v, 7 * sizeof v[0]);
            v[4] += t1;
            v[0] = t1 + s0 + majority;
        }
        for (int i = 0; i < 8; i++)
            state[i] += v[i];
    }
}

#if defined(__x86_64__)
// Four rounds a step; the instructions keep the state as ABEF and CDGH (Intel's SDM, SHA256RNDS2).
__attribute__((target("sha,sse4.1,ssse3"))) static void compress_instructions(
    uint32_t state[8], const unsigned char *data, size_t blocks)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *) (const void *) state), 0xB1);
    __m128i efgh =
        _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *) (const void *) (state + 4)), 0x1B);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
    __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xF0);

    for (; blocks > 0; blocks--, data += 64) {
        __m128i w[4], abef_before = abef, cdgh_before = cdgh;
        for (int i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(
                _mm_loadu_si128((const __m128i *) (const void *) (data + 16 * i)), swap);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            __m128i k = _mm_load_si128((const __m128i *) (const void *) (constants + 4 * i));
            __m128i wk = _mm_add_epi32(w[i & 3], k);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0E));
            __m128i next = _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]);
            next = _mm_add_epi32(next, _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
            w[i & 3] = _mm_sha256msg2_epu32(next, w[(i + 3) & 3]);
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }

    __m128i feba = _mm_shuffle_epi32(abef, 0x1B), dchg = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((__m128i *) (void *) state, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i *) (void *) (state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

static bool has_instructions(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 29) != 0;
}
#endif

static compress_function compress = NULL;

void sha256_use_instructions(bool is_allowed)
{
    compress = compress_portable;
#if defined(__x86_64__)
    if (is_allowed && has_instructions())
        compress = compress_instructions;
#endif
}

void sha256_init(struct sha256 *sha256)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    if (compress == NULL)
        sha256_use_instructions(true);
    memcpy(sha256->state, start, sizeof start);
    sha256->size = 0;
}

void sha256_update(struct sha256 *sha256, const void *data, size_t size)
{
    const unsigned char *at = data;
    size_t waiting = sha256->size % 64;
    sha256->size += size;
    if (waiting > 0) {
        size_t step = size < 64 - waiting ? size : 64 - waiting;
        memcpy(sha256->block + waiting, at, step);
        at += step;
        size -= step;
        if (waiting + step < 64)
            return;
        compress(sha256->state, sha256->block, 1);
    }
    compress(sha256->state, at, size / 64);
    memcpy(sha256->block, at + size / 64 * 64, size % 64);
}

void sha256_final(struct sha256 *sha256, unsigned char ret_digest[SHA256_BYTES])
{
    static const unsigned char padding[64] = {0x80};
    unsigned char bits[8];
    uint64_t size = sha256->size;

    store_be32(bits, (uint32_t) (size >> 29));
    store_be32(bits + 4, (uint32_t) (size << 3));
    sha256_update(sha256, padding, 1 + (119 - size % 64) % 64);
    sha256_update(sha256, bits, sizeof bits);
    for (int i = 0; i < 8; i++)
        store_be32(ret_digest + 4 * i, sha256->state[i]);
}

void sha256_hex(const unsigned char digest[SHA256_BYTES], char ret_hex[SHA256_HEX_BYTES])
{
    for (int i = 0; i < SHA256_BYTES; i++)
        (void) snprintf(ret_hex + 2 * i, 3, "%02x", digest[i]);
}

int sha256_file(const char *path, char ret_hex[SHA256_HEX_BYTES])
{
    AUTO_FREE unsigned char *data = malloc(READ_BYTES);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct sha256 sha256;
    unsigned char digest[SHA256_BYTES];
    ssize_t n;

    if (fd < 0)
        return -errno;
    if (data == NULL)
        return -ENOMEM;
    sha256_init(&sha256);
    while ((n = fd_read_all(fd, data, READ_BYTES)) > 0)
        sha256_update(&sha256, data, (size_t) n);
    if (n < 0)
        return (int) n;
    sha256_final(&sha256, digest);
    sha256_hex(digest, ret_hex);
    return 0;
}
