// SPDX-License-Identifier: MIT

#include "http/connection.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>

#define LISTEN_BACKLOG 4096
#define SWEEP_EVERY_MS_MIN 250
#define OUT_BYTES_MAX ((size_t) 4 * 1024 * 1024)

// ---- The server

static size_t size_or(size_t value, size_t preset)
{
    return value ? value : preset;
}

static int64_t ms_or(int64_t value, int64_t preset)
{
    return value ? value : preset;
}

static void take_config(struct http_server *server, const struct http_server_config *config)
{
    struct http_server_config *own = &server->config;
    *own = *config;
    own->head_bytes_max = size_or(own->head_bytes_max, 16 * 1024);
    own->headers_max = size_or(own->headers_max, 100);
    own->heads_bytes_total_max = size_or(own->heads_bytes_total_max, 16 << 20);
    own->bodies_bytes_total_max = size_or(own->bodies_bytes_total_max, (size_t) 512 << 20);
    own->arena_bytes_max = size_or(own->arena_bytes_max, 256 * 1024);
    own->connections_max = size_or(own->connections_max, 10000);
    own->discard_bytes_max = size_or(own->discard_bytes_max, 1 << 20);
    server->watch_ms[HTTP_WATCH_NONE] = -1;
    server->watch_ms[HTTP_WATCH_IDLE] = ms_or(own->idle_timeout_ms, 120 * 1000);
    server->watch_ms[HTTP_WATCH_HEAD] = ms_or(own->head_timeout_ms, 30 * 1000);
    server->watch_ms[HTTP_WATCH_BODY] = ms_or(own->body_timeout_ms, 60 * 1000);
    server->watch_ms[HTTP_WATCH_WRITE] = ms_or(own->write_timeout_ms, 60 * 1000);
    server->watch_ms[HTTP_WATCH_LINGER] = HTTP_LINGER_TIMEOUT_MS;
}

int http_server_new(struct loop *loop, const struct http_server_config *config,
                    struct http_server **ret_server)
{
    assert(config->on_head);
    // libuv writes without MSG_NOSIGNAL: a client that resets at the wrong moment would end us.
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return -errno;
    struct http_server *server = calloc(1, sizeof(*server));
    if (!server)
        return -ENOMEM;
    server->spare = calloc(1, sizeof(*server->spare));
    if (!server->spare) {
        free(server);
        return -ENOMEM;
    }
    server->loop = loop;
    server->next_connection_id = 1;
    take_config(server, config);
    list_init(&server->listeners);
    list_init(&server->pooled);
    for (int i = 0; i < HTTP_WATCH_COUNT; i++)
        list_init(&server->watched[i]);
    buf_init(&server->out, OUT_BYTES_MAX);
    *ret_server = server;
    return 0;
}

static void server_done(struct http_server *server)
{
    loop_timer_stop(&server->sweep);
    server->pooled_count = HTTP_EXCHANGES_POOLED; // takes no more
    while (!list_is_empty(&server->pooled)) {
        struct list *link = list_take_first(&server->pooled);
        http_exchange_free(LIST_ENTRY(link, struct http_exchange, link));
    }
    buf_done(&server->out);
    free(server->spare);
    free(server);
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    server->is_freeing = true;
    server->drained = NULL;
    struct list *first;
    while ((first = list_first(&server->listeners)))
        http_listener_close(LIST_ENTRY(first, struct http_listener, link));
    if (server->handles == 0)
        server_done(server);
}

void http_server_closed_handle(struct http_server *server)
{
    if (server->handles == 0 && server->is_freeing) {
        server_done(server);
        return;
    }
    if (server->is_draining && server->stats.connections == 0 && server->drained) {
        void (*drained)(void *argument) = server->drained;
        server->drained = NULL;
        drained(server->drained_argument);
    }
}

// The listening sockets stay open but are not accepted from: a restart that hands them on loses
// no client that is waiting in the kernel's queue.
void http_server_drain(struct http_server *server, void (*drained)(void *argument), void *argument)
{
    server->is_draining = true;
    server->drained = drained;
    server->drained_argument = argument;
    LIST_FOR_EACH (struct http_listener, listener, &server->listeners, link) {
        LIST_FOR_EACH_SAFE (struct http_connection, connection, &listener->connections, link) {
            if (!connection->exchange && connection->held_size == 0 && !connection->is_lingering)
                http_connection_close(connection);
        }
    }
    if (server->stats.connections == 0 && server->drained) {
        server->drained = NULL;
        drained(argument);
    }
}

void http_server_stats(const struct http_server *server, struct http_server_stats *ret_stats)
{
    *ret_stats = server->stats;
}

const char *http_server_date(struct http_server *server)
{
    int64_t now_ms = loop_now_ms(server->loop);
    if (now_ms >= server->date_until_ms) {
        int64_t wall_ms = clock_wall_ms();
        clock_http(wall_ms, server->date);
        server->date_until_ms = now_ms + 1000 - wall_ms % 1000;
    }
    return server->date;
}

// ---- Time-outs: one timer for all connections

static void sweep(void *argument)
{
    struct http_server *server = argument;
    int64_t now_ms = loop_now_ms(server->loop);
    int64_t next_ms = INT64_MAX;
    for (int i = 0; i < HTTP_WATCH_COUNT; i++) {
        struct list *first;
        while ((first = list_first(&server->watched[i]))) {
            struct http_connection *connection =
                LIST_ENTRY(first, struct http_connection, watch_link);
            if (connection->deadline_ms > now_ms) {
                if (connection->deadline_ms < next_ms)
                    next_ms = connection->deadline_ms;
                break;
            }
            http_connection_expired(connection);
        }
    }
    if (next_ms != INT64_MAX)
        http_server_sweep_by(server, next_ms);
}

