// SPDX-License-Identifier: MIT

#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL UINT32_C(0x82F63B78) // reflected: bit 0 is the highest power

static uint32_t table[256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void table_fill(void)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? (crc >> 1) ^ POLYNOMIAL : crc >> 1;
        table[byte] = crc;
    }
}

static uint32_t by_table(uint32_t crc, const uint8_t *data, size_t size)
{
    pthread_once(&table_once, table_fill);
    for (; size > 0; size--, data++)
        crc = (crc >> 8) ^ table[(crc ^ *data) & 0xff];
    return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *data,
                                                                 size_t size)
{
    uint64_t wide = crc;
    for (; size >= 8; size -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, sizeof(word));
        wide = __builtin_ia32_crc32di(wide, word);
    }
    for (; size > 0; size--, data++)
        wide = __builtin_ia32_crc32qi((uint32_t) wide, *data);
    return (uint32_t) wide;
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        return ~by_instruction(~crc, data, size);
#endif
    return ~by_table(~crc, data, size);
}
