// SPDX-License-Identifier: MIT
//
// What a connection reads: from the socket through the parser to the handlers; what must wait; and
// when to read no more.

#include "http/connection.h"

#include <assert.h>

// A body's time-out starts anew with every so many bytes, so that one byte a minute does not hold
// memory for ever.
#define BODY_PROGRESS_BYTES 16384
// Besides its bytes, a body may cost this much on the wire: chunk sizes, extensions, trailers.
#define BODY_WIRE_FACTOR 16

// ---- Input that must wait

static bool hold(struct http_connection *connection, const char *data, size_t size)
{
    struct http_server *server = connection->server;
    if (size == 0)
        return true;
    if (server->stats.heads_bytes + size > server->config.heads_bytes_total_max)
        return false;
    char *held = realloc(connection->held, connection->held_size + size);
    if (!held)
        return false;
    memcpy(held + connection->held_size, data, size);
    connection->held = held;
    connection->held_size += size;
    server->stats.heads_bytes += size;
    return true;
}

static char *take_held(struct http_connection *connection, size_t *ret_size)
{
    char *held = connection->held;
    *ret_size = connection->held_size;
    connection->server->stats.heads_bytes -= connection->held_size;
    connection->held = NULL;
    connection->held_size = 0;
    return held;
}

// ---- Events of the parser

static void on_head(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    struct http_exchange *exchange = connection->exchange;
    struct http_request *request = &exchange->request;
    http_exchange_account(exchange);
    if (!http_parser_finish_head(&connection->parser, request)) {
        http_connection_fault(connection, connection->parser.fault_status,
                              connection->parser.fault_why);
        return;
    }
    void *user = request->server_user;
    if (server->config.is_host_allowed && !server->config.is_host_allowed(request->host, user)) {
        http_connection_fault(connection, 421, "this Host is not served here");
        return;
    }
    server->stats.requests_total++;
    exchange->is_close = !http_parser_can_keep_alive(&connection->parser);
    // A body that has begun to arrive does not wait for a 100 Continue.
    exchange->is_continue_due = request->expects_continue && connection->input_left == 0;
    server->config.on_head(request, user);
    if (!connection->is_closed && connection->exchange == exchange)
        assert(exchange->mode != HTTP_MODE_UNDECIDED || exchange->is_answered);
}

static void on_piece(struct http_connection *connection, size_t used)
{
    struct http_exchange *exchange = connection->exchange;
    const struct http_parser *parser = &connection->parser;
    exchange->body_wire_bytes += used;
    exchange->is_continue_due = false;
    http_exchange_on_piece(exchange, parser->piece, parser->piece_size);
}

// Chunk extensions and trailers can be as long as the client likes, and so can a body of one-byte
// chunks; none of it reaches a handler's limit.
static bool is_wasteful(const struct http_exchange *exchange)
{
    uint64_t limit =
        exchange->server->config.head_bytes_max + exchange->body_received * BODY_WIRE_FACTOR;
    return exchange->body_wire_bytes > exchange->body_received + limit;
}

static void on_event(struct http_connection *connection, enum http_event event, size_t used)
{
    struct http_exchange *exchange = connection->exchange;
    switch (event) {
    case HTTP_EVENT_HEAD:
        on_head(connection);
        break;
    case HTTP_EVENT_BODY:
        on_piece(connection, used);
        break;
    case HTTP_EVENT_END:
        exchange->is_input_done = true;
        http_parser_finish_trailers(&connection->parser);
        http_exchange_on_end(exchange);
        http_connection_step(connection);
        break;
    case HTTP_EVENT_FAULT:
        http_connection_fault(connection, connection->parser.fault_status,
                              connection->parser.fault_why);
        break;
    case HTTP_EVENT_MORE:
        if (connection->parser.is_head_done)
            exchange->body_wire_bytes += used;
        else
            http_exchange_account(exchange);
        break;
    }
}

