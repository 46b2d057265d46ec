/* SPDX-License-Identifier: MIT */
#include "instance/instance.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "instance/environment.h"
#include "instance/extensions.h"
#include "instance/failure.h"
#include "instance/host.h"
#include "instance/log_stream.h"
#include "instance/platform_api.h"
#include "instance/report.h"
#include "instance/runtime_api.h"
#include "loop/loop.h"
#include "loop/state.h"

/*
 *             START            STARTED            first next
 *   (new) ----------> STARTING --------> INIT ------------------> IDLE <-----------+
 *                        |                |                      |  ^ |            | next
 *                        |                |           invoke     |  | | freeze     |
 *                        |                |      +---------------+  | v            |
 *                        |                |      v      invoke      | FROZEN       |
 *                        |                |     BUSY <--------------|---+          |
 *                        |                |      |   response,      |              |
 *                        |                |      |   error          |              |
 *                        |                |      +-------------> SETTLING ---------+
 *                        |                |                         ^ `next` broke off (from IDLE)
 *                        v                v
 *                   stop, a limit reached, init/error: any state -> ENDING --+
 *                                                                            | EXIT, START_FAILED
 *                   EXIT, START_FAILED: any state ---------------------------+--> DEAD
 *
 * What each state waits for, and until when:
 *   STARTING  lamina-spawn                         STARTING_LIMIT_MS, then a fault of the sandbox
 *   INIT      the runtime's first `next`           spec.init_limit_ms, then a failed init
 *   IDLE      instance_invoke, instance_freeze     the scheduler's keep-alive
 *   FROZEN    instance_invoke                      the scheduler's keep-alive
 *   BUSY      the runtime's response or error      the call's time-out
 *   SETTLING  the runtime's next `next`            the rest of the call's time-out; then it is ended
 *   ENDING    EXIT                                 init/error: GRACE_MS for the runtime to leave, then KILL
 */
enum state { STARTING, INIT, IDLE, BUSY, SETTLING, FROZEN, ENDING, DEAD };

static const struct state_machine machine =
    {
        .name = "instance",
        .states =
            {
                [STARTING] = {"STARTING", STATE_TO(INIT) | STATE_TO(ENDING) | STATE_TO(DEAD)},
                [INIT] = {"INIT", STATE_TO(IDLE) | STATE_TO(ENDING) | STATE_TO(DEAD)},
                [IDLE] = {"IDLE", STATE_TO(BUSY) | STATE_TO(FROZEN) | STATE_TO(SETTLING) |
                                      STATE_TO(ENDING) | STATE_TO(DEAD)},
                [BUSY] = {"BUSY", STATE_TO(SETTLING) | STATE_TO(ENDING) | STATE_TO(DEAD)},
                [SETTLING] = {"SETTLING", STATE_TO(IDLE) | STATE_TO(ENDING) | STATE_TO(DEAD)},
                [FROZEN] = {"FROZEN", STATE_TO(BUSY) | STATE_TO(IDLE) | STATE_TO(SETTLING) |
                                          STATE_TO(ENDING) | STATE_TO(DEAD)},
                [ENDING] = {"ENDING", STATE_TO(DEAD)},
                [DEAD] = {"DEAD", 0},
            },
};

#define STARTING_LIMIT_MS 120000
#define LATE_BODY_MAX ((size_t) 256 * 1024)
#define SETTLE_LIMIT_MS 10000
#define EXIT_TURNS_MIN 2
#define EXIT_TURNS_MAX 200
#define EXIT_PAUSED_MS 20
#define GRACE_MS 1000
/* The peak of memory is read again if the last reading is older than this. */
#define PEAK_AGE_MS 20
#define CPU_MILLIS_PER_1769_MB 1000
#define MEMORY_MB_PER_CPU 1769

/* The call being served, or the last one. */
struct call {
    const struct instance_request *request; /* borrowed; NULL: answered, or none yet */
    char id[40]; /* kept after the answer, to tell a late post from a wrong one */
    int64_t begun_ns;
    bool is_too_large;  /* it was refused with 413: an error for its id is still taken */
    bool is_report_due; /* answered, END and REPORT are not yet written */
    struct report report;
    char digest[65];
    struct instance_failure failure;
};

