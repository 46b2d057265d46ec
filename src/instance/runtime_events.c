/* SPDX-License-Identifier: MIT */
#include "instance/instance_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "instance/failure.h"
#include "instance/host.h"

#define LATE_BODY_MAX ((size_t) 256 * 1024)
#define SETTLE_LIMIT_MS 10000
#define GRACE_MS 1000
#define BOOTSTRAP_TURNS 2
#define BOOTSTRAP_TURN_MS 5

/* ---- what the runtime does */

/* "load=12.345;warm=0.678", in milliseconds; unknown names are skipped. */
static void phases_take(struct instance *instance, struct str phases)
{
    while (phases.size > 0) {
        struct str pair = {0}, name = {0}, value = {0};
        char text[24];
        double ms = 0;
        (void) str_cut(phases, ';', &pair, &phases);
        if (!str_cut(str_trim(pair), '=', &name, &value) || str_copy(value, text, sizeof(text)) < 0)
            continue;
        ms = strtod(text, NULL);
        if (!(ms >= 0 && ms < 3600000.0))
            continue;
        if (str_equal_text(name, "load"))
            instance->told_load_us = (uint64_t) (ms * 1000.0);
        else if (str_equal_text(name, "warm"))
            instance->told_warm_us = (uint64_t) (ms * 1000.0);
    }
}

static void init_passed(struct instance *instance)
{
    instance->ready_ns = clock_monotonic_ns();
    if (instance_is_restored(instance))
        report_restore(&instance->log,
                       instance_us_between(instance->started_ns, instance->ready_ns), NULL);
    extensions_tell(&instance->extensions, &instance->log, &instance->telemetry);
    telemetry_init_done(&instance->telemetry, "success",
                        instance_us_between(instance->started_ns, instance->ready_ns));
    usage_peak_read(instance);
}

/* Ready for a call when the runtime waits for it, and every extension for its next event. */
static void become_idle(struct instance *instance)
{
    if ((instance->state != INSTANCE_INIT && instance->state != INSTANCE_SETTLING) ||
        loop_timer_is_running(&instance->exit_timer) || /* it has gone: `next` came before EXIT */
        !runtime_api_is_parked(&instance->runtime_api) ||
        !extensions_are_parked(&instance->extensions))
        return;
    const bool is_first = instance->state == INSTANCE_INIT;
    if (instance->is_unmounted && !is_first) {
        instance_stop(instance);
        return;
    }
    if (is_first)
        init_passed(instance);
    instance_move(instance, INSTANCE_IDLE);
    loop_timer_stop(&instance->timer);
    instance->events.idle(instance->events.arg, instance);
    // The call that waited goes first. It may have ended the instance: then nobody is there to be limited.
    if (is_first)
        spawn_client_request(instance->host->spawn, &instance->peer, SPAWN_INIT_DONE);
}

static enum runtime_api_verdict on_next(void *arg, struct str phases)
{
    struct instance *instance = arg;
    if (instance->state != INSTANCE_INIT && instance->state != INSTANCE_SETTLING)
        return RUNTIME_API_WRONG_STATE;
    if (instance->is_template) {
        instance_refuse(instance, STR("its runtime asked for a call instead of waiting to be "
                                      "forked: it does not know templates"));
        return RUNTIME_API_WRONG_STATE;
    }
    if (instance->state == INSTANCE_INIT)
        phases_take(instance, phases);
    become_idle(instance);
    return RUNTIME_API_ACCEPTED;
}

static void become_unready(struct instance *instance)
{
    if (instance->state != INSTANCE_IDLE && instance->state != INSTANCE_FROZEN)
        return;
    /* A connection broke off between FREEZE and its effect: frozen, it could not come back. */
    if (instance->state == INSTANCE_FROZEN)
        spawn_client_request(instance->host->spawn, &instance->peer, SPAWN_THAW);
    instance_move(instance, INSTANCE_SETTLING);
    instance_timer_start(instance, SETTLE_LIMIT_MS);
    instance->events.unready(instance->events.arg, instance);
}