static bool begin_exchange(struct http_connection *connection)
{
    connection->exchange = http_exchange_new(connection);
    if (!connection->exchange) {
        http_connection_fault(connection, 503, "no memory");
        return false;
    }
    http_parser_begin(&connection->parser, &connection->exchange->head,
                      &connection->exchange->trailers);
    return true;
}

static void check_limits(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    struct http_exchange *exchange = connection->exchange;
    if (connection->is_closed || !exchange)
        return;
    if (!connection->parser.is_head_done &&
        server->stats.heads_bytes > server->config.heads_bytes_total_max)
        http_connection_fault(connection, 503, "too many unfinished requests");
    else if (is_wasteful(exchange))
        http_connection_fault(connection, 400, "too many bytes between the body's own");
    else if (exchange->is_answered && exchange->body_discarded > server->config.discard_bytes_max)
        http_connection_close(connection);
}

// The request behind the answer that waits is complete, and its handler takes its time.
static bool may_hold(const struct http_connection *connection)
{
    const struct http_exchange *exchange = connection->exchange;
    return connection->server->config.holds_answers && exchange && exchange->is_input_done &&
           !exchange->is_answered;
}

// Runs the parser over new input, until it wants more or the connection has to wait.
void http_connection_feed(struct http_connection *connection, const char *data, size_t size)
{
    connection->is_feeding = true;
    while (!connection->is_closed && !connection->is_lingering) {
        struct http_exchange *exchange = connection->exchange;
        if (exchange && (exchange->is_input_done || exchange->is_paused)) {
            if (!hold(connection, data, size))
                http_connection_close(connection);
            break;
        }
        // Empty lines before a request are no request (RFC 9112 2.2).
        while (!exchange && size > 0 && (*data == '\r' || *data == '\n'))
            data++, size--;
        if (!exchange && (size == 0 || !begin_exchange(connection)))
            break;
        size_t used = 0;
        enum http_event event = http_parser_step(&connection->parser, data, size, &used);
        data += used;
        size -= used;
        connection->input_left = size;
        on_event(connection, event, used);
        check_limits(connection);
        if (event == HTTP_EVENT_MORE)
            break;
    }
    connection->is_feeding = false;
    if (connection->cork.size > 0 && !may_hold(connection))
        http_uncork(connection);
    http_connection_settle(connection);
}

static void go_on(void *argument)
{
    struct http_connection *connection = argument;
    if (connection->is_broken)
        http_connection_close(connection);
    if (connection->is_closed || connection->is_lingering)
        return;
    size_t size;
    char *held = take_held(connection, &size);
    http_connection_feed(connection, held, size);
    free(held);
}

void http_connection_go_on(struct http_connection *connection)
{
    loop_defer(connection->server->loop, &connection->go_on, go_on, connection);
}

// ---- Reading

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    const struct http_connection *connection = handle->data;
    *ret_buf = uv_buf_init(connection->server->input, HTTP_READ_BYTES);
}

static void on_eof(struct http_connection *connection)
{
    const struct http_exchange *exchange = connection->exchange;
    connection->is_eof = true;
    connection->is_reading = false;
    bool is_waiting = exchange && exchange->is_input_done && !exchange->is_answered;
    if (connection->is_lingering || (is_waiting && connection->server->config.is_half_close_gone))
        http_connection_close(connection);
    else
        http_connection_settle(connection);
}

