// SPDX-License-Identifier: MIT
//
// Time. Durations are measured on the monotonic clock; the wall clock is for people and signatures.

#ifndef LAMINA_BASE_CLOCK_H
#define LAMINA_BASE_CLOCK_H

#include "base/compiler.h"
#include "base/str.h"

#include <stdint.h>

#define CLOCK_NS_PER_US INT64_C(1000)
#define CLOCK_NS_PER_MS INT64_C(1000000)
#define CLOCK_NS_PER_S INT64_C(1000000000)

int64_t clock_monotonic_ns(void); // CLOCK_MONOTONIC: does not run while the machine sleeps
int64_t clock_monotonic_ms(void);
int64_t clock_cpu_ns(
    void); // CLOCK_PROCESS_CPUTIME_ID: what this process has used of the processors
int64_t clock_wall_ms(void); // milliseconds since 1970, UTC
int64_t clock_wall_s(void);

#define CLOCK_TEXT_MAX 40

// Each writes a NUL-terminated text and returns it. `wall_ms` within years 1970-9999; anything else
// is clamped.
char *clock_iso_z(int64_t wall_ms, char text[CLOCK_TEXT_MAX]);      // 2026-01-02T03:04:05.678Z
char *clock_iso_lambda(int64_t wall_ms, char text[CLOCK_TEXT_MAX]); // 2026-01-02T03:04:05.678+0000
char *clock_basic(int64_t wall_ms, char text[CLOCK_TEXT_MAX]);      // 20260102T030405Z (SigV4)
char *clock_http(int64_t wall_ms, char text[CLOCK_TEXT_MAX]);       // Fri, 02 Jan 2026 03:04:05 GMT

// Seconds since 1970 of a SigV4 time (exactly 16 characters). -EINVAL for anything that is not a
// real moment (13th month, 30th of February).
int clock_parse_basic(struct str text, int64_t *ret_wall_s) MUST_CHECK;

#endif
