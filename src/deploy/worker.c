// SPDX-License-Identifier: MIT

#include "deploy/worker.h"

#include "base/clock.h"
#include "base/fd.h"
#include "wire/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

// While the service is busy with SPAWN_WORK_MAX other jobs.
#define AGAIN_WAIT_MS 50

static int worker_ask(int channel, const struct worker_spec *spec, int output, int status)
{
    struct spawn_work work = {
        .head = {.version = SPAWN_VERSION, .type = SPAWN_WORK, .size = sizeof(work), .id = 1},
        .kind = spec->kind,
        .cpu_seconds = spec->cpu_seconds ? spec->cpu_seconds : WORKER_CPU_SECONDS,
        .memory_bytes = spec->memory_bytes ? spec->memory_bytes : WORKER_MEMORY_BYTES,
        .flags = spec->flags,
    };
    memcpy(work.arg, spec->arguments, sizeof(work.arg));
    if (spec->tree_id)
        memcpy(work.tree_id, spec->tree_id, sizeof(work.tree_id));
    int fds[SPAWN_WORK_FDS];
    fds[SPAWN_WORK_INPUT] = spec->input;
    fds[SPAWN_WORK_OUTPUT] = output;
    fds[SPAWN_WORK_STATUS] = status;
    for (;;) {
        int r = fd_send_packet(channel, &work, sizeof(work), fds, SPAWN_WORK_FDS);
        if (r != -EAGAIN)
            return r;
        struct pollfd poll_fd = {.fd = channel, .events = POLLOUT};
        if (poll(&poll_fd, 1, AGAIN_WAIT_MS) < 0 && errno != EINTR)
            return -errno;
    }
}

int worker_start(struct worker *worker, int channel, const struct worker_spec *spec,
                 struct error *err)
{
    int pipe_ends[2], pair[2];
    *worker = (struct worker){-1, -1};
    if (pipe2(pipe_ends, O_CLOEXEC) < 0)
        return error_set_errno(err, -errno, "make the worker's pipe");
    worker->output = pipe_ends[0];
    AUTO_FD int output = pipe_ends[1];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        int code = -errno;
        worker_close(worker);
        return error_set_errno(err, code, "make the worker's status socket");
    }
    worker->status = pair[0];
    AUTO_FD int status = pair[1];
    int r = worker_ask(channel, spec, output, status);
    if (r < 0) {
        worker_close(worker);
        return error_set_errno(err, r, "ask for a worker");
    }
    return 0;
}

// Waits until the descriptor has something. -ETIME after `wait_ms`.
static int wait_readable(int fd, int wait_ms)
{
    int64_t give_up_ms = clock_monotonic_ms() + wait_ms;
    for (;;) {
        int64_t left_ms = give_up_ms - clock_monotonic_ms();
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        int n = left_ms > 0 ? poll(&poll_fd, 1, (int) left_ms) : 0;
        if (n > 0)
            return 0;
        if (n == 0)
            return -ETIME;
        if (errno != EINTR)
            return -errno;
    }
}

ssize_t worker_read(struct worker *worker, void *data, size_t size, int wait_ms)
{
    int r = wait_readable(worker->output, wait_ms);
    if (r < 0)
        return r;
    ssize_t n = read(worker->output, data, size);
    return n < 0 ? -errno : n;
}

static int exit_check(const struct spawn_work_exit *end, struct error *err)
{
    if (end->step)
        return error_set_errno(err, -ECHILD, "start lamina-work (%s: %s)",
                               spawn_step_name(end->step), error_name((int) end->error));
    if (WIFEXITED(end->status) && WEXITSTATUS(end->status) == 0)
        return 0;
    if (end->flags & SPAWN_EXIT_OOM)
        return error_set(err, -ENOMEM, "lamina-work passed the memory that it may use");
    if (WIFSIGNALED(end->status) && (WTERMSIG(end->status) == SIGXCPU))
        return error_set(err, -ETIME, "lamina-work passed the processor time that it may use");
    if (WIFSIGNALED(end->status))
        return error_set(err, -ECHILD, "lamina-work was killed by signal %d",
                         WTERMSIG(end->status));
    return error_set(err, -ECHILD, "lamina-work ended with status %d", WEXITSTATUS(end->status));
}

int worker_wait(struct worker *worker, int wait_ms, struct error *err)
{
    struct spawn_work_exit end;
    int r = wait_readable(worker->status, wait_ms);
    if (r < 0)
        return error_set_errno(err, r, "wait for lamina-work");
    size_t fd_count = 0;
    int fds[1];
    ssize_t n = fd_receive_packet(worker->status, &end, sizeof(end), fds, 0, &fd_count);
    if (n < 0)
        return error_set_errno(err, (int) n, "wait for lamina-work");
    if (n != (ssize_t) sizeof(end) || end.head.type != SPAWN_WORK_EXIT)
        return error_set(err, -ECHILD, "lamina-spawn did not tell how lamina-work ended");
    return exit_check(&end, err);
}

void worker_close(struct worker *worker)
{
    worker->output = fd_close(worker->output);
    worker->status = fd_close(worker->status);
}
