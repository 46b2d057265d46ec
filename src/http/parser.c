// SPDX-License-Identifier: MIT

#include "http/parser.h"

#include <assert.h>

#define HEAD_BYTES_FIRST 1024
#define HEAD_BYTES_KEPT 4096
#define HEAD_HEADERS_FIRST 16
#define HEAD_HEADERS_KEPT 64

// ---- Heads

size_t http_head_bytes(const struct http_head *head)
{
    return head->capacity + head->header_capacity * sizeof(struct http_header);
}

void http_head_done(struct http_head *head)
{
    free(head->bytes);
    free(head->headers);
    *head = (struct http_head){0};
}

void http_head_clear(struct http_head *head)
{
    if (head->capacity > HEAD_BYTES_KEPT || head->header_capacity > HEAD_HEADERS_KEPT)
        http_head_done(head);
    head->size = head->header_count = head->target_size = head->wire_bytes = 0;
}

static bool head_append(struct http_head *head, const char *data, size_t size)
{
    if (size > head->capacity - head->size) {
        size_t capacity = head->capacity ? head->capacity : HEAD_BYTES_FIRST;
        while (capacity - head->size < size)
            capacity *= 2;
        char *bytes = realloc(head->bytes, capacity);
        if (!bytes)
            return false;
        head->bytes = bytes;
        head->capacity = capacity;
    }
    if (size > 0)
        memcpy(head->bytes + head->size, data, size);
    head->size += size;
    return true;
}

static bool head_add_header(struct http_head *head)
{
    if (head->header_count == head->header_capacity) {
        size_t capacity = head->header_capacity ? head->header_capacity * 2 : HEAD_HEADERS_FIRST;
        struct http_header *headers = realloc(head->headers, capacity * sizeof(*headers));
        if (!headers)
            return false;
        head->headers = headers;
        head->header_capacity = capacity;
    }
    head->headers[head->header_count++] = (struct http_header){{NULL, 0}, {NULL, 0}};
    return true;
}

// ---- llhttp's callbacks: collect, and stop at events

static int fault(struct http_parser *parser, unsigned status, const char *why)
{
    if (parser->fault_status == 0) {
        parser->fault_status = status;
        parser->fault_why = why;
    }
    return HPE_USER;
}

static struct http_parser *parser_of(llhttp_t *llhttp)
{
    return container_of(llhttp, struct http_parser, llhttp);
}

// Where a header goes: trailers are kept apart, so that none is ever taken for a header.
static struct http_head *current(struct http_parser *parser)
{
    return parser->is_head_done ? parser->trailers : parser->head;
}

static int on_bytes(struct http_parser *parser, const char *at, size_t size)
{
    struct http_head *head = current(parser);
    if (head->size + size > parser->limits->head_bytes_max)
        return fault(parser, 431, "the request's head is too long");
    if (!head_append(head, at, size))
        return fault(parser, 503, "no memory for the request's head");
    return 0;
}

static int on_url(llhttp_t *llhttp, const char *at, size_t size)
{
    struct http_parser *parser = parser_of(llhttp);
    parser->head->target_size += size;
    return on_bytes(parser, at, size);
}

// A name may come in pieces; a header begins where the last one's value has ended, which the flag
// of an unfinished name tells: its value's data pointer is still NULL.
static int on_header_field(llhttp_t *llhttp, const char *at, size_t size)
{
    struct http_parser *parser = parser_of(llhttp);
    struct http_head *head = current(parser);
    if (size == 0)
        return 0;
    bool is_new = head->header_count == 0 || head->headers[head->header_count - 1].value.data;
    if (is_new) {
        if (head->header_count == parser->limits->headers_max)
            return fault(parser, 431, "too many headers");
        if (!head_add_header(head))
            return fault(parser, 503, "no memory for the request's head");
    }
    int r = on_bytes(parser, at, size);
    if (r != 0)
        return r;
    char *name = head->bytes + head->size - size;
    for (size_t i = 0; i < size; i++)
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char) (name[i] | 0x20);
    head->headers[head->header_count - 1].name.size += size;
    return 0;
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t size)
{
    struct http_parser *parser = parser_of(llhttp);
    struct http_head *head = current(parser);
    head->headers[head->header_count - 1].value.size += size;
    return on_bytes(parser, at, size);
}

