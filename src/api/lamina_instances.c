/* SPDX-License-Identifier: MIT
 *
 * GET /lamina/v1/instances[?memory=1]: every instance, for `lamina ps`. With memory=1 lamina-spawn is asked
 * for the proportional and private memory of each, which reads its page tables: milliseconds each. And every
 * template, with why there is none where there should be one.
 */

#include "api/instance_report.h"
#include "api/operations.h"
#include "api/template_report.h"

static void append(struct buf *json, const struct instance_line *line)
{
    buf_printf(json,
               "{\"id\":%llu,\"function\":\"%s\",\"version\":\"%s\",\"state\":\"%s\","
               "\"memory_mb\":%u,\"age_ms\":%llu,\"idle_ms\":%llu,\"invocations\":%llu,"
               "\"peak_bytes\":%llu,\"pss_bytes\":%llu,\"private_bytes\":%llu,"
               "\"page_table_bytes\":%llu,\"kind\":\"%s\",\"pid\":%d}",
               (unsigned long long) line->id, line->function, line->version, line->state,
               line->memory_mb, (unsigned long long) line->age_ms,
               (unsigned long long) line->idle_ms, (unsigned long long) line->requests,
               (unsigned long long) line->peak_bytes, (unsigned long long) line->pss_bytes,
               (unsigned long long) line->private_bytes,
               (unsigned long long) line->page_table_bytes, line->kind, (int) line->pid);
}

static void answer(struct call *call, const struct instance_report *report)
{
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    buf_append_text(&json, "{\"instances\":[");
    for (size_t i = 0; i < report->n; i++) {
        if (i)
            buf_append_byte(&json, ',');
        append(&json, &report->lines[i]);
    }
    buf_append_text(&json, "],\"templates\":");
    template_report_append(&json, call->api->config.scheduler, NULL);
    buf_append_byte(&json, '}');
    call_answer_json(call, 200, &json);
}

void lamina_instances(struct call *call)
{
    struct str memory;
    int r = call_query(call, "memory", &memory);
    if (r == 0)
        r = instance_report_gather(call, NULL, str_equal(memory, STR("1")), answer);
    if (r < 0)
        call_fail(call);
}
