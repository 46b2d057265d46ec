// SPDX-License-Identifier: MIT

#include "base/cpu.h"

#include <sys/auxv.h>

#if defined(__x86_64__)
#include <cpuid.h>

static void leaf(struct digest_stream *stream, unsigned number, unsigned below)
{
    unsigned registers[4] = {0};
    if (!__get_cpuid_count(number, below, &registers[0], &registers[1], &registers[2],
                           &registers[3]))
        registers[0] = 0;
    if (number == 1)
        registers[1] = 0; // the core's number
    digest_update(stream, registers, sizeof(registers));
}

struct digest cpu_digest(void)
{
    AUTO_DIGEST struct digest_stream stream;
    digest_stream_init(&stream);
    leaf(&stream, 1, 0); // family, model, stepping; SSE, AVX, FMA
    leaf(&stream, 7, 0); // AVX2, AVX-512, AMX
    leaf(&stream, 7, 1); // AVX-VNNI
    leaf(&stream, 0x80000001u, 0);
    return digest_finish(&stream);
}

#else

struct digest cpu_digest(void)
{
    const unsigned long words[] = {getauxval(AT_HWCAP), getauxval(AT_HWCAP2)};
    return digest_of(words, sizeof(words));
}

#endif