static int on_header_value_complete(llhttp_t *llhttp)
{
    struct http_head *head = current(parser_of(llhttp));
    head->headers[head->header_count - 1].value.data = ""; // "has ended"
    return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
    struct http_parser *parser = parser_of(llhttp);
    // `Upgrade: h2c` (Java's HttpClient, curl --http2) would make llhttp leave HTTP and lose a
    // chunked body. Nothing here can be upgraded to, and a server may ignore the offer.
    llhttp->upgrade = 0;
    parser->is_head_done = true;
    parser->event = HTTP_EVENT_HEAD;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t size)
{
    struct http_parser *parser = parser_of(llhttp);
    if (size == 0)
        return 0;
    parser->event = HTTP_EVENT_BODY;
    parser->piece = at;
    parser->piece_size = size;
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *llhttp)
{
    parser_of(llhttp)->event = HTTP_EVENT_END;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

// ---- Steps

void http_parser_init(struct http_parser *parser, const struct http_server_config *limits)
{
    *parser = (struct http_parser){.limits = limits};
    // llhttp only reads the settings, but its parameter is not const.
    llhttp_settings_t *shared = (llhttp_settings_t *) (uintptr_t) &settings;
    llhttp_init(&parser->llhttp, HTTP_REQUEST, shared);
}

void http_parser_begin(struct http_parser *parser, struct http_head *head,
                       struct http_head *trailers)
{
    parser->head = head;
    parser->trailers = trailers;
    parser->is_head_done = false;
}

static enum http_event step_fault(struct http_parser *parser, llhttp_errno_t error)
{
    if (parser->fault_status == 0) {
        const char *reason = llhttp_get_error_reason(&parser->llhttp);
        bool is_version = error == HPE_PAUSED_H2_UPGRADE ||
                          (error == HPE_INVALID_VERSION && reason && strstr(reason, "version"));
        bool is_line_end = reason && strstr(reason, "CRLF");
        parser->fault_status = is_version && !is_line_end ? 505 : 400;
        parser->fault_why = reason && *reason ? reason : "malformed request";
    }
    return parser->event = HTTP_EVENT_FAULT;
}

enum http_event http_parser_step(struct http_parser *parser, const char *data, size_t size,
                                 size_t *ret_used)
{
    llhttp_t *llhttp = &parser->llhttp;
    *ret_used = size;
    if (parser->event == HTTP_EVENT_FAULT)
        return HTTP_EVENT_FAULT;
    if (parser->event != HTTP_EVENT_MORE)
        llhttp_resume(llhttp);
    bool was_head_done = parser->is_head_done;
    parser->event = HTTP_EVENT_MORE;
    llhttp_errno_t error = llhttp_execute(llhttp, data ? data : "", size);
    if (error == HPE_PAUSED)
        *ret_used = data ? (size_t) (llhttp_get_error_pos(llhttp) - data) : 0;
    else if (error != HPE_OK)
        return step_fault(parser, error);

    // Space around values and line ends are no callback's: only a count of the wire's bytes sees a
    // head that consists of them.
    if (!was_head_done) {
        parser->head->wire_bytes += *ret_used;
        if (parser->head->wire_bytes > parser->limits->head_bytes_max) {
            fault(parser, 431, "the request's head is too long");
            return parser->event = HTTP_EVENT_FAULT;
        }
    }
    return parser->event;
}

bool http_parser_can_keep_alive(const struct http_parser *parser)
{
    // HTTP/1.0 clients that ask for keep-alive need to be told so; closing is always right.
    return parser->llhttp.http_minor == 1 && llhttp_should_keep_alive(&parser->llhttp);
}

// ---- From a head to a request

static bool finish_fault(struct http_parser *parser, unsigned status, const char *why)
{
    fault(parser, status, why);
    parser->event = HTTP_EVENT_FAULT;
    return false;
}

static struct str trim_value(struct str value)
{
    while (value.size > 0 &&
           (value.data[value.size - 1] == ' ' || value.data[value.size - 1] == '\t'))
        value.size--;
    return value;
}

// Sizes become views: everything lies in the head's bytes one after another.
static void make_views(struct http_head *head)
{
    const char *at = head->bytes + head->target_size;
    for (size_t i = 0; i < head->header_count; i++) {
        struct http_header *header = &head->headers[i];
        header->name.data = at;
        at += header->name.size;
        header->value.data = at;
        at += header->value.size;
        header->value = trim_value(header->value);
    }
}

void http_parser_finish_trailers(struct http_parser *parser)
{
    if (parser->trailers->header_count > 0)
        make_views(parser->trailers);
}

static enum http_method method_of(uint8_t method)
{
    switch (method) {
    case HTTP_DELETE:
        return HTTP_METHOD_DELETE;
    case HTTP_GET:
        return HTTP_METHOD_GET;
    case HTTP_HEAD:
        return HTTP_METHOD_HEAD;
    case HTTP_OPTIONS:
        return HTTP_METHOD_OPTIONS;
    case HTTP_PATCH:
        return HTTP_METHOD_PATCH;
    case HTTP_POST:
        return HTTP_METHOD_POST;
    case HTTP_PUT:
        return HTTP_METHOD_PUT;
    default:
        return HTTP_METHOD_OTHER;
    }
}

// A name or address, perhaps with a port; nothing that could be read as user info or a path.
static bool is_host(struct str host)
{
    for (size_t i = 0; i < host.size; i++) {
        char c = host.data[i];
        bool is_name = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_name && !strchr("-._~:[]%", c))
            return false;
    }
    return host.size > 0;
}

