// SPDX-License-Identifier: MIT

#include "http/connection.h"

#include "base/fd.h"

#include <assert.h>
#include <errno.h>

// Shorter copied bodies travel in the head's piece of memory.
#define CORK_SMALL_BYTES ((size_t) 1024)
#define COPY_INLINE_BYTES 16384
#define OUT_BYTES_KEPT ((size_t) 64 * 1024)

static const struct {
    unsigned status;
    const char *text;
} status_texts[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {424, "Failed Dependency"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *http_status_text(unsigned status)
{
    for (size_t i = 0; i < ARRAY_SIZE(status_texts); i++)
        if (status_texts[i].status == status)
            return status_texts[i].text;
    return "Unknown";
}

// ---- Writing

struct http_write {
    uv_write_t write;
    struct http_connection *connection; // borrowed: libuv ends the write before the handle
    struct buf body;
    size_t own_bytes; // counted in the connection's
    void (*done)(struct http_connection *connection, int status);
    char head[]; // what is left of it
};

static void write_end(struct http_connection *connection, int status,
                      void (*done)(struct http_connection *connection, int status))
{
    if (connection->is_closed)
        return;
    bool is_stream = connection->exchange && connection->exchange->is_streaming;
    if (status < 0 && is_stream)
        http_connection_break(connection); // its writer is on the stack
    else if (status < 0)
        http_connection_close(connection);
    else if (done)
        done(connection, status);
}

static void on_written(uv_write_t *request, int status)
{
    struct http_write *write = container_of(request, struct http_write, write);
    struct http_connection *connection = write->connection;
    void (*done)(struct http_connection * connection, int status) = write->done;
    connection->own_bytes -= write->own_bytes;
    buf_done(&write->body);
    free(write);
    write_end(connection, status, done);
    if (!done)
        http_connection_settle(connection); // reading may have waited for it
}

// The rest of an answer that the kernel did not take at once. Takes `body` over if it can.
static int queue_write(struct http_connection *connection, struct str head, struct buf *body,
                       size_t body_written,
                       void (*done)(struct http_connection *connection, int status))
{
    struct http_write *write = malloc(sizeof(*write) + head.size);
    if (!write)
        return -ENOMEM;
    *write = (struct http_write){.connection = connection, .done = done, .body = *body};
    if (head.size > 0)
        memcpy(write->head, head.data, head.size);
    uv_buf_t parts[] = {
        uv_buf_init(write->head, (unsigned) head.size),
        uv_buf_init(body->data ? body->data + body_written : write->head,
                    (unsigned) (body->size - body_written)),
    };
    int r =
        uv_write(&write->write, &connection->handle.stream, parts, ARRAY_SIZE(parts), on_written);
    if (r < 0) {
        free(write);
        return r;
    }
    if (!done)
        write->own_bytes = head.size + body->size;
    connection->own_bytes += write->own_bytes;
    buf_init(body, 0); // moved
    return 0;
}

// ---- The cork
//
// A small answer, behind whose request the next one has come already (pipelining), waits for that
// one's answer: one segment, and one process woken once, in place of two. A server that holds_answers
// waits however long that takes, others to the end of what was read. (Two small segments without one
// of the client's in between meet its delayed acknowledgement: 40 ms on some kernels, TCP_NODELAY or
// not.)

static bool may_wait(const struct http_connection *connection, size_t size)
{
    const struct http_exchange *exchange = connection->exchange;
    return connection->is_feeding && connection->input_left > 0 && exchange &&
           (exchange->is_input_done || !exchange->request.has_body) && !exchange->is_close &&
           !exchange->is_streaming && connection->cork.size + size <= CORK_SMALL_BYTES;
}

static bool cork(struct http_connection *connection, struct str head, struct buf *body)
{
    if (!may_wait(connection, head.size + body->size))
        return false;
    size_t before = connection->cork.size;
    buf_append_str(&connection->cork, head);
    if (buf_append_str(&connection->cork, buf_str(body)) < 0) {
        connection->cork.size = before;
        connection->cork.failure = 0;
        return false;
    }
    return true;
}

void http_uncork(struct http_connection *connection)
{
    struct buf nothing = BUF_INIT(0);
    if (!connection->is_closed && connection->cork.size > 0)
        http_write_raw(connection, STR(""), &nothing, NULL);
}

static void write_now(struct http_connection *connection, struct str head, struct buf *body,
                      void (*done)(struct http_connection *connection, int status));

void http_write_raw(struct http_connection *connection, struct str head, struct buf *body,
                    void (*done)(struct http_connection *connection, int status))
{
    if (cork(connection, head, body)) {
        buf_done(body);
        write_end(connection, 0, done);
        return;
    }
    if (connection->cork.size == 0) {
        write_now(connection, head, body, done);
        return;
    }
    struct buf joined = connection->cork;
    buf_init(&connection->cork, HTTP_CORK_BYTES_MAX);
    int r = buf_append_str(&joined, head);
    if (r == 0) {
        write_now(connection, buf_str(&joined), body, done);
    } else {
        buf_done(body);
        write_end(connection, r, done);
    }
    buf_done(&joined);
}

static void write_now(struct http_connection *connection, struct str head, struct buf *body,
                      void (*done)(struct http_connection *connection, int status))
{
    // libuv wants pointers that are not const, and only reads.
    char *bytes = (char *) (uintptr_t) head.data;
    uv_buf_t parts[] = {uv_buf_init(bytes, (unsigned) head.size),
                        uv_buf_init(body->data, (unsigned) body->size)};
    connection->bytes_written += head.size + body->size;
    int r = uv_try_write(&connection->handle.stream, parts, body->size > 0 ? 2 : 1);
    size_t written = r > 0 ? (size_t) r : 0;
    if (written == head.size + body->size) {
        buf_done(body);
        write_end(connection, 0, done);
        return;
    }
    if (r >= 0 || r == UV_EAGAIN) {
        size_t of_head = written < head.size ? written : head.size;
        r = queue_write(connection, str_skip(head, of_head), body, written - of_head, done);
    }
    if (r < 0) {
        buf_done(body);
        write_end(connection, r, done);
    }
}

void http_write(struct http_connection *connection, struct str head, struct buf *body,
                void (*done)(struct http_connection *connection, int status))
{
    struct buf cipher;
    if (!connection->tls) {
        http_write_raw(connection, head, body, done);
        return;
    }
    int r = http_tls_encrypt(connection->tls, head, buf_str(body), &cipher);
    buf_done(body);
    if (r < 0)
        write_end(connection, r, done);
    else
        http_write_raw(connection, STR(""), &cipher, done);
}

static void write_plain(struct http_connection *connection, struct str text)
{
    struct buf nothing = BUF_INIT(0);
    http_write(connection, text, &nothing, NULL);
}

void http_answer_continue(struct http_connection *connection)
{
    write_plain(connection, STR("HTTP/1.1 100 Continue\r\n\r\n"));
}

// ---- Heads

static void put_number(struct buf *out, uint64_t number)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char) ('0' + number % 10);
        number /= 10;
    } while (number > 0);
    buf_append(out, digits + at, sizeof(digits) - at);
}

