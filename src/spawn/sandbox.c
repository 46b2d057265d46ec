// SPDX-License-Identifier: MIT

#include "spawn/sandbox.h"

#include "base/clock.h"
#include "base/fd.h"
#include "spawn/seat.h"
#include "wire/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint32_t micros_since(int64_t begin_ns)
{
    return (uint32_t) ((clock_monotonic_ns() - begin_ns) / CLOCK_NS_PER_US);
}

// Returns twice, like fork. The network namespace is a function's own work, done while its parent
// makes the cgroups; v2's clone starts inside its group.
static pid_t clone_first(const struct sandbox_order *order, int group_fd, int *ret_pid_fd)
{
    struct clone_args arguments = {
        .flags = CLONE_PIDFD | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS,
        .pidfd = (uint64_t) (uintptr_t) ret_pid_fd,
        // With CLONE_PARENT the kernel takes the maker's own exit signal, which is SIGCHLD too.
        .exit_signal = order->is_for_parent ? 0 : SIGCHLD,
    };
    if (order->kind == CHILD_WORK)
        arguments.flags |= CLONE_NEWNET;
    if (order->is_for_parent)
        arguments.flags |= CLONE_PARENT;
    if (group_fd >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (uint64_t) group_fd;
    }
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    return pid < 0 ? -errno : (pid_t) pid;
}

static int pipes_open(const struct sandbox_tools *tools, const struct sandbox_order *order,
                      struct sandbox_parts *parts, int *ret_child_control, int *ret_child_log)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    parts->control_fd = pair[0];
    *ret_child_control = pair[1];
    if (order->kind == CHILD_WORK)
        return 0;
    if (pipe2(pair, O_CLOEXEC) < 0)
        return -errno;
    parts->log_fd = pair[0];
    *ret_child_log = pair[1];
    const uid_t uid = tools->uid_first + order->slot;
    if (order->kind == CHILD_SEAT && // it is never root, and cannot do it itself
        (fchown(pair[1], uid, uid) < 0 ||
         (parts->occupant_log_fd = fcntl(pair[1], F_DUPFD_CLOEXEC, 3)) < 0))
        return -errno;
    return fd_set_nonblocking(parts->log_fd, true);
}

// Makes the groups; v1's are entered by the process itself, told by GROUPS, and made while it is busy
// with its network.
static int groups_make(const struct sandbox_tools *tools, const struct sandbox_order *order,
                       struct spawn_timings *timings)
{
    const int64_t begin_ns = clock_monotonic_ns();
    int r = cgroup_make(&tools->groups, order->slot);
    if (r == 0 && order->limits)
        r = cgroup_limit(&tools->groups, order->slot, order->limits);
    timings->cgroup_us = micros_since(begin_ns);
    return r;
}

// A seat's process may open nothing of its cgroups, and has to be told who it is.
static int clone_seat(const struct sandbox_tools *tools, const struct sandbox_order *order,
                      const struct child_plan *plan, int group_fd, struct sandbox_parts *parts)
{
    struct child_plan own = *plan;
    int r = cgroup_open_entrances(&tools->groups, order->slot, parts->entrances);
    if (r < 0)
        return r;
    own.entrance_count = r;
    memcpy(own.entrances, parts->entrances, sizeof(own.entrances));
    const struct seat_order seat = {.plan = &own,
                                    .template_fd = order->template_fd,
                                    .template_uid = order->template_uid,
                                    .group_fd = group_fd};
    parts->pid = seat_clone(tools->proc_fd, &seat, &parts->pid_fd);
    return parts->pid < 0 ? parts->pid : seat_map_outer(tools->proc_fd, parts->pid, plan->uid);
}

static int clone_and_enter(const struct sandbox_tools *tools, const struct sandbox_order *order,
                           const struct child_plan *plan, struct sandbox_parts *parts,
                           struct spawn_timings *timings, uint32_t *ret_step)
{
    const struct cgroup_manager *manager = tools->groups.manager;
    AUTO_FD int group_fd = -1;
    *ret_step = SPAWN_STEP_CGROUP;
    const bool is_seat = order->kind == CHILD_SEAT;
    if (manager->version == 2 || is_seat) {
        int r = groups_make(tools, order, timings);
        if (r == 0 && manager->version == 2)
            r = group_fd = cgroup_open_dir(&tools->groups, order->slot);
        if (r < 0)
            return r;
    }
    const int64_t begin_ns = clock_monotonic_ns();
    *ret_step = SPAWN_STEP_CLONE;
    int r = 0;
    if (is_seat)
        r = clone_seat(tools, order, plan, group_fd, parts);
    else if ((parts->pid = clone_first(order, group_fd, &parts->pid_fd)) == 0)
        child_run(plan);
    timings->clone_us = micros_since(begin_ns);
    if (r < 0 || parts->pid < 0)
        return r < 0 ? r : parts->pid;
    *ret_step = SPAWN_STEP_CGROUP;
    if (manager->version == 1 && !is_seat)
        r = groups_make(tools, order, timings);
    if (r < 0)
        return r;
    // A process that is gone has said why: its end is the answer.
    (void) !sandbox_send_word(parts, INIT_GROUPS);
    return 0;
}

