/* SPDX-License-Identifier: MIT */
#include "instance/instance.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "instance/environment.h"
#include "instance/failure.h"
#include "instance/host.h"
#include "instance/instance_private.h"
#include "loop/state.h"

static const struct state_machine machine =
    {
        .name = "instance",
        .states =
            {
                [INSTANCE_STARTING] = {"STARTING", STATE_TO(INSTANCE_INIT) |
                                                       STATE_TO(INSTANCE_ENDING) |
                                                       STATE_TO(INSTANCE_DEAD)},
                [INSTANCE_INIT] = {"INIT", STATE_TO(INSTANCE_IDLE) | STATE_TO(INSTANCE_TEMPLATE) |
                                               STATE_TO(INSTANCE_ENDING) | STATE_TO(INSTANCE_DEAD)},
                [INSTANCE_IDLE] = {"IDLE", STATE_TO(INSTANCE_BUSY) | STATE_TO(INSTANCE_FROZEN) |
                                               STATE_TO(INSTANCE_SETTLING) |
                                               STATE_TO(INSTANCE_ENDING) | STATE_TO(INSTANCE_DEAD)},
                [INSTANCE_BUSY] = {"BUSY", STATE_TO(INSTANCE_SETTLING) | STATE_TO(INSTANCE_ENDING) |
                                               STATE_TO(INSTANCE_DEAD)},
                [INSTANCE_SETTLING] = {"SETTLING", STATE_TO(INSTANCE_IDLE) |
                                                       STATE_TO(INSTANCE_ENDING) |
                                                       STATE_TO(INSTANCE_DEAD)},
                [INSTANCE_FROZEN] = {"FROZEN", STATE_TO(INSTANCE_BUSY) | STATE_TO(INSTANCE_IDLE) |
                                                   STATE_TO(INSTANCE_SETTLING) |
                                                   STATE_TO(INSTANCE_ENDING) |
                                                   STATE_TO(INSTANCE_DEAD)},
                [INSTANCE_TEMPLATE] = {"TEMPLATE",
                                       STATE_TO(INSTANCE_ENDING) | STATE_TO(INSTANCE_DEAD)},
                [INSTANCE_ENDING] = {"ENDING", STATE_TO(INSTANCE_DEAD)},
                [INSTANCE_DEAD] = {"DEAD", 0},
            },
};

#define STARTING_LIMIT_MS 120000
#define CPU_MILLIS_PER_1769_MB 1000
#define MEMORY_MB_PER_CPU 1769

static void instance_timed_out(void *arg);

void instance_move(struct instance *instance, enum instance_state state)
{
    state_move(&machine, &instance->state, state);
}

const char *instance_state_name(const struct instance *instance)
{
    return state_name(&machine, instance->state);
}

static void instance_free(void *arg)
{
    struct instance *instance = arg;
    instance_failure_done(&instance->failure);
    instance_failure_done(&instance->call.failure);
    log_stream_done(&instance->log);
    instance_identity_unref(instance->identity);
    free(instance->function);
    free(instance->version);
    free(instance->runtime);
    free(instance->handler);
    free(instance);
}

void instance_timer_start(struct instance *instance, int64_t after_ms)
{
    if (loop_timer_start(instance->host->loop, &instance->timer, after_ms, instance_timed_out,
                         instance) < 0)
        log_error("instance.timer", "function=%s error=memory", instance->function);
}

/* Of an EXIT that has not come yet all is zero. */
static bool exit_is_crash(const struct spawn_exit *message)
{
    return WIFSIGNALED(message->status) && !(message->flags & (SPAWN_EXIT_KILLED | SPAWN_EXIT_OOM));
}

