/* SPDX-License-Identifier: MIT */
#include "fake_spawn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "loop/loop.h"

#include "unit.h"

void fake_spawn_open(struct fake_spawn *spawn, struct loop *loop)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    spawn->loop = loop;
    spawn->fd = pair[0];
    spawn->host_fd = pair[1];
    assert_int_equal(fd_set_nonblocking(spawn->fd, true), 0);
}

void fake_spawn_close(struct fake_spawn *spawn)
{
    spawn->fd = fd_close(spawn->fd);
}

void fake_wait(struct fake_spawn *spawn, bool (*is_done)(void *arg), void *arg)
{
    int64_t until = clock_monotonic_ms() + FAKE_DEADLINE_MS;
    while (!is_done(arg)) {
        loop_run_once(spawn->loop, false);
        if (!is_done(arg))
            (void) poll(NULL, 0, 1);
        if (clock_monotonic_ms() > until)
            fail_msg("waited in vain");
    }
}

static bool flag_is_set(void *arg)
{
    const int *flag = arg;
    return *flag != 0;
}

void fake_wait_flag(struct fake_spawn *spawn, const int *flag)
{
    fake_wait(spawn, flag_is_set, (void *) (uintptr_t) flag);
}

void fake_turns(struct fake_spawn *spawn)
{
    for (int i = 0; i < 8; i++)
        loop_run_once(spawn->loop, false);
}

static bool is_readable(void *arg)
{
    struct pollfd poller = {.fd = *(const int *) arg, .events = POLLIN};
    return poll(&poller, 1, 0) == 1;
}

bool fake_has_request_now(struct fake_spawn *spawn)
{
    return spawn->early_count > 0 || is_readable(&spawn->fd);
}

bool fake_has_request(struct fake_spawn *spawn)
{
    fake_turns(spawn);
    return fake_has_request_now(spawn);
}

static void receive_early(struct fake_spawn *spawn)
{
    struct fake_request *request = &spawn->early[spawn->early_count];
    ssize_t got = 0;
    assert_true(spawn->early_count < FAKE_REQUESTS_MAX);
    fake_wait(spawn, is_readable, &spawn->fd);
    got = recv(spawn->fd, request->data, sizeof(request->data), 0);
    assert_true(got >= (ssize_t) sizeof(struct spawn_head));
    request->size = (size_t) got;
    spawn->early_count++;
}

static struct spawn_head request_head(const struct fake_request *request)
{
    struct spawn_head head;
    memcpy(&head, request->data, sizeof(head));
    assert_int_equal(head.version, SPAWN_VERSION);
    assert_int_equal(head.size, request->size);
    return head;
}

uint64_t fake_expect(struct fake_spawn *spawn, enum spawn_type type, void *message, size_t size)
{
    for (size_t i = 0;; i++) {
        struct spawn_head head;
        if (i == spawn->early_count)
            receive_early(spawn);
        head = request_head(&spawn->early[i]);
        if (head.type != type)
            continue;
        if (message)
            memcpy(message, spawn->early[i].data, head.size < size ? head.size : size);
        spawn->early_count--;
        memmove(&spawn->early[i], &spawn->early[i + 1],
                (spawn->early_count - i) * sizeof(spawn->early[0]));
        return head.id;
    }
}

static void spawn_send(struct fake_spawn *spawn, void *message, size_t size, enum spawn_type type,
                       uint64_t id, const int *fds, size_t fd_count)
{
    struct spawn_head *head = message;
    *head = (struct spawn_head){
        .version = SPAWN_VERSION, .type = (uint16_t) type, .size = (uint32_t) size, .id = id};
    assert_int_equal(fd_send_packet(spawn->fd, message, size, fds, fd_count), 0);
}

static int listener_new(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, size), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

void fake_box_start(struct fake_spawn *spawn, struct fake_box *box, uint64_t id)
{
    struct spawn_started started = {.pid = 4711, .path = SPAWN_PATH_NOTHING};
    int log_pipe[2], fds[SPAWN_STARTED_FDS];
    memset(box, 0, sizeof(*box));
    box->spawn = spawn;
    box->id = id;
    box->http_fd = -1;
    assert_int_equal(pipe2(log_pipe, O_CLOEXEC | O_NONBLOCK), 0);
    box->log_fd = log_pipe[1];
    box->peak_fd = memfd_create("peak", MFD_CLOEXEC);
    assert_true(box->peak_fd >= 0);
    fake_box_peak(box, 5u << 20);
    fds[SPAWN_STARTED_RUNTIME] = listener_new(&box->runtime_port);
    fds[SPAWN_STARTED_PLATFORM] = listener_new(&box->platform_port);
    fds[SPAWN_STARTED_LOG] = log_pipe[0];
    fds[SPAWN_STARTED_PEAK] = box->peak_fd;
    spawn_send(spawn, &started, sizeof(started), SPAWN_STARTED, id, fds, SPAWN_STARTED_FDS);
    fd_close(fds[SPAWN_STARTED_RUNTIME]);
    fd_close(fds[SPAWN_STARTED_PLATFORM]);
    fd_close(fds[SPAWN_STARTED_LOG]);
}

void fake_box_expect(struct fake_spawn *spawn, struct fake_box *box)
{
    fake_box_start(spawn, box, fake_expect(spawn, SPAWN_START, NULL, 0));
    fake_turns(spawn);
}

void fake_box_fail(struct fake_spawn *spawn, uint64_t id, enum spawn_step step, int error)
{
    struct spawn_start_failed failed = {.step = step, .error = (uint32_t) error};
    spawn_send(spawn, &failed, sizeof(failed), SPAWN_START_FAILED, id, NULL, 0);
}

