/* SPDX-License-Identifier: MIT */
#include "instance/instance_private.h"

#include "base/clock.h"
#include "instance/report.h"

void instance_log_failed_call(struct instance *instance, const struct instance_request *request,
                              const struct instance_failure *failure, struct str *ret_tail)
{
    const struct report report = {
        .request_id = request->id,
        .duration_us = instance_us_between(instance->started_ns, clock_monotonic_ns()),
        .memory_mb = instance->memory_mb,
        .memory_peak_bytes = instance->memory_peak + instance->inherited_bytes,
        .failure = failure};
    report_start(&instance->log, request->id, instance->version);
    report_end(&instance->log, &report);
    *ret_tail = log_stream_tail(&instance->log);
}

uint64_t instance_id(const struct instance *instance)
{
    return instance->peer.id;
}

bool instance_is_frozen(const struct instance *instance)
{
    return instance->state == INSTANCE_FROZEN;
}

static uint64_t ready_us(const struct instance *instance)
{
    return instance_us_between(instance->start_ns, instance->ready_ns);
}

uint64_t instance_sandbox_us(const struct instance *instance)
{
    return ready_us(instance) - instance_load_us(instance) - instance_warm_us(instance);
}

/* What the runtime tells is believed only as far as it fits into the time that passed. */
uint64_t instance_warm_us(const struct instance *instance)
{
    uint64_t init_us = instance_us_between(instance->started_ns, instance->ready_ns);
    return instance->told_warm_us < init_us ? instance->told_warm_us : init_us;
}

uint64_t instance_load_us(const struct instance *instance)
{
    uint64_t init_us = instance_us_between(instance->started_ns, instance->ready_ns);
    uint64_t left_us = init_us - instance_warm_us(instance);
    if (instance->told_load_us == 0 && instance->told_warm_us == 0)
        return init_us;
    return instance->told_load_us < left_us ? instance->told_load_us : left_us;
}

uint64_t instance_memory_peak(const struct instance *instance)
{
    return instance->memory_peak;
}

uint64_t instance_requests(const struct instance *instance)
{
    return instance->requests;
}

uint64_t instance_log_lines_dropped(const struct instance *instance)
{
    return instance->log.dropped_lines_total;
}

int32_t instance_pid(const struct instance *instance)
{
    return instance->pid;
}
