// SPDX-License-Identifier: MIT

#include "spawn/monitor.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "spawn/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

// A group that is not frozen after this long (a process in uninterruptible sleep) is thawed again.
#define FREEZE_DEADLINE_NS (5 * CLOCK_NS_PER_S)

static uint32_t micros_since(int64_t begin_ns)
{
    return (uint32_t) ((clock_monotonic_ns() - begin_ns) / CLOCK_NS_PER_US);
}

void instance_failed(struct monitor *monitor, uint64_t id, uint32_t step, uint32_t error)
{
    struct spawn_start_failed failed = {.step = step, .error = error};
    monitor_send(monitor, &failed.head, SPAWN_START_FAILED, id, sizeof(failed), NULL, 0);
}

static void send_done(struct monitor *monitor, uint64_t id, uint16_t type, int error)
{
    struct spawn_done done = {.error = (uint32_t) -error};
    monitor_send(monitor, &done.head, type, id, sizeof(done), NULL, 0);
}

// lamina-init runs and has its orders: the listeners and the log go to laminad.
void instance_started(struct monitor *monitor, struct sandbox *sandbox)
{
    struct spawn_started started = {
        .path = sandbox->path,
        .uid = monitor->tools.uid_first + sandbox->slot,
        .pid = (uint32_t) sandbox->parts.pid,
        .timings = sandbox->timings,
    };
    started.timings.total_us = micros_since(sandbox->arrived_ns);
    const int fds[SPAWN_STARTED_FDS] = {
        [SPAWN_STARTED_RUNTIME] = sandbox->listeners[0],
        [SPAWN_STARTED_PLATFORM] = sandbox->listeners[1],
        [SPAWN_STARTED_LOG] = sandbox->parts.log_fd,
        [SPAWN_STARTED_PEAK] = sandbox->parts.peak_fd,
    };
    monitor_send(monitor, &started.head, SPAWN_STARTED, sandbox->id, sizeof(started), fds,
                 SPAWN_STARTED_FDS);
    for (int i = 0; i < 2; i++)
        sandbox->listeners[i] = fd_close(sandbox->listeners[i]);
    sandbox->parts.log_fd = fd_close(sandbox->parts.log_fd);
    sandbox->parts.peak_fd = fd_close(sandbox->parts.peak_fd);
    sandbox->state = SANDBOX_RUNNING;
}

// From nothing: here and now.
static int make_now(struct monitor *monitor, struct sandbox *sandbox,
                    const struct cgroup_limits *limits, uint32_t *ret_step)
{
    const struct sandbox_order order = {
        .kind = CHILD_FUNCTION, .slot = sandbox->slot, .limits = limits};
    sandbox->path = SPAWN_PATH_NOTHING;
    int r = sandbox_make(&monitor->tools, &order, &sandbox->parts, &sandbox->timings, ret_step);
    if (r < 0)
        return r;
    *ret_step = SPAWN_STEP_CLONE;
    r = fd_set_nonblocking(sandbox->parts.control_fd, true);
    if (r == 0)
        r = monitor_watch(monitor, sandbox->parts.control_fd, EPOLLIN, SOURCE_CONTROL,
                          sandbox->slot);
    return r;
}

// Full CPU until INIT_DONE: the CPU limit is written then.
static int make_or_take(struct monitor *monitor, const struct spawn_start *start,
                        struct sandbox **ret_sandbox, uint32_t *ret_step)
{
    const struct cgroup_limits limits = {.memory_bytes = start->memory_bytes,
                                         // one more: lamina-init
                                         .pids_max =
                                             (start->pids_max ? start->pids_max : 1024) + 1};
    struct sandbox *sandbox = NULL;
    if (!(start->flags & SPAWN_START_FROM_NOTHING))
        sandbox = pool_take_generic(monitor);
    if (sandbox) {
        sandbox->path = SPAWN_PATH_POOL;
        sandbox->timings = (struct spawn_timings){0};
        *ret_sandbox = sandbox;
        *ret_step = SPAWN_STEP_CGROUP;
        const int64_t begin_ns = clock_monotonic_ns();
        int r = cgroup_limit(&monitor->tools.groups, sandbox->slot, &limits);
        sandbox->timings.cgroup_us = micros_since(begin_ns);
        return r;
    }
    *ret_step = SPAWN_STEP_REQUEST;
    if (!(sandbox = monitor_take_slot(monitor)))
        return -EAGAIN;
    *ret_sandbox = sandbox;
    sandbox->state = SANDBOX_ROOTING;
    return make_now(monitor, sandbox, &limits, ret_step);
}