struct usage_wait {
    struct list link;
    instance_usage_cb *cb;
    void *arg;
};

struct instance {
    struct instance_host *host; /* borrowed */
    struct spawn_peer peer;
    struct instance_events events;
    int state;
    char *function, *version, *runtime, *handler;
    uint32_t memory_mb, init_limit_ms;
    bool is_init_repeated;
    struct loop_timer timer;
    struct loop_timer exit_timer;
    struct spawn_exit exit;
    unsigned exit_turns;
    struct loop_deferred deferred;
    struct log_stream log;
    struct runtime_api runtime_api;
    struct platform_api platform_api;
    struct extensions extensions;

    int64_t start_ns, started_ns, ready_ns; /* START sent, STARTED read, first `next` */
    uint64_t told_load_us, told_warm_us;    /* Lamina-Init-Phases */
    int32_t pid;

    int peak_fd;
    int64_t peak_read_ms;
    uint64_t memory_peak;

    struct call call;
    uint64_t requests;
    bool is_sandbox_fault;
    struct instance_failure failure; /* of the init phase, or why it is being ended */
    struct list usage_waits;
};

static const struct spawn_peer_events peer_events;
static const struct runtime_api_events api_events;
static const struct extensions_events extension_events;
static void instance_timed_out(void *arg);

/* ---- life */

static void instance_free(void *arg)
{
    struct instance *instance = arg;
    instance_failure_done(&instance->failure);
    instance_failure_done(&instance->call.failure);
    log_stream_done(&instance->log);
    free(instance->function);
    free(instance->version);
    free(instance->runtime);
    free(instance->handler);
    free(instance);
}

static void timer_start(struct instance *instance, int64_t after_ms)
{
    if (loop_timer_start(instance->host->loop, &instance->timer, after_ms, instance_timed_out,
                         instance) < 0)
        log_error("instance.timer", "function=%s error=memory", instance->function);
}

static void usage_answer(struct instance *instance, const struct instance_usage *usage)
{
    struct list waits = LIST_INIT(waits);
    list_move_all(&waits, &instance->usage_waits);
    LIST_FOR_EACH_SAFE (struct usage_wait, each, &waits, link) {
        each->cb(each->arg, usage);
        free(each);
    }
}

/* All that reaches into the sandbox is closed; the memory lives until the end of the turn. */
static void instance_die(struct instance *instance, bool is_init_failure)
{
    const struct instance_usage gone = {.error = -ESRCH};
    struct instance_end end = {.is_init_failure = is_init_failure,
                               .is_sandbox_fault = instance->is_sandbox_fault,
                               .failure = &instance->failure,
                               .memory_peak_bytes = instance->memory_peak};
    state_move(&machine, &instance->state, DEAD);
    loop_timer_stop(&instance->timer);
    loop_timer_stop(&instance->exit_timer);
    extensions_done(&instance->extensions);
    runtime_api_close(&instance->runtime_api);
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
    int r = environment_build(spec, instance->host->region, instance->log.name, &block, err);
    if (r < 0)
        return r;
    start.bootstrap = spec->bootstrap;
    start.cpu_millis = spec->memory_mb * CPU_MILLIS_PER_1769_MB / MEMORY_MB_PER_CPU;
    if (spec->tree_id)
        memcpy(start.tree_id, spec->tree_id, sizeof(start.tree_id));
    memcpy(start.env, block.data, block.size);
    start.env_size = (uint32_t) block.size;
    spawn_client_start(instance->host->spawn, &instance->peer, &start);
    return 0;
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
    instance->state = STARTING;
    instance->function = mem_copy_text(spec->function);
    instance->version = mem_copy_text(spec->version);
    instance->runtime = mem_copy_text(spec->runtime);
    instance->handler = mem_copy_text(spec->handler);
    if (!instance->function || !instance->version || !instance->runtime || !instance->handler) {
        instance_free(instance);
        return NULL;
    }
    instance->memory_mb = spec->memory_mb;
    instance->init_limit_ms = spec->init_limit_ms;
    instance->is_init_repeated = spec->is_init_repeated;
    instance->peak_fd = -1;
    list_init(&instance->usage_waits);
    extensions_init(&instance->extensions, &extension_events, instance);
    instance->extensions.function = instance->function;
    instance->extensions.version = instance->version;
    instance->extensions.handler = instance->handler;
    log_stream_init(&instance->log, host->loop, host->log_writer, instance->function,
                    instance->version);
    spawn_client_add(host->spawn, &instance->peer, &peer_events);
    host->count++;
    instance->start_ns = clock_monotonic_ns();
    timer_start(instance, STARTING_LIMIT_MS);
    if (start_send(instance, spec, &err) < 0) {
        instance->is_sandbox_fault = true;
        failure_set_sandbox(&instance->failure, err.text);
        loop_defer(host->loop, &instance->deferred, start_refused, instance);
    }
    return instance;
}

