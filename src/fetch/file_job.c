// SPDX-License-Identifier: MIT

#include "fetch/file_job.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "wire/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIPE_BYTES (1 << 20)
#define READ_BYTES ((size_t) 256 * 1024)
#define SLICE_MS 200 // how soon the service's end is noticed
#define AGAIN_WAIT_MS 50

struct file_job {
    const struct file_channel *channel;
    const struct file_place *place;
    int output; // read end of the pipe; -1: a look
    int status;
};

static void job_close(struct file_job *job)
{
    job->output = fd_close(job->output);
    job->status = fd_close(job->status);
}

// "weights.onnx: there is no such file ...": beneath which access point stands in what asked.
static int job_fail(const struct file_job *job, int code, struct error *err)
{
    return error_set(err, code, "%s:%s%s/%.300s: %s", job->place->use.filesystem_id,
                     job->place->use.root[0] ? "/" : "", job->place->use.root, job->place->path,
                     spawn_filesystem_reason((uint32_t) -code));
}

static int job_send(const struct file_job *job, int output, int status)
{
    struct spawn_file file = {
        .head = {.version = SPAWN_VERSION, .type = SPAWN_FILE, .size = sizeof(file), .id = 1},
        .use = job->place->use,
        .flags = output >= 0 ? SPAWN_FILE_READ : 0,
    };
    int fds[] = {[SPAWN_FILE_STATUS] = status, [SPAWN_FILE_OUTPUT] = output};
    memcpy(file.path, job->place->path, sizeof(file.path));
    for (;;) {
        int r = fd_send_packet(job->channel->fd, &file, sizeof(file), fds, output >= 0 ? 2 : 1);
        if (r != -EAGAIN)
            return r;
        struct pollfd poll_fd = {.fd = job->channel->fd, .events = POLLOUT};
        if (poll(&poll_fd, 1, AGAIN_WAIT_MS) < 0 && errno != EINTR)
            return -errno;
    }
}

static int job_start(struct file_job *job, bool is_read, struct error *err)
{
    int pipe_ends[2] = {-1, -1}, pair[2];
    if (is_read && pipe2(pipe_ends, O_CLOEXEC) < 0)
        return error_set_errno(err, -errno, "make a pipe for a file");
    job->output = pipe_ends[0];
    AUTO_FD int output = pipe_ends[1];
    if (is_read)
        (void) fcntl(output, F_SETPIPE_SZ, PIPE_BYTES); // only faster
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set_errno(err, -errno, "make a socket for a file");
    job->status = pair[0];
    AUTO_FD int status = pair[1];
    int r = job_send(job, output, status);
    return r < 0 ? error_set_errno(err, r, "ask for a file") : 0;
}

static bool is_ending(const struct file_job *job)
{
    return job->channel->is_ending && atomic_load(job->channel->is_ending);
}

// Until one of them has something; 0: the first has, 1: only the second. -1 for none.
static int job_wait(const struct file_job *job, int first, int second)
{
    int64_t give_up_ms = clock_monotonic_ms() + FILE_JOB_STALL_S * 1000;
    for (;;) {
        struct pollfd fds[] = {{.fd = first, .events = POLLIN}, {.fd = second, .events = POLLIN}};
        int n = poll(fds, 2, SLICE_MS);
        if (n > 0)
            return fds[0].revents ? 0 : 1;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (is_ending(job))
            return -ECANCELED;
        if (clock_monotonic_ms() >= give_up_ms)
            return -ETIMEDOUT;
    }
}

// One packet of that type. The two begin alike: head, error.
static int job_answer(const struct file_job *job, uint32_t type, void *packet, size_t size,
                      struct error *err)
{
    size_t fd_count = 0;
    int fds[1];
    const struct spawn_head *head = packet;
    int r = job_wait(job, job->status, -1);
    if (r < 0)
        return job_fail(job, r, err);
    ssize_t n = fd_receive_packet(job->status, packet, size, fds, 0, &fd_count);
    if (n < 0)
        return job_fail(job, (int) n, err);
    if (n == 0) // lamina-spawn took the job down with its file system
        return job_fail(job, -ECONNABORTED, err);
    if ((size_t) n != size || head->type != type)
        return error_set(err, -EPROTO, "lamina-spawn did not tell of a file");
    return 0;
}

static int job_is(const struct file_job *job, struct file_stat *ret_stat, struct error *err)
{
    struct spawn_file_is is;
    int r = job_answer(job, SPAWN_FILE_IS, &is, sizeof(is), err);
    if (r == 0 && is.error)
        r = job_fail(job, -(int) is.error, err);
    if (r < 0)
        return r;
    *ret_stat = (struct file_stat){.size = is.size,
                                   .inode = is.inode,
                                   .device = is.device,
                                   .mtime_ns = is.mtime_ns,
                                   .ctime_ns = is.ctime_ns,
                                   .is_foreign = is.flags & SPAWN_FILESYSTEM_FOREIGN,
                                   .is_immutable = is.flags & SPAWN_FILESYSTEM_IMMUTABLE};
    return 0;
}

int file_look(const struct file_channel *channel, const struct file_place *place,
              struct file_stat *ret_stat, struct error *err)
{
    struct file_job job = {channel, place, -1, -1};
    int r = job_start(&job, false, err);
    if (r == 0)
        r = job_is(&job, ret_stat, err);
    job_close(&job);
    return r;
}

static int job_copy(struct file_job *job,
                    int (*take)(void *arg, const void *data, size_t size, struct error *err),
                    void *arg, uint64_t *ret_bytes, struct error *err)
{
    AUTO_FREE char *data = malloc(READ_BYTES);
    *ret_bytes = 0;
    if (!data)
        return error_set(err, -ENOMEM, "no memory to read a file");
    for (;;) {
        int r = job_wait(job, job->output, job->status);
        if (r == 1) // who reads hangs, with the pipe in its hands: FILE_END says so
            return 0;
        ssize_t n = r < 0 ? r : read(job->output, data, READ_BYTES);
        if (n < 0)
            return job_fail(job, r < 0 ? r : -errno, err);
        if (n == 0)
            return 0;
        r = take(arg, data, (size_t) n, err);
        if (r < 0)
            return r;
        *ret_bytes += (uint64_t) n;
    }
}

static int job_end(const struct file_job *job, const struct file_stat *before, uint64_t bytes,
                   bool *ret_is_whole, struct error *err)
{
    struct spawn_file_end end;
    int r = job_answer(job, SPAWN_FILE_END, &end, sizeof(end), err);
    if (r == 0 && end.error)
        r = job_fail(job, -(int) end.error, err);
    if (r < 0)
        return r;
    *ret_is_whole = end.bytes == bytes && bytes == before->size && end.size == before->size &&
                    end.mtime_ns == before->mtime_ns && end.ctime_ns == before->ctime_ns;
    return 0;
}

int file_read(const struct file_channel *channel, const struct file_place *place,
              int (*take)(void *arg, const void *data, size_t size, struct error *err), void *arg,
              struct file_stat *ret_stat, bool *ret_is_whole, struct error *err)
{
    struct file_job job = {channel, place, -1, -1};
    struct file_stat stat;
    uint64_t bytes = 0;
    int r = job_start(&job, true, err);
    if (r == 0)
        r = job_is(&job, &stat, err);
    if (r == 0)
        r = job_copy(&job, take, arg, &bytes, err);
    if (r == 0)
        r = job_end(&job, &stat, bytes, ret_is_whole, err);
    job_close(&job);
    if (r == 0)
        *ret_stat = stat;
    return r;
}
