// SPDX-License-Identifier: MIT
//
// Answers of unknown length. What the kernel does not take at once is queued by libuv; the queue's
// length is what a writer is told to wait for.

#include "http/connection.h"

#include <assert.h>
#include <errno.h>

#define CHUNK_FRAME_MAX 24 // size in hex, and two line ends

static struct http_exchange *exchange_of(struct http_request *request)
{
    struct http_exchange *exchange = container_of(request, struct http_exchange, request);
    assert(exchange->is_streaming);
    return exchange;
}

static size_t waiting(const struct http_connection *connection)
{
    return connection->handle.stream.write_queue_size;
}

// Half empty before the writer goes on: it wakes for many bytes, not for each.
void http_stream_on_written(struct http_connection *connection, int status)
{
    struct http_exchange *exchange = connection->exchange;
    if (!exchange || !exchange->is_streaming)
        return;
    if (!connection->is_feeding)
        http_connection_settle(connection);
    if (connection->is_closed || waiting(connection) > HTTP_STREAM_QUEUE_MAX / 2)
        return;
    void (*drained)(struct http_request * request) = exchange->drained;
    exchange->drained = NULL;
    if (drained)
        drained(&exchange->request);
}

static int put_piece(const struct http_exchange *exchange, struct str data, struct buf *piece)
{
    bool is_chunked = http_answer_is_chunked(exchange);
    if (is_chunked)
        buf_printf(piece, "%zx\r\n", data.size);
    buf_append_str(piece, data);
    if (is_chunked)
        buf_append_str(piece, STR("\r\n"));
    return buf_status(piece);
}

// A write that fails closes the connection at the end of the turn, so the request outlives this.
bool http_stream_write(struct http_request *request, struct str data,
                       void (*drained)(struct http_request *request))
{
    struct http_exchange *exchange = exchange_of(request);
    struct http_connection *connection = exchange->connection;
    // An empty chunk would be the last one.
    if (!connection || connection->is_broken || data.size == 0 ||
        request->method == HTTP_METHOD_HEAD)
        return true;
    struct buf piece = BUF_INIT(data.size + CHUNK_FRAME_MAX);
    if (buf_reserve(&piece, piece.maximum) < 0 || put_piece(exchange, data, &piece) < 0) {
        buf_done(&piece);
        http_connection_break(connection);
        return true;
    }
    exchange->drained = NULL;
    http_write(connection, STR(""), &piece, http_stream_on_written);
    if (!connection->is_feeding)
        http_connection_settle(connection);
    if (connection->is_broken || waiting(connection) <= HTTP_STREAM_QUEUE_MAX)
        return true;
    exchange->drained = drained;
    return false;
}

static void on_end_written(struct http_connection *connection, int status)
{
    if (connection->exchange)
        http_answer_done(connection->exchange, status);
}

void http_stream_end(struct http_request *request)
{
    struct http_exchange *exchange = exchange_of(request);
    struct http_connection *connection = exchange->connection;
    exchange->drained = NULL;
    exchange->on_gone = NULL;
    if (!connection) {
        http_answer_done(exchange, -ECONNRESET);
        return;
    }
    if (connection->is_broken) {
        http_stream_abort(request); // something is missing: its end must not look like one
        return;
    }
    bool has_end = http_answer_is_chunked(exchange) && request->method != HTTP_METHOD_HEAD;
    struct buf nothing = BUF_INIT(0);
    exchange->is_streaming = false; // its end is an answer's like others
    http_write(connection, has_end ? STR("0\r\n\r\n") : STR(""), &nothing, on_end_written);
    if (!connection->is_closed && !connection->is_feeding)
        http_connection_settle(connection);
}

void http_stream_abort(struct http_request *request)
{
    struct http_exchange *exchange = exchange_of(request);
    struct http_connection *connection = exchange->connection;
    exchange->drained = NULL;
    exchange->on_gone = NULL;
    exchange->is_streaming = false;
    if (connection)
        http_connection_close(connection); // ends in http_answer_done
    else
        http_answer_done(exchange, -ECONNRESET);
}
