/* SPDX-License-Identifier: MIT */
#include "instance/instance_private.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "instance/host.h"

/* The peak of memory is read again if the last reading is older than this. */
#define PEAK_AGE_MS 20

void instance_call_report(struct instance *instance)
{
    struct call *call = &instance->call;
    bool is_first = instance->requests == 1;
    if (!call->is_report_due)
        return;
    call->is_report_due = false;
    if (is_first || call->report.failure ||
        loop_now_ms(instance->host->loop) - instance->peak_read_ms > PEAK_AGE_MS)
        usage_peak_read(instance);
    call->report.memory_peak_bytes = instance->memory_peak + instance->inherited_bytes;
    log_stream_drain(&instance->log);
    report_end(&instance->log, &call->report);
    telemetry_report(&instance->telemetry, &call->report);
    log_stream_flush(&instance->log);
}

void instance_call_answer(struct instance *instance, struct buf *payload, uint64_t duration_us,
                          bool is_error)
{
    struct call *call = &instance->call;
    const struct instance_request *request = call->request;
    struct instance_answer answer = {.is_error = is_error,
                                     .failure = is_error ? &call->failure : NULL,
                                     .model_digest = str_of(call->digest),
                                     .duration_us = duration_us};
    call->request = NULL;
    call->report =
        (struct report){.request_id = call->id,
                        .duration_us = duration_us,
                        .memory_mb = instance->memory_mb,
                        .has_init = instance->requests == 1,
                        .is_restored = instance_is_restored(instance),
                        .init_us = instance_us_between(instance->started_ns, instance->ready_ns),
                        .model_digest = answer.model_digest,
                        .failure = answer.failure};
    call->is_report_due = true;
    telemetry_runtime_done(&instance->telemetry, call->id,
                           is_error ? call->failure.status : "success", duration_us,
                           payload ? payload->size : 0);
    if (payload) {
        answer.payload = *payload;
        buf_init(payload, payload->maximum);
    }
    /* A caller who wants the log has to wait for it; others get their answer first. An error's body goes away
     * with the answer, and the log must say what it was. */
    if (request->wants_log_tail || is_error) {
        instance_call_report(instance);
        answer.log_tail = log_stream_tail(&instance->log);
    }
    instance->events.answered(instance->events.arg, instance, &answer);
    buf_done(&answer.payload);
}

void instance_call_fail(struct instance *instance)
{
    uint64_t duration_us = instance_us_between(instance->call.begun_ns, clock_monotonic_ns());
    instance_call_answer(instance, NULL, duration_us, true);
}