/* All that reaches into the sandbox is closed; the memory lives until the end of the turn. */
void instance_die(struct instance *instance, bool is_init_failure)
{
    const struct instance_usage gone = {.error = -ESRCH};
    struct instance_end end = {.is_init_failure = is_init_failure,
                               .is_sandbox_fault = instance->is_sandbox_fault,
                               .mount_failure = instance->mount_failure,
                               .is_refused = instance->is_refused,
                               .is_restore_failure =
                                   is_init_failure && instance->is_restore_failure,
                               .is_crash = exit_is_crash(&instance->exit),
                               .failure = &instance->failure,
                               .memory_peak_bytes = instance->memory_peak};
    instance_move(instance, INSTANCE_DEAD);
    loop_timer_stop(&instance->timer);
    loop_timer_stop(&instance->exit_timer);
    telemetry_done(&instance->telemetry);
    extensions_done(&instance->extensions);
    runtime_api_close(&instance->runtime_api);
    instance->identity->is_ended = true;
    platform_api_close(&instance->platform_api);
    instance->peak_fd = fd_close(instance->peak_fd);
    spawn_client_remove(instance->host->spawn, &instance->peer);
    instance->host->count--;
    usage_answer(instance, &gone);
    instance->events.ended(instance->events.arg, instance, &end);
    log_stream_flush(&instance->log);
    loop_defer(instance->host->loop, &instance->deferred, instance_free, instance);
}

static void start_refused(void *arg)
{
    instance_die(arg, true);
}

static int start_send(struct instance *instance, const struct instance_spec *spec,
                      struct error *err)
{
    struct spawn_start start = {.memory_bytes = (uint64_t) spec->memory_mb << 20,
                                .tmp_bytes = (uint64_t) spec->tmp_mb << 20,
                                .flags = SPAWN_START_HOT};
    AUTO_BUF struct buf block = BUF_INIT(SPAWN_ENV_MAX);
    if (spec->mount.refusal) {
        instance->mount_failure = SPAWN_FILESYSTEM_MOUNT_FAILURE;
        return error_set(err, -EACCES, "%s", spec->mount.refusal);
    }
    int r = environment_build(spec, instance->identity, instance->host->region, instance->log.name,
                              &block, err);
    if (r < 0)
        return r;
    start.bootstrap = spec->bootstrap;
    start.template_id = spec->template_id;
    if (spec->is_template)
        start.flags |= SPAWN_START_TEMPLATE;
    if (spec->is_spare)
        start.flags |= SPAWN_START_SPARE;
    if (spec->template_id && spec->takes_no_spare)
        start.flags |= SPAWN_START_NO_WAITER;
    if (spec->opt_tree_id)
        memcpy(start.opt_tree_id, spec->opt_tree_id, sizeof(start.opt_tree_id));
    if (spec->models_id)
        memcpy(start.models_id, spec->models_id, sizeof(start.models_id));
    if (spec->mount.use)
        start.filesystem = *spec->mount.use;
    start.cpu_millis = spec->memory_mb * CPU_MILLIS_PER_1769_MB / MEMORY_MB_PER_CPU;
    if (spec->tree_id)
        memcpy(start.tree_id, spec->tree_id, sizeof(start.tree_id));
    memcpy(start.env, block.data, block.size);
    start.env_size = (uint32_t) block.size;
    /* A fork has what its template mapped. */
    spawn_client_start(instance->host->spawn, &instance->peer, &start,
                       spec->template_id == 0 ? spec->model_fd : 0);
    return 0;
}

static bool may_subscribe(void *arg)
{
    const struct instance *instance = arg;
    return instance->state == INSTANCE_INIT;
}

/* arn:aws:iam::ACCOUNT:role/NAME */
static void account_take(char account[13], const char *role)
{
    struct str rest = str_of(role ? role : ""), part = {0};
    for (int i = 0; i < 5; i++)
        if (!str_cut(rest, ':', &part, &rest))
            return;
    (void) !str_copy(part, account, 13); /* another text than an ARN: none */
}