static void on_next_gone(void *arg)
{
    become_unready(arg);
}

/* ---- what extensions do */

static bool on_may_register(void *arg)
{
    const struct instance *instance = arg;
    return instance->state == INSTANCE_INIT && !runtime_api_is_parked(&instance->runtime_api);
}

static void on_extension_parked(void *arg)
{
    become_idle(arg);
}

static void on_extension_unparked(void *arg)
{
    become_unready(arg);
}

static struct instance_failure *failure_of(struct instance *instance)
{
    return instance->state == INSTANCE_BUSY ? &instance->call.failure : &instance->failure;
}

static bool is_over(const struct instance *instance)
{
    return instance->state == INSTANCE_STARTING || instance->state == INSTANCE_ENDING ||
           instance->state == INSTANCE_DEAD;
}

/* Lambda ends the environment then, whatever it does. */
static void on_extension_failed(void *arg, struct str type, bool is_init)
{
    struct instance *instance = arg;
    if (is_over(instance))
        return;
    failure_set_extension(failure_of(instance), type, is_init);
    instance_fail(instance);
}

static void on_too_many_extensions(void *arg)
{
    struct instance *instance = arg;
    failure_set_too_many_extensions(&instance->failure);
    instance_fail(instance);
}

/* What the bootstrap wrote last may come on another connection than lamina-init's word of its end: it is read first. */
static void bootstrap_over(void *arg)
{
    struct instance *instance = arg;
    bool may_come = instance->state == INSTANCE_BUSY &&
                    (instance->runtime_api.receiving || instance->exit_turns++ < BOOTSTRAP_TURNS);
    if (is_over(instance))
        return;
    if (may_come && loop_timer_start(instance->host->loop, &instance->exit_timer,
                                     instance->runtime_api.receiving ? BOOTSTRAP_TURN_MS : 0,
                                     bootstrap_over, instance) == 0)
        return;
    failure_set_exit(failure_of(instance), &instance->exit);
    instance_fail(instance);
}

/* lamina-init's word. Of the bootstrap it comes only where there are external extensions, which have a moment for their
 * end then; otherwise EXIT tells. */
static void on_extensions_ended(void *arg, const struct extensions_end *end)
{
    struct instance *instance = arg;
    if (is_over(instance))
        return;
    if (end->is_bootstrap) {
        instance->exit =
            (struct spawn_exit){.status = end->status, .exec_errno = (uint32_t) end->error};
        instance->exit_turns = 0;
        bootstrap_over(instance);
        return;
    }
    failure_set_extension_exit(failure_of(instance), end);
    log_stream_line(&instance->log,
                    "EXTENSION\tName: %s\tState: ExitError\tError Type: %s\tError: %s", end->name,
                    failure_of(instance)->type, failure_of(instance)->text);
    instance_fail(instance);
}

const struct extensions_events instance_extension_events = {
    .may_register = on_may_register,
    .parked = on_extension_parked,
    .unparked = on_extension_unparked,
    .failed = on_extension_failed,
    .too_many = on_too_many_extensions,
    .ended = on_extensions_ended,
};

/* Is `id` the call being served? After the answer it is known, but no longer to be answered. */
static enum runtime_api_verdict call_verdict(const struct instance *instance, struct str id)
{
    if (instance->call.id[0] == '\0' || !str_equal_text(id, instance->call.id))
        return RUNTIME_API_WRONG_ID;
    return instance->state == INSTANCE_BUSY ? RUNTIME_API_ACCEPTED : RUNTIME_API_WRONG_STATE;
}

static bool may_excuse(const struct instance *instance, struct str id)
{
    return instance->state == INSTANCE_SETTLING && instance->call.is_too_large &&
           str_equal_text(id, instance->call.id);
}

static enum runtime_api_verdict on_may_post(void *arg, struct str id)
{
    struct instance *instance = arg;
    return may_excuse(instance, id) ? RUNTIME_API_ACCEPTED : call_verdict(instance, id);
}