static struct sandbox_shape shape_of(const struct spawn_start *start)
{
    struct sandbox_shape shape = {.memory_bytes = start->memory_bytes,
                                  .tmp_bytes = start->tmp_bytes,
                                  .cpu_millis = start->cpu_millis,
                                  .pids_max = start->pids_max,
                                  .filesystem = start->filesystem};
    memcpy(shape.tree_id, start->tree_id, sizeof(shape.tree_id));
    memcpy(shape.opt_tree_id, start->opt_tree_id, sizeof(shape.opt_tree_id));
    memcpy(shape.models_id, start->models_id, sizeof(shape.models_id));
    return shape;
}

static void start_root(struct monitor *monitor, const struct spawn_start *start, int model_fd,
                       int64_t arrived_ns)
{
    struct sandbox *sandbox = NULL;
    uint32_t step;
    int r = make_or_take(monitor, start, &sandbox, &step);
    if (sandbox) {
        sandbox->shape = shape_of(start);
        sandbox->arrived_ns = arrived_ns;
        sandbox->state = SANDBOX_ROOTING;
    }
    if (r == 0) {
        sandbox->id = start->head.id;
        monitor->instance_count++;
        // A process that is gone already has said why: its end will be the answer.
        if (start->filesystem.filesystem_id[0]) {
            // It goes on when the mount is there.
            (void) !filesystems_order_mount(monitor, sandbox, start, model_fd);
            return;
        }
        r = sandbox_send_root(&sandbox->parts, &sandbox->shape, -1);
        if (r == 0 && start->flags & SPAWN_START_TEMPLATE)
            r = template_prepare(monitor, sandbox, start, model_fd);
        else if (r == 0)
            r = sandbox_send_run(&sandbox->parts, start, model_fd);
        if (r < 0)
            monitor_kill(monitor, sandbox);
        return;
    }
    instance_failed(monitor, start->head.id, step, (uint32_t) -r);
    if (!sandbox)
        return;
    monitor_kill(monitor, sandbox);
    if (sandbox->parts.pid < 0) // it has no process whose end would do it
        monitor_discard(monitor, sandbox);
}

// What laminad may get wrong without being taken over: 0, or the errno of its START_FAILED.
static int start_check(struct monitor *monitor, const struct spawn_start *start, int model_fd)
{
    const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
    if (monitor_find(monitor, start->head.id))
        return -EEXIST;
    if (monitor->instance_count >= SPAWN_INSTANCES_MAX)
        return -EAGAIN;
    if ((start->flags & SPAWN_START_TEMPLATE || start->template_id != 0) &&
        !monitor->tools.can_template)
        return -ENOTSUP;
    if (model_fd < 0)
        return 0;
    const int sealed = fcntl(model_fd, F_GET_SEALS); // below 0: it is no memfd
    return sealed >= 0 && (sealed & seals) == seals ? 0 : -EBADF;
}

// AWS has no SnapStart with file systems either.
static int filesystem_check(struct monitor *monitor, const struct spawn_start *start)
{
    if (start->flags & SPAWN_START_TEMPLATE || start->template_id != 0)
        return -ENOTSUP;
    return filesystems_check(monitor, &start->filesystem);
}