static void put_status_line(struct buf *out, unsigned status)
{
    buf_append_str(out, STR("HTTP/1.1 "));
    put_number(out, status);
    buf_append_byte(out, ' ');
    buf_append_text(out, http_status_text(status));
    buf_append_str(out, STR("\r\n"));
}

// A value may hold what a function or a client said: it must not be able to end its line.
static void put_header(struct buf *out, const struct http_header *header)
{
    buf_append_str(out, header->name);
    buf_append_str(out, STR(": "));
    size_t at = out->size;
    buf_append_str(out, header->value);
    for (size_t i = at; i < out->size; i++)
        if ((unsigned char) out->data[i] < 0x20 || out->data[i] == 0x7f)
            out->data[i] = ' ';
    buf_append_str(out, STR("\r\n"));
}

static bool has_length(unsigned status)
{
    return status != 204 && status != 304;
}

enum length_form { LENGTH_NONE, LENGTH_SIZED, LENGTH_CHUNKED };

static void put_end(struct http_server *server, bool is_close, enum length_form form, uint64_t size)
{
    struct buf *out = &server->out;
    if (server->config.has_date) {
        buf_append_str(out, STR("Date: "));
        buf_append_text(out, http_server_date(server));
        buf_append_str(out, STR("\r\n"));
    }
    if (is_close)
        buf_append_str(out, STR("Connection: close\r\n"));
    if (form == LENGTH_SIZED) {
        buf_append_str(out, STR("Content-Length: "));
        put_number(out, size);
        buf_append_str(out, STR("\r\n"));
    } else if (form == LENGTH_CHUNKED) {
        buf_append_str(out, STR("Transfer-Encoding: chunked\r\n"));
    }
    buf_append_str(out, STR("\r\n"));
}