/* ---- memory */

static void peak_take(struct instance *instance, uint64_t bytes)
{
    if (bytes > instance->memory_peak)
        instance->memory_peak = bytes;
}

/* cgroup files are the kernel's memory, not the disk: this does not block. */
static void peak_read(struct instance *instance)
{
    char text[32];
    ssize_t size = 0;
    struct str digits = {0}, rest = {0};
    uint64_t bytes = 0;
    if (instance->peak_fd < 0)
        return;
    size = pread(instance->peak_fd, text, sizeof(text), 0);
    if (size <= 0)
        return;
    (void) str_cut(str_of_data(text, (size_t) size), '\n', &digits, &rest);
    if (str_to_u64(digits, UINT64_MAX, &bytes) == 0)
        peak_take(instance, bytes);
    instance->peak_read_ms = loop_now_ms(instance->host->loop);
}

/* ---- the current call */

static uint64_t us_between(int64_t from_ns, int64_t to_ns)
{
    return from_ns && to_ns > from_ns ? (uint64_t) (to_ns - from_ns) / 1000 : 0;
}

/* Reads what was printed during the call and closes it in the log. */
static void call_report(struct instance *instance)
{
    struct call *call = &instance->call;
    bool is_first = instance->requests == 1;
    if (!call->is_report_due)
        return;
    call->is_report_due = false;
    if (is_first || call->report.failure ||
        loop_now_ms(instance->host->loop) - instance->peak_read_ms > PEAK_AGE_MS)
        peak_read(instance);
    call->report.memory_peak_bytes = instance->memory_peak;
    log_stream_drain(&instance->log);
    report_end(&instance->log, &call->report);
    log_stream_flush(&instance->log);
}

/* The call has its outcome: `failure` (the call's own) or `payload`. The instance's state was moved already. */
static void call_answer(struct instance *instance, struct buf *payload, uint64_t duration_us,
                        bool is_error)
{
    struct call *call = &instance->call;
    const struct instance_request *request = call->request;
    struct instance_answer answer = {.is_error = is_error,
                                     .failure = is_error ? &call->failure : NULL,
                                     .model_digest = str_of(call->digest),
                                     .duration_us = duration_us};
    call->request = NULL;
    call->report = (struct report){.request_id = call->id,
                                   .duration_us = duration_us,
                                   .memory_mb = instance->memory_mb,
                                   .has_init = instance->requests == 1,
                                   .init_us = us_between(instance->started_ns, instance->ready_ns),
                                   .model_digest = answer.model_digest,
                                   .failure = answer.failure};
    call->is_report_due = true;
    if (payload) {
        answer.payload = *payload;
        buf_init(payload, payload->maximum);
    }
    /* A caller who wants the log has to wait for it; others get their answer first. An error's body goes away
     * with the answer, and the log must say what it was. */
    if (request->wants_log_tail || is_error) {
        call_report(instance);
        answer.log_tail = log_stream_tail(&instance->log);
    }
    instance->events.answered(instance->events.arg, instance, &answer);
    buf_done(&answer.payload);
}

static void call_fail(struct instance *instance)
{
    uint64_t duration_us = us_between(instance->call.begun_ns, clock_monotonic_ns());
    call_answer(instance, NULL, duration_us, true);
}