void instance_start(struct monitor *monitor, const struct spawn_start *start, int model_fd,
                    int64_t arrived_ns)
{
    const uint64_t id = start->head.id;
    int r = start_check(monitor, start, model_fd);
    if (r < 0) {
        instance_failed(monitor, id, SPAWN_STEP_REQUEST, (uint32_t) -r);
        return;
    }
    if (start->filesystem.filesystem_id[0] && (r = filesystem_check(monitor, start)) < 0) {
        instance_failed(monitor, id, SPAWN_STEP_FILESYSTEM, (uint32_t) -r);
        return;
    }
    const struct sandbox_shape shape = shape_of(start);
    if (start->template_id != 0) {
        fork_start(monitor, start, &shape, arrived_ns);
        return;
    }
    struct sandbox *waiter = NULL;
    if (!(start->flags & (SPAWN_START_FROM_NOTHING | SPAWN_START_NO_WAITER | SPAWN_START_TEMPLATE)))
        waiter = pool_take_waiter(monitor, &shape);
    if (waiter && sandbox_send_run(&waiter->parts, start, model_fd) == 0) {
        waiter->id = id;
        waiter->arrived_ns = arrived_ns;
        waiter->path = SPAWN_PATH_WAITER;
        waiter->timings = (struct spawn_timings){0};
        monitor->instance_count++;
        instance_started(monitor, waiter);
    } else {
        if (waiter)
            monitor_kill(monitor, waiter);
        start_root(monitor, start, model_fd, arrived_ns);
    }
    if (start->flags & SPAWN_START_HOT && !(start->flags & SPAWN_START_TEMPLATE) &&
        filesystems_may_wait(monitor, &start->filesystem))
        pool_want(monitor, &shape, arrived_ns);
    pool_touch(monitor, 5);
}

void instance_ready(struct monitor *monitor, struct sandbox *sandbox)
{
    if (sandbox->kind != CHILD_FUNCTION || sandbox->listeners[0] < 0)
        return;
    if (sandbox->id == 0) {
        sandbox->state = SANDBOX_WAITER;
        return;
    }
    if (sandbox->phase != TEMPLATE_NONE) {
        template_launch(monitor, sandbox);
        return;
    }
    sandbox->timings.mount_us = micros_since(sandbox->arrived_ns);
    instance_started(monitor, sandbox);
}

static void freeze_begin(struct monitor *monitor, struct sandbox *sandbox)
{
    sandbox->is_frozen = true;
    int r = cgroup_freeze(&monitor->tools.groups, sandbox->slot, true);
    if (r < 0) {
        send_done(monitor, sandbox->id, SPAWN_FROZEN, r);
    } else if (!sandbox->freezing_ns) {
        sandbox->freezing_ns = clock_monotonic_ns();
        monitor->freezing_count++;
    }
}

static void freeze_end(struct monitor *monitor, struct sandbox *sandbox, int error)
{
    sandbox->freezing_ns = 0;
    monitor->freezing_count--;
    if (error < 0)
        (void) !cgroup_freeze(&monitor->tools.groups, sandbox->slot, false);
    send_done(monitor, sandbox->id, SPAWN_FROZEN, error);
}

void instance_check_freezing(struct monitor *monitor)
{
    if (monitor->freezing_count == 0)
        return;
    const int64_t now_ns = clock_monotonic_ns();
    for (uint32_t i = 0; i < monitor->slot_count; i++) {
        struct sandbox *sandbox = &monitor->sandboxes[i];
        if (!sandbox->freezing_ns)
            continue;
        int r = cgroup_is_frozen(&monitor->tools.groups, sandbox->slot);
        if (r != 0)
            freeze_end(monitor, sandbox, r < 0 ? r : 0);
        else if (now_ns - sandbox->freezing_ns > FREEZE_DEADLINE_NS)
            freeze_end(monitor, sandbox, -ETIMEDOUT);
    }
}

static void thaw(struct monitor *monitor, struct sandbox *sandbox)
{
    if (sandbox->freezing_ns)
        freeze_end(monitor, sandbox, -ECANCELED);
    sandbox->is_frozen = false;
    sandbox->forking_ns = clock_monotonic_ns(); // orders may have waited meanwhile
    int r = cgroup_freeze(&monitor->tools.groups, sandbox->slot, false);
    send_done(monitor, sandbox->id, SPAWN_THAWED, r);
}