// ---- The server's own answers

void http_answer_fault(struct http_connection *connection, unsigned status, const char *why)
{
    struct http_server *server = connection->server;
    struct http_fault fault = {.status = status, .why = why};
    snprintf(fault.headers, sizeof(fault.headers), "Content-Type: text/plain\r\n");
    snprintf(fault.body, sizeof(fault.body), "%s\n", why);
    if (server->config.format_fault)
        server->config.format_fault(&fault, server->config.user);
    buf_clear(&server->out);
    put_status_line(&server->out, status);
    buf_append_text(&server->out, fault.headers);
    put_end(server, true, LENGTH_SIZED, strlen(fault.body));
    buf_append_text(&server->out, fault.body);
    if (buf_status(&server->out) < 0)
        http_connection_close(connection);
    else
        write_plain(connection, buf_str(&server->out));
}

// ---- Handlers' answers

static uint64_t body_size(const struct http_response *response)
{
    switch (response->body_kind) {
    case HTTP_BODY_COPY:
        return response->text.size;
    case HTTP_BODY_BUF:
        return response->buf.size;
    case HTTP_BODY_FILE:
        return response->size;
    default:
        return 0;
    }
}

static void release_body(struct http_response *response)
{
    if (response->body_kind == HTTP_BODY_BUF)
        buf_done(&response->buf);
    if (response->body_kind == HTTP_BODY_FILE)
        (void) fd_close(response->fd); // was only read from
    response->body_kind = HTTP_BODY_NONE;
}

// An answer before the body's end: can the connection live on?
static bool must_close(const struct http_exchange *exchange, const struct http_response *response)
{
    const struct http_request *request = &exchange->request;
    const struct http_server *server = exchange->server;
    if (exchange->is_close || response->is_close || server->is_draining)
        return true;
    if (exchange->is_input_done || !request->has_body)
        return false;
    // Who waits for a 100 Continue may leave its body out now: what comes next could be either.
    if (exchange->is_continue_due)
        return true;
    uint64_t left = request->is_chunked ? 0 : request->content_length - exchange->body_received;
    return left + exchange->body_discarded > server->config.discard_bytes_max;
}

bool http_answer_is_chunked(const struct http_exchange *exchange)
{
    return exchange->connection->parser.llhttp.http_minor == 1;
}

static enum length_form length_form(const struct http_exchange *exchange,
                                    const struct http_response *response)
{
    if (!has_length(response->status))
        return LENGTH_NONE;
    if (response->body_kind != HTTP_BODY_STREAM)
        return LENGTH_SIZED;
    return http_answer_is_chunked(exchange) ? LENGTH_CHUNKED : LENGTH_NONE;
}

static int put_head(struct http_exchange *exchange, const struct http_response *response)
{
    struct http_server *server = exchange->server;
    struct buf *out = &server->out;
    buf_clear(out);
    put_status_line(out, response->status);
    for (size_t i = 0; i < response->header_count; i++)
        put_header(out, &response->headers[i]);
    put_end(server, exchange->is_close, length_form(exchange, response), body_size(response));
    return buf_status(out);
}