static bool finish_host(struct http_parser *parser, struct http_request *request)
{
    size_t count = http_request_header_count(request, "host");
    request->host = http_request_header(request, "host");
    if (count > 1)
        return finish_fault(parser, 400, "more than one Host header");
    if (count == 0 && parser->llhttp.http_minor == 1)
        return finish_fault(parser, 400, "no Host header");
    if (count == 1 && !is_host(request->host))
        return finish_fault(parser, 400, "malformed Host header");
    return true;
}

// http://authority/path?query. The authority would replace Host (RFC 9112 3.2.2); where the two
// differ, somebody before us may have routed by the other one.
static bool finish_absolute_target(struct http_parser *parser, struct http_request *request)
{
    struct str rest = str_skip(request->target, sizeof("http://") - 1);
    ptrdiff_t slash = str_find(rest, '/');
    struct str authority = slash < 0 ? rest : str_part(rest, 0, (size_t) slash);
    if (!str_equal_nocase(authority, request->host))
        return finish_fault(parser, 400, "the target's authority is not the Host header's");
    request->target = slash < 0 ? STR("/") : str_skip(rest, (size_t) slash);
    return true;
}

static bool finish_target(struct http_parser *parser, struct http_request *request)
{
    struct str target = request->target;
    for (size_t i = 0; i < target.size; i++)
        if (target.data[i] <= 0x20 || target.data[i] >= 0x7f || target.data[i] == '#')
            return finish_fault(parser, 400, "a byte in the target that must be encoded");
    if (str_equal(target, STR("*"))) {
        if (request->method != HTTP_METHOD_OPTIONS)
            return finish_fault(parser, 400, "malformed target");
    } else if (str_equal_nocase(str_part(target, 0, sizeof("http://") - 1), STR("http://"))) {
        if (!finish_absolute_target(parser, request))
            return false;
    } else if (!str_has_prefix(target, STR("/"))) {
        return finish_fault(parser, 400, "malformed target");
    }
    request->has_query = str_cut(request->target, '?', &request->path, &request->query);
    return true;
}

static bool finish_framing(struct http_parser *parser, struct http_request *request)
{
    size_t codings = http_request_header_count(request, "transfer-encoding");
    if (codings > 0 && parser->llhttp.http_minor == 0)
        return finish_fault(parser, 400, "Transfer-Encoding in HTTP/1.0");
    struct str coding = http_request_header(request, "transfer-encoding");
    if (codings > 1 || (codings == 1 && !str_equal_nocase(coding, STR("chunked"))))
        return finish_fault(parser, 400, "unsupported Transfer-Encoding");
    size_t lengths = http_request_header_count(request, "content-length");
    if (lengths > 1 || (lengths == 1 && codings == 1))
        return finish_fault(parser, 400, "more than one length");
    request->is_chunked = codings == 1;
    request->content_length = lengths == 1 ? parser->llhttp.content_length : 0;
    request->has_body = request->is_chunked || request->content_length > 0;
    return true;
}

static bool finish_expect(struct http_parser *parser, struct http_request *request)
{
    size_t count = http_request_header_count(request, "expect");
    if (count == 0 || parser->llhttp.http_minor == 0)
        return true;
    struct str value = http_request_header(request, "expect");
    if (count == 1 && value.size == 0) // a list of none (RFC 9110, section 10.1.1)
        return true;
    if (count > 1 || !str_equal_nocase(value, STR("100-continue")))
        return finish_fault(parser, 417, "unknown expectation");
    request->expects_continue = request->has_body;
    return true;
}

bool http_parser_finish_head(struct http_parser *parser, struct http_request *request)
{
    llhttp_t *llhttp = &parser->llhttp;
    if (llhttp->http_major != 1 || llhttp->http_minor > 1)
        return finish_fault(parser, 505, "HTTP/1.0 and HTTP/1.1 are spoken here");
    make_views(parser->head);
    request->target = (struct str){parser->head->bytes, parser->head->target_size};
    request->headers = parser->head->headers;
    request->header_count = parser->head->header_count;
    request->method = method_of(llhttp->method);
    request->method_text = str_of(llhttp_method_name((llhttp_method_t) llhttp->method));
    if (llhttp->method == HTTP_CONNECT)
        return finish_fault(parser, 405, "CONNECT is not served");
    return finish_host(parser, request) && finish_target(parser, request) &&
           finish_framing(parser, request) && finish_expect(parser, request);
}
