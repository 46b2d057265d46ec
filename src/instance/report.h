/* SPDX-License-Identifier: MIT
 *
 * report: Lambda's own lines in a function's log, byte for byte: INIT_START, START, END, REPORT, INIT_REPORT and what
 * it says of a failure. Tabs separate the fields of REPORT, and one follows the last of the common ones.
 *
 * Thread: loop only. Private to src/instance.
 */
#ifndef LAMINA_INSTANCE_REPORT_H
#define LAMINA_INSTANCE_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "instance/instance.h"
#include "instance/log_stream.h"

struct report {
    const char *request_id;
    uint64_t duration_us;
    uint32_t memory_mb;
    uint64_t memory_peak_bytes;
    bool has_init;    /* the call paid for a cold start */
    bool is_restored; /* which was a restore (SnapStart) */
    uint64_t init_us;
    struct str model_digest;                /* may be empty */
    const struct instance_failure *failure; /* NULL: it answered */
};

void report_init_start(struct log_stream *log, const char *runtime, const char *region);
void report_init_failed(struct log_stream *log, uint64_t init_us, bool is_repeated,
                        const struct instance_failure *failure);
/* The same lines of a fork, which AWS calls a restore. `failure` NULL: it went well. */
void report_restore_start(struct log_stream *log, const char *runtime, const char *region);
void report_restore(struct log_stream *log, uint64_t restore_us,
                    const struct instance_failure *failure);
/* Lamina's own: this version's instances are no forks. */
void report_refused(struct log_stream *log, const struct instance_failure *failure);
void report_start(struct log_stream *log, const char *request_id, const char *version);
/* What went wrong (if `failure`), END and REPORT. */
void report_end(struct log_stream *log, const struct report *report);

#endif
