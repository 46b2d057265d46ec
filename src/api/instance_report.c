/* SPDX-License-Identifier: MIT */

#include "api/instance_report.h"

#include <stdlib.h>

#include "base/mem.h"

struct gathering {
    struct call *call;
    const char *function; /* during the listing only */
    struct instance_report report;
    size_t capacity;
    size_t n_pending;
    void (*done)(struct call *call, const struct instance_report *report);
};

static void add(void *arg, const struct instance_info *info)
{
    struct gathering *gathering = arg;
    struct instance_report *report = &gathering->report;
    if (report->n == gathering->capacity ||
        (gathering->function && !str_equal_text(info->function, gathering->function)))
        return;
    struct instance_line *line = &report->lines[report->n];
    *line = (struct instance_line){
        .id = info->id,
        .state = info->state,
        .memory_mb = info->memory_mb,
        .age_ms = info->age_ms,
        .idle_ms = info->idle_ms,
        .requests = info->requests,
        .peak_bytes = info->memory_peak_bytes,
        .pid = info->pid,
        .kind = info->is_spare  ? "spare"
                : info->is_fork ? "fork"
                                : "process",
    };
    if (str_copy(info->function, line->function, sizeof(line->function)) == 0 &&
        str_copy(info->version, line->version, sizeof(line->version)) == 0)
        report->n++;
}

static void finish_one(struct gathering *gathering)
{
    if (--gathering->n_pending > 0)
        return;
    gathering->done(gathering->call, &gathering->report);
    free(gathering->report.lines);
    free(gathering);
}

static void measured(void *arg, uint64_t id, const struct instance_memory *memory)
{
    struct gathering *gathering = arg;
    for (size_t i = 0; i < gathering->report.n && memory->error == 0; i++) {
        struct instance_line *line = &gathering->report.lines[i];
        if (line->id != id)
            continue;
        line->pss_bytes = memory->pss_bytes;
        line->private_bytes = memory->private_bytes;
        line->page_table_bytes = memory->page_table_bytes;
        line->peak_bytes = memory->cgroup_peak_bytes;
        break;
    }
    finish_one(gathering);
}

int instance_report_gather(struct call *call, const char *function, bool with_memory,
                           void (*done)(struct call *call, const struct instance_report *report))
{
    struct scheduler *scheduler = call->api->config.scheduler;
    struct scheduler_totals totals;
    scheduler_totals(scheduler, &totals);
    struct gathering *gathering = mem_new(struct gathering);
    if (!gathering)
        return aws_error_set(&call->error, AWS_SERVICE, "No memory");
    gathering->call = call;
    gathering->done = done;
    gathering->function = function;
    gathering->capacity =
        totals.instances < INSTANCE_REPORT_MAX ? totals.instances + 1 : INSTANCE_REPORT_MAX;
    gathering->report.lines = calloc(gathering->capacity, sizeof(*gathering->report.lines));
    if (!gathering->report.lines) {
        free(gathering);
        return aws_error_set(&call->error, AWS_SERVICE, "No memory");
    }
    scheduler_each_instance(scheduler, add, gathering);
    gathering->function = NULL;
    /* One more than there are questions, so that an early answer does not end it. */
    gathering->n_pending = 1 + (with_memory ? gathering->report.n : 0);
    for (size_t i = 0; with_memory && i < gathering->report.n; i++)
        scheduler_instance_memory(scheduler, gathering->report.lines[i].id, measured, gathering);
    finish_one(gathering);
    return 0;
}
