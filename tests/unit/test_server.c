// SPDX-License-Identifier: MIT
//
// The HTTP server over real sockets, one loop and one thread: the test is the client, and turns the
// loop while it waits.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/server.h"

#include "base/clock.h"
#include "base/digest.h"
#include "loop/job.h"
#include "loop/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define KEEP_MAX 1000
#define PATIENCE_MS 120000 // only a hang reaches it

// ---- The service under test

static struct {
    struct loop *loop;
    struct job_pool *files;
    struct http_server *server;
    struct http_listener *listener;
    struct http_request *parked; // the last request to /late
    size_t gone_count;
    size_t head_count;
    size_t sent_count;
    int sent_status;
    size_t sink_bytes;
    struct http_request *paused;
    struct http_request *stream;
    size_t drained_count;
    int file_fd;
    bool is_drained;
} s;

static void respond(struct http_request *request, unsigned status, const char *text)
{
    http_respond_text(request, status, "text/plain", str_of(text));
}

static void on_echo(struct http_request *request, int status)
{
    if (status < 0) {
        respond(request, 413, "too long");
        return;
    }
    struct http_response response = {
        .status = 200,
        .body_kind = HTTP_BODY_BUF,
        .buf = http_request_take_body(request),
    };
    http_respond(request, &response);
}

static void on_trailer(struct http_request *request, int status)
{
    struct str trailer = http_request_trailer(request, "x-late");
    assert_int_equal(status, 0);
    assert_null(http_request_header(request, "x-late").data);
    http_respond_text(request, 200, NULL, trailer.data ? trailer : STR("none"));
}

static void on_hash(struct http_request *request, int status)
{
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];
    assert_int_equal(status, 0);
    memcpy(digest.bytes, http_request_body_sha256(request), sizeof(digest.bytes));
    respond(request, 200, digest_hex(&digest, hex));
}

static void on_gone(struct http_request *request)
{
    s.gone_count++;
    if (s.stream == request)
        s.stream = NULL;
    if (s.parked == request)
        s.parked = NULL;
}

static void on_parked(struct http_request *request, int status)
{
    assert_int_equal(status, 0);
    s.parked = request;
}

static void on_data(struct http_request *request, const void *data, size_t size)
{
    assert_non_null(data);
    assert_null(s.paused); // nothing while paused
    s.sink_bytes += size;
    if (str_equal_text(request->query, "pause")) {
        http_request_pause(request);
        s.paused = request;
    }
    if (str_equal_text(request->query, "refuse"))
        respond(request, 403, "enough");
}

static void on_end(struct http_request *request)
{
    char text[32];
    snprintf(text, sizeof(text), "%zu", s.sink_bytes);
    respond(request, 200, text);
}

static const struct http_sink sink = {on_data, on_end};

static void on_sent(void *argument, int status)
{
    assert_ptr_equal(argument, &s);
    s.sent_count++;
    s.sent_status = status;
}

static void serve_file(struct http_request *request, uint64_t offset, uint64_t size)
{
    struct http_response response = {
        .status = 200,
        .body_kind = HTTP_BODY_FILE,
        .fd = dup(s.file_fd),
        .offset = offset,
        .size = size,
        .sent = on_sent,
        .sent_argument = &s,
    };
    http_respond(request, &response);
}

static void serve_large(struct http_request *request)
{
    struct buf body = BUF_INIT((size_t) 32 << 20);
    assert_int_equal(buf_reserve(&body, body.maximum), 0);
    memset(body.data, 'x', body.maximum);
    buf_advance(&body, body.maximum);
    struct http_response response = {
        .status = 200,
        .body_kind = HTTP_BODY_BUF,
        .buf = body,
        .sent = on_sent,
        .sent_argument = &s,
    };
    http_respond(request, &response);
}

static void serve_stream(struct http_request *request, int status)
{
    struct http_response response = {
        .status = 200,
        .body_kind = HTTP_BODY_STREAM,
        .sent = on_sent,
        .sent_argument = &s,
    };
    assert_int_equal(status, 0);
    s.stream = request;
    http_respond(request, &response);
}

static void on_drained_stream(struct http_request *request)
{
    assert_ptr_equal(request, s.stream);
    s.drained_count++;
}

// Headers that do not fit into what the server writes its heads in.
static void serve_stream_without_head(struct http_request *request, int status)
{
    size_t size = (size_t) 8 << 20;
    char *value = malloc(size);
    assert_non_null(value);
    memset(value, 'v', size);
    struct http_header header = {STR("X-Large"), {value, size}};
    struct http_response response = {
        .status = 200,
        .headers = &header,
        .header_count = 1,
        .body_kind = HTTP_BODY_STREAM,
        .sent = on_sent,
        .sent_argument = &s,
    };
    assert_int_equal(status, 0);
    s.stream = request;
    http_respond(request, &response);
    free(value);
    assert_ptr_equal(s.stream, request); // it is its writer's until a later turn
    assert_true(http_stream_write(request, STR("no head"), on_drained_stream));
    if (str_equal_text(request->query, "end")) {
        s.stream = NULL;
        http_stream_end(request);
    }
}

static void serve_seen(struct http_request *request)
{
    char peer[HTTP_ADDRESS_TEXT_MAX];
    http_request_peer(request, peer);
    char *text = arena_printf(
        request->arena, STR_FORMAT " %s " STR_FORMAT " " STR_FORMAT " x=" STR_FORMAT,
        STR_ARGUMENTS(request->method_text), peer, STR_ARGUMENTS(request->path),
        STR_ARGUMENTS(request->query), STR_ARGUMENTS(http_request_header(request, "x-seen")));
    assert_non_null(text);
    respond(request, 200, text);
}

