/* SPDX-License-Identifier: MIT
 *
 * admission: does the machine have the memory for one more instance?
 *
 * What counts is what is available (/proc/meminfo's MemAvailable), not the sum of the limits: a thousand instances of
 * one function share most of their pages. An instance that is being started has not touched its memory yet, so
 * what it will need is taken off until it is ready: what its function's instances needed before, or a guess.
 * The limit of each instance is the sandbox's business (its cgroup).
 *
 * Thread: loop only. /proc is the kernel's memory: reading it does not block, but takes 60 us, which a call that waits for
 * a fork would feel: it is read at most once in ADMISSION_AGE_MS, and where memory is ample in ADMISSION_AGE_AMPLE_MS.
 */
#ifndef LAMINA_FUNCTION_ADMISSION_H
#define LAMINA_FUNCTION_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#define ADMISSION_AGE_MS 20
/* All that was taken since it was read would fit twice. */
#define ADMISSION_AGE_AMPLE_MS 2000
/* What a function is thought to need that never ran here; less if its limit is less. */
#define ADMISSION_GUESS_BYTES (UINT64_C(32) << 20)

struct loop;

struct admission {
    struct loop *loop; /* borrowed */
    const char *path;  /* borrowed; /proc/meminfo, but for tests */
    uint64_t reserve;
    uint64_t pending; /* of instances that are being started */
    uint64_t available;
    uint64_t taken; /* since that was read, settled or not */
    int64_t read_ms;
    bool is_known; /* false: the file could not be read, everything is admitted */
};

void admission_init(struct admission *admission, struct loop *loop, uint64_t reserve);

/* What an instance will need: its function's peak so far (0: none yet), at most its limit. */
uint64_t admission_need(uint64_t peak_bytes, uint64_t limit_bytes);

/* True if there is room for `need`; it is then taken off until admission_settle. */
bool admission_take(struct admission *admission, uint64_t need);
/* The instance that took it is ready, or gone. */
void admission_settle(struct admission *admission, uint64_t need);

#endif
