// SPDX-License-Identifier: MIT
//
// sha256: FIPS 180-4, with the processor's SHA instructions where it has them.
//
// base/digest does it with libcrypto; lamina-model also runs where that library is not (AWS's
// provided.al2023) and must not load it at each cold start, so it has these hundred lines instead.
// tests/unit/test_sha256.c compares the two.

#ifndef LAMINA_MODEL_RUNTIME_SHA256_H
#define LAMINA_MODEL_RUNTIME_SHA256_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32
#define SHA256_HEX_BYTES (2 * SHA256_BYTES + 1)

struct sha256 {
    uint32_t state[8];
    uint64_t size;
    unsigned char block[64]; // size % 64 bytes of it are waiting
};

void sha256_init(struct sha256 *sha256);
void sha256_update(struct sha256 *sha256, const void *data, size_t size);
void sha256_final(struct sha256 *sha256, unsigned char ret_digest[SHA256_BYTES]);

void sha256_hex(const unsigned char digest[SHA256_BYTES], char ret_hex[SHA256_HEX_BYTES]);

// Of a file's whole content, as hex with a NUL. Negative errno of open or read.
int sha256_file(const char *path, char ret_hex[SHA256_HEX_BYTES]) MUST_CHECK;

// For tests: whether to use the SHA instructions (as found at first use).
void sha256_use_instructions(bool is_allowed);

#endif
