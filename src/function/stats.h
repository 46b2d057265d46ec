/* SPDX-License-Identifier: MIT
 *
 * stats: what was counted per function: histograms of cold starts by phase and of invocations.
 *
 * Kept by function name (not by version, so that an update does not reset a graph), made at the first
 * invocation, dropped by function_stats_forget when the function is deleted. At most
 * FUNCTION_STATS_MAX functions are counted; later ones go to one entry named "_other".
 * Thread: loop only.
 */
#ifndef LAMINA_FUNCTION_STATS_H
#define LAMINA_FUNCTION_STATS_H

#include <stdint.h>

#include "base/str.h"
#include "function/retention.h"
#include "function/scheduler.h"

#define FUNCTION_STATS_MAX 10000

/* Upper bounds in microseconds of the buckets, the last is +Inf. */
#define HISTOGRAM_BUCKETS 20
extern const uint64_t histogram_bounds_us[HISTOGRAM_BUCKETS - 1];

struct histogram {
    uint64_t count[HISTOGRAM_BUCKETS]; /* not cumulative */
    uint64_t total;
    uint64_t sum_us;
};
void histogram_add(struct histogram *histogram, uint64_t us);

struct function_stats {
    const char *name;
    struct histogram invocation;        /* lamina_invocation_seconds{function} */
    struct histogram cold[COLD_PHASES]; /* lamina_cold_start_seconds{function,phase} */
    uint64_t invocations;
    uint64_t errors; /* function errors of every kind */
    uint64_t timeouts;
    uint64_t throttles;
    uint64_t faults;
    uint64_t cold_starts;
    uint32_t running;           /* calls with a permit */
    int64_t reserved;           /* reserved concurrency, -1: none */
    uint64_t memory_peak_bytes; /* most that one instance used so far */
    uint64_t fork_peak_bytes;   /* most that a fork of its template used beyond what that has */
    uint64_t log_lines_dropped;
    uint64_t last_cold_us[COLD_PHASES]; /* for `lamina describe` */
    uint64_t last_cold_at_ms;           /* epoch; 0: none yet */
    struct demand demand;               /* when it was called: what keep-alive goes by */
};

/* NULL if the function was never invoked. */
const struct function_stats *function_stats_find(struct scheduler *scheduler, struct str name);
typedef void function_stats_cb(void *arg, const struct function_stats *stats);
void function_stats_each(struct scheduler *scheduler, function_stats_cb *cb, void *arg);
void function_stats_forget(struct scheduler *scheduler, struct str name);

#endif