void http_server_sweep_by(struct http_server *server, int64_t deadline_ms)
{
    int64_t now_ms = loop_now_ms(server->loop);
    int64_t after_ms = deadline_ms - now_ms;
    if (after_ms < SWEEP_EVERY_MS_MIN)
        after_ms = SWEEP_EVERY_MS_MIN;
    // 250 ms of grace: connections that come one after another need no timer each.
    if (loop_timer_is_running(&server->sweep) &&
        server->sweep.due_ms <= now_ms + after_ms + SWEEP_EVERY_MS_MIN)
        return;
    // Without memory for a timer, time-outs wait for the next connection.
    (void) !loop_timer_start(server->loop, &server->sweep, after_ms, sweep, server);
}

// ---- Listeners

static void on_connection(uv_stream_t *stream, int status)
{
    if (status == 0)
        http_connection_accept(stream->data);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct http_listener *listener = handle->data;
    struct http_server *server = listener->server;
    free(listener);
    server->handles--;
    http_server_closed_handle(server);
}

void http_listener_close(struct http_listener *listener)
{
    if (!listener || listener->is_closed)
        return;
    listener->is_closed = true;
    list_remove(&listener->link);
    struct list *first; // a handler that hears on_gone may close others
    while ((first = list_first(&listener->connections)))
        http_connection_close(LIST_ENTRY(first, struct http_connection, link));
    uv_close(&listener->handle.any, on_listener_closed);
}

static int listener_init(struct http_listener *listener)
{
    uv_loop_t *loop = loop_uv(listener->server->loop);
    int r = listener->is_pipe ? uv_pipe_init(loop, &listener->handle.pipe, 0)
                              : uv_tcp_init(loop, &listener->handle.tcp);
    if (r < 0)
        return r;
    listener->handle.any.data = listener;
    listener->server->handles++;
    list_add_last(&listener->server->listeners, &listener->link);
    return 0;
}

// libuv owns the descriptor from its open on.
static int listener_open(struct http_listener *listener, int *fd)
{
    int r = listener->is_pipe ? uv_pipe_open(&listener->handle.pipe, *fd)
                              : uv_tcp_open(&listener->handle.tcp, *fd);
    if (r < 0)
        return r;
    (void) TAKE_FD(*fd);
    return uv_listen(&listener->handle.stream, LISTEN_BACKLOG, on_connection);
}

// Answers go out at once, and a peer that vanished is noticed; accepted sockets inherit both.
static void set_tcp_options(int fd)
{
    int on = 1, idle_s = 60;
    (void) !setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void) !setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void) !setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
}

int http_listen_fd(struct http_server *server, int fd, size_t connections_max, void *user,
                   struct http_listener **ret_listener, struct error *err)
{
    AUTO_FD int owned = fd;
    int family = 0;
    socklen_t size = sizeof(family);
    if (getsockopt(owned, SOL_SOCKET, SO_DOMAIN, &family, &size) < 0)
        return error_set_errno(err, -errno, "look at the listening socket");
    struct http_listener *listener = calloc(1, sizeof(*listener));
    if (!listener)
        return error_set_errno(err, -ENOMEM, "listen");
    listener->server = server;
    listener->connections_max = connections_max;
    listener->user = user ? user : server->config.user;
    listener->is_pipe = family == AF_UNIX;
    list_init(&listener->connections);
    if (!listener->is_pipe)
        set_tcp_options(owned);
    int r = listener_init(listener);
    if (r < 0) {
        free(listener);
        return error_set_errno(err, r, "listen");
    }
    r = listener_open(listener, &owned);
    if (r < 0) {
        http_listener_close(listener);
        return error_set_errno(err, r, "listen");
    }
    *ret_listener = listener;
    return 0;
}

static int parse_address(const char *text, uint16_t port, struct sockaddr_storage *ret_address,
                         socklen_t *ret_size)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *) &address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &address;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        *ret_size = sizeof(*v4);
    } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        *ret_size = sizeof(*v6);
    } else {
        return -EINVAL;
    }
    *ret_address = address;
    return 0;
}

int http_listen_tcp(struct http_server *server, const char *address, uint16_t port,
                    struct http_listener **ret_listener, struct error *err)
{
    struct sockaddr_storage where;
    socklen_t size;
    int r = parse_address(address, port, &where, &size);
    if (r < 0)
        return error_set(err, r, "'%s' is not a numeric address to listen on", address);
    AUTO_FD int fd = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set_errno(err, -errno, "listen on %s:%u", address, port);
    int on = 1;
    (void) !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *) &where, size) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
        return error_set_errno(err, -errno, "listen on %s:%u", address, port);
    r = http_listen_fd(server, TAKE_FD(fd), 0, NULL, ret_listener, err);
    return r < 0 ? error_wrap(err, r, "%s:%u", address, port) : 0;
}

uint16_t http_listener_port(const struct http_listener *listener)
{
    struct sockaddr_storage address = {0};
    int size = sizeof(address);
    if (listener->is_pipe ||
        uv_tcp_getsockname(&listener->handle.tcp, (struct sockaddr *) &address, &size) < 0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *) &address)->sin6_port
                                               : ((struct sockaddr_in *) &address)->sin_port);
}

size_t http_listener_connections(const struct http_listener *listener)
{
    return listener->connection_count;
}