void instance_request(struct monitor *monitor, const struct spawn_head *head)
{
    struct sandbox *sandbox = monitor_find(monitor, head->id);
    if (!sandbox)
        return;
    const struct keeper_order order = {
        .type = KEEPER_STATS, .slot = sandbox->slot, .id = sandbox->id};
    switch (head->type) {
    case SPAWN_KILL:
        sandbox->is_killed = true;
        monitor_kill(monitor, sandbox);
        filesystems_check_server(monitor, sandbox);
        break;
    case SPAWN_FREEZE:
        freeze_begin(monitor, sandbox);
        break;
    case SPAWN_THAW:
        thaw(monitor, sandbox);
        break;
    case SPAWN_STATS:
        // One order at a time: however many are asked, the keeper's queue stays short.
        if (sandbox->stats_asked++ == 0 &&
            fd_send_packet(monitor->keeper_fd, &order, sizeof(order), NULL, 0) < 0)
            monitor->is_over = true;
        break;
    case SPAWN_INIT_DONE: {
        int r = cgroup_limit_cpu(&monitor->tools.groups, sandbox->slot, sandbox->shape.cpu_millis);
        if (r < 0)
            log_warn("spawn.cpu", "id=%llu error=%s", (unsigned long long) sandbox->id,
                     LOG_TEXT(error_name(r)));
        break;
    }
    default:
        break;
    }
}

void instance_stats(struct monitor *monitor, struct spawn_stats *stats)
{
    const uint64_t id = stats->head.id;
    struct sandbox *sandbox = monitor_find(monitor, id);
    if (!sandbox)
        return; // it has ended: its EXIT is the answer
    for (; sandbox->stats_asked > 0; sandbox->stats_asked--)
        monitor_send(monitor, &stats->head, SPAWN_STATS_ARE, id, sizeof(*stats), NULL, 0);
}

static uint64_t micros_of(struct timeval time)
{
    return (uint64_t) time.tv_sec * 1000000 + (uint64_t) time.tv_usec;
}

void instance_exited(struct monitor *monitor, struct sandbox *sandbox, int wait_status,
                     const struct rusage *usage)
{
    struct cgroup_usage used = {0};
    (void) !cgroup_usage(&monitor->tools.groups, sandbox->slot, &used);
    struct spawn_exit gone = {
        .status = sandbox->has_exit ? sandbox->exit_status : wait_status,
        .flags = (used.has_oom ? (uint32_t) SPAWN_EXIT_OOM : 0) |
                 (sandbox->is_killed ? (uint32_t) SPAWN_EXIT_KILLED : 0),
        .exec_errno = sandbox->exec_errno,
        .memory_peak_bytes = used.memory_peak_bytes,
        .cpu_us = micros_of(usage->ru_utime) + micros_of(usage->ru_stime),
    };
    monitor_send(monitor, &gone.head, SPAWN_EXIT, sandbox->id, sizeof(gone), NULL, 0);
}

void instance_ended(struct monitor *monitor, struct sandbox *sandbox, int wait_status,
                    const struct rusage *usage)
{
    if (!sandbox->has_failed) {
        sandbox->failed_step = SPAWN_STEP_DIED;
        sandbox->failed_error = (uint32_t) wait_status;
    }
    const bool is_occupied = sandbox->occupant.has_ended;
    if (sandbox->kind == CHILD_SEAT || sandbox->phase != TEMPLATE_NONE)
        template_sandbox_ended(monitor, sandbox);
    if (sandbox->id != 0) {
        monitor->instance_count--;
        if (sandbox->state == SANDBOX_RUNNING)
            instance_exited(monitor, sandbox, is_occupied ? sandbox->occupant.status : wait_status,
                            is_occupied ? &sandbox->occupant.usage : usage);
        else
            instance_failed(monitor, sandbox->id, sandbox->failed_step, sandbox->failed_error);
        return;
    }
    if (sandbox->has_failed && !sandbox->is_killed)
        log_warn("spawn.ahead", "step=%s error=%s", spawn_step_name(sandbox->failed_step),
                 LOG_TEXT(error_name((int) sandbox->failed_error)));
    pool_touch(monitor, 1000);
}