void instance_invoke(struct instance *instance, const struct instance_request *request)
{
    struct call *call = &instance->call;
    int64_t deadline_ms = clock_wall_ms() + request->timeout_ms;
    assert(instance->state == IDLE || instance->state == FROZEN);
    assert(runtime_api_is_parked(&instance->runtime_api));
    /* Ordered after any FREEZE; the answer may be written before the processes run again. */
    if (instance->state == FROZEN)
        spawn_client_request(instance->host->spawn, &instance->peer, SPAWN_THAW);
    state_move(&machine, &instance->state, BUSY);
    instance_failure_done(&call->failure);
    *call = (struct call){.request = request, .begun_ns = clock_monotonic_ns()};
    snprintf(call->id, sizeof(call->id), "%s", request->id);
    if (instance->requests++ > 0)
        log_stream_begin(&instance->log);
    report_start(&instance->log, request->id, instance->version);
    timer_start(instance, request->timeout_ms);
    extensions_invoke(&instance->extensions, request, deadline_ms);
    runtime_api_give(&instance->runtime_api, request, deadline_ms);
}

/* ---- ends */

static void instance_kill(struct instance *instance)
{
    state_move(&machine, &instance->state, ENDING);
    loop_timer_stop(&instance->timer);
    spawn_client_request(instance->host->spawn, &instance->peer, SPAWN_KILL);
}

static void call_timed_out(struct instance *instance)
{
    struct call *call = &instance->call;
    failure_set_timeout(&call->failure, call->request->timeout_ms);
    instance_kill(instance);
    call_answer(instance, NULL, (uint64_t) call->request->timeout_ms * 1000, true);
}

static void init_timed_out(struct instance *instance)
{
    failure_set_timeout(&instance->failure, instance->init_limit_ms);
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
    case STARTING:
        start_timed_out(instance);
        break;
    case INIT:
        init_timed_out(instance);
        break;
    case BUSY:
        call_timed_out(instance);
        break;
    case SETTLING:
        log_info("instance.unsettled", "function=%s id=%llu", instance->function,
                 (unsigned long long) instance->peer.id);
        instance_kill(instance);
        break;
    case ENDING: /* after init/error the runtime did not leave by itself */
        spawn_client_request(instance->host->spawn, &instance->peer, SPAWN_KILL);
        break;
    default:
        break;
    }
}

void instance_stop(struct instance *instance)
{
    bool is_busy = instance->state == BUSY;
    if (instance->state == ENDING || instance->state == DEAD)
        return;
    if (instance->state == STARTING || instance->state == INIT) {
        instance->is_sandbox_fault = true;
        failure_set_sandbox(&instance->failure, "the instance was stopped");
    }
    instance_kill(instance);
    if (is_busy) {
        failure_set_sandbox(&instance->call.failure, "the instance was stopped");
        call_fail(instance);
    }
}

void instance_freeze(struct instance *instance)
{
    assert(instance->state == IDLE);
    state_move(&machine, &instance->state, FROZEN);
    spawn_client_request(instance->host->spawn, &instance->peer, SPAWN_FREEZE);
}

/* ---- what lamina-spawn says */

static struct instance *peer_instance(struct spawn_peer *peer)
{
    return container_of(peer, struct instance, peer);
}

/* The descriptors of the sandbox; each is taken whatever happens. */
static int started_open(struct instance *instance, int *fds, struct error *err)
{
    int r = log_stream_open(&instance->log, TAKE_FD(fds[SPAWN_STARTED_LOG]));
    if (r < 0)
        return error_set_errno(err, r, "watch the log pipe");
    instance->peak_fd = TAKE_FD(fds[SPAWN_STARTED_PEAK]);
    r = runtime_api_open(&instance->runtime_api, instance->host->server,
                         TAKE_FD(fds[SPAWN_STARTED_RUNTIME]), &api_events, instance,
                         &instance->extensions, err);
    if (r < 0)
        return error_wrap(err, r, "open the Runtime API");
    r = platform_api_open(&instance->platform_api, instance->host->server,
                          TAKE_FD(fds[SPAWN_STARTED_PLATFORM]), err);
    if (r < 0)
        return error_wrap(err, r, "open the platform API");
    return 0;
}