static bool digest_is_valid(struct str digest)
{
    if (digest.size != 64)
        return false;
    for (size_t i = 0; i < digest.size; i++)
        if (!strchr("0123456789abcdef", digest.data[i]) || digest.data[i] == '\0')
            return false;
    return true;
}

static void call_settle(struct instance *instance, struct buf *payload, bool is_error)
{
    uint64_t duration_us = instance_us_between(instance->call.begun_ns, clock_monotonic_ns());
    instance_move(instance, INSTANCE_SETTLING);
    instance_call_answer(instance, payload, duration_us, is_error);
}

/* An error in the trailers of a streamed response: the call failed after a part of it. */
static bool late_failure(struct instance *instance, const struct runtime_api_post *post)
{
    struct buf body = BUF_INIT(LATE_BODY_MAX);
    ptrdiff_t size = 0;
    if (post->late_type.size == 0)
        return false;
    if (post->late_body.size <= LATE_BODY_MAX && buf_reserve(&body, post->late_body.size) == 0 &&
        (size = base64_decode(post->late_body, body.data)) > 0)
        buf_advance(&body, (size_t) size);
    failure_set_posted(&instance->call.failure, post->late_type, "Function.Unknown", &body);
    buf_done(&body);
    return true;
}

static void digest_take(struct instance *instance, struct str digest)
{
    if (digest_is_valid(digest))
        (void) !str_copy(digest, instance->call.digest, sizeof(instance->call.digest));
}

static enum runtime_api_verdict on_response(void *arg, struct str id, struct runtime_api_post *post)
{
    struct instance *instance = arg;
    enum runtime_api_verdict verdict = call_verdict(instance, id);
    if (verdict != RUNTIME_API_ACCEPTED)
        return verdict;
    digest_take(instance, post->model_digest);
    if (late_failure(instance, post))
        call_settle(instance, NULL, true);
    else
        call_settle(instance, &post->body, false);
    return RUNTIME_API_ACCEPTED;
}

static bool on_wants_stream(void *arg)
{
    const struct instance *instance = arg;
    return instance->call.request && instance->call.request->stream;
}

static void on_stream_begin(void *arg, struct str content_type, bool is_streamed)
{
    struct instance *instance = arg;
    const struct instance_request *request = instance->call.request;
    request->stream->begin(request->stream_arg, content_type, is_streamed);
}

/* What comes after the call is over (it took too long) goes nowhere. */
static bool on_stream_data(void *arg, struct str id, struct str piece)
{
    struct instance *instance = arg;
    const struct instance_request *request = instance->call.request;
    if (call_verdict(instance, id) != RUNTIME_API_ACCEPTED)
        return true;
    return request->stream->data(request->stream_arg, piece);
}

static enum runtime_api_verdict on_stream_end(void *arg, struct str id,
                                              struct runtime_api_post *post)
{
    struct instance *instance = arg;
    enum runtime_api_verdict verdict = call_verdict(instance, id);
    if (verdict != RUNTIME_API_ACCEPTED)
        return verdict;
    digest_take(instance, post->model_digest);
    call_settle(instance, NULL, late_failure(instance, post));
    return RUNTIME_API_ACCEPTED;
}

static void on_stream_broken(void *arg, struct str id)
{
    struct instance *instance = arg;
    if (call_verdict(instance, id) != RUNTIME_API_ACCEPTED)
        return;
    failure_set_truncated(&instance->call.failure);
    call_settle(instance, NULL, true);
    instance_call_report(instance);
}

void instance_stream_resume(struct instance *instance)
{
    runtime_api_resume(&instance->runtime_api);
}

static enum runtime_api_verdict on_error(void *arg, struct str id, struct runtime_api_post *post)
{
    struct instance *instance = arg;
    enum runtime_api_verdict verdict = call_verdict(instance, id);
    if (may_excuse(instance, id))
        return RUNTIME_API_ACCEPTED; /* its caller has heard of the size already */
    if (verdict != RUNTIME_API_ACCEPTED)
        return verdict;
    failure_set_posted(&instance->call.failure, post->error_type, "Function.Unknown", &post->body);
    call_settle(instance, NULL, true);
    return RUNTIME_API_ACCEPTED;
}