static void on_head(struct http_request *request, void *user)
{
    assert_ptr_equal(user, &s);
    s.head_count++;
    if (str_equal_text(request->path, "/echo")) {
        http_request_keep_body(request, KEEP_MAX, on_echo);
    } else if (str_equal_text(request->path, "/trailer")) {
        http_request_keep_body(request, KEEP_MAX, on_trailer);
    } else if (str_equal_text(request->path, "/hash")) {
        http_request_hash_body(request);
        http_request_keep_body(request, 1 << 20, on_hash);
    } else if (str_equal_text(request->path, "/late")) {
        http_request_on_gone(request, on_gone);
        http_request_keep_body(request, KEEP_MAX, on_parked);
    } else if (str_equal_text(request->path, "/stream")) {
        http_request_on_gone(request, on_gone);
        http_request_keep_body(request, KEEP_MAX, serve_stream);
    } else if (str_equal_text(request->path, "/stream-early")) {
        http_request_on_gone(request, on_gone);
        serve_stream(request, 0);
    } else if (str_equal_text(request->path, "/headless-stream")) {
        http_request_on_gone(request, on_gone);
        http_request_keep_body(request, KEEP_MAX, serve_stream_without_head);
    } else if (str_equal_text(request->path, "/forgetful-stream")) {
        http_request_keep_body(request, KEEP_MAX, serve_stream);
    } else if (str_equal_text(request->path, "/forgetful")) {
        http_request_keep_body(request, KEEP_MAX, on_parked); // no on_gone
    } else if (str_equal_text(request->path, "/sink")) {
        s.sink_bytes = 0;
        http_request_on_gone(request, on_gone);
        http_request_stream_body(request, &sink);
    } else if (str_equal_text(request->path, "/refuse")) {
        respond(request, 403, "no");
    } else if (str_equal_text(request->path, "/file")) {
        serve_file(request, 10, 1000000);
    } else if (str_equal_text(request->path, "/shortfile")) {
        serve_file(request, 2999990, 100);
    } else if (str_equal_text(request->path, "/large")) {
        serve_large(request);
    } else if (str_equal_text(request->path, "/nothing")) {
        http_respond_text(request, 204, NULL, STR(""));
    } else {
        serve_seen(request);
    }
}

static bool is_host_allowed(struct str host, void *user)
{
    assert_ptr_equal(user, &s);
    return !str_equal_text(host, "evil");
}

static void format_fault(struct http_fault *fault, void *user)
{
    assert_ptr_equal(user, &s);
    snprintf(fault->headers, sizeof(fault->headers), "X-Fault: yes\r\n");
}

// Tests change the limits that they are about.
static struct http_server_config config(void)
{
    return (struct http_server_config){
        .head_bytes_max = 4096,
        .headers_max = 20,
        .connections_max = 50,
        .discard_bytes_max = 100000,
        .on_head = on_head,
        .is_host_allowed = is_host_allowed,
        .format_fault = format_fault,
        .user = &s,
    };
}

static void start(struct http_server_config with)
{
    struct error err = {0};
    s.loop = loop_new();
    assert_non_null(s.loop);
    assert_int_equal(job_pool_new(s.loop, "files", 1, 8, &s.files), 0);
    with.file_pool = s.files;
    assert_int_equal(http_server_new(s.loop, &with, &s.server), 0);
    assert_int_equal(http_listen_tcp(s.server, "127.0.0.1", 0, &s.listener, &err), 0);
}

static int setup(void **state)
{
    memset(&s, 0, sizeof(s));
    s.file_fd = memfd_create("file", MFD_CLOEXEC);
    return s.file_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    http_server_free(s.server);
    job_pool_free(s.files);
    loop_free(s.loop);
    close(s.file_fd);
    return 0;
}

// ---- The client

struct client {
    int fd;
    char *in; // all that came, NUL-terminated
    size_t in_size;
    size_t in_capacity;
    bool is_eof;
    bool is_reset;
};