static void on_started(struct spawn_peer *peer, const struct spawn_started *message, int *fds)
{
    struct instance *instance = peer_instance(peer);
    struct error err = {0};
    if (instance->state != STARTING) {
        /* Stopped meanwhile; the KILL may have come before there was something to kill. */
        spawn_client_request(instance->host->spawn, peer, SPAWN_KILL);
        return;
    }
    instance->started_ns = clock_monotonic_ns();
    instance->pid = (int32_t) message->pid;
    state_move(&machine, &instance->state, INIT);
    report_init_start(&instance->log, instance->runtime, instance->host->region);
    timer_start(instance, instance->init_limit_ms);
    instance->events.started(instance->events.arg, instance);
    if (started_open(instance, fds, &err) < 0) {
        instance->is_sandbox_fault = true;
        failure_set_sandbox(&instance->failure, err.text);
        instance_kill(instance);
    }
}

static void on_start_failed(struct spawn_peer *peer, const struct spawn_start_failed *message)
{
    struct instance *instance = peer_instance(peer);
    char text[128];
    snprintf(text, sizeof(text), "no sandbox: step %s: %s", spawn_step_name(message->step),
             message->step == SPAWN_STEP_DIED ? "its first process died"
                                              : error_name((int) message->error));
    log_warn("instance.start_failed", "function=%s id=%llu step=%s error=%s", instance->function,
             (unsigned long long) peer->id, spawn_step_name(message->step),
             LOG_TEXT(error_name((int) message->error)));
    instance->is_sandbox_fault = true;
    failure_set_sandbox(&instance->failure, text);
    instance_die(instance, true);
}

/* All its processes are gone, and all that they wrote was read. */
static void exit_finish(struct instance *instance)
{
    const struct spawn_exit *message = &instance->exit;
    bool was_init = instance->state == STARTING || instance->state == INIT;
    bool has_failed_init = was_init || (instance->state == ENDING && instance->ready_ns == 0);
    call_report(instance);
    if (was_init)
        failure_set_exit(&instance->failure, message);
    if (instance->state == BUSY) {
        failure_set_exit(&instance->call.failure, message);
        state_move(&machine, &instance->state, ENDING);
        call_fail(instance);
    }
    log_stream_drain(&instance->log);
    if (has_failed_init && !instance->is_sandbox_fault)
        report_init_failed(&instance->log, us_between(instance->started_ns, clock_monotonic_ns()),
                           instance->is_init_repeated, &instance->failure);
    instance_die(instance, has_failed_init);
}

/* EXIT can be heard before what the runtime wrote last was read: a response, and then its end. So its connections are
 * read to their ends first, a few turns of the loop; those during which a slow caller keeps it from being read do not
 * count, the call's own deadline ends them. */
static void exit_check(void *arg)
{
    struct instance *instance = arg;
    bool is_paused = instance->runtime_api.is_paused;
    unsigned turn = is_paused ? instance->exit_turns : instance->exit_turns++;
    bool may_come = is_paused || turn < EXIT_TURNS_MIN ||
                    (turn < EXIT_TURNS_MAX && runtime_api_is_connected(&instance->runtime_api));
    int64_t pause_ms = is_paused ? EXIT_PAUSED_MS : turn >= EXIT_TURNS_MIN;
    if (instance->state == BUSY && may_come &&
        loop_timer_start(instance->host->loop, &instance->exit_timer, pause_ms, exit_check,
                         instance) == 0)
        return;
    exit_finish(instance);
}

static void on_exited(struct spawn_peer *peer, const struct spawn_exit *message)
{
    struct instance *instance = peer_instance(peer);
    peak_take(instance, message->memory_peak_bytes);
    instance->exit = *message;
    exit_check(instance);
}

static void on_frozen(struct spawn_peer *peer, int error)
{
    struct instance *instance = peer_instance(peer);
    if (error == 0 || instance->state != FROZEN)
        return;
    /* It runs on; harmless, but it uses CPU that nobody asked it to. */
    log_warn("instance.freeze_failed", "function=%s id=%llu error=%s", instance->function,
             (unsigned long long) peer->id, LOG_TEXT(error_name(error)));
    state_move(&machine, &instance->state, IDLE);
}

