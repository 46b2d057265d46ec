/* SPDX-License-Identifier: MIT */

#include "api/template_report.h"

#include "base/json.h"

struct appending {
    struct buf *json;
    const char *function;
    size_t n;
};

static void append(void *arg, const struct template_info *info)
{
    struct appending *appending = arg;
    struct buf *json = appending->json;
    if (appending->function && !str_equal_text(info->function, appending->function))
        return;
    buf_printf(json,
               "%s{\"function\":\"" STR_FORMAT "\",\"version\":\"" STR_FORMAT "\",\"state\":\"%s\","
               "\"spares\":%u",
               appending->n++ ? "," : "", STR_ARGUMENTS(info->function),
               STR_ARGUMENTS(info->version), info->state, info->spares);
    if (info->reason[0]) {
        buf_append_text(json, ",\"reason\":");
        json_append_string(json, str_of(info->reason));
    }
    if (info->id)
        buf_printf(json,
                   ",\"id\":%llu,\"own_bytes\":%llu,\"start_ms\":%llu.%03llu,\"age_ms\":%llu,"
                   "\"forks\":%llu,\"pid\":%d",
                   (unsigned long long) info->id, (unsigned long long) info->memory_bytes,
                   (unsigned long long) (info->start_us / 1000),
                   (unsigned long long) (info->start_us % 1000), (unsigned long long) info->age_ms,
                   (unsigned long long) info->forks, (int) info->pid);
    buf_append_byte(json, '}');
}

void template_report_append(struct buf *json, struct scheduler *scheduler, const char *function)
{
    struct appending appending = {.json = json, .function = function};
    buf_append_byte(json, '[');
    scheduler_each_template(scheduler, append, &appending);
    buf_append_byte(json, ']');
}