void fake_box_done(struct fake_box *box, enum spawn_type type, int error)
{
    struct spawn_done message = {.error = (uint32_t) error};
    spawn_send(box->spawn, &message, sizeof(message), type, box->id, NULL, 0);
}

void fake_spawn_hello(struct fake_spawn *spawn)
{
    struct spawn_hello hello = {.cgroup_version = 2, .flags = SPAWN_HELLO_CAN_TEMPLATE};
    spawn_send(spawn, &hello, sizeof(hello), SPAWN_HELLO, 0, NULL, 0);
    fake_turns(spawn);
}

void fake_box_template_ready(struct fake_box *box)
{
    struct spawn_template_ready message = {.check_us = 1};
    spawn_send(box->spawn, &message, sizeof(message), SPAWN_TEMPLATE_READY, box->id, NULL, 0);
    fake_turns(box->spawn);
}

void fake_box_template_refused(struct fake_box *box, const char *reason)
{
    struct spawn_template_refused message = {0};
    snprintf(message.text, sizeof(message.text), "%s", reason);
    spawn_send(box->spawn, &message, sizeof(message), SPAWN_TEMPLATE_REFUSED, box->id, NULL, 0);
}

void fake_box_stats(struct fake_box *box, uint64_t anonymous_bytes)
{
    fake_box_stats_cpu(box, anonymous_bytes, 0);
}

void fake_box_stats_cpu(struct fake_box *box, uint64_t anonymous_bytes, uint64_t cpu_us)
{
    struct spawn_stats message = {.anonymous_bytes = anonymous_bytes, .cpu_us = cpu_us};
    spawn_send(box->spawn, &message, sizeof(message), SPAWN_STATS_ARE, box->id, NULL, 0);
    fake_turns(box->spawn);
}

void fake_box_close(struct fake_box *box)
{
    box->http_fd = fd_close(box->http_fd);
    box->log_fd = fd_close(box->log_fd);
    box->peak_fd = fd_close(box->peak_fd);
}

void fake_box_exit(struct fake_box *box, int status, uint32_t flags, uint32_t exec_errno)
{
    struct spawn_exit message = {
        .status = status, .flags = flags, .exec_errno = exec_errno, .memory_peak_bytes = 6u << 20};
    spawn_send(box->spawn, &message, sizeof(message), SPAWN_EXIT, box->id, NULL, 0);
    fake_box_close(box);
}

void fake_box_print(struct fake_box *box, const char *text)
{
    assert_int_equal(write(box->log_fd, text, strlen(text)), strlen(text));
}

void fake_box_peak(struct fake_box *box, uint64_t bytes)
{
    char text[32];
    int size = snprintf(text, sizeof(text), "%llu\n", (unsigned long long) bytes);
    assert_int_equal(ftruncate(box->peak_fd, 0), 0);
    assert_int_equal(pwrite(box->peak_fd, text, (size_t) size, 0), size);
}

/* ---- HTTP */

int fake_box_connect(const struct fake_box *box)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(box->runtime_port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
        return fd_close(fd); /* the box is being closed */
    assert_int_equal(fd_set_nonblocking(fd, true), 0);
    return fd;
}

static void box_connect(struct fake_box *box)
{
    if (box->http_fd < 0)
        box->http_fd = fake_box_connect(box);
    assert_true(box->http_fd >= 0);
}

void fake_box_send_bytes(struct fake_box *box, const void *data, size_t size)
{
    const char *at = data;
    int64_t until = clock_monotonic_ms() + FAKE_DEADLINE_MS;
    box_connect(box);
    while (size > 0) {
        ssize_t sent = send(box->http_fd, at, size, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
            return; /* refused early: the answer is there already */
        if (sent > 0) {
            at += sent;
            size -= (size_t) sent;
        }
        loop_run_once(box->spawn->loop, false);
        if (clock_monotonic_ms() > until)
            fail_msg("nobody reads");
    }
}

void fake_box_send(struct fake_box *box, const char *text)
{
    fake_box_send_bytes(box, text, strlen(text));
}

/* The whole answer as text; -1 until it is there. */
struct answer {
    struct fake_box *box;
    size_t size;
    bool is_closed;
};

static bool answer_is_whole(void *arg)
{
    struct answer *answer = arg;
    char *text = answer->box->answer;
    const char *end = NULL, *length = NULL;
    ssize_t got = recv(answer->box->http_fd, text + answer->size,
                       FAKE_ANSWER_MAX - 1 - answer->size, MSG_DONTWAIT);
    if (got > 0)
        answer->size += (size_t) got;
    text[answer->size] = '\0';
    answer->is_closed = got == 0;
    end = strstr(text, "\r\n\r\n");
    if (!end)
        return answer->is_closed;
    length = strcasestr(text, "content-length:");
    return answer->is_closed || !length || length > end ||
           answer->size >= (size_t) (end + 4 - text) + strtoul(length + 15, NULL, 10);
}

int fake_box_answer(struct fake_box *box)
{
    struct answer answer = {.box = box};
    int status = 0;
    fake_wait(box->spawn, answer_is_whole, &answer);
    if (sscanf(box->answer, "HTTP/1.1 %d", &status) != 1)
        status = 0;
    if (answer.is_closed)
        box->http_fd = fd_close(box->http_fd);
    return status;
}

int fake_box_call(struct fake_box *box, const char *text)
{
    fake_box_send(box, text);
    return fake_box_answer(box);
}

void fake_box_hang_up(struct fake_box *box)
{
    box->http_fd = fd_close(box->http_fd);
}
