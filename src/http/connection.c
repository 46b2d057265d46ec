// SPDX-License-Identifier: MIT
//
// A connection's coming and going, its time-outs, its end. What it reads is in input.c.

#include "http/connection.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>

// ---- Coming and going

// libuv stops to listen until what it has accepted is taken from it: a listener whose client met neither
// memory nor the spare would be deaf from then on.
static void spare_returned(struct http_server *server, struct http_connection *connection)
{
    memset(connection, 0, sizeof(*connection));
    server->spare = connection;
    LIST_FOR_EACH (struct http_listener, each, &server->listeners, link)
        if (each->is_stalled && !each->is_closed && server->spare)
            http_connection_accept(each);
}

static void on_closed(uv_handle_t *handle)
{
    struct http_connection *connection = handle->data;
    struct http_server *server = connection->server;
    http_tls_session_free(connection->tls);
    buf_done(&connection->cork);
    server->handles--;
    if (connection->is_spare)
        spare_returned(server, connection);
    else
        free(connection);
    http_server_closed_handle(server);
}

void http_connection_close(struct http_connection *connection)
{
    if (connection->is_closed)
        return;
    struct http_server *server = connection->server;
    connection->is_closed = true;
    http_connection_watch(connection, HTTP_WATCH_NONE);
    list_remove(&connection->go_on.link);
    if (connection->listener) {
        list_remove(&connection->link);
        connection->listener->connection_count--;
        connection->listener = NULL;
    }
    server->stats.connections--;
    server->stats.heads_bytes -= connection->held_size;
    free(connection->held);
    connection->held = NULL;
    connection->held_size = 0;
    struct http_exchange *exchange = connection->exchange;
    connection->exchange = NULL;
    uv_close(&connection->handle.any, on_closed);
    if (exchange)
        http_exchange_gone(exchange);
}

static int handle_init(struct http_connection *connection)
{
    uv_loop_t *loop = loop_uv(connection->server->loop);
    return connection->is_pipe ? uv_pipe_init(loop, &connection->handle.pipe, 0)
                               : uv_tcp_init(loop, &connection->handle.tcp);
}

static bool is_full(const struct http_listener *listener)
{
    const struct http_server *server = listener->server;
    return server->is_draining || server->stats.connections >= server->config.connections_max ||
           (listener->connections_max > 0 &&
            listener->connection_count >= listener->connections_max);
}

// libuv holds an accepted socket that must be taken into a handle, so a refusal costs one too.
void http_connection_accept(struct http_listener *listener)
{
    struct http_server *server = listener->server;
    struct http_connection *connection = calloc(1, sizeof(*connection));
    bool is_spare = !connection;
    if (is_spare)
        connection = TAKE_PTR(server->spare);
    listener->is_stalled = !connection;
    if (!connection)
        return; // spare_returned comes back to it
    connection->is_spare = is_spare;
    bool is_refused = is_spare || is_full(listener);
    connection->server = server;
    connection->is_pipe = listener->is_pipe;
    if (handle_init(connection) < 0) {
        if (is_spare)
            server->spare = connection;
        else
            free(connection);
        return;
    }
    connection->handle.any.data = connection;
    server->handles++;
    server->stats.connections++;
    int r = uv_accept(&listener->handle.stream, &connection->handle.stream);
    if (r < 0 || is_refused) {
        server->stats.connections_refused += r == 0;
        http_connection_close(connection);
        return;
    }
    if (server->config.tls) {
        connection->tls = http_tls_session_new(server->config.tls);
        if (!connection->tls) {
            http_connection_close(connection);
            return;
        }
    }
    connection->id = server->next_connection_id++;
    connection->listener = listener;
    list_add_last(&listener->connections, &connection->link);
    listener->connection_count++;
    server->stats.connections_total++;
    http_parser_init(&connection->parser, &server->config);
    buf_init(&connection->cork, HTTP_CORK_BYTES_MAX);
    http_connection_settle(connection);
}

