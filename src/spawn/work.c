// SPDX-License-Identifier: MIT
//
// Jobs of the work channel: lamina-work, confined, between the descriptors that laminad gave.

#include "spawn/monitor.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

// The input must be what it is said to be: nothing but a file to read from.
static int input_check(int fd)
{
    struct stat stat;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &stat) < 0)
        return -errno;
    if (!S_ISREG(stat.st_mode) || (flags & O_ACCMODE) != O_RDONLY || (flags & O_PATH))
        return -EBADF;
    return 0;
}

static int output_check(int fd, bool is_cache)
{
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return -errno;
    return (is_cache ? S_ISSOCK(stat.st_mode) : S_ISFIFO(stat.st_mode)) ? 0 : -EBADF;
}

static void send_exit(int status_fd, uint64_t id, struct spawn_work_exit *gone)
{
    gone->head = (struct spawn_head){
        .version = SPAWN_VERSION, .type = SPAWN_WORK_EXIT, .size = sizeof(*gone), .id = id};
    // A reader that is gone, or that has filled its own socket, does not want it.
    if (fd_set_nonblocking(status_fd, true) == 0)
        (void) !fd_send_packet(status_fd, gone, sizeof(*gone), NULL, 0);
}

static int make(struct monitor *monitor, struct sandbox *sandbox, const struct spawn_work *work,
                const int fds[SPAWN_WORK_FDS], uint32_t *ret_step)
{
    char texts[5][24];
    static char worker[] = "lamina-work", cache[] = "lamina-cache";
    const bool is_cache = work->flags == SPAWN_WORK_CACHE;
    if (is_cache && monitor->tools.cache_fd < 0)
        return -ENOENT;
    char *arguments[] = {
        is_cache ? cache : worker, texts[0], texts[1], texts[2], texts[3], texts[4], NULL};
    (void) snprintf(texts[0], sizeof(texts[0]), "%" PRIu32, work->kind);
    for (int i = 0; i < 4; i++)
        (void) snprintf(texts[i + 1], sizeof(texts[i + 1]), "%" PRIu64, work->arg[i]);
    // Preparing a model takes seconds, beside functions that serve.
    const struct cgroup_limits limits = {.memory_bytes = work->memory_bytes,
                                         .pids_max = 8,
                                         .is_background = work->flags == SPAWN_WORK_ENGINE};
    const struct sandbox_order order = {
        .kind = CHILD_WORK,
        .slot = sandbox->slot,
        .limits = &limits,
        .in_fd = fds[SPAWN_WORK_INPUT],
        .out_fd = fds[SPAWN_WORK_OUTPUT],
        .arguments = arguments,
        .cpu_seconds = work->cpu_seconds,
        .is_cache = is_cache,
        .has_engine = (work->flags & SPAWN_WORK_ENGINE) != 0,
    };
    int r = sandbox_make(&monitor->tools, &order, &sandbox->parts, &sandbox->timings, ret_step);
    if (r < 0)
        return r;
    *ret_step = SPAWN_STEP_CLONE;
    r = fd_set_nonblocking(sandbox->parts.control_fd, true);
    if (r == 0)
        r = monitor_watch(monitor, sandbox->parts.control_fd, EPOLLIN, SOURCE_CONTROL,
                          sandbox->slot);
    if (r == 0) // its hang-up ends the job; nothing is read from it
        r = monitor_watch(monitor, sandbox->status_fd, EPOLLRDHUP, SOURCE_STATUS, sandbox->slot);
    if (r == 0)
        r = sandbox_send_root(&sandbox->parts, &sandbox->shape, -1);
    if (r == -EPIPE) // it has failed: its end tells how
        r = 0;
    return r;
}

void work_start(struct monitor *monitor, const struct spawn_work *work, int fds[SPAWN_WORK_FDS])
{
    AUTO_FD int input = fds[SPAWN_WORK_INPUT];
    AUTO_FD int output = fds[SPAWN_WORK_OUTPUT];
    AUTO_FD int status = fds[SPAWN_WORK_STATUS];
    uint32_t step = SPAWN_STEP_REQUEST;
    struct sandbox *sandbox = NULL;
    int r = input_check(input);
    if (r == 0)
        r = output_check(output, work->flags == SPAWN_WORK_CACHE);
    if (r == 0 &&
        (monitor->work_count >= SPAWN_WORK_MAX || !(sandbox = monitor_take_slot(monitor))))
        r = -EAGAIN;
    if (r == 0) {
        sandbox->kind = CHILD_WORK;
        sandbox->id = work->head.id;
        sandbox->status_fd = TAKE_FD(status);
        sandbox->state = SANDBOX_RUNNING;
        memcpy(sandbox->shape.tree_id, work->tree_id, sizeof(sandbox->shape.tree_id));
        monitor->work_count++;
        r = make(monitor, sandbox, work, fds, &step);
        if (r == 0)
            return;
        status = sandbox->status_fd;
        sandbox->status_fd = -1;
        monitor_kill(monitor, sandbox);
        if (sandbox->parts.pid < 0) {
            monitor->work_count--;
            monitor_discard(monitor, sandbox);
        }
    }
    struct spawn_work_exit gone = {.step = step, .error = (uint32_t) -r};
    send_exit(status, work->head.id, &gone);
}

void work_ended(struct monitor *monitor, struct sandbox *sandbox, int wait_status)
{
    struct cgroup_usage used = {0};
    (void) !cgroup_usage(&monitor->tools.groups, sandbox->slot, &used);
    struct spawn_work_exit gone = {
        .status = wait_status,
        .flags = used.has_oom ? (uint32_t) SPAWN_EXIT_OOM : 0,
        .step = sandbox->has_failed ? sandbox->failed_step : 0,
        .error = sandbox->has_failed ? sandbox->failed_error : 0,
    };
    monitor->work_count--;
    if (sandbox->status_fd >= 0)
        send_exit(sandbox->status_fd, sandbox->id, &gone);
}
