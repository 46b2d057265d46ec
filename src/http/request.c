// SPDX-License-Identifier: MIT

#include "http/connection.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>

// Longer bodies are hashed as they arrive: 6 MB in one go would stop the loop for 4 ms.
#define HASH_AT_ONCE_BYTES 65536
// A kept body's memory is taken at once up to here, and grows with what arrives beyond.
#define RESERVE_BYTES 65536

static struct http_exchange *exchange_of(const struct http_request *request)
{
    return container_of((uintptr_t) request, struct http_exchange, request);
}

// ---- Exchanges

struct http_exchange *http_exchange_new(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    struct list *link = list_take_first(&server->pooled);
    struct http_exchange *exchange;
    if (link) {
        exchange = LIST_ENTRY(link, struct http_exchange, link);
        server->pooled_count--;
    } else {
        exchange = calloc(1, sizeof(*exchange));
        if (!exchange)
            return NULL;
        arena_init(&exchange->arena, server->config.arena_bytes_max);
    }
    exchange->server = server;
    exchange->connection = connection;
    exchange->request.arena = &exchange->arena;
    exchange->request.server_user = connection->listener->user;
    exchange->request.connection_id = connection->id;
    exchange->request.received_ms = loop_now_ms(server->loop);
    buf_init(&exchange->request.body, 0);
    return exchange;
}

static void uncount_body(struct http_exchange *exchange)
{
    exchange->server->stats.bodies_bytes -= exchange->body_counted;
    exchange->body_counted = 0;
}

// The arena's first chunk and a small head's memory stay with a pooled exchange.
void http_exchange_free(struct http_exchange *exchange)
{
    struct http_server *server = exchange->server;
    uncount_body(exchange);
    buf_done(&exchange->request.body);
    if (exchange->has_stream_digest)
        digest_stream_done(&exchange->digest_stream);
    http_head_clear(&exchange->head);
    http_head_done(&exchange->trailers);
    server->stats.heads_bytes -= exchange->heads_counted;
    if (server->pooled_count >= HTTP_EXCHANGES_POOLED) {
        http_head_done(&exchange->head);
        arena_done(&exchange->arena);
        free(exchange);
        return;
    }
    arena_reset(&exchange->arena);
    struct http_head head = exchange->head;
    struct arena arena = exchange->arena;
    *exchange = (struct http_exchange){.server = server, .head = head, .arena = arena};
    list_add_first(&server->pooled, &exchange->link);
    server->pooled_count++;
}

void http_exchange_account(struct http_exchange *exchange)
{
    struct http_server *server = exchange->server;
    bool is_unfinished = !exchange->connection->parser.is_head_done;
    size_t bytes = is_unfinished ? http_head_bytes(&exchange->head) : 0;
    server->stats.heads_bytes += bytes - exchange->heads_counted;
    exchange->heads_counted = bytes;
}

// A handler that has its body, and did not ask to hear of this, will answer some day: the request
// waits for it. One that still waits for its body would never be called again.
static void tell_gone(struct http_exchange *exchange)
{
    exchange->server->stats.gone_total++;
    if (!exchange->on_gone && exchange->mode == HTTP_MODE_DISCARD)
        return;
    exchange->is_answered = true;
    if (exchange->on_gone)
        exchange->on_gone(&exchange->request);
    http_answer_done(exchange, -ECONNRESET);
}

void http_exchange_gone(struct http_exchange *exchange)
{
    exchange->connection = NULL;
    if (exchange->file)
        http_file_abandon(exchange->file); // ends in http_answer_done
    else if (exchange->is_answered && !exchange->is_streaming)
        http_answer_done(exchange, -ECONNRESET);
    else if (exchange->mode == HTTP_MODE_UNDECIDED)
        http_exchange_free(exchange); // no handler has seen it
    else
        tell_gone(exchange);
}

// ---- What handlers ask

static struct str header_of(const struct http_header *headers, size_t count, const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < count; i++)
        if (headers[i].name.size == size && memcmp(headers[i].name.data, name, size) == 0)
            return headers[i].value;
    return (struct str){NULL, 0};
}

