// SPDX-License-Identifier: MIT
//
// The whole HTTP server behind one socket: a script of what a client sends and when handlers answer,
// pause, resume or never come to it. At the end nothing may be left: no memory counted, no request
// held, no connection open. AddressSanitizer watches the rest.
//
// Input: a list of steps, each one byte: 0-199 send that many of the following bytes (and turn the
// loop if odd); 200-209 turn the loop; 210-219 answer the request that waits longest; 220-229 resume
// what is paused; else half-close.
// A request's first path byte chooses what its handler does.

#include "http/server.h"

#include "loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WAITING_MAX 64

static struct {
    struct loop *loop;
    struct http_server *server;
    struct http_listener *listener;
    struct sockaddr_un address;
    socklen_t address_size;
    struct http_request *waiting[WAITING_MAX]; // body complete, not answered
    size_t waiting_count;
    struct http_request *paused;
} s;

static void forget(struct http_request *request)
{
    if (s.paused == request)
        s.paused = NULL;
    for (size_t i = 0; i < s.waiting_count; i++) {
        if (s.waiting[i] == request) {
            s.waiting_count--;
            memmove(&s.waiting[i], &s.waiting[i + 1], (s.waiting_count - i) * sizeof(s.waiting[0]));
            return;
        }
    }
}

static void answer(struct http_request *request, unsigned status)
{
    forget(request);
    if (request->path.size > 1 && request->path.data[1] == 't') {
        struct http_response response = {.status = 200, .body_kind = HTTP_BODY_STREAM};
        http_request_on_gone(request, NULL);
        http_respond(request, &response);
        if (!http_stream_write(request, request->target, NULL) || (request->header_count & 1))
            http_stream_abort(request);
        else
            http_stream_end(request);
        return;
    }
    http_respond_text(request, status, "text/plain", request->path);
}

static void on_gone(struct http_request *request)
{
    forget(request);
}

static void wait_for_answer(struct http_request *request)
{
    if (s.waiting_count == WAITING_MAX)
        answer(request, 503);
    else
        s.waiting[s.waiting_count++] = request;
}

static void on_kept(struct http_request *request, int status)
{
    assert(status == 0 || status == -EFBIG);
    assert(status < 0 || request->is_chunked || request->body.size == request->content_length);
    answer(request, status < 0 ? 413 : 200);
}

static void on_kept_late(struct http_request *request, int status)
{
    wait_for_answer(request);
}

static void on_echo(struct http_request *request, int status)
{
    struct http_response response = {
        .status = status < 0 ? 413 : 200,
        .body_kind = HTTP_BODY_BUF,
        .buf = http_request_take_body(request),
        .is_close = status < 0,
    };
    http_respond(request, &response);
}

static void on_data(struct http_request *request, const void *data, size_t size)
{
    assert(size > 0 && s.paused != request);
    char first = *(const char *) data;
    if (first == 'p' && !s.paused) {
        http_request_pause(request);
        s.paused = request;
    }
    if (first == 'r')
        answer(request, 403);
}

static const struct http_sink sink = {on_data, wait_for_answer};

static void on_head(struct http_request *request, void *user)
{
    char choice = request->path.size > 1 ? request->path.data[1] : 0;
    if (choice != 'f') // 'f': forgets to ask
        http_request_on_gone(request, on_gone);
    if (choice == 'h')
        http_request_hash_body(request);
    switch (choice) {
    case 'l':
    case 't': // a late stream
        http_request_keep_body(request, 100, on_kept_late);
        break;
    case 'e':
        http_request_keep_body(request, 100, on_echo);
        break;
    case 's':
        http_request_stream_body(request, &sink);
        break;
    case 'n':
        answer(request, 204);
        break;
    case 'x':
        answer(request, 403);
        break;
    default:
        http_request_keep_body(request, 100, on_kept);
    }
}

static void start(void)
{
    static const struct http_server_config config = {
        .head_bytes_max = 512,
        .headers_max = 8,
        .heads_bytes_total_max = 8192,
        .bodies_bytes_total_max = 300,
        .discard_bytes_max = 300,
        .on_head = on_head,
    };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    s.loop = loop_new();
    s.address.sun_family = AF_UNIX;
    s.address_size = sizeof(s.address);
    if (!s.loop || http_server_new(s.loop, &config, &s.server) < 0 ||
        bind(fd, (struct sockaddr *) &s.address, sizeof(sa_family_t)) < 0 ||
        getsockname(fd, (struct sockaddr *) &s.address, &s.address_size) < 0 || listen(fd, 8) < 0 ||
        http_listen_fd(s.server, fd, 0, NULL, &s.listener, NULL) < 0)
        abort();
}

static void turn(void)
{
    loop_run_once(s.loop, false);
}

static void drain(int fd)
{
    char answers[4096];
    while (recv(fd, answers, sizeof(answers), MSG_DONTWAIT) > 0)
        ;
}

static void resume(void)
{
    struct http_request *request = s.paused;
    s.paused = NULL;
    http_request_resume(request);
}

static size_t step(int fd, uint8_t what, const uint8_t *data, size_t size)
{
    if (what < 200) {
        size_t count = what < size ? what : size;
        (void) !send(fd, data, count, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (what & 1)
            turn();
        return count;
    }
    if (what < 210) {
        turn();
        drain(fd);
    } else if (what < 220 && s.waiting_count > 0) {
        answer(s.waiting[0], 200);
    } else if (what >= 220 && what < 230 && s.paused) {
        resume();
    } else if (what >= 230) {
        shutdown(fd, SHUT_WR);
    }
    return 0;
}

// A client that only stopped sending is still served: handlers do their part until it is over.
static void check_nothing_is_left(void)
{
    struct http_server_stats stats;
    for (int i = 0; i < 1000 && (http_listener_connections(s.listener) || s.waiting_count); i++) {
        turn();
        if (s.paused)
            resume();
        if (s.waiting_count > 0)
            answer(s.waiting[0], 200);
    }
    turn();
    http_server_stats(s.server, &stats);
    assert(http_listener_connections(s.listener) == 0 && stats.connections == 0);
    assert(stats.heads_bytes == 0 && stats.bodies_bytes == 0);
    assert(!s.paused);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!s.loop)
        start();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *) &s.address, s.address_size) < 0)
        abort();
    turn();
    for (size_t at = 0; at < size;) {
        uint8_t what = data[at++];
        at += step(fd, what, data + at, size - at);
    }
    drain(fd);
    close(fd); // with unread answers a unix socket's peer sees a reset
    check_nothing_is_left();
    return 0;
}
