/* SPDX-License-Identifier: MIT */
#include "instance/report.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "instance/failure.h"

/* The region of AWS's own runtimes is the function's, the account is empty. */
static void report_begin(struct log_stream *log, const char *word, const char *runtime,
                         const char *region)
{
    log_stream_line(log,
                    "%s Runtime Version: %s\tRuntime Version ARN: arn:aws:lambda:%s::runtime:%s",
                    word, runtime, region, runtime);
}

void report_init_start(struct log_stream *log, const char *runtime, const char *region)
{
    report_begin(log, "INIT_START", runtime, region);
}

void report_restore_start(struct log_stream *log, const char *runtime, const char *region)
{
    report_begin(log, "RESTORE_START", runtime, region);
}

void report_restore(struct log_stream *log, uint64_t restore_us,
                    const struct instance_failure *failure)
{
    bool is_timeout = failure && strcmp(failure->status, "timeout") == 0;
    char status[192] = "";
    if (failure)
        snprintf(status, sizeof(status), "\tStatus: %s%s%s", failure->status,
                 is_timeout ? "" : "\tError Type: ", is_timeout ? "" : failure->type);
    log_stream_line(log, "RESTORE_REPORT Restore Duration: %.2f ms%s", (double) restore_us / 1000.0,
                    status);
}

void report_init_failed(struct log_stream *log, uint64_t init_us, bool is_repeated,
                        const struct instance_failure *failure)
{
    bool is_timeout = strcmp(failure->status, "timeout") == 0;
    log_stream_line(log, "INIT_REPORT Init Duration: %.2f ms\tPhase: %s\tStatus: %s\t%s%s%s",
                    (double) init_us / 1000.0, is_repeated ? "invoke" : "init", failure->status,
                    is_timeout ? "" : "Error Type: ", is_timeout ? "" : failure->type,
                    is_timeout ? "" : "\t");
}

void report_refused(struct log_stream *log, const struct instance_failure *failure)
{
    char text[512];
    instance_failure_text(failure, text, sizeof(text));
    log_stream_line(log, "TEMPLATE_REFUSED %s (instances are started one by one)", text);
}

void report_start(struct log_stream *log, const char *request_id, const char *version)
{
    log_stream_line(log, "START RequestId: %s Version: %s", request_id, version);
}

/* The runtime tells of its own errors itself; what ended it, only we know. */
static void report_failure(struct log_stream *log, const struct report *report)
{
    char text[FAILURE_MESSAGE_MAX], now[CLOCK_TEXT_MAX];
    if (report->failure->body.size > 0)
        return;
    failure_message(report->failure, report->request_id, text);
    if (strcmp(report->failure->status, "timeout") == 0) {
        log_stream_line(log, "%s %s %s", clock_iso_z(clock_wall_ms(), now), report->request_id,
                        report->failure->text);
        return;
    }
    log_stream_line(log, "%s", text);
    log_stream_line(log, "%s", report->failure->type);
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit;
}

/* "12.34": two decimals of a millisecond. By integers: printf's doubles are a tenth of what a warm call's log costs. */
#define MS_TEXT_MAX 24
static const char *ms_text(uint64_t us, char text[MS_TEXT_MAX])
{
    uint64_t hundredths = us / 10 + (us % 10 >= 5);
    snprintf(text, MS_TEXT_MAX, "%llu.%02u", (unsigned long long) hundredths / 100,
             (unsigned) (hundredths % 100));
    return text;
}

/* The optional fields; a warm call that went well has none. */
static void report_rest(const struct report *report, char *text, size_t size)
{
    const struct instance_failure *failure = report->failure;
    text[0] = '\0';
    if (!report->has_init && !failure && report->model_digest.size == 0)
        return;
    char init[96] = "", digest[96] = "", status[192] = "";
    if (report->has_init && report->is_restored)
        snprintf(init, sizeof(init),
                 "Restore Duration: %.2f ms\tBilled Restore Duration: %llu ms\t",
                 (double) report->init_us / 1000.0,
                 (unsigned long long) round_up(report->init_us, 1000));
    else if (report->has_init)
        snprintf(init, sizeof(init), "Init Duration: %.2f ms\t", (double) report->init_us / 1000.0);
    if (report->model_digest.size > 0)
        snprintf(digest, sizeof(digest), "Model Digest: " STR_FORMAT "\t",
                 STR_ARGUMENTS(report->model_digest));
    if (failure && strcmp(failure->status, "timeout") == 0)
        snprintf(status, sizeof(status), "Status: timeout");
    else if (failure)
        snprintf(status, sizeof(status), "Status: error\tError Type: %s", failure->type);
    snprintf(text, size, "%s%s%s", init, digest, status);
}

void report_end(struct log_stream *log, const struct report *report)
{
    char rest[384], duration[MS_TEXT_MAX];
    uint64_t billed_us = report->duration_us + (report->has_init ? report->init_us : 0);
    if (report->failure)
        report_failure(log, report);
    log_stream_report_dropped(log);
    log_stream_line(log, "END RequestId: %s", report->request_id);
    report_rest(report, rest, sizeof(rest));
    log_stream_line(log,
                    "REPORT RequestId: %s\tDuration: %s ms\tBilled Duration: %llu ms\t"
                    "Memory Size: %u MB\tMax Memory Used: %llu MB\t%s",
                    report->request_id, ms_text(report->duration_us, duration),
                    (unsigned long long) round_up(billed_us, 1000), report->memory_mb,
                    (unsigned long long) round_up(report->memory_peak_bytes, 1u << 20), rest);
}