struct instance *instance_new(struct instance_host *host, const struct instance_spec *spec,
                              const struct instance_events *events)
{
    struct instance *instance = mem_new(struct instance);
    struct error err = {0};
    if (!instance)
        return NULL;
    instance->host = host;
    instance->events = *events;
    instance->state = INSTANCE_STARTING;
    instance->function = mem_copy_text(spec->function);
    instance->version = mem_copy_text(spec->version);
    instance->runtime = mem_copy_text(spec->runtime);
    instance->handler = mem_copy_text(spec->handler);
    instance->identity = instance_identity_new(spec);
    if (!instance->function || !instance->version || !instance->runtime || !instance->handler ||
        !instance->identity) {
        instance_free(instance);
        return NULL;
    }
    instance->memory_mb = spec->memory_mb;
    instance->init_limit_ms = spec->init_limit_ms;
    instance->is_init_repeated = spec->is_init_repeated;
    instance->call.depth = spec->depth;
    instance->is_template = spec->is_template;
    instance->is_snap_start = spec->is_snap_start;
    instance->is_fork = spec->template_id != 0;
    instance->inherited_bytes = spec->inherited_bytes;
    instance->peak_fd = -1;
    list_init(&instance->usage_waits);
    extensions_init(&instance->extensions, &instance_extension_events, instance);
    instance->extensions.function = instance->function;
    instance->extensions.version = instance->version;
    instance->extensions.handler = instance->handler;
    account_take(instance->account, spec->role);
    instance->extensions.account = instance->account;
    telemetry_init(&instance->telemetry, host->loop, &instance->extensions, instance->version,
                   may_subscribe, instance);
    log_stream_init(&instance->log, host->loop, host->log_writer, instance->function,
                    instance->version);
    instance->log.telemetry = &instance->telemetry;
    spawn_client_add(host->spawn, &instance->peer, &instance_peer_events);
    host->count++;
    instance->start_ns = clock_monotonic_ns();
    instance_timer_start(instance, STARTING_LIMIT_MS);
    if (start_send(instance, spec, &err) < 0) {
        instance->is_sandbox_fault = true;
        failure_set_sandbox(&instance->failure, err.text);
        loop_defer(host->loop, &instance->deferred, start_refused, instance);
    }
    return instance;
}

uint64_t instance_us_between(int64_t from_ns, int64_t to_ns)
{
    return from_ns && to_ns > from_ns ? (uint64_t) (to_ns - from_ns) / 1000 : 0;
}

void instance_invoke(struct instance *instance, const struct instance_request *request)
{
    struct call *call = &instance->call;
    int64_t deadline_ms = clock_wall_ms() + request->timeout_ms;
    assert(instance->state == INSTANCE_IDLE || instance->state == INSTANCE_FROZEN);
    assert(runtime_api_is_parked(&instance->runtime_api));
    /* Ordered after any FREEZE; the answer may be written before the processes run again. */
    if (instance->state == INSTANCE_FROZEN)
        spawn_client_request(instance->host->spawn, &instance->peer, SPAWN_THAW);
    instance_move(instance, INSTANCE_BUSY);
    instance_failure_done(&call->failure);
    *call = (struct call){
        .request = request, .begun_ns = clock_monotonic_ns(), .depth = request->depth};
    snprintf(call->id, sizeof(call->id), "%s", request->id);
    if (instance->requests++ > 0)
        log_stream_begin(&instance->log);
    report_start(&instance->log, request->id, instance->version);
    telemetry_start(&instance->telemetry, request->id, request->trace_id);
    instance_timer_start(instance, request->timeout_ms);
    extensions_invoke(&instance->extensions, request, deadline_ms);
    runtime_api_give(&instance->runtime_api, request, deadline_ms);
}

bool instance_is_restored(const struct instance *instance)
{
    return instance->is_snap_start && instance->is_fork;
}

void instance_freeze(struct instance *instance)
{
    assert(instance->state == INSTANCE_IDLE);
    instance_move(instance, INSTANCE_FROZEN);
    spawn_client_request(instance->host->spawn, &instance->peer, SPAWN_FREEZE);
}