struct str http_request_header(const struct http_request *request, const char *name)
{
    return header_of(request->headers, request->header_count, name);
}

size_t http_request_header_count(const struct http_request *request, const char *name)
{
    size_t size = strlen(name), count = 0;
    for (size_t i = 0; i < request->header_count; i++)
        count += request->headers[i].name.size == size &&
                 memcmp(request->headers[i].name.data, name, size) == 0;
    return count;
}

struct str http_request_trailer(const struct http_request *request, const char *name)
{
    const struct http_exchange *exchange = exchange_of(request);
    assert(exchange->is_input_done || !request->has_body);
    return header_of(exchange->trailers.headers, exchange->trailers.header_count, name);
}

static bool peer_address(const struct http_request *request, struct sockaddr_storage *ret_address)
{
    const struct http_connection *connection = exchange_of(request)->connection;
    int size = sizeof(*ret_address);
    memset(ret_address, 0, sizeof(*ret_address));
    return connection && !connection->is_pipe &&
           uv_tcp_getpeername(&connection->handle.tcp, (struct sockaddr *) ret_address, &size) == 0;
}

void http_request_peer(const struct http_request *request, char ret_text[HTTP_ADDRESS_TEXT_MAX])
{
    const struct http_connection *connection = exchange_of(request)->connection;
    struct sockaddr_storage address;
    snprintf(ret_text, HTTP_ADDRESS_TEXT_MAX, "%s",
             connection && connection->is_pipe ? "unix" : "?");
    if (!peer_address(request, &address))
        return;
    if (address.ss_family == AF_INET6)
        uv_ip6_name((struct sockaddr_in6 *) &address, ret_text, HTTP_ADDRESS_TEXT_MAX);
    else
        uv_ip4_name((struct sockaddr_in *) &address, ret_text, HTTP_ADDRESS_TEXT_MAX);
}