void http_answer_done(struct http_exchange *exchange, int status)
{
    void (*sent)(void *argument, int status) = exchange->sent;
    void *argument = exchange->sent_argument;
    struct http_connection *connection = exchange->connection;
    exchange->sent = NULL;
    exchange->is_streaming = false;
    exchange->is_sent = true;
    if (connection)
        http_connection_step(connection);
    else
        http_exchange_free(exchange);
    if (sent)
        sent(argument, status);
}

static void on_answer_written(struct http_connection *connection, int status)
{
    if (connection->exchange)
        http_answer_done(connection->exchange, status);
}

static void send_body(struct http_exchange *exchange, struct http_response *response)
{
    struct http_connection *connection = exchange->connection;
    struct buf *out = &exchange->server->out;
    if (response->body_kind == HTTP_BODY_FILE) {
        response->body_kind = HTTP_BODY_NONE; // the descriptor is taken over
        int r =
            http_file_start(exchange, buf_str(out), response->fd, response->offset, response->size);
        if (r < 0)
            http_connection_close(connection);
        return;
    }
    struct buf body = BUF_INIT(response->text.size);
    if (response->body_kind == HTTP_BODY_BUF) {
        body = response->buf;
        response->body_kind = HTTP_BODY_NONE; // moved
    } else if (response->body_kind == HTTP_BODY_COPY && response->text.size > COPY_INLINE_BYTES) {
        buf_append_str(&body, response->text);
    } else if (response->body_kind == HTTP_BODY_COPY) {
        buf_append_str(out, response->text);
    }
    if (buf_status(out) < 0 || buf_status(&body) < 0) {
        buf_done(&body);
        http_connection_close(connection);
        return;
    }
    http_write(connection, buf_str(out), &body, on_answer_written);
}

static void send_answer(struct http_exchange *exchange, struct http_response *response)
{
    struct http_connection *connection = exchange->connection;
    exchange->is_paused = false; // what a sink left over is discarded
    exchange->is_close = must_close(exchange, response);
    exchange->is_streaming = response->body_kind == HTTP_BODY_STREAM;
    if (put_head(exchange, response) < 0) {
        write_end(connection, -ENOMEM, NULL);
        return;
    }
    if (exchange->is_streaming) {
        struct buf nothing = BUF_INIT(0);
        http_write(connection, buf_str(&exchange->server->out), &nothing, http_stream_on_written);
        return;
    }
    if (exchange->request.method == HTTP_METHOD_HEAD || !has_length(response->status))
        release_body(response);
    send_body(exchange, response);
}

void http_respond(struct http_request *request, struct http_response *response)
{
    struct http_exchange *exchange = container_of(request, struct http_exchange, request);
    struct http_server *server = exchange->server;
    struct http_connection *connection = exchange->connection;
    assert(!exchange->is_answered && response->status >= 200 && response->status <= 599);
    assert(response->body_kind != HTTP_BODY_STREAM || has_length(response->status));
    exchange->is_answered = true;
    exchange->sent = response->sent;
    exchange->sent_argument = response->sent_argument;
    exchange->mode = HTTP_MODE_DISCARD;
    if (!connection) {
        release_body(response);
        exchange->is_streaming = response->body_kind == HTTP_BODY_STREAM;
        if (!exchange->is_streaming)
            http_answer_done(exchange, -ECONNRESET);
        return;
    }
    bool was_paused = exchange->is_paused;
    send_answer(exchange, response);
    release_body(response);
    if (server->out.capacity > OUT_BYTES_KEPT)
        buf_done(&server->out);
    // Not answered to the end yet: the time-out is the write's from now on.
    if (!connection->is_closed && !connection->is_feeding)
        was_paused ? http_connection_go_on(connection) : http_connection_settle(connection);
}

void http_respond_text(struct http_request *request, unsigned status, const char *content_type,
                       struct str text)
{
    struct http_header header = {STR("Content-Type"), str_of(content_type)};
    struct http_response response = {
        .status = status,
        .headers = &header,
        .header_count = content_type ? 1 : 0,
        .body_kind = text.size > 0 ? HTTP_BODY_COPY : HTTP_BODY_NONE,
        .text = text,
    };
    http_respond(request, &response);
}