static void on_thawed(struct spawn_peer *peer, int error)
{
    struct instance *instance = peer_instance(peer);
    if (error == 0)
        return;
    log_warn("instance.thaw_failed", "function=%s id=%llu error=%s", instance->function,
             (unsigned long long) peer->id, LOG_TEXT(error_name(error)));
    if (instance->state == IDLE || instance->state == FROZEN)
        instance->events.unready(instance->events.arg, instance);
    instance_stop(instance);
}

static void on_stats(struct spawn_peer *peer, const struct spawn_stats *message)
{
    struct instance *instance = peer_instance(peer);
    const struct instance_usage usage = {.error = message->error ? -(int) message->error : 0,
                                         .pss_bytes = message->pss_bytes,
                                         .private_bytes = message->private_bytes,
                                         .cgroup_bytes = message->memory_bytes,
                                         .cgroup_peak_bytes = message->memory_peak_bytes,
                                         .cpu_us = message->cpu_us};
    peak_take(instance, message->memory_peak_bytes);
    usage_answer(instance, &usage);
}

static const struct spawn_peer_events peer_events = {
    .started = on_started,
    .start_failed = on_start_failed,
    .exited = on_exited,
    .frozen = on_frozen,
    .thawed = on_thawed,
    .stats = on_stats,
};

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
    peak_read(instance);
    spawn_client_request(instance->host->spawn, &instance->peer, SPAWN_INIT_DONE);
}

/* Ready for a call when the runtime waits for it, and every extension for its next event. */
static void become_idle(struct instance *instance)
{
    if ((instance->state != INIT && instance->state != SETTLING) ||
        loop_timer_is_running(&instance->exit_timer) || /* it has gone: `next` came before EXIT */
        !runtime_api_is_parked(&instance->runtime_api) ||
        !extensions_are_parked(&instance->extensions))
        return;
    if (instance->state == INIT)
        init_passed(instance);
    state_move(&machine, &instance->state, IDLE);
    loop_timer_stop(&instance->timer);
    instance->events.idle(instance->events.arg, instance);
}

static enum runtime_api_verdict on_next(void *arg, struct str phases)
{
    struct instance *instance = arg;
    if (instance->state != INIT && instance->state != SETTLING)
        return RUNTIME_API_WRONG_STATE;
    if (instance->state == INIT)
        phases_take(instance, phases);
    become_idle(instance);
    return RUNTIME_API_ACCEPTED;
}

static void become_unready(struct instance *instance)
{
    if (instance->state != IDLE && instance->state != FROZEN)
        return;
    /* A connection broke off between FREEZE and its effect: frozen, it could not come back. */
    if (instance->state == FROZEN)
        spawn_client_request(instance->host->spawn, &instance->peer, SPAWN_THAW);
    state_move(&machine, &instance->state, SETTLING);
    timer_start(instance, SETTLE_LIMIT_MS);
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
    return instance->state == INIT && !runtime_api_is_parked(&instance->runtime_api);
}

static void on_extension_parked(void *arg)
{
    become_idle(arg);
}

static void on_extension_unparked(void *arg)
{
    become_unready(arg);
}

/* Lambda ends the environment then, whatever it does. */
static void on_extension_failed(void *arg, struct str type, bool is_init)
{
    struct instance *instance = arg;
    bool is_busy = instance->state == BUSY;
    if (instance->state == ENDING || instance->state == DEAD)
        return;
    failure_set_extension(is_busy ? &instance->call.failure : &instance->failure, type, is_init);
    if (!is_busy)
        instance->events.unready(instance->events.arg, instance);
    instance_kill(instance);
    if (is_busy)
        call_fail(instance);
}

static const struct extensions_events extension_events = {
    .may_register = on_may_register,
    .parked = on_extension_parked,
    .unparked = on_extension_unparked,
    .failed = on_extension_failed,
};