bool http_request_is_loopback(const struct http_request *request)
{
    struct sockaddr_storage address;
    if (!peer_address(request, &address))
        return false;
    if (address.ss_family == AF_INET)
        return (ntohl(((struct sockaddr_in *) &address)->sin_addr.s_addr) >> 24) == 127;
    const struct in6_addr *v6 = &((struct sockaddr_in6 *) &address)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

void http_request_on_gone(struct http_request *request, void (*gone)(struct http_request *request))
{
    exchange_of(request)->on_gone = gone;
}

// ---- Hashing

void http_request_hash_body(struct http_request *request)
{
    struct http_exchange *exchange = exchange_of(request);
    assert(exchange->mode == HTTP_MODE_UNDECIDED);
    exchange->is_hashing = true;
}

const uint8_t *http_request_body_sha256(const struct http_request *request)
{
    const struct http_exchange *exchange = exchange_of(request);
    assert(exchange->is_hashing);
    return exchange->digest.bytes;
}

static void hash_more(struct http_exchange *exchange, const void *data, size_t size)
{
    if (!exchange->has_stream_digest) {
        digest_stream_init(&exchange->digest_stream);
        exchange->has_stream_digest = true;
    }
    digest_update(&exchange->digest_stream, data, size);
}

static void hash_end(struct http_exchange *exchange)
{
    if (!exchange->is_hashing)
        return;
    const struct buf *body = &exchange->request.body;
    exchange->digest = exchange->has_stream_digest ? digest_finish(&exchange->digest_stream)
                                                   : digest_of(body->data, body->size);
}

// ---- Bodies

static void send_continue(struct http_exchange *exchange)
{
    if (!exchange->is_continue_due)
        return;
    exchange->is_continue_due = false;
    http_answer_continue(exchange->connection);
}

void http_request_keep_body(struct http_request *request, size_t bytes_max,
                            void (*on_body)(struct http_request *request, int status))
{
    struct http_exchange *exchange = exchange_of(request);
    assert(exchange->mode == HTTP_MODE_UNDECIDED && !exchange->is_answered);
    exchange->body_bytes_max = bytes_max;
    exchange->on_body = on_body;
    buf_init(&request->body, bytes_max);
    if (request->content_length > bytes_max) {
        exchange->mode = HTTP_MODE_DISCARD;
        on_body(request, -EFBIG);
        return;
    }
    exchange->mode = HTTP_MODE_KEEP;
    if (request->has_body) {
        send_continue(exchange);
        return;
    }
    exchange->mode = HTTP_MODE_DISCARD; // nothing will come; the end is not to be told again
    hash_end(exchange);
    on_body(request, 0);
}

void http_request_stream_body(struct http_request *request, const struct http_sink *sink)
{
    struct http_exchange *exchange = exchange_of(request);
    assert(exchange->mode == HTTP_MODE_UNDECIDED && !exchange->is_answered);
    exchange->sink = sink;
    exchange->mode = HTTP_MODE_STREAM;
    if (request->has_body) {
        send_continue(exchange);
        return;
    }
    exchange->mode = HTTP_MODE_DISCARD;
    hash_end(exchange);
    sink->on_end(request);
}

void http_request_pause(struct http_request *request)
{
    exchange_of(request)->is_paused = true;
}

void http_request_resume(struct http_request *request)
{
    struct http_exchange *exchange = exchange_of(request);
    if (!exchange->is_paused)
        return;
    exchange->is_paused = false;
    if (exchange->connection)
        http_connection_go_on(exchange->connection);
}

struct buf http_request_take_body(struct http_request *request)
{
    uncount_body(exchange_of(request));
    struct buf body = request->body;
    buf_init(&request->body, 0);
    return body;
}

static int keep(struct http_exchange *exchange, const char *data, size_t size)
{
    struct buf *body = &exchange->request.body;
    struct http_server *server = exchange->server;
    if (size > exchange->body_bytes_max - body->size)
        return -EFBIG;
    uint64_t length = exchange->request.content_length;
    if (body->size == 0 && length > size && length <= RESERVE_BYTES)
        (void) !buf_reserve(body, length); // a failure shows in the append
    if (exchange->is_hashing && body->size + size > HASH_AT_ONCE_BYTES) {
        if (!exchange->has_stream_digest)
            hash_more(exchange, body->data, body->size);
        hash_more(exchange, data, size);
    }
    int r = buf_append(body, data, size);
    if (r < 0)
        return r;
    server->stats.bodies_bytes += body->capacity - exchange->body_counted;
    exchange->body_counted = body->capacity;
    return server->stats.bodies_bytes > server->config.bodies_bytes_total_max ? -ENOMEM : 0;
}

static void drop_body(struct http_exchange *exchange)
{
    uncount_body(exchange);
    buf_done(&exchange->request.body);
    exchange->mode = HTTP_MODE_DISCARD;
}

static void on_kept_piece(struct http_exchange *exchange, const char *data, size_t size)
{
    int r = keep(exchange, data, size);
    if (r == -EFBIG) {
        drop_body(exchange);
        exchange->on_body(&exchange->request, -EFBIG);
    } else if (r < 0) {
        http_connection_fault(exchange->connection, 503, "no memory for more bodies");
    }
}

void http_exchange_on_piece(struct http_exchange *exchange, const char *data, size_t size)
{
    exchange->body_received += size;
    switch (exchange->mode) {
    case HTTP_MODE_KEEP:
        on_kept_piece(exchange, data, size);
        break;
    case HTTP_MODE_STREAM:
        if (exchange->is_hashing)
            hash_more(exchange, data, size);
        exchange->sink->on_data(&exchange->request, data, size);
        break;
    default:
        exchange->body_discarded += size;
    }
}

void http_exchange_on_end(struct http_exchange *exchange)
{
    enum http_body_mode mode = exchange->mode;
    if (mode != HTTP_MODE_KEEP && mode != HTTP_MODE_STREAM)
        return;
    exchange->mode = HTTP_MODE_DISCARD;
    hash_end(exchange);
    if (mode == HTTP_MODE_KEEP)
        exchange->on_body(&exchange->request, 0);
    else
        exchange->sink->on_end(&exchange->request);
}