static enum runtime_api_verdict on_too_large(void *arg, struct str id, uint64_t bytes)
{
    struct instance *instance = arg;
    enum runtime_api_verdict verdict = call_verdict(instance, id);
    if (verdict != RUNTIME_API_ACCEPTED)
        return verdict;
    instance->call.is_too_large = true;
    failure_set_too_large(&instance->call.failure, bytes);
    call_settle(instance, NULL, true);
    return RUNTIME_API_ACCEPTED;
}

static void on_bad_mode(void *arg, struct str id)
{
    struct instance *instance = arg;
    if (call_verdict(instance, id) != RUNTIME_API_ACCEPTED)
        return;
    failure_set_response_mode(&instance->call.failure);
    call_settle(instance, NULL, true);
}

static enum runtime_api_verdict on_init_may_post(void *arg)
{
    struct instance *instance = arg;
    return instance->state == INSTANCE_INIT ? RUNTIME_API_ACCEPTED : RUNTIME_API_WRONG_STATE;
}

static enum runtime_api_verdict on_init_error(void *arg, struct runtime_api_post *post)
{
    struct instance *instance = arg;
    if (instance->state != INSTANCE_INIT)
        return RUNTIME_API_WRONG_STATE;
    failure_set_posted(&instance->failure, post->error_type, "Runtime.Unknown", &post->body);
    /* What liblamina says of a template when it finds a thread or a descriptor before anybody looks from outside. */
    if (instance->is_template && strcmp(instance->failure.type, "Runtime.NotForkable") == 0)
        instance->is_refused = true;
    /* It prints a stack trace, perhaps, and exits. */
    instance_move(instance, INSTANCE_ENDING);
    instance_timer_start(instance, GRACE_MS);
    return RUNTIME_API_ACCEPTED;
}

static bool on_model(void *arg, struct http_request *request)
{
    struct instance *instance = arg;
    const struct instance_platform *platform = &instance->host->platform;
    if (!platform->on_model)
        return false;
    platform->on_model(platform->arg, request, instance->identity);
    return true;
}

static bool on_has_restore(void *arg)
{
    const struct instance *instance = arg;
    return instance->is_snap_start;
}

static enum runtime_api_verdict on_restore_next(void *arg)
{
    const struct instance *instance = arg;
    return instance->state == INSTANCE_INIT && !instance->is_template ? RUNTIME_API_ACCEPTED
                                                                      : RUNTIME_API_WRONG_STATE;
}

static enum runtime_api_verdict on_restore_error(void *arg, struct runtime_api_post *post)
{
    struct instance *instance = arg;
    enum runtime_api_verdict verdict = on_init_error(arg, post);
    instance->is_restore_failure |= verdict == RUNTIME_API_ACCEPTED;
    return verdict;
}

static const char *on_state(void *arg)
{
    struct instance *instance = arg;
    switch (instance->state) {
    case INSTANCE_IDLE:
    case INSTANCE_FROZEN:
        return "Ready";
    case INSTANCE_BUSY:
        return "Running";
    case INSTANCE_SETTLING:
        return "ResponseSent";
    case INSTANCE_ENDING:
        return "InitError";
    default:
        return "Started";
    }
}

static void on_posted(void *arg)
{
    instance_call_report(arg);
}

const struct runtime_api_events instance_api_events = {
    .next = on_next,
    .next_gone = on_next_gone,
    .may_post = on_may_post,
    .response = on_response,
    .wants_stream = on_wants_stream,
    .stream_begin = on_stream_begin,
    .stream_data = on_stream_data,
    .stream_end = on_stream_end,
    .stream_broken = on_stream_broken,
    .error = on_error,
    .too_large = on_too_large,
    .bad_mode = on_bad_mode,
    .init_may_post = on_init_may_post,
    .init_error = on_init_error,
    .model = on_model,
    .has_restore = on_has_restore,
    .restore_next = on_restore_next,
    .restore_error = on_restore_error,
    .state = on_state,
    .posted = on_posted,
};