// ---- Time-outs

static uint64_t bytes_taken(const struct http_connection *connection)
{
    return connection->bytes_written - connection->handle.stream.write_queue_size;
}

void http_connection_watch(struct http_connection *connection, enum http_watch watch)
{
    struct http_server *server = connection->server;
    list_remove(&connection->watch_link);
    connection->watch = watch;
    if (server->watch_ms[watch] < 0)
        return;
    if (watch == HTTP_WATCH_WRITE)
        connection->bytes_taken = bytes_taken(connection);
    connection->deadline_ms = loop_now_ms(server->loop) + server->watch_ms[watch];
    list_add_last(&server->watched[watch], &connection->watch_link);
    http_server_sweep_by(server, connection->deadline_ms);
}

void http_connection_expired(struct http_connection *connection)
{
    enum http_watch watch = connection->watch;
    http_connection_watch(connection, HTTP_WATCH_NONE);
    bool can_answer = watch == HTTP_WATCH_HEAD ||
                      (watch == HTTP_WATCH_BODY && !connection->exchange->is_answered);
    if (can_answer) {
        http_connection_fault(connection, 408, "the request did not arrive in time");
        return;
    }
    bool is_taking = watch == HTTP_WATCH_WRITE && bytes_taken(connection) > connection->bytes_taken;
    if (is_taking) {
        http_connection_watch(connection, HTTP_WATCH_WRITE);
        return;
    }
    connection->server->stats.timeouts_total += watch != HTTP_WATCH_LINGER;
    http_connection_close(connection);
}

// ---- Ending

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    free(shutdown);
}

// Closing with unread input makes the kernel reset the connection, and the reset may overtake the
// answer. So the write side is shut and input is read until the client closes.
static void linger(struct http_connection *connection)
{
    if (connection->is_closed || connection->is_lingering)
        return;
    if (connection->is_eof && connection->handle.stream.write_queue_size == 0) {
        http_connection_close(connection); // nothing to read any more, nothing left to send
        return;
    }
    http_uncork(connection);
    if (connection->tls)
        http_tls_say_goodbye(connection);
    if (connection->is_closed)
        return;
    connection->is_lingering = true;
    uv_shutdown_t *shutdown = calloc(1, sizeof(*shutdown));
    if (!shutdown || uv_shutdown(shutdown, &connection->handle.stream, on_shutdown) < 0) {
        free(shutdown);
        http_connection_close(connection);
        return;
    }
    http_connection_watch(connection, HTTP_WATCH_LINGER);
    http_connection_settle(connection);
}

void http_connection_fault(struct http_connection *connection, unsigned status, const char *why)
{
    struct http_server *server = connection->server;
    server->stats.faults_total++;
    server->stats.timeouts_total += status == 408;
    struct http_exchange *exchange = connection->exchange;
    if (exchange && exchange->is_answered) {
        http_connection_close(connection);
        return;
    }
    connection->exchange = NULL;
    if (exchange)
        http_exchange_gone(exchange);
    if (connection->is_closed)
        return;
    http_answer_fault(connection, status, why);
    linger(connection);
}

void http_connection_step(struct http_connection *connection)
{
    struct http_exchange *exchange = connection->exchange;
    if (connection->is_closed || !exchange || !exchange->is_sent)
        return;
    bool is_close = exchange->is_close || connection->server->is_draining;
    if (!exchange->is_input_done && !is_close) {
        if (!connection->is_feeding)
            http_connection_settle(connection);
        return;
    }
    connection->exchange = NULL;
    http_exchange_free(exchange);
    http_connection_watch(connection, HTTP_WATCH_NONE);
    if (is_close)
        linger(connection);
    else if (!connection->is_feeding && connection->held_size > 0)
        http_connection_go_on(connection);
    else if (!connection->is_feeding)
        http_connection_settle(connection);
}

void http_connection_break(struct http_connection *connection)
{
    connection->is_broken = true;
    http_connection_go_on(connection);
}