static struct client client_open(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(http_listener_port(s.listener)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct client client = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_true(client.fd >= 0);
    assert_int_equal(connect(client.fd, (struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(fcntl(client.fd, F_SETFL, O_NONBLOCK), 0);
    client.in = calloc(1, 1);
    return client;
}

static void client_close(struct client *client)
{
    close(client->fd);
    free(client->in);
    *client = (struct client){.fd = -1};
}

static void turn(void)
{
    for (int i = 0; i < 3; i++)
        loop_run_once(s.loop, false);
}

static void client_receive(struct client *client)
{
    static char part[1 << 16];
    ssize_t r = recv(client->fd, part, sizeof(part), 0);
    if (r < 0 && errno == EAGAIN)
        return;
    if (r <= 0) {
        client->is_eof = true;
        client->is_reset = r < 0;
        return;
    }
    if (client->in_size + (size_t) r + 1 > client->in_capacity) {
        client->in_capacity = 2 * (client->in_size + (size_t) r + 1);
        client->in = realloc(client->in, client->in_capacity);
    }
    memcpy(client->in + client->in_size, part, (size_t) r);
    client->in_size += (size_t) r;
    client->in[client->in_size] = '\0';
}

// One slice of waiting: the loop's turn, then whatever came.
static void client_wait(struct client *client)
{
    struct pollfd fd = {.fd = client->is_eof ? -1 : client->fd, .events = POLLIN};
    turn();
    if (poll(&fd, 1, 1) > 0)
        client_receive(client);
}

#define wait_until(condition, client_)                                                             \
    do {                                                                                           \
        int64_t end_ms = clock_monotonic_ms() + PATIENCE_MS;                                       \
        while (!(condition) && clock_monotonic_ms() < end_ms)                                      \
            client_wait(client_);                                                                  \
        assert_true(condition);                                                                    \
    } while (0)

static void client_send(struct client *client, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t r = send(client->fd, at, size, MSG_NOSIGNAL);
        if (r < 0 && (errno == EPIPE || errno == ECONNRESET))
            return;
        if (r < 0) {
            assert_int_equal(errno, EAGAIN);
            client_wait(client);
            continue;
        }
        at += r;
        size -= (size_t) r;
    }
}

static void client_say(struct client *client, const char *text)
{
    client_send(client, text, strlen(text));
}

static void expect(struct client *client, const char *text)
{
    wait_until(strstr(client->in, text) || client->is_eof, client);
    if (!strstr(client->in, text))
        fail_msg("wanted '%s', got '%s'", text, client->in);
}

static void expect_eof(struct client *client)
{
    wait_until(client->is_eof, client);
    assert_false(client->is_reset);
}

static void forget(struct client *client)
{
    client->in_size = 0;
    client->in[0] = '\0';
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

// ---- Tests

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

static void answers_and_keeps_alive(void **state)
{
    start(config());
    struct client client = client_open();
    client_say(&client, "GET /a%2Fb?x=1&y HTTP/1.1\r\nHost: h\r\nX-Seen:  v \r\n\r\n");
    expect(&client, "GET 127.0.0.1 /a%2Fb x=1&y x=v");
    assert_ptr_equal(strstr(client.in, "HTTP/1.1 200 OK\r\n"), client.in);
    assert_non_null(strstr(client.in, "Content-Length: "));
    assert_null(strstr(client.in, "Connection: close"));
    forget(&client);
    client_say(&client, GET("/nothing"));
    expect(&client, "HTTP/1.1 204 No Content\r\n\r\n");
    forget(&client);
    client_say(&client, "HEAD /second HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(&client, "\r\n\r\n");
    assert_null(strstr(client.in, "/second")); // no body, but its length
    assert_non_null(strstr(client.in, "Content-Length: 2"));
    struct http_server_stats stats;
    http_server_stats(s.server, &stats);
    assert_int_equal(stats.requests_total, 3);
    assert_int_equal(stats.connections, 1);
    assert_int_equal(stats.heads_bytes, 0);
    assert_int_equal(stats.bodies_bytes, 0);
    client_close(&client);
}

static const char valid[] =
    "POST /echo HTTP/1.1\r\nHost: h:80\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n"
    "\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n";

static void every_split_is_the_same_request(void **state)
{
    start(config());
    for (size_t at = 0; at <= sizeof(valid) - 1; at++) {
        struct client client = client_open();
        client_send(&client, valid, at);
        turn();
        client_send(&client, valid + at, sizeof(valid) - 1 - at);
        expect(&client, "\r\n\r\nabcde");
        client_close(&client);
    }
}

static void byte_by_byte(void **state)
{
    start(config());
    struct client client = client_open();
    for (size_t at = 0; at < sizeof(valid) - 1; at++) {
        client_send(&client, valid + at, 1);
        turn();
    }
    expect(&client, "\r\n\r\nabcde");
    client_close(&client);
}

static void every_prefix_ends_decided(void **state)
{
    start(config());
    for (size_t at = 0; at < sizeof(valid) - 1; at++) {
        struct client client = client_open();
        client_send(&client, valid, at);
        shutdown(client.fd, SHUT_WR);
        wait_until(client.is_eof, &client);
        if (client.is_reset)
            fail_msg("prefix %zu: %s", at, client.in);
        if (at > 0)
            assert_non_null(strstr(client.in, "HTTP/1.1 400 "));
        else
            assert_string_equal(client.in, "");
        client_close(&client);
    }
    turn();
    struct http_server_stats stats;
    http_server_stats(s.server, &stats);
    assert_int_equal(stats.heads_bytes, 0);
    assert_int_equal(stats.bodies_bytes, 0);
}

// Each is answered with its status, and the connection is closed: nothing after it is a request.
static void bad_requests(void **state)
{
    static const struct {
        const char *status;
        const char *text;
    } rows[] = {
        {"505", "GET /\r\n\r\n"},
        {"400", "G\x01T / HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"400", "get / HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"400", "BREW / HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"400", "GET nowhere HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"400", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"400", "GET /\x80 HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"400", "GET /#f HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"400", "GET * HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"505", "GET / HTTP/2.0\r\nHost: h\r\n\r\n"},
        {"505", "GET / HTTP/0.9\r\nHost: h\r\n\r\n"},
        {"505", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
        {"400", "GET / HTTP/1.1\r\n\r\n"},
        {"400", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"},
        {"400", "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n"},
        {"400", "GET / HTTP/1.1\r\nHost: a@h\r\n\r\n"},
        {"400", "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
        {"400", "GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"400", "GET https://h/ HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"421", "GET / HTTP/1.1\r\nHost: evil\r\n\r\n"},
        {"405", "CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"405", "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n"},
        {"400", "GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n"},
        {"400", "GET / HTTP/1.1\r\nHost: h\r\n A: b\r\n\r\n"},
        {"400", "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n"},
        {"400", "GET / HTTP/1.1\r\nHost: h\r\nA\r\n\r\n"},
        {"400", "GET / HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n"},
        {"400", "GET / HTTP/1.1\r\nHost: h\r\nA: b\x01\r\n\r\n"},
        {"400", "GET / HTTP/1.1\r\nHost: h\r\nA: b\rX: y\r\n\r\n"},
        {"400", "GET / HTTP/1.1\r\nHost: h\r\nA: b\nX: y\r\n\r\n"},
        {"400", "GET / HTTP/1.1\nHost: h\n\n"},
        {"400",
         "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"},
        {"400",
         "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\na"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\na"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\na"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1 1\r\n\r\na"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\na"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551617\r\n\r\na"},
        {"400",
         "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\n"},
        {"400",
         "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"
         "0\r\n\r\n"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n"},
        {"400",
         "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
        {"400",
         "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
                "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
        {"400",
         "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"},
        {"400",
         "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\x0b chunked\r\n\r\n0\r\n\r\n"},
        {"400", "POST /echo HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
                "chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
                "chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n0\n\n"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1 "
                "\r\na\r\n0\r\n\r\n"},
        {"400", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                "ffffffffffffffff1\r\na\r\n0\r\n\r\n"},
        {"417", "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\na"},
    };
    size_t wrong = 0;
    start(config());
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct client client = client_open();
        char start_line[32];
        snprintf(start_line, sizeof(start_line), "HTTP/1.1 %s ", rows[i].status);
        client_say(&client, rows[i].text);
        client_say(&client, GET("/smuggled")); // must never be seen as a request
        wait_until(client.is_eof || strstr(client.in, "HTTP/1.1 2"), &client);
        if (strstr(client.in, start_line) != client.in || strstr(client.in, "/smuggled") ||
            !strstr(client.in, "X-Fault: yes\r\n") || !strstr(client.in, "Connection: close\r\n")) {
            print_error("row %zu: '%s' was answered '%s'\n", i, rows[i].text, client.in);
            wrong++;
        }
        client_close(&client);
    }
    assert_int_equal(wrong, 0);
}

static void unusual_but_right(void **state)
{
    static const struct {
        const char *answer;
        const char *text;
    } rows[] = {
        {"GET 127.0.0.1 /  x=", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"GET 127.0.0.1 /  x=", "\r\n\r\nGET / HTTP/1.1\r\nhOST:h\r\n\r\n"},
        {"GET 127.0.0.1 /  x=", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"GET 127.0.0.1 /  x=", "GET / HTTP/1.0\r\n\r\n"},
        {"GET 127.0.0.1 /p q x=", "GET http://h:4566/p?q HTTP/1.1\r\nHost: H:4566\r\n\r\n"},
        {"GET 127.0.0.1 /  x=", "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"OPTIONS 127.0.0.1 *  x=", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"PURGE 127.0.0.1 /  x=", "PURGE / HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"GET 127.0.0.1 / ? x=", "GET /?? HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"GET 127.0.0.1 //a/../b  x=", "GET //a/../b HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"GET 127.0.0.1 /  x=", "GET / HTTP/1.1\r\nHost: h\r\nX-Seen:\r\n\r\n"},
        {"GET 127.0.0.1 /  x=\xc3\xa4 b",
         "GET / HTTP/1.1\r\nHost: h\r\nX-Seen:\t\xc3\xa4 b\t \r\n\r\n"},
        {"GET 127.0.0.1 /  x=",
         "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n"
         "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"},
        {"\r\n\r\nabc", "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
        {"\r\n\r\nabc", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"
                        "0003\r\nabc\r\n000\r\nX-Seen: trailer\r\n\r\n"},
        {"\r\n\r\nabc", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 003\r\n\r\nabc"},
        {"\r\n\r\nabc", "GET /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"},
        {"Content-Length: 0\r\n\r\n", "POST /echo HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"\r\n\r\nabc", "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n"
                        "Content-Length: 3\r\n\r\nabc"},
    };
    start(config());
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct client client = client_open();
        client_say(&client, rows[i].text);
        wait_until(strstr(client.in, rows[i].answer) || client.is_eof, &client);
        if (!strstr(client.in, rows[i].answer) || !strstr(client.in, "HTTP/1.1 200 OK\r\n"))
            fail_msg("row %zu: '%s' was answered '%s'", i, rows[i].text, client.in);
        client_close(&client);
    }
}

static void one_request_at_a_time_in_order(void **state)
{
    start(config());
    struct client client = client_open();
    client_say(&client, GET("/one") GET("/late") GET("/three") "POST /echo HTTP/1.1\r\nHost: h\r\n"
                                                               "Content-Length: 4\r\n\r\nfour");
    wait_until(s.parked, &client);
    for (int i = 0; i < 5; i++)
        client_wait(&client);
    assert_int_equal(s.head_count, 2); // the third waits for the second's answer
    respond(s.parked, 200, "late");
    expect(&client, "four");
    const char *one = strstr(client.in, "/one"), *late = strstr(client.in, "late"),
               *three = strstr(client.in, "/three");
    assert_true(one && late && three && one < late && late < three);
    assert_int_equal(count(client.in, "HTTP/1.1 200 OK"), 4);
    client_close(&client);
}

// One segment in place of two, in order; and an answer is held only while the request behind it is.
static void a_small_answer_waits_for_the_one_behind_it(void **state)
{
    struct http_server_config holding = config();
    holding.holds_answers = true;
    start(holding);
    struct client client = client_open();
    client_say(&client, GET("/x") GET("/late"));
    wait_until(s.parked, &client);
    for (int i = 0; i < 20; i++)
        turn();
    char early;
    assert_int_equal(recv(client.fd, &early, 1, MSG_DONTWAIT | MSG_PEEK), -1);
    respond(s.parked, 200, "late");
    for (int i = 0; i < 20; i++)
        turn();
    char both[1024];
    ssize_t size = recv(client.fd, both, sizeof(both) - 1, MSG_DONTWAIT);
    assert_true(size > 0);
    both[size] = '\0';
    const char *second = strstr(both + 1, "HTTP/1.1 200");
    assert_non_null(second);
    assert_non_null(strstr(second, "late"));
    // Behind it comes half a request only: nobody knows when the rest does.
    client_say(&client, GET("/x") "GET /la");
    size = 0;
    for (int i = 0; i < 100 && size <= 0; i++) {
        turn();
        size = recv(client.fd, both, sizeof(both) - 1, MSG_DONTWAIT);
    }
    assert_true(size > 0);
    client_close(&client);
}

static void a_flood_of_pipelined_requests_waits_in_the_kernel(void **state)
{
    start(config());
    struct client client = client_open();
    client_say(&client, GET("/late"));
    wait_until(s.parked, &client);
    static const char get[] = GET("/x");
    static char many[(sizeof(get) - 1) * 1000];
    for (size_t i = 0; i < sizeof(many); i++)
        many[i] = get[i % (sizeof(get) - 1)];
    size_t sent = 0;
    for (int quiet = 0; quiet < 20; quiet++) { // until the server takes no more
        size_t at = sent % sizeof(many);
        ssize_t r = send(client.fd, many + at, sizeof(many) - at, MSG_NOSIGNAL);
        if (r > 0) {
            sent += (size_t) r;
            quiet = 0;
        }
        turn();
    }
    struct http_server_stats stats;
    http_server_stats(s.server, &stats);
    assert_int_equal(stats.requests_total, 1);
    assert_true(stats.heads_bytes <= HTTP_PIPELINE_BYTES_MAX + 65536);
    respond(s.parked, 200, "late");
    size_t rest = (sizeof(get) - 1 - sent % (sizeof(get) - 1)) % (sizeof(get) - 1);
    client_send(&client, get + sizeof(get) - 1 - rest, rest);
    wait_until(s.head_count == 1 + (sent + rest) / (sizeof(get) - 1), &client);
    client_close(&client);
}

static void closes_when_asked(void **state)
{
    start(config());
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct client client = client_open();
        client_say(&client, texts[i]);
        client_say(&client, GET("/after"));
        expect_eof(&client);
        assert_non_null(strstr(client.in, "Connection: close\r\n"));
        assert_int_equal(count(client.in, "HTTP/1.1 "), 1);
        client_close(&client);
    }
}

static void a_body_too_long_is_discarded_and_the_connection_lives(void **state)
{
    start(config());
    struct client client = client_open();
    char body[KEEP_MAX + 1];
    memset(body, 'b', sizeof(body));
    client_say(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n");
    client_send(&client, body, sizeof(body));
    client_say(&client,
               "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n");
    client_send(&client, body, sizeof(body));
    client_say(&client, "\r\n0\r\n\r\n" GET("/after"));
    expect(&client, "/after");
    assert_int_equal(count(client.in, "HTTP/1.1 413 Content Too Large"), 2);
    assert_null(strstr(client.in, "Connection: close"));
    client_close(&client);
}

static void a_body_far_too_long_is_drained_and_closed(void **state)
{
    start(config());
    struct client client = client_open();
    client_say(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n");
    expect(&client, "HTTP/1.1 413 ");
    assert_non_null(strstr(client.in, "Connection: close\r\n"));
    static char junk[60000];
    client_send(&client, junk, sizeof(junk)); // still read, so that the answer is not lost
    expect_eof(&client);
    client_close(&client);
}

static void exactly_at_the_limit(void **state)
{
    start(config());
    struct client client = client_open();
    char body[KEEP_MAX];
    memset(body, 'b', sizeof(body));
    client_say(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n");
    client_send(&client, body, sizeof(body));
    expect(&client, "Content-Length: 1000\r\n\r\n");
    client_close(&client);
}

static void hundred_continue(void **state)
{
    start(config());
    struct client client = client_open();
    client_say(
        &client,
        "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    expect(&client, "HTTP/1.1 100 Continue\r\n\r\n");
    client_say(&client, "abc");
    expect(&client, "\r\n\r\nabc");
    assert_int_equal(count(client.in, "HTTP/1.1 100"), 1);
    client_close(&client);

    // Refused: no 100, and closed, because a body may or may not follow.
    client = client_open();
    client_say(
        &client,
        "POST /refuse HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    expect_eof(&client);
    assert_non_null(strstr(client.in, "HTTP/1.1 403 "));
    assert_int_equal(count(client.in, "HTTP/1.1"), 1);
    assert_non_null(strstr(client.in, "Connection: close\r\n"));
    client_close(&client);

    client = client_open();
    client_say(
        &client,
        "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n");
    expect_eof(&client);
    assert_ptr_equal(strstr(client.in, "HTTP/1.1 413 "), client.in);
    client_close(&client);
}

static void bodies_are_hashed_as_they_arrive(void **state)
{
    static const size_t sizes[] = {0, 1, 3000, 65536, 65537, 1 << 20};
    static char body[1 << 20];
    start(config());
    memset(body, 'h', sizeof(body));
    struct client client = client_open();
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        char head[128], hex[DIGEST_HEX_SIZE];
        struct digest digest = digest_of(body, sizes[i]);
        snprintf(head, sizeof(head),
                 "POST /hash HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", sizes[i]);
        client_say(&client, head);
        client_send(&client, body, sizes[i]);
        expect(&client, digest_hex(&digest, hex));
        forget(&client);
    }
    client_close(&client);
}

static void trailers_are_kept_apart(void **state)
{
    static const char text[] =
        "POST /trailer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "1\r\na\r\n0\r\nOther: o\r\nX-Late:  now \r\nHost: evil\r\n\r\n";
    start(config());
    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        struct client client = client_open();
        client_send(&client, text, at);
        turn();
        client_send(&client, text + at, sizeof(text) - 1 - at);
        client_say(&client, GET("/trailer"));
        expect(&client, "\r\n\r\nnow");
        expect(&client, "\r\n\r\nnone");
        client_close(&client);
    }
}

static void a_client_that_leaves_is_told_of(void **state)
{
    start(config());
    struct client client = client_open();
    client_say(&client, GET("/late"));
    wait_until(s.parked, &client);
    struct linger now = {.l_onoff = 1};
    setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)); // a reset
    close(client.fd);
    client.fd = -1;
    client.is_eof = true;
    wait_until(s.gone_count == 1, &client);
    assert_null(s.parked);

    // In the middle of a body, too.
    struct client other = client_open();
    client_say(&other, "POST /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
    wait_until(s.sink_bytes == 3, &other);
    close(other.fd);
    other.fd = -1;
    other.is_eof = true;
    wait_until(s.gone_count == 2, &other);
    free(client.in);
    free(other.in);
}

static void a_handler_that_does_not_ask_may_answer_the_dead(void **state)
{
    start(config());
    struct client client = client_open();
    client_say(&client, GET("/forgetful"));
    wait_until(s.parked, &client);
    struct linger now = {.l_onoff = 1};
    setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(client.fd);
    client.fd = -1;
    client.is_eof = true;
    wait_until(http_listener_connections(s.listener) == 0, &client);
    struct http_response response = {.status = 200, .sent = on_sent, .sent_argument = &s};
    http_respond(s.parked, &response);
    assert_int_equal(s.sent_count, 1);
    assert_int_equal(s.sent_status, -ECONNRESET);
    free(client.in);
}

static void a_half_closed_client_gets_its_answers(void **state)
{
    start(config());
    struct client client = client_open();
    client_say(&client, GET("/late") GET("/after"));
    shutdown(client.fd, SHUT_WR);
    wait_until(s.parked, &client);
    for (int i = 0; i < 5; i++)
        client_wait(&client);
    assert_int_equal(s.gone_count, 0);
    respond(s.parked, 200, "served");
    expect_eof(&client);
    assert_non_null(strstr(client.in, "served"));
    assert_non_null(strstr(client.in, "/after"));
    client_close(&client);
}

static void a_half_closed_client_is_gone_if_so_configured(void **state)
{
    struct http_server_config with = config();
    with.is_half_close_gone = true;
    start(with);
    struct client client = client_open();
    client_say(&client, GET("/late"));
    wait_until(s.parked, &client);
    shutdown(client.fd, SHUT_WR);
    wait_until(s.gone_count == 1, &client);
    expect_eof(&client);
    assert_string_equal(client.in, "");
    client_close(&client);
}

static void a_paused_sink_stops_the_client(void **state)
{
    static char body[3 << 20];
    start(config());
    struct client client = client_open();
    client_say(&client, "POST /sink?pause HTTP/1.1\r\nHost: h\r\nContent-Length: 3145728\r\n\r\n");
    size_t sent = 0, pauses = 0;
    while (s.sink_bytes < sizeof(body)) {
        if (sent < sizeof(body)) {
            ssize_t r = send(client.fd, body + sent, sizeof(body) - sent, MSG_NOSIGNAL);
            sent += r > 0 ? (size_t) r : 0;
        }
        client_wait(&client);
        if (s.paused) {
            struct http_request *request = s.paused;
            s.paused = NULL;
            pauses++;
            http_request_resume(request);
        }
    }
    expect(&client, "3145728");
    assert_true(pauses > 10);
    client_close(&client);
}

static void a_sink_refuses_in_the_middle(void **state)
{
    start(config());
    struct client client = client_open();
    client_say(&client, "POST /sink?refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc");
    expect(&client, "HTTP/1.1 403 ");
    client_say(&client, "def" GET("/after"));
    expect(&client, "/after");
    client_close(&client);
}

static void files_are_sent_in_ranges(void **state)
{
    static char content[3000000];
    for (size_t i = 0; i < sizeof(content); i++)
        content[i] = (char) ('a' + i % 23);
    assert_int_equal(pwrite(s.file_fd, content, sizeof(content), 0), sizeof(content));
    start(config());
    struct client client = client_open();
    client_say(&client, GET("/file"));
    expect(&client, "\r\n\r\n");
    size_t head = (size_t) (strstr(client.in, "\r\n\r\n") + 4 - client.in);
    wait_until(client.in_size == head + 1000000, &client);
    assert_memory_equal(client.in + head, content + 10, 1000000);
    assert_int_equal(s.sent_count, 1);
    assert_int_equal(s.sent_status, 0);
    forget(&client);
    client_say(&client, "HEAD /file HTTP/1.1\r\nHost: h\r\n\r\n" GET("/after"));
    expect(&client, "/after");
    assert_non_null(strstr(client.in, "Content-Length: 1000000\r\n"));
    forget(&client);
    client_say(&client, GET("/shortfile")); // promised more than there is
    expect_eof(&client);
    client_close(&client);
}

static void a_file_whose_client_leaves_is_closed(void **state)
{
    assert_int_equal(ftruncate(s.file_fd, 3000000), 0);
    start(config());
    for (int i = 0; i < 4; i++) {
        struct client client = client_open();
        client_say(&client, GET("/file"));
        for (int turns = 0; turns < i; turns++)
            loop_run_once(s.loop, false);
        struct linger now = {.l_onoff = 1};
        setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        close(client.fd);
        client.fd = -1;
        client.is_eof = true;
        wait_until(http_listener_connections(s.listener) == 0, &client);
        free(client.in);
    }
    struct client client = client_open();
    wait_until(http_listener_connections(s.listener) == 1, &client);
    client_close(&client);
}

static void a_large_answer_to_a_slow_reader(void **state)
{
    start(config());
    struct client client = client_open();
    client_say(&client, GET("/large") GET("/after"));
    turn();
    assert_int_equal(s.sent_count, 0); // more than the kernel takes
    expect(&client, "\r\n\r\n");
    size_t large = (size_t) (strstr(client.in, "\r\n\r\n") + 4 - client.in) + ((size_t) 32 << 20);
    wait_until(client.in_size > large && strstr(client.in + large, "/after"), &client);
    assert_int_equal(s.sent_count, 1);
    client_close(&client);
}

static void write_stream(const char *text)
{
    assert_true(http_stream_write(s.stream, str_of(text), on_drained_stream));
}

static void end_stream(void)
{
    struct http_request *request = s.stream;
    s.stream = NULL;
    http_stream_end(request);
}

static void answers_of_unknown_length_come_in_chunks(void **state)
{
    start(config());
    struct client client = client_open();
    client_say(&client, GET("/stream") GET("/after"));
    expect(&client, "\r\n\r\n"); // the head goes out before there is a body
    assert_non_null(strstr(client.in, "Transfer-Encoding: chunked\r\n"));
    assert_null(strstr(client.in, "Content-Length"));
    write_stream("first");
    expect(&client, "\r\n\r\n5\r\nfirst\r\n");
    write_stream("");
    write_stream("the second one");
    expect(&client, "5\r\nfirst\r\ne\r\nthe second one\r\n");
    assert_int_equal(s.sent_count, 0);
    assert_int_equal(s.head_count, 1);
    end_stream();
    expect(&client, "the second one\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n");
    expect(&client, "/after");
    assert_int_equal(s.sent_count, 1);
    assert_int_equal(s.sent_status, 0);
    client_close(&client);
}

static void old_clients_get_a_stream_until_its_end(void **state)
{
    start(config());
    struct client client = client_open();
    client_say(&client, "GET /stream HTTP/1.0\r\n\r\n");
    expect(&client, "\r\n\r\n");
    assert_null(strstr(client.in, "chunked"));
    write_stream("abc");
    write_stream("def");
    end_stream();
    expect_eof(&client);
    assert_non_null(strstr(client.in, "\r\n\r\nabcdef"));
    client_close(&client);
    client = client_open();
    client_say(&client, "HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(&client, "\r\n\r\n");
    write_stream("not for HEAD");
    end_stream();
    client_say(&client, GET("/after"));
    expect(&client, "/after");
    assert_null(strstr(client.in, "not for HEAD"));
    client_close(&client);
}

static void a_slow_reader_holds_a_streams_writer(void **state)
{
    static char piece[65536];
    memset(piece, 's', sizeof(piece) - 1);
    start(config());
    struct client client = client_open();
    client_say(&client, GET("/stream"));
    expect(&client, "\r\n\r\n");
    forget(&client);
    size_t written = 0;
    bool can_go_on = true;
    while (can_go_on) { // what the kernel and the queue hold
        can_go_on = http_stream_write(s.stream, str_of(piece), on_drained_stream);
        written += sizeof(piece) - 1;
        assert_true(written < (size_t) 64 << 20);
        turn();
    }
    assert_int_equal(s.drained_count, 0);
    wait_until(s.drained_count == 1, &client);
    write_stream("end");
    end_stream();
    wait_until(client.in_size > written &&
                   strstr(client.in + client.in_size - 20, "end\r\n0\r\n\r\n"),
               &client);
    assert_int_equal(s.drained_count, 1);
    client_close(&client);
}

static void a_stream_that_breaks_off_is_not_taken_for_whole(void **state)
{
    start(config());
    struct client client = client_open();
    client_say(&client, GET("/stream"));
    expect(&client, "\r\n\r\n");
    write_stream("half");
    expect(&client, "half");
    http_stream_abort(s.stream);
    wait_until(client.is_eof, &client);
    assert_null(strstr(client.in, "\r\n0\r\n"));
    assert_int_equal(s.sent_count, 1);
    assert_int_equal(s.sent_status, -ECONNRESET);
    assert_int_equal(s.gone_count, 0);
    client_close(&client);
}

static void a_streams_writer_is_told_that_its_head_did_not_go_out(void **state)
{
    static const char *const requests[] = {GET("/headless-stream"), GET("/headless-stream?end")};
    start(config());
    for (int i = 0; i < 2; i++) {
        struct client client = client_open();
        client_say(&client, requests[i]);
        expect_eof(&client);
        assert_int_equal(client.in_size, 0);
        assert_null(s.stream);
        assert_int_equal(s.gone_count, 1); // the second had ended it
        assert_int_equal(s.sent_count, i + 1);
        assert_int_equal(s.sent_status, -ECONNRESET);
        client_close(&client);
    }
}

static void a_streams_client_that_leaves_is_told_of(void **state)
{
    static const char *const paths[] = {GET("/stream"), GET("/forgetful-stream")};
    start(config());
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct client client = client_open();
        client_say(&client, paths[i]);
        expect(&client, "\r\n\r\n");
        struct linger now = {.l_onoff = 1};
        setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        close(client.fd);
        client.fd = -1;
        client.is_eof = true;
        wait_until(http_listener_connections(s.listener) == 0, &client);
        assert_int_equal(s.gone_count, 1);
        if (i == 1) { // nobody asked: the stream may be written to, and must be ended
            write_stream("into the void");
            end_stream();
        }
        assert_int_equal(s.sent_count, i + 1);
        free(client.in);
    }
}

static void a_stream_may_begin_before_the_body_ends(void **state)
{
    start(config());
    struct client client = client_open();
    client_say(&client, "POST /stream-early HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc");
    expect(&client, "\r\n\r\n");
    write_stream("x");
    end_stream();
    client_say(&client, "def" GET("/after"));
    expect(&client, "/after");
    client_close(&client);
}

static void heads_have_limits(void **state)
{
    static char text[70000];
    start(config());
    static const struct {
        const char *name;
        const char *fill;
        size_t times;
    } rows[] = {
        {"GET /", "a", 5000},
        {"GET / HTTP/1.1\r\nA: ", "b", 5000},
        {"GET / HTTP/1.1\r\nA:", " ", 5000}, // no callback of the parser's sees these
        {"GET / HTTP/1.1\r\n", "A: b\r\n", 21},
        {"GET / HTTP/1.1\r\n", "A:\r\n", 10000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct client client = client_open();
        text[0] = '\0';
        size_t at = (size_t) snprintf(text, sizeof(text), "%s", rows[i].name);
        for (size_t n = 0; n < rows[i].times; n++)
            at += (size_t) snprintf(text + at, sizeof(text) - at, "%s", rows[i].fill);
        client_say(&client, text);
        expect_eof(&client);
        if (strstr(client.in, "HTTP/1.1 431 ") != client.in)
            fail_msg("row %zu was answered '%s'", i, client.in);
        client_close(&client);
    }
}

static void bytes_between_a_bodys_own_have_a_limit(void **state)
{
    static const char *const fills[] = {"x", "a: b\r\n"};
    start(config());
    for (size_t i = 0; i < ARRAY_SIZE(fills); i++) {
        struct client client = client_open();
        client_say(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        client_say(&client, i == 0 ? "1;" : "0\r\n");
        for (int n = 0; n < 20000 && !client.is_eof; n++) {
            client_say(&client, fills[i]);
            if (n % 100 == 0)
                client_wait(&client);
        }
        wait_until(client.is_eof, &client);
        assert_ptr_equal(strstr(client.in, i == 0 ? "HTTP/1.1 400 " : "HTTP/1.1 431 "), client.in);
        client_close(&client);
    }
}

static void connections_have_a_limit(void **state)
{
    struct http_server_config with = config();
    with.connections_max = 2;
    start(with);
    struct client first = client_open(), second = client_open();
    wait_until(http_listener_connections(s.listener) == 2, &first);
    struct client third = client_open();
    wait_until(third.is_eof, &third);
    client_close(&first);
    wait_until(http_listener_connections(s.listener) == 1, &second);
    struct client fourth = client_open();
    client_say(&fourth, GET("/served"));
    expect(&fourth, "/served");
    client_close(&second);
    client_close(&third);
    client_close(&fourth);
}

static void unfinished_heads_have_a_total(void **state)
{
    struct http_server_config with = config();
    with.heads_bytes_total_max = 8000;
    start(with);
    struct client clients[12];
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
        clients[i] = client_open();
        client_say(&clients[i], "GET /slow HTTP/1.1\r\nHost: h\r\n");
        turn();
    }
    size_t refused = 0;
    wait_until(clients[11].is_eof, &clients[11]);
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
        client_wait(&clients[i]);
        refused += strstr(clients[i].in, "HTTP/1.1 503 ") != NULL;
        client_close(&clients[i]);
    }
    assert_true(refused > 0 && refused < ARRAY_SIZE(clients));
}

static void kept_bodies_have_a_total(void **state)
{
    struct http_server_config with = config();
    with.bodies_bytes_total_max = 700;
    start(with);
    struct client client = client_open();
    char body[800] = "";
    memset(body, 'b', sizeof(body) - 1);
    client_say(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 799\r\n\r\n");
    client_say(&client, body);
    expect_eof(&client);
    assert_ptr_equal(strstr(client.in, "HTTP/1.1 503 "), client.in);
    client_close(&client);
}

// One time-out at a time is short: the others must not be what ends the connection.
static void slow_clients_are_timed_out(void **state)
{
    enum { IDLE, HEAD, BODY, WRITE };
    static const struct {
        int which;
        const char *text;
        const char *answer; // NULL: none
    } rows[] = {
        {IDLE, "", NULL},
        {IDLE, GET("/"), "HTTP/1.1 200 "},
        {HEAD, "GET / HTT", "HTTP/1.1 408 "},
        {HEAD, GET("/") "GET / HTT", "HTTP/1.1 408 "},
        {BODY, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab", "HTTP/1.1 408 "},
        {BODY, "POST /sink HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
         "HTTP/1.1 408 "},
        {WRITE, GET("/large"), NULL}, // is never read
    };
    struct client nobody = {.fd = -1, .is_eof = true};
    struct http_server_stats stats;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct http_server_config with = config();
        with.idle_timeout_ms = rows[i].which == IDLE;
        with.head_timeout_ms = rows[i].which == HEAD;
        with.body_timeout_ms = rows[i].which == BODY;
        with.write_timeout_ms = rows[i].which == WRITE;
        start(with);
        struct client client = client_open();
        client_say(&client, rows[i].text);
        wait_until((http_server_stats(s.server, &stats), stats.timeouts_total == 1),
                   rows[i].which == WRITE ? &nobody : &client);
        if (rows[i].answer)
            expect(&client, rows[i].answer);
        client_close(&client);
        wait_until(http_listener_connections(s.listener) == 0, &nobody);
        teardown(state);
        setup(state);
    }
    start(config()); // for the teardown
}

static void an_unanswered_request_has_no_timeout(void **state)
{
    struct http_server_config with = config();
    with.head_timeout_ms = with.body_timeout_ms = with.write_timeout_ms = 1;
    start(with);
    struct client client = client_open(), other = client_open();
    client_say(&client, GET("/late"));
    wait_until(s.parked, &client);
    client_say(&other, "GET / HT"); // its time-out shows that time has passed
    expect(&other, "HTTP/1.1 408 ");
    respond(s.parked, 200, "patience");
    expect(&client, "patience");
    client_close(&client);
    client_close(&other);
}

static void on_drained(void *argument)
{
    s.is_drained = true;
}

static void draining_serves_what_began(void **state)
{
    start(config());
    struct client busy = client_open(), idle = client_open();
    client_say(&busy, GET("/late"));
    wait_until(s.parked, &busy);
    wait_until(http_listener_connections(s.listener) == 2, &idle);
    http_server_drain(s.server, on_drained, NULL);
    expect_eof(&idle);
    assert_false(s.is_drained);
    respond(s.parked, 200, "last");
    expect_eof(&busy);
    assert_non_null(strstr(busy.in, "Connection: close\r\n"));
    client_close(&busy);
    struct client nobody = {.fd = -1, .is_eof = true};
    wait_until(s.is_drained, &nobody);
    client_close(&idle);
}

static void closing_a_listener_ends_its_requests(void **state)
{
    start(config());
    struct client client = client_open();
    client_say(&client, GET("/late"));
    wait_until(s.parked, &client);
    http_listener_close(s.listener);
    assert_int_equal(s.gone_count, 1);
    expect_eof(&client);
    client_close(&client);
}

static void unix_sockets_are_served_too(void **state)
{
    start(config());
    struct error err = {0};
    struct http_listener *listener;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    // Autobind: an abstract name that the kernel makes unique.
    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(sa_family_t)), 0);
    socklen_t size = sizeof(address);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(http_listen_fd(s.server, fd, 1, NULL, &listener, &err), 0);
    struct client client = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
                            .in = calloc(1, 1)};
    assert_int_equal(connect(client.fd, (struct sockaddr *) &address, size), 0);
    fcntl(client.fd, F_SETFL, O_NONBLOCK);
    client_say(&client, GET("/u"));
    expect(&client, "GET unix /u");
    client_close(&client);
}

static void bad_addresses_to_listen_on(void **state)
{
    struct error err = {0};
    struct http_listener *listener;
    start(config());
    assert_int_equal(http_listen_tcp(s.server, "localhost", 0, &listener, &err), -EINVAL);
    assert_non_null(strstr(err.text, "localhost"));
    assert_int_equal(
        http_listen_tcp(s.server, "127.0.0.1", http_listener_port(s.listener), &listener, &err),
        -EADDRINUSE);
    assert_int_equal(http_listen_fd(s.server, -1, 0, NULL, &listener, &err), -EBADF);
    int not_a_socket = memfd_create("x", MFD_CLOEXEC);
    assert_int_equal(http_listen_fd(s.server, not_a_socket, 0, NULL, &listener, &err), -ENOTSOCK);
}

static void answers_cannot_be_split(void **state)
{
    start(config());
    struct client client = client_open();
    client_say(&client, GET("/late"));
    wait_until(s.parked, &client);
    struct http_header header = {STR("X-Said"), STR("a\r\nX-Injected: b\n\nc")};
    struct http_response response = {.status = 200, .headers = &header, .header_count = 1};
    http_respond(s.parked, &response);
    expect(&client, "X-Said: a  X-Injected: b  c\r\n");
    client_close(&client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_and_keeps_alive),
        TEST(every_split_is_the_same_request),
        TEST(byte_by_byte),
        TEST(every_prefix_ends_decided),
        TEST(bad_requests),
        TEST(unusual_but_right),
        TEST(one_request_at_a_time_in_order),
        TEST(a_small_answer_waits_for_the_one_behind_it),
        TEST(a_flood_of_pipelined_requests_waits_in_the_kernel),
        TEST(closes_when_asked),
        TEST(a_body_too_long_is_discarded_and_the_connection_lives),
        TEST(a_body_far_too_long_is_drained_and_closed),
        TEST(exactly_at_the_limit),
        TEST(hundred_continue),
        TEST(bodies_are_hashed_as_they_arrive),
        TEST(trailers_are_kept_apart),
        TEST(a_client_that_leaves_is_told_of),
        TEST(a_handler_that_does_not_ask_may_answer_the_dead),
        TEST(a_half_closed_client_gets_its_answers),
        TEST(a_half_closed_client_is_gone_if_so_configured),
        TEST(a_paused_sink_stops_the_client),
        TEST(a_sink_refuses_in_the_middle),
        TEST(files_are_sent_in_ranges),
        TEST(a_file_whose_client_leaves_is_closed),
        TEST(a_large_answer_to_a_slow_reader),
        TEST(answers_of_unknown_length_come_in_chunks),
        TEST(old_clients_get_a_stream_until_its_end),
        TEST(a_slow_reader_holds_a_streams_writer),
        TEST(a_stream_that_breaks_off_is_not_taken_for_whole),
        TEST(a_streams_writer_is_told_that_its_head_did_not_go_out),
        TEST(a_streams_client_that_leaves_is_told_of),
        TEST(a_stream_may_begin_before_the_body_ends),
        TEST(heads_have_limits),
        TEST(bytes_between_a_bodys_own_have_a_limit),
        TEST(connections_have_a_limit),
        TEST(unfinished_heads_have_a_total),
        TEST(kept_bodies_have_a_total),
        TEST(slow_clients_are_timed_out),
        TEST(an_unanswered_request_has_no_timeout),
        TEST(draining_serves_what_began),
        TEST(closing_a_listener_ends_its_requests),
        TEST(unix_sockets_are_served_too),
        TEST(bad_addresses_to_listen_on),
        TEST(answers_cannot_be_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
