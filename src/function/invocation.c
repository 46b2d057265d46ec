/* SPDX-License-Identifier: MIT */
#include "function/invocation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "function/scheduler_private.h"
#include "function/stats_table.h"
#include "function/version.h"
#include "loop/state.h"

static void stream_begin(void *arg, struct str content_type, bool is_streamed)
{
    struct invocation *invocation = arg;
    invocation->has_begun = true;
    if (invocation->cb)
        invocation->stream->begin(invocation->stream_arg, content_type, is_streamed);
}

/* Of a caller who went away the function hears nothing: it runs to its end. */
static bool stream_data(void *arg, struct str piece)
{
    struct invocation *invocation = arg;
    return !invocation->cb || invocation->stream->data(invocation->stream_arg, piece);
}

static const struct instance_stream stream_events = {.begin = stream_begin, .data = stream_data};

void invocation_stream_resume(struct invocation *invocation)
{
    if (invocation->instance)
        instance_stream_resume(invocation->instance);
}

static const struct state_machine machine = {
    .name = "invocation",
    .states =
        {
            [INVOCATION_WAITING] = {"WAITING",
                                    STATE_TO(INVOCATION_QUEUED) | STATE_TO(INVOCATION_DONE)},
            [INVOCATION_QUEUED] = {"QUEUED",
                                   STATE_TO(INVOCATION_RUNNING) | STATE_TO(INVOCATION_DONE)},
            [INVOCATION_RUNNING] = {"RUNNING", STATE_TO(INVOCATION_DONE)},
            [INVOCATION_DONE] = {"DONE", 0},
        },
};

#define TRACE_ID_MAX 80
/* Seconds after which a throttled caller may try again. */
#define RETRY_AFTER_S 1

/* X-Ray's form: the time, 96 random bits; the parent is this service. Not sampled: nothing collects it. */
static size_t trace_id_make(char *to, size_t size)
{
    uint64_t random[3];
    uuid_random(random, sizeof(random));
    return (size_t) snprintf(
        to, size, "Root=1-%08llx-%016llx%08llx;Parent=%016llx;Sampled=0",
        (unsigned long long) clock_wall_s() & 0xffffffff, (unsigned long long) random[0],
        (unsigned long long) random[1] & 0xffffffff, (unsigned long long) random[2]);
}

static struct str text_keep(char **at, struct str text)
{
    struct str kept = {*at, text.size};
    if (text.size > 0)
        memcpy(*at, text.data, text.size);
    *at += text.size;
    return kept;
}

/* One block for all texts that outlive the HTTP request. */
static int texts_keep(struct invocation *invocation, const struct invocation_spec *spec)
{
    char trace[TRACE_ID_MAX];
    struct str trace_id = spec->trace_id;
    char *at = NULL;
    if (trace_id.size == 0)
        trace_id = str_of_data(trace, trace_id_make(trace, sizeof(trace)));
    at = malloc(trace_id.size + spec->client_context.size + spec->cognito.size +
                spec->invoked_arn.size + 1);
    if (!at)
        return -1;
    invocation->texts = at;
    invocation->request.trace_id = text_keep(&at, trace_id);
    invocation->request.client_context = text_keep(&at, spec->client_context);
    invocation->request.cognito = text_keep(&at, spec->cognito);
    invocation->request.invoked_arn = text_keep(&at, spec->invoked_arn);
    return 0;
}

struct invocation *invocation_new(struct scheduler *scheduler, const struct version *version,
                                  struct invocation_spec *spec, invocation_cb *cb, void *arg)
{
    struct invocation *invocation = mem_new(struct invocation);
    if (!invocation || texts_keep(invocation, spec) < 0) {
        free(invocation);
        return NULL;
    }
    invocation->state = INVOCATION_WAITING;
    invocation->throttle_reason = "ConcurrentInvocationLimitExceeded";
    invocation->scheduler = scheduler;
    invocation->version = version_ref(version);
    invocation->cb = cb;
    invocation->arg = arg;
    if (spec->request_id.size == 0 ||
        str_copy(spec->request_id, invocation->id, sizeof(invocation->id)) < 0)
        uuid_new(invocation->id);
    invocation->payload = spec->payload;
    invocation->payload_bytes = spec->payload.size;
    buf_init(&spec->payload, spec->payload.maximum);
    invocation->request.id = invocation->id;
    invocation->request.payload = &invocation->payload;
    invocation->request.timeout_ms = version->timeout_s * 1000;
    invocation->request.depth = spec->depth;
    invocation->request.wants_log_tail = spec->wants_log_tail;
    invocation->stream = spec->stream;
    invocation->stream_arg = spec->stream_arg;
    invocation->request.stream = spec->stream ? &stream_events : NULL;
    invocation->request.stream_arg = invocation;
    invocation->accepted_ns = clock_monotonic_ns();
    invocation->accepted_ms = loop_now_ms(scheduler->loop);
    scheduler->invocations++;
    return invocation;
}

static void invocation_free(void *arg)
{
    struct invocation *invocation = arg;
    buf_done(&invocation->payload);
    version_unref(invocation->version);
    free(invocation->texts);
    free(invocation);
}

const char *invocation_request_id(const struct invocation *invocation)
{
    return invocation->id;
}