/* ---- ends */

void instance_kill(struct instance *instance)
{
    instance_move(instance, INSTANCE_ENDING);
    loop_timer_stop(&instance->timer);
    spawn_client_request(instance->host->spawn, &instance->peer, SPAWN_KILL);
}

void instance_shutdown(struct instance *instance, const char *reason)
{
    bool has_begun = instance->state != INSTANCE_STARTING && instance->state != INSTANCE_INIT;
    if (!has_begun || !extensions_are_external(&instance->extensions)) {
        instance_kill(instance);
        return;
    }
    if (instance->state == INSTANCE_FROZEN)
        spawn_client_request(instance->host->spawn, &instance->peer, SPAWN_THAW);
    instance_move(instance, INSTANCE_ENDING);
    instance_timer_start(instance, INSTANCE_SHUTDOWN_MS);
    extensions_shutdown(&instance->extensions, reason, clock_wall_ms() + INSTANCE_SHUTDOWN_MS);
    telemetry_flush(&instance->telemetry);
}

void instance_fail(struct instance *instance)
{
    bool is_busy = instance->state == INSTANCE_BUSY;
    if (instance->state == INSTANCE_IDLE || instance->state == INSTANCE_FROZEN)
        instance->events.unready(instance->events.arg, instance);
    instance_shutdown(instance, "failure");
    if (is_busy)
        instance_call_fail(instance);
}

void instance_refuse(struct instance *instance, struct str reason)
{
    if (instance->state != INSTANCE_INIT && instance->state != INSTANCE_TEMPLATE)
        return; /* it ends */
    instance->is_refused = true;
    failure_set_refused(&instance->failure, reason);
    instance_kill(instance);
}

static void call_timed_out(struct instance *instance)
{
    struct call *call = &instance->call;
    failure_set_timeout(&call->failure, call->request->timeout_ms);
    instance_shutdown(instance, "timeout");
    instance_call_answer(instance, NULL, (uint64_t) call->request->timeout_ms * 1000, true);
}

static void init_timed_out(struct instance *instance)
{
    failure_set_timeout(&instance->failure, instance->init_limit_ms);
    instance->is_restore_failure = instance_is_restored(instance);
    instance_kill(instance);
}

static void start_timed_out(struct instance *instance)
{
    instance->is_sandbox_fault = true;
    failure_set_sandbox(&instance->failure, "lamina-spawn did not answer");
    instance_kill(instance);
}

static void instance_timed_out(void *arg)
{
    struct instance *instance = arg;
    switch (instance->state) {
    case INSTANCE_STARTING:
        start_timed_out(instance);
        break;
    case INSTANCE_INIT:
        init_timed_out(instance);
        break;
    case INSTANCE_BUSY:
        call_timed_out(instance);
        break;
    case INSTANCE_SETTLING:
        log_info("instance.unsettled", "function=%s id=%llu", instance->function,
                 (unsigned long long) instance->peer.id);
        instance_shutdown(instance, "timeout");
        break;
    case INSTANCE_ENDING: /* after init/error or SHUTDOWN they did not leave by themselves */
        spawn_client_request(instance->host->spawn, &instance->peer, SPAWN_KILL);
        break;
    default:
        break;
    }
}

void instance_stop(struct instance *instance)
{
    bool is_busy = instance->state == INSTANCE_BUSY;
    if (instance->state == INSTANCE_ENDING || instance->state == INSTANCE_DEAD)
        return;
    if (instance->state == INSTANCE_STARTING || instance->state == INSTANCE_INIT) {
        instance->is_sandbox_fault = true;
        failure_set_sandbox(&instance->failure, "the instance was stopped");
    }
    instance_shutdown(instance, "spindown");
    if (is_busy) {
        failure_set_sandbox(&instance->call.failure, "the instance was stopped");
        instance_call_fail(instance);
    }
}