static void on_cipher(struct http_connection *connection, const char *data, size_t size)
{
    enum http_tls_state state = http_tls_input(connection, data, size);
    if (!connection->is_closed)
        http_tls_flush(connection);
    if (connection->is_closed || connection->is_lingering)
        return;
    if (state == HTTP_TLS_BROKEN) {
        http_connection_break(connection); // an alert may have been queued; it is not waited for
    } else if (state == HTTP_TLS_ENDED) {
        uv_read_stop(&connection->handle.stream);
        on_eof(connection);
    } else {
        http_connection_settle(connection);
    }
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct http_connection *connection = stream->data;
    if (size == UV_EOF) {
        on_eof(connection);
    } else if (size < 0) {
        http_connection_close(connection);
    } else if (connection->is_lingering) {
        size_t before = connection->drained_bytes;
        connection->drained_bytes += (size_t) size;
        if (connection->drained_bytes > connection->server->config.discard_bytes_max)
            http_connection_close(connection);
        else if (connection->drained_bytes / BODY_PROGRESS_BYTES != before / BODY_PROGRESS_BYTES)
            http_connection_watch(connection, HTTP_WATCH_LINGER);
    } else if (size > 0 && connection->tls) {
        on_cipher(connection, buf->base, (size_t) size);
    } else if (size > 0) {
        http_connection_feed(connection, buf->base, (size_t) size);
    }
}

// After an end of input: whatever is not complete by now never will be.
static bool settle_eof(struct http_connection *connection)
{
    const struct http_exchange *exchange = connection->exchange;
    bool is_held = connection->held_size > 0;
    if (exchange && (exchange->is_input_done || exchange->is_paused || is_held))
        return true;
    if (!exchange && is_held)
        return true;
    if (!exchange || exchange->is_answered)
        http_connection_close(connection);
    else
        http_connection_fault(connection, 400, "the request ended early");
    return false;
}

static enum http_watch wanted_watch(const struct http_connection *connection)
{
    const struct http_exchange *exchange = connection->exchange;
    if (connection->is_lingering)
        return HTTP_WATCH_LINGER;
    if (connection->tls && !http_tls_is_ready(connection->tls))
        return HTTP_WATCH_HEAD;
    if (!exchange)
        return HTTP_WATCH_IDLE;
    if (!connection->parser.is_head_done)
        return HTTP_WATCH_HEAD;
    // A stream that has nothing under way waits for its writer, who has time-outs of its own.
    if (exchange->is_answered && !exchange->is_sent &&
        !(exchange->is_streaming && connection->handle.stream.write_queue_size == 0))
        return HTTP_WATCH_WRITE;
    if (!exchange->is_input_done && !exchange->is_paused)
        return HTTP_WATCH_BODY;
    return HTTP_WATCH_NONE;
}

static bool wants_input(const struct http_connection *connection)
{
    const struct http_exchange *exchange = connection->exchange;
    if (connection->is_eof)
        return false;
    if (connection->is_lingering)
        return true;
    if (exchange && exchange->is_paused)
        return false;
    // What is read may make TLS reply (KeyUpdate), to a client that reads nothing.
    if (connection->own_bytes > HTTP_STREAM_QUEUE_MAX)
        return false;
    // A body that nobody keeps, and whose answer is not decided yet.
    if (exchange && !exchange->is_answered &&
        exchange->body_discarded > connection->server->config.discard_bytes_max)
        return false;
    return connection->held_size < HTTP_PIPELINE_BYTES_MAX;
}

// Brings reading and the time-out in line with what the connection is now doing.
void http_connection_settle(struct http_connection *connection)
{
    if (connection->is_closed)
        return;
    if (connection->is_eof && !connection->is_lingering && !settle_eof(connection))
        return;
    struct http_exchange *exchange = connection->exchange;
    enum http_watch watch = wanted_watch(connection);
    bool is_progress = watch == HTTP_WATCH_BODY &&
                       exchange->body_received - exchange->body_mark >= BODY_PROGRESS_BYTES;
    if (watch != connection->watch || is_progress) {
        http_connection_watch(connection, watch);
        if (watch == HTTP_WATCH_BODY)
            exchange->body_mark = exchange->body_received;
    }
    bool is_wanted = wants_input(connection);
    if (is_wanted == connection->is_reading)
        return;
    connection->is_reading = is_wanted;
    if (!is_wanted)
        uv_read_stop(&connection->handle.stream);
    else if (uv_read_start(&connection->handle.stream, on_alloc, on_read) < 0)
        http_connection_close(connection);
}