void invocation_permit(struct invocation *invocation)
{
    state_move(&machine, &invocation->state, INVOCATION_QUEUED);
    invocation->has_permit = true;
}

void invocation_run(struct invocation *invocation)
{
    state_move(&machine, &invocation->state, INVOCATION_RUNNING);
    invocation->begun_ns = clock_monotonic_ns();
}

static struct function_stats *invocation_stats(struct invocation *invocation)
{
    struct stats_table *table = &invocation->scheduler->stats;
    const char *name = invocation->version->name;
    /* Its permit made the entry: if it is gone, the function was deleted meanwhile. */
    return invocation->has_permit ? stats_table_find(table, name) : stats_table_get(table, name);
}

static void count(struct invocation *invocation, const struct invocation_result *result)
{
    struct function_stats *stats = invocation_stats(invocation);
    struct scheduler_totals *totals = &invocation->scheduler->totals;
    uint64_t passed_us = (uint64_t) (clock_monotonic_ns() - invocation->accepted_ns) / 1000;
    totals->invocations++;
    totals->errors += result->outcome == INVOCATION_FUNCTION_ERROR;
    totals->throttles += result->outcome == INVOCATION_THROTTLED;
    totals->cold_starts += result->is_cold;
    if (stats)
        function_stats_count(stats, result, passed_us);
}

/* Gives back the permit; the memory lives until the end of the turn. */
static void leave(struct invocation *invocation)
{
    scheduler_invocation_done(invocation->scheduler, invocation);
    loop_defer(invocation->scheduler->loop, &invocation->deferred, invocation_free, invocation);
}

static void finish(struct invocation *invocation, struct invocation_result *result)
{
    state_move(&machine, &invocation->state, INVOCATION_DONE);
    result->request_id = invocation->id;
    result->trace_id = invocation->request.trace_id;
    result->has_begun = invocation->has_begun;
    count(invocation, result);
    if (invocation->cb)
        invocation->cb(invocation->arg, result);
    buf_done(&result->payload);
    leave(invocation);
}

/* What the caller of a cold start waited for, and its last phase. */
static void phases_fill(struct invocation *invocation, struct invocation_result *result,
                        uint64_t duration_us)
{
    invocation->phase_us[COLD_FIRST_ANSWER] = duration_us;
    memcpy(result->phase_us, invocation->phase_us, sizeof(result->phase_us));
    result->is_cold = invocation->is_cold;
    result->duration_us = duration_us;
}

void invocation_finish_answered(struct invocation *invocation, struct instance_answer *answer)
{
    struct invocation_result result = {.outcome = INVOCATION_ANSWERED,
                                       .log_tail = answer->log_tail,
                                       .model_digest = answer->model_digest};
    phases_fill(invocation, &result, answer->duration_us);
    if (answer->is_error) {
        result.outcome = INVOCATION_FUNCTION_ERROR;
        result.error_type = str_of(answer->failure->type);
        instance_failure_payload(answer->failure, invocation->id, &result.payload);
    } else {
        result.payload = answer->payload;
        buf_init(&answer->payload, answer->payload.maximum);
    }
    finish(invocation, &result);
}

void invocation_finish_failed(struct invocation *invocation, struct instance_failure *failure,
                              struct str log_tail)
{
    struct invocation_result result = {.outcome = INVOCATION_FUNCTION_ERROR,
                                       .error_type = str_of(failure->type),
                                       .log_tail = log_tail};
    instance_failure_payload(failure, invocation->id, &result.payload);
    finish(invocation, &result);
}

void invocation_finish_restore_failed(struct invocation *invocation,
                                      const struct instance_failure *failure)
{
    struct error error = {0};
    bool is_timeout = strcmp(failure->status, "timeout") == 0;
    struct invocation_result result = {.outcome = is_timeout ? INVOCATION_RESTORE_TIMEOUT
                                                             : INVOCATION_RESTORE_FAILED,
                                       .error_type = str_of(failure->type),
                                       .error = &error};
    char text[ERROR_TEXT_MAX];
    instance_failure_text(failure, text, sizeof(text));
    error_set(&error, -EIO, "%s", text);
    finish(invocation, &result);
}

void invocation_finish_unmounted(struct invocation *invocation, const struct instance_end *end)
{
    struct error error = {0};
    struct invocation_result result = {.outcome = INVOCATION_MOUNT_FAILED,
                                       .mount_failure = end->mount_failure,
                                       .error = &error};
    error_set(&error, -EIO, "%s", end->failure->text);
    finish(invocation, &result);
}

void invocation_finish_throttled(struct invocation *invocation)
{
    struct invocation_result result = {.outcome = INVOCATION_THROTTLED,
                                       .throttle_reason = invocation->throttle_reason,
                                       .retry_after_s = RETRY_AFTER_S};
    finish(invocation, &result);
}

void invocation_finish_fault(struct invocation *invocation, const struct error *error)
{
    struct invocation_result result = {.outcome = INVOCATION_FAULT, .error = error};
    finish(invocation, &result);
}

void invocation_finish_cancelled(struct invocation *invocation)
{
    state_move(&machine, &invocation->state, INVOCATION_DONE);
    leave(invocation);
}
