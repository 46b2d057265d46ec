// SPDX-License-Identifier: MIT

#include "deploy/held.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/job.h"
#include "wire/cache.h"
#include "wire/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

// lamina-cache itself, and what a copy needs of the page cache meanwhile.
#define CACHE_OWN_BYTES (UINT64_C(128) * 1024 * 1024)
// Copying 64 GB takes less.
#define ANSWER_WAIT_MS 120000

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

enum form_state {
    FORM_ASKED, // a job is under way
    FORM_HELD,
};

struct form {
    enum form_state state;
    struct digest digest;
    uint64_t bytes, huge_bytes;
    int fd; // HELD; owned
    int64_t used_ms;
};

struct held_forms {
    struct held_config config;
    struct job_pool *pool; // one thread, which alone speaks with lamina-cache
    struct form forms[HELD_COUNT_MAX];
    size_t count;
    bool is_running; // as the last job left it
    // The thread's:
    int channel, status; // -1: lamina-cache does not run
    uint64_t next_id;
};

struct holding {
    struct held_forms *held;
    struct digest digest;
    uint64_t bytes;
    int fd; // out
    uint64_t huge_bytes;
    int code;
    bool is_running;
    void (*done)(void *arg); // NULL: nobody waits
    void *arg;
};

int held_new(const struct held_config *config, struct held_forms **ret_held)
{
    struct held_forms *held = mem_new(struct held_forms);
    if (!held)
        return -ENOMEM;
    held->config = *config;
    held->channel = held->status = -1;
    int r = job_pool_new(config->loop, "cache", 1, HELD_COUNT_MAX, &held->pool);
    if (r < 0) {
        free(held);
        return r;
    }
    *ret_held = held;
    return 0;
}

void held_free(struct held_forms *held)
{
    if (!held)
        return;
    job_pool_free(held->pool);
    for (size_t i = 0; i < held->count; i++)
        fd_close(held->forms[i].fd);
    fd_close(held->channel); // it ends with its socket
    fd_close(held->status);
    free(held);
}

// ---- the thread: asking lamina-cache

static void cache_close(struct held_forms *held)
{
    held->channel = fd_close(held->channel);
    held->status = fd_close(held->status);
}

static int cache_ask_for(struct held_forms *held, int output, int status)
{
    const struct spawn_work work = {
        .head = {.version = SPAWN_VERSION, .type = SPAWN_WORK, .size = sizeof(work), .id = 1},
        .memory_bytes = held->config.bytes_max + CACHE_OWN_BYTES,
        .flags = SPAWN_WORK_CACHE,
    };
    AUTO_FD int input = open("/proc/self/exe", O_RDONLY | O_CLOEXEC); // a file, as jobs have one
    int fds[SPAWN_WORK_FDS];
    if (input < 0)
        return -errno;
    fds[SPAWN_WORK_INPUT] = input;
    fds[SPAWN_WORK_OUTPUT] = output;
    fds[SPAWN_WORK_STATUS] = status;
    for (;;) {
        int r = fd_send_packet(held->config.work_fd, &work, sizeof(work), fds, SPAWN_WORK_FDS);
        struct pollfd writable = {.fd = held->config.work_fd, .events = POLLOUT};
        if (r != -EAGAIN || (poll(&writable, 1, 50) < 0 && errno != EINTR))
            return r;
    }
}

static int cache_start(struct held_forms *held)
{
    int channel[2], status[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) < 0)
        return -errno;
    held->channel = channel[0];
    AUTO_FD int output = channel[1];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, status) < 0)
        return -errno;
    held->status = status[0];
    AUTO_FD int their_status = status[1];
    return cache_ask_for(held, output, their_status);
}

// What starts is given it is looked at before: lamina-spawn would refuse the START.
static bool is_sealed(int fd, uint64_t bytes)
{
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &status) == 0 &&
           (uint64_t) status.st_size == bytes;
}

static int cache_receive(struct held_forms *held, uint64_t id, struct holding *holding)
{
    struct cache_answer answer;
    int fds[1];
    size_t fd_count = 0;
    struct pollfd readable = {.fd = held->channel, .events = POLLIN};
    int n = poll(&readable, 1, ANSWER_WAIT_MS);
    if (n <= 0)
        return n < 0 ? -errno : -ETIME;
    ssize_t size = fd_receive_packet(held->channel, &answer, sizeof(answer), fds, 1, &fd_count);
    AUTO_FD int fd = size > 0 && fd_count == 1 ? fds[0] : -1;
    if (size <= 0)
        return size < 0 ? (int) size : -EPIPE;
    if (size != (ssize_t) sizeof(answer) || answer.version != CACHE_VERSION || answer.id != id)
        return -EPROTO;
    if (answer.type == CACHE_FAILED && answer.error > 0 && answer.error < 4096) {
        holding->code = -(int) answer.error;
        return 0;
    }
    if (answer.type != CACHE_HELD || fd < 0 || answer.bytes != holding->bytes ||
        answer.huge_bytes > answer.bytes || !is_sealed(fd, answer.bytes))
        return -EPROTO;
    holding->fd = TAKE_FD(fd);
    holding->huge_bytes = answer.huge_bytes;
    return 0;
}