/* Is `id` the call being served? After the answer it is known, but no longer to be answered. */
static enum runtime_api_verdict call_verdict(const struct instance *instance, struct str id)
{
    if (instance->call.id[0] == '\0' || !str_equal_text(id, instance->call.id))
        return RUNTIME_API_WRONG_ID;
    return instance->state == BUSY ? RUNTIME_API_ACCEPTED : RUNTIME_API_WRONG_STATE;
}

static bool may_excuse(const struct instance *instance, struct str id)
{
    return instance->state == SETTLING && instance->call.is_too_large &&
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
    uint64_t duration_us = us_between(instance->call.begun_ns, clock_monotonic_ns());
    state_move(&machine, &instance->state, SETTLING);
    call_answer(instance, payload, duration_us, is_error);
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
    call_report(instance);
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
    return instance->state == INIT ? RUNTIME_API_ACCEPTED : RUNTIME_API_WRONG_STATE;
}

static enum runtime_api_verdict on_init_error(void *arg, struct runtime_api_post *post)
{
    struct instance *instance = arg;
    if (instance->state != INIT)
        return RUNTIME_API_WRONG_STATE;
    failure_set_posted(&instance->failure, post->error_type, "Runtime.Unknown", &post->body);
    /* It prints a stack trace, perhaps, and exits. */
    state_move(&machine, &instance->state, ENDING);
    timer_start(instance, GRACE_MS);
    return RUNTIME_API_ACCEPTED;
}

static const char *on_state(void *arg)
{
    struct instance *instance = arg;
    switch (instance->state) {
    case IDLE:
    case FROZEN:
        return "Ready";
    case BUSY:
        return "Running";
    case SETTLING:
        return "ResponseSent";
    case ENDING:
        return "InitError";
    default:
        return "Started";
    }
}

static void on_posted(void *arg)
{
    call_report(arg);
}

static const struct runtime_api_events api_events = {
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
    .state = on_state,
    .posted = on_posted,
};

/* ---- questions */

void instance_log_failed_call(struct instance *instance, const struct instance_request *request,
                              const struct instance_failure *failure, struct str *ret_tail)
{
    const struct report report = {.request_id = request->id,
                                  .duration_us =
                                      us_between(instance->started_ns, clock_monotonic_ns()),
                                  .memory_mb = instance->memory_mb,
                                  .memory_peak_bytes = instance->memory_peak,
                                  .failure = failure};
    report_start(&instance->log, request->id, instance->version);
    report_end(&instance->log, &report);
    *ret_tail = log_stream_tail(&instance->log);
}

uint64_t instance_id(const struct instance *instance)
{
    return instance->peer.id;
}

const char *instance_state_name(const struct instance *instance)
{
    return state_name(&machine, instance->state);
}

bool instance_is_frozen(const struct instance *instance)
{
    return instance->state == FROZEN;
}

static uint64_t ready_us(const struct instance *instance)
{
    return us_between(instance->start_ns, instance->ready_ns);
}

uint64_t instance_sandbox_us(const struct instance *instance)
{
    return ready_us(instance) - instance_load_us(instance) - instance_warm_us(instance);
}

/* What the runtime tells is believed only as far as it fits into the time that passed. */
uint64_t instance_warm_us(const struct instance *instance)
{
    uint64_t init_us = us_between(instance->started_ns, instance->ready_ns);
    return instance->told_warm_us < init_us ? instance->told_warm_us : init_us;
}

uint64_t instance_load_us(const struct instance *instance)
{
    uint64_t init_us = us_between(instance->started_ns, instance->ready_ns);
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

void instance_usage(struct instance *instance, instance_usage_cb *cb, void *arg)
{
    bool is_asked = !list_is_empty(&instance->usage_waits);
    struct usage_wait *wait = mem_new(struct usage_wait);
    if (!wait || instance->state == STARTING || instance->state == DEAD) {
        const struct instance_usage nothing = {.error = wait ? -ESRCH : -ENOMEM};
        free(wait);
        cb(arg, &nothing);
        return;
    }
    wait->cb = cb;
    wait->arg = arg;
    list_add_last(&instance->usage_waits, &wait->link);
    if (!is_asked)
        spawn_client_request(instance->host->spawn, &instance->peer, SPAWN_STATS);
}
