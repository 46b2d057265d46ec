// SPDX-License-Identifier: MIT

#include "model_runtime/threads.h"

#include "base/str.h"

#include <sched.h>

#define MEMORY_MB_PER_PROCESSOR 1769
#define THREADS_MAX 64

int threads_for(const char *threads_text, const char *memory_mb_text, int processors)
{
    uint64_t threads = 0, memory_mb = 0;
    if (str_to_u64(str_of(threads_text), THREADS_MAX, &threads) < 0 || threads == 0) {
        if (str_to_u64(str_of(memory_mb_text), UINT32_MAX, &memory_mb) < 0)
            memory_mb = 0;
        // To the nearest: with 1.9 processors two threads are faster than one, with 1.1 they are
        // not.
        threads = (memory_mb + MEMORY_MB_PER_PROCESSOR / 2) / MEMORY_MB_PER_PROCESSOR;
    }
    if (threads > (uint64_t) processors)
        threads = (uint64_t) processors;
    return threads > 0 ? (int) threads : 1;
}

int threads_available(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}