static int cache_hold(struct held_forms *held, int source, struct holding *holding)
{
    const struct cache_request request = {.version = CACHE_VERSION,
                                          .type = CACHE_HOLD,
                                          .id = ++held->next_id,
                                          .bytes = holding->bytes};
    int r = held->channel < 0 ? cache_start(held) : 0;
    if (r == 0)
        r = fd_send_packet(held->channel, &request, sizeof(request), &source, 1);
    if (r == 0)
        r = cache_receive(held, request.id, holding);
    if (r < 0) // it died, or is not to be trusted with the next one
        cache_close(held);
    return r;
}

static void hold_run(void *arg)
{
    struct holding *holding = arg;
    struct held_forms *held = holding->held;
    AUTO_FD int source = -1;
    uint64_t bytes;
    holding->code = store_blob_open(held->config.store, &holding->digest, &source, &bytes);
    if (holding->code == 0 && bytes != holding->bytes)
        holding->code = -EUCLEAN;
    int r = holding->code < 0 ? holding->code : cache_hold(held, source, holding);
    if (r == -EPIPE) // the one that died may have died long ago
        r = cache_hold(held, source, holding);
    if (r < 0)
        holding->code = r;
    holding->is_running = held->channel >= 0;
}

// ---- the loop

static struct form *form_find(struct held_forms *held, const struct digest *digest)
{
    for (size_t i = 0; i < held->count; i++)
        if (memcmp(&held->forms[i].digest, digest, sizeof(*digest)) == 0)
            return &held->forms[i];
    return NULL;
}

static void form_drop(struct held_forms *held, struct form *form)
{
    fd_close(form->fd);
    *form = held->forms[--held->count];
}

static uint64_t bytes_of_all(const struct held_forms *held)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < held->count; i++)
        bytes += held->forms[i].bytes;
    return bytes;
}

static struct form *form_oldest(struct held_forms *held)
{
    struct form *oldest = NULL;
    for (size_t i = 0; i < held->count; i++) {
        struct form *form = &held->forms[i];
        if (form->state == FORM_HELD && (!oldest || form->used_ms < oldest->used_ms))
            oldest = form;
    }
    return oldest;
}

static bool make_room(struct held_forms *held, uint64_t bytes)
{
    int64_t now_ms = clock_monotonic_ms();
    if (bytes > held->config.bytes_max)
        return false;
    while (held->count == HELD_COUNT_MAX || bytes_of_all(held) > held->config.bytes_max - bytes) {
        struct form *oldest = form_oldest(held);
        if (!oldest || now_ms - oldest->used_ms < HELD_KEPT_MS)
            return false;
        form_drop(held, oldest);
    }
    return true;
}

static void hold_done(void *arg, int status)
{
    struct holding *holding = arg;
    struct held_forms *held = holding->held;
    struct form *form = form_find(held, &holding->digest);
    char hex[DIGEST_HEX_SIZE];
    if (status < 0)
        holding->code = status;
    held->is_running = holding->is_running;
    digest_hex(&holding->digest, hex);
    if (holding->code < 0) {
        log_warn("cache.not_held", "form=%.12s bytes=%llu error=%s", hex,
                 (unsigned long long) holding->bytes, error_name(holding->code));
        form_drop(held, form);
    } else {
        log_info("cache.held", "form=%.12s bytes=%llu huge_bytes=%llu", hex,
                 (unsigned long long) holding->bytes, (unsigned long long) holding->huge_bytes);
        form->state = FORM_HELD;
        form->fd = holding->fd;
        form->huge_bytes = holding->huge_bytes;
        form->used_ms = clock_monotonic_ms();
    }
    if (holding->done)
        holding->done(holding->arg);
    free(holding);
}

int held_want(struct held_forms *held, const struct digest *form, uint64_t bytes,
              void (*done)(void *arg), void *arg)
{
    if (bytes < HELD_BYTES_MIN || bytes > CACHE_BYTES_MAX || form_find(held, form) ||
        !make_room(held, bytes))
        return 0;
    struct holding *holding = mem_new(struct holding);
    if (!holding)
        return 0;
    *holding = (struct holding){
        .held = held, .digest = *form, .bytes = bytes, .fd = -1, .done = done, .arg = arg};
    if (job_submit(held->pool, hold_run, hold_done, holding) < 0) {
        free(holding);
        return 0;
    }
    held->forms[held->count++] =
        (struct form){.state = FORM_ASKED, .digest = *form, .bytes = bytes, .fd = -1};
    return 1;
}

int held_fd(struct held_forms *held, const struct digest *digest)
{
    struct form *form = form_find(held, digest);
    if (!form || form->state != FORM_HELD)
        return 0;
    form->used_ms = clock_monotonic_ms();
    return form->fd;
}

void held_drop(struct held_forms *held, const struct digest *digest)
{
    struct form *form = form_find(held, digest);
    if (form && form->state == FORM_HELD)
        form_drop(held, form);
}

struct held_sum held_sum(const struct held_forms *held)
{
    struct held_sum sum = {.bytes_max = held->config.bytes_max, .is_running = held->is_running};
    for (size_t i = 0; i < held->count; i++) {
        if (held->forms[i].state != FORM_HELD)
            continue;
        sum.count++;
        sum.bytes += held->forms[i].bytes;
        sum.huge_bytes += held->forms[i].huge_bytes;
    }
    return sum;
}
