// SPDX-License-Identifier: MIT
//
// The checksums of S3's x-amz-checksum-*: CRC32 (ISO-HDLC), CRC32C (Castagnoli), CRC64NVME, SHA1,
// SHA256; and MD5, for ETag and Content-MD5. Source: docs.aws.amazon.com, "Checking object
// integrity in Amazon S3".
//
//     checksum_init ─► checksum_update, any number of times ─► checksum_finish: big-endian bytes
//
// A CRC of a whole follows from the CRCs of its parts (checksum_join); the SHAs have no such rule:
// an upload's is "composite", the checksum of its parts' checksums.
//
// Any thread; a stream belongs to one at a time. Without memory for OpenSSL's contexts the
// functions abort, as those of base/digest.h do.

#ifndef LAMINA_AWS_CHECKSUM_H
#define LAMINA_AWS_CHECKSUM_H

#include "base/compiler.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum checksum_kind {
    CHECKSUM_NONE,
    CHECKSUM_CRC32,
    CHECKSUM_CRC32C,
    CHECKSUM_CRC64NVME,
    CHECKSUM_SHA1,
    CHECKSUM_SHA256,
    CHECKSUM_MD5, // not one of x-amz-checksum-*
};

#define CHECKSUM_BYTES_MAX 32
#define CHECKSUM_BASE64_SIZE (44 + 1)

// "CRC32" etc.; CHECKSUM_NONE for any other text. Without case.
enum checksum_kind checksum_by_name(struct str name);
const char *checksum_name(enum checksum_kind kind);   // "CRC32"
const char *checksum_header(enum checksum_kind kind); // "x-amz-checksum-crc32"
// The kind whose header this is; CHECKSUM_NONE.
enum checksum_kind checksum_by_header(struct str name);
size_t checksum_bytes(enum checksum_kind kind);
bool checksum_is_crc(enum checksum_kind kind);

struct checksum_value {
    uint8_t bytes[CHECKSUM_BYTES_MAX];
};

struct checksum_stream {
    enum checksum_kind kind;
    uint64_t crc;
    void *context; // owned: EVP_MD_CTX of SHA1, SHA256, MD5
};

void checksum_init(struct checksum_stream *stream, enum checksum_kind kind);
void checksum_update(struct checksum_stream *stream, const void *data, size_t size);
struct checksum_value checksum_finish(struct checksum_stream *stream); // ends the stream
void checksum_done(struct checksum_stream *stream); // any time; accepts a zeroed one

// Of `left` followed by `right`, which is `right_size` bytes long. CRCs only.
struct checksum_value checksum_join(enum checksum_kind kind, const struct checksum_value *left,
                                    const struct checksum_value *right, uint64_t right_size);

char *checksum_base64(enum checksum_kind kind, const struct checksum_value *value,
                      char text[CHECKSUM_BASE64_SIZE]);
// -EINVAL: not base64 of that kind's size.
int checksum_parse(enum checksum_kind kind, struct str text,
                   struct checksum_value *ret_value) MUST_CHECK;
bool checksum_equal(enum checksum_kind kind, const struct checksum_value *left,
                    const struct checksum_value *right) MUST_CHECK;

#endif