int sandbox_make(const struct sandbox_tools *tools, const struct sandbox_order *order,
                 struct sandbox_parts *ret_parts, struct spawn_timings *ret_timings,
                 uint32_t *ret_step)
{
    struct sandbox_parts parts = SANDBOX_NO_PARTS;
    struct spawn_timings timings = {0};
    AUTO_FD int child_control = -1;
    AUTO_FD int child_log = -1;
    *ret_step = SPAWN_STEP_CLONE;
    int r = pipes_open(tools, order, &parts, &child_control, &child_log);
    if (r == 0) {
        const bool is_work = order->kind == CHILD_WORK;
        static char init_name[] = "lamina-init";
        static char *const init_arguments[] = {init_name, NULL};
        const struct child_plan plan = {
            .kind = order->kind,
            .control_fd = child_control,
            .in_fd = is_work ? order->in_fd : tools->null_fd,
            .out_fd = is_work ? order->out_fd : child_log,
            .error_fd = is_work ? tools->null_fd : child_log,
            .program_fd = order->is_cache ? tools->cache_fd
                          : is_work       ? tools->work_fd
                                          : tools->init_fd,
            .arguments = is_work ? order->arguments : init_arguments,
            .groups = &tools->groups,
            .slot = order->slot,
            .uid = tools->uid_first + order->slot,
            .cpu_seconds = order->cpu_seconds,
            .has_engine = order->has_engine,
            .is_cache = order->is_cache,
        };
        r = clone_and_enter(tools, order, &plan, &parts, &timings, ret_step);
    }
    if (r == 0 && order->kind != CHILD_WORK)
        parts.peak_fd = cgroup_open_peak(&tools->groups, order->slot);
    *ret_timings = timings;
    if (r < 0 && parts.pid_fd >= 0)
        (void) syscall(SYS_pidfd_send_signal, parts.pid_fd, SIGKILL, NULL, 0);
    if (r < 0)
        sandbox_parts_close(&parts);
    else
        *ret_parts = parts;
    return r;
}

int sandbox_send_word(const struct sandbox_parts *parts, uint32_t type)
{
    const struct init_word word = {.type = type};
    return fd_send_packet(parts->control_fd, &word, sizeof(word), NULL, 0);
}

int sandbox_send_root(const struct sandbox_parts *parts, const struct sandbox_shape *shape,
                      int tree_fd)
{
    struct init_root root = {.type = INIT_ROOT, .tmp_bytes = shape->tmp_bytes};
    memcpy(root.tree_id, shape->tree_id, sizeof(root.tree_id));
    memcpy(root.opt_tree_id, shape->opt_tree_id, sizeof(root.opt_tree_id));
    memcpy(root.models_id, shape->models_id, sizeof(root.models_id));
    if (tree_fd >= 0)
        memcpy(root.mount_name, shape->filesystem.name, sizeof(root.mount_name));
    return fd_send_packet(parts->control_fd, &root, sizeof(root), &tree_fd, tree_fd >= 0 ? 1 : 0);
}

int sandbox_send_run(const struct sandbox_parts *parts, const struct spawn_start *start,
                     int model_fd)
{
    struct init_run run = {
        .type = INIT_RUN, .bootstrap = start->bootstrap, .env_size = start->env_size};
    memcpy(run.env, start->env, start->env_size);
    return fd_send_packet(parts->control_fd, &run, offsetof(struct init_run, env) + start->env_size,
                          &model_fd, model_fd >= 0 ? 1 : 0);
}

int sandbox_channel_open(int ret_pair[2])
{
    const int bytes = 8 << 20;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_pair) < 0)
        return -errno;
    for (int i = 0; i < 2; i++)
        if (setsockopt(ret_pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
            (void) setsockopt(ret_pair[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    return 0;
}

void sandbox_parts_close(struct sandbox_parts *parts)
{
    parts->pid_fd = fd_close(parts->pid_fd);
    parts->control_fd = fd_close(parts->control_fd);
    parts->log_fd = fd_close(parts->log_fd);
    parts->peak_fd = fd_close(parts->peak_fd);
    parts->occupant_log_fd = fd_close(parts->occupant_log_fd);
    for (int i = 0; i < CGROUP_DIRS; i++)
        parts->entrances[i] = fd_close(parts->entrances[i]);
}
