/* SPDX-License-Identifier: MIT */
#include "instance/instance_private.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "instance/failure.h"
#include "instance/host.h"

#define EXIT_TURNS_MIN 2
#define EXIT_TURNS_MAX 200
#define EXIT_PAUSED_MS 20

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
                         TAKE_FD(fds[SPAWN_STARTED_RUNTIME]), &instance_api_events, instance,
                         &instance->extensions, &instance->telemetry, err);
    if (r < 0)
        return error_wrap(err, r, "open the Runtime API");
    r = platform_api_open(&instance->platform_api, instance, TAKE_FD(fds[SPAWN_STARTED_PLATFORM]),
                          err);
    if (r < 0)
        return error_wrap(err, r, "open the platform API");
    return 0;
}

static void on_started(struct spawn_peer *peer, const struct spawn_started *message, int *fds)
{
    struct instance *instance = peer_instance(peer);
    struct error err = {0};
    if (instance->state != INSTANCE_STARTING) {
        /* Stopped meanwhile; the KILL may have come before there was something to kill. */
        spawn_client_request(instance->host->spawn, peer, SPAWN_KILL);
        return;
    }
    instance->started_ns = clock_monotonic_ns();
    instance->pid = (int32_t) message->pid;
    instance_move(instance, INSTANCE_INIT);
    instance->telemetry.started_wall_ms = clock_wall_ms();
    if (instance_is_restored(instance))
        report_restore_start(&instance->log, instance->runtime, instance->host->region);
    else
        report_init_start(&instance->log, instance->runtime, instance->host->region);
    instance_timer_start(instance, instance->init_limit_ms);
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
    char text[160];
    snprintf(text, sizeof(text), "no sandbox: step %s: %s", spawn_step_name(message->step),
             message->step == SPAWN_STEP_DIED ? "its first process died"
                                              : error_name((int) message->error));
    log_warn("instance.start_failed", "function=%s id=%llu step=%s error=%s", instance->function,
             (unsigned long long) peer->id, spawn_step_name(message->step),
             LOG_TEXT(error_name((int) message->error)));
    instance->is_sandbox_fault = true;
    if (message->step == SPAWN_STEP_FILESYSTEM) {
        instance->mount_failure = spawn_filesystem_failure(message->error);
        snprintf(text, sizeof(text), "%s", spawn_filesystem_reason(message->error));
    }
    failure_set_sandbox(&instance->failure, text);
    instance_die(instance, true);
}

static void start_report_failed(struct instance *instance)
{
    uint64_t passed_us = instance_us_between(instance->started_ns, clock_monotonic_ns());
    if (instance->is_refused)
        report_refused(&instance->log, &instance->failure);
    else if (instance_is_restored(instance))
        report_restore(&instance->log, passed_us, &instance->failure);
    else
        report_init_failed(&instance->log, passed_us, instance->is_init_repeated,
                           &instance->failure);
}

/* All its processes are gone, and all that they wrote was read. */
static void exit_finish(struct instance *instance)
{
    const struct spawn_exit *message = &instance->exit;
    bool was_init = instance->state == INSTANCE_STARTING || instance->state == INSTANCE_INIT;
    bool has_failed_init =
        was_init || (instance->state == INSTANCE_ENDING && instance->ready_ns == 0);
    instance_call_report(instance);
    if (was_init)
        failure_set_exit(&instance->failure, message);
    if (instance->state == INSTANCE_BUSY) {
        failure_set_exit(&instance->call.failure, message);
        instance_move(instance, INSTANCE_ENDING);
        instance_call_fail(instance);
    }
    log_stream_drain(&instance->log);
    if ((has_failed_init || instance->is_refused) && !instance->is_sandbox_fault)
        start_report_failed(instance);
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
    if (instance->state == INSTANCE_BUSY && may_come &&
        loop_timer_start(instance->host->loop, &instance->exit_timer, pause_ms, exit_check,
                         instance) == 0)
        return;
    exit_finish(instance);
}

static void on_exited(struct spawn_peer *peer, const struct spawn_exit *message)
{
    struct instance *instance = peer_instance(peer);
    usage_peak_take(instance, message->memory_peak_bytes);
    instance->exit = *message;
    exit_check(instance);
}

/* Checked from outside: forks of it may be asked for. */
static void on_template_ready(struct spawn_peer *peer)
{
    struct instance *instance = peer_instance(peer);
    if (instance->state != INSTANCE_INIT)
        return; /* it is being ended */
    instance->ready_ns = clock_monotonic_ns();
    usage_peak_read(instance);
    instance_move(instance, INSTANCE_TEMPLATE);
    loop_timer_stop(&instance->timer);
    instance->events.templated(instance->events.arg, instance);
}

/* Its EXIT follows. */
static void on_template_refused(struct spawn_peer *peer, struct str reason)
{
    struct instance *instance = peer_instance(peer);
    if (instance->state != INSTANCE_INIT)
        return;
    instance_refuse(instance, reason);
}

static void on_frozen(struct spawn_peer *peer, int error)
{
    struct instance *instance = peer_instance(peer);
    if (error == 0 || instance->state != INSTANCE_FROZEN)
        return;
    /* It runs on; harmless, but it uses CPU that nobody asked it to. */
    log_warn("instance.freeze_failed", "function=%s id=%llu error=%s", instance->function,
             (unsigned long long) peer->id, LOG_TEXT(error_name(error)));
    instance_move(instance, INSTANCE_IDLE);
}

static void on_thawed(struct spawn_peer *peer, int error)
{
    struct instance *instance = peer_instance(peer);
    if (error == 0)
        return;
    log_warn("instance.thaw_failed", "function=%s id=%llu error=%s", instance->function,
             (unsigned long long) peer->id, LOG_TEXT(error_name(error)));
    if (instance->state == INSTANCE_IDLE || instance->state == INSTANCE_FROZEN)
        instance->events.unready(instance->events.arg, instance);
    instance_stop(instance);
}

/* Its file system will not come back to it: it ends now, or after the call that it has. */
static void on_unmounted(struct spawn_peer *peer)
{
    struct instance *instance = peer_instance(peer);
    log_warn("instance.unmounted", "function=%s id=%llu", instance->function,
             (unsigned long long) peer->id);
    instance->is_unmounted = true;
    if (instance->state != INSTANCE_IDLE && instance->state != INSTANCE_FROZEN)
        return;
    instance->events.unready(instance->events.arg, instance);
    instance_stop(instance);
}

static void on_stats(struct spawn_peer *peer, const struct spawn_stats *message)
{
    struct instance *instance = peer_instance(peer);
    const struct instance_usage usage = {.error = message->error ? -(int) message->error : 0,
                                         .pss_bytes = message->pss_bytes,
                                         .private_bytes = message->private_bytes,
                                         .page_table_bytes = message->page_table_bytes,
                                         .anonymous_bytes = message->anonymous_bytes,
                                         .cgroup_bytes = message->memory_bytes,
                                         .cgroup_peak_bytes = message->memory_peak_bytes,
                                         .cpu_us = message->cpu_us};
    usage_peak_take(instance, message->memory_peak_bytes);
    usage_answer(instance, &usage);
}

const struct spawn_peer_events instance_peer_events = {
    .started = on_started,
    .start_failed = on_start_failed,
    .exited = on_exited,
    .template_ready = on_template_ready,
    .template_refused = on_template_refused,
    .frozen = on_frozen,
    .thawed = on_thawed,
    .unmounted = on_unmounted,
    .stats = on_stats,
};
