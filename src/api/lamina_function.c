/* SPDX-License-Identifier: MIT
 *
 * GET /lamina/v1/functions/NAME: what `lamina describe` shows beside GetFunction: bytes in the store,
 * instances by state, their memory, counters, and the last cold start by phase.
 */

#include <stdlib.h>
#include <string.h>

#include "api/instance_report.h"
#include "api/model_report.h"
#include "api/operations.h"
#include "api/template_report.h"
#include "base/clock.h"
#include "base/mem.h"
#include "function/catalog.h"
#include "function/stats.h"

static void append_us_as_ms(struct buf *json, uint64_t us)
{
    buf_printf(json, "%llu.%03llu", (unsigned long long) (us / 1000),
               (unsigned long long) (us % 1000));
}

/* What its layers take in the store, each with its package: once for all functions that have them. */
static uint64_t layers_bytes(const struct version *version)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < version->n_layers; i++)
        bytes += version->layers[i].zip_bytes + version->layers[i].tree_bytes;
    return bytes;
}

static void append_code(struct buf *json, const struct function *function)
{
    const struct version_code *code = &function->latest->code;
    buf_printf(json,
               "\"function\":\"%s\",\"arn\":\"%s\",\"state\":\"%s\",\"zip_bytes\":%llu,"
               "\"unpacked_bytes\":%llu,\"stored_bytes\":%llu,\"published_versions\":%zu",
               function->name, function->latest->arn, version_state_name(function->latest->state),
               (unsigned long long) code->zip_bytes, (unsigned long long) code->tree_bytes,
               (unsigned long long) (code->zip_bytes + code->tree_bytes + layers_bytes(function->latest)),
               function->n_published);
}

/* {"BUSY":1,"FROZEN":2}: the states are few and literal. */
static void append_instances(struct buf *json, const struct instance_report *report)
{
    uint64_t pss = 0;
    uint64_t private = 0;
    uint64_t page_tables = 0;
    size_t n_states = 0;
    buf_append_text(json, ",\"instances\":{");
    for (size_t i = 0; i < report->n; i++) {
        size_t n = 0;
        bool is_first = true;
        pss += report->lines[i].pss_bytes;
        private += report->lines[i].private_bytes;
        page_tables += report->lines[i].page_table_bytes;
        for (size_t k = 0; k < report->n; k++) {
            bool is_same = strcmp(report->lines[k].state, report->lines[i].state) == 0;
            if (is_same && k < i)
                is_first = false;
            n += is_same;
        }
        if (is_first)
            buf_printf(json, "%s\"%s\":%zu", n_states++ ? "," : "", report->lines[i].state, n);
    }
    buf_printf(json,
               "},\"memory\":{\"pss_bytes\":%llu,\"private_bytes\":%llu,"
               "\"page_table_bytes\":%llu}",
               (unsigned long long) pss, (unsigned long long) private,
               (unsigned long long) page_tables);
}

static void append_cold_start(struct buf *json, const struct function_stats *stats)
{
    char text[CLOCK_TEXT_MAX];
    uint64_t total = 0;
    if (stats->last_cold_at_ms == 0)
        return;
    buf_printf(json, ",\"last_cold_start\":{\"at\":\"%s\",\"phases_ms\":{",
               clock_iso_z((int64_t) stats->last_cold_at_ms, text));
    for (int i = 0; i < COLD_PHASES; i++) {
        buf_printf(json, "%s\"%s\":", i ? "," : "", cold_phase_name((enum cold_phase) i));
        append_us_as_ms(json, stats->last_cold_us[i]);
        total += stats->last_cold_us[i];
    }
    buf_append_text(json, "},\"total_ms\":");
    append_us_as_ms(json, total);
    buf_append_byte(json, '}');
}

static void append_stats(struct buf *json, const struct function_stats *stats)
{
    if (!stats)
        return;
    buf_printf(json,
               ",\"invocations\":%llu,\"errors\":%llu,\"timeouts\":%llu,\"throttles\":%llu,"
               "\"cold_starts\":%llu,\"log_lines_dropped\":%llu",
               (unsigned long long) stats->invocations, (unsigned long long) stats->errors,
               (unsigned long long) stats->timeouts, (unsigned long long) stats->throttles,
               (unsigned long long) stats->cold[COLD_SANDBOX].total,
               (unsigned long long) stats->log_lines_dropped);
    append_cold_start(json, stats);
}

static void answer(struct call *call, const struct instance_report *report)
{
    AUTO_FREE char *name = TAKE_PTR(call->work);
    const struct function *function = catalog_function(call->api->config.catalog, name);
    if (!function) { /* deleted while its instances were asked */
        call_fail_with(call, AWS_RESOURCE_NOT_FOUND, "Function not found: %s", name);
        return;
    }
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    buf_append_byte(&json, '{');
    model_report_append(&json, function->latest);
    append_code(&json, function);
    append_instances(&json, report);
    buf_append_text(&json, ",\"templates\":");
    template_report_append(&json, call->api->config.scheduler, name);
    append_stats(&json, function_stats_find(call->api->config.scheduler, str_of(name)));
    buf_append_byte(&json, '}');
    call_answer_json(call, 200, &json);
}

void lamina_function(struct call *call)
{
    struct function_name name;
    int r = call_function_name(call, FUNCTION_NAME_NAMESPACED, &name);
    if (r == 0 && !catalog_function(call->api->config.catalog, name.name))
        r = call_no_function(call, &name);
    if (r == 0) {
        call->work = mem_copy_text(name.name);
        r = call->work ? 0 : aws_error_set(&call->error, AWS_SERVICE, "No memory");
    }
    if (r == 0)
        r = instance_report_gather(call, name.name, true, answer);
    if (r < 0) {
        free(TAKE_PTR(call->work));
        call_fail(call);
    }
}
