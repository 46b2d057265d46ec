// SPDX-License-Identifier: MIT
//
// CRC-32C (Castagnoli, as in iSCSI and x-amz-checksum-crc32c): by the processor's own instruction where it has one, which
// is ten times zlib's CRC-32. For what damage may have done to our own files, not against anybody.
//
// Any thread.

#ifndef LAMINA_BASE_CRC32C_H
#define LAMINA_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

// Goes on from `crc`; the first time it is 0.
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

#endif
