/* SPDX-License-Identifier: MIT
 *
 * instance_report: the instances of one function or of all, with their memory, gathered for one answer.
 *
 *   list (now, from the scheduler) ─► one question a sandbox to lamina-spawn ─► done, with all answers
 *
 * An instance that ended meanwhile keeps zeros. At most INSTANCE_REPORT_MAX instances are asked about.
 */
#ifndef LAMINA_API_INSTANCE_REPORT_H
#define LAMINA_API_INSTANCE_REPORT_H

#include <stdbool.h>

#include "api/call.h"
#include "function/scheduler.h"

#define INSTANCE_REPORT_MAX 4096

struct instance_line {
    uint64_t id;
    char function[LIMIT_FUNCTION_NAME_MAX + 1];
    char version[24];
    const char *state;
    uint32_t memory_mb;
    uint64_t age_ms;
    uint64_t idle_ms;
    uint64_t requests;
    uint64_t peak_bytes;
    uint64_t pss_bytes;
    uint64_t private_bytes;
    uint64_t page_table_bytes;
    int32_t pid;
    const char *kind; /* process, fork, spare */
};

struct instance_report {
    struct instance_line *lines;
    size_t n;
};

/* `function` NULL: all. `with_memory` false: `done` comes at once, from inside. Otherwise it comes
 * when the last answer is there. The report lives until `done` returns. Sets the error and returns
 * it when there is no memory. */
MUST_CHECK int instance_report_gather(struct call *call, const char *function, bool with_memory,
                                      void (*done)(struct call *call,
                                                   const struct instance_report *report));

#endif
