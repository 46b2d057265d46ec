/* SPDX-License-Identifier: MIT
 *
 * What the function behind a URL answered, as an HTTP response.
 *
 *   {"statusCode":..., "headers":{...}, "cookies":[...], "body":"...", "isBase64Encoded":...}
 *
 * An answer without statusCode is the body itself (200, application/json; a string without its quotes).
 * What cannot be a response is 502, as a function that failed.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/url.h"
#include "base/base64.h"
#include "base/limits.h"
#include "base/mem.h"

/* Above this size the answer is parsed by a job. */
#define PARSE_INLINE_MAX ((size_t) 256 * 1024)

struct answering {
    struct url_call *url;
    struct buf payload;
    yyjson_doc *doc;
    int parsed;
    char *trace_id; /* owned, or NULL */
    struct url_head head;
    struct buf body;
};

static void answering_free(struct answering *answering)
{
    buf_done(&answering->payload);
    buf_done(&answering->body);
    yyjson_doc_free(answering->doc);
    free(answering->trace_id);
    free(answering);
}

void url_refuse(struct url_call *url, unsigned status, const char *type, const char *message)
{
    struct call *call = url->call;
    struct http_header headers[URL_HEADERS_OURS] = {
        {STR("Content-Type"), STR("application/json")},
        {STR("x-amzn-ErrorType"), str_of(type)},
    };
    size_t n = 2;
    struct buf json = BUF_INIT(4096);
    buf_append_text(&json, "{\"Message\":");
    json_append_string(&json, str_of(message));
    buf_append_byte(&json, '}');
    url_cors_append(url, false, headers, &n, URL_HEADERS_OURS - 1);
    struct http_response response = {.status = status, .body_kind = HTTP_BODY_BUF, .buf = json};
    call->work = NULL;
    call_answer(call, &response, headers, n, URL_HEADERS_OURS);
    url_free(url);
}

/* Framing and connection headers are the server's; with a Cors setting those of CORS are the platform's. */
static bool is_ours(const struct url_call *url, struct str name)
{
    static const char *const names[] = {
        "connection", "content-length",    "date",    "keep-alive",       "proxy-connection", "te",
        "trailer",    "transfer-encoding", "upgrade", "x-amzn-requestid",
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (str_equal_nocase(name, str_of(names[i])))
            return true;
    return url->cors && name.size > 15 &&
           str_equal_nocase(str_part(name, 0, 15), STR("access-control-"));
}

/* A token of RFC 9110, section 5.6.2. */
static bool is_header_name(struct str name)
{
    for (size_t i = 0; i < name.size; i++) {
        unsigned char c = (unsigned char) name.data[i];
        bool is_alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!is_alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return name.size > 0;
}

/* A line end in a value would let a function write headers and bodies of its own making. */
static bool is_header_value(struct str value)
{
    for (size_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char) value.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static int add_header(struct url_head *head, struct str name, struct str value)
{
    if (!is_header_name(name) || !is_header_value(value) || head->n_headers == URL_HEADERS_MAX)
        return -EINVAL;
    head->headers[head->n_headers++] = (struct http_header){name, value};
    return 0;
}

/* Numbers and booleans are fine as values. */
static int header_value(struct arena *arena, yyjson_val *value, struct str *ret)
{
    *ret = json_str(value);
    if (yyjson_is_str(value))
        return 0;
    if (!yyjson_is_num(value) && !yyjson_is_bool(value))
        return -EINVAL;
    AUTO_FREE char *text = yyjson_val_write(value, YYJSON_WRITE_NOFLAG, NULL);
    *ret = text ? arena_copy_str(arena, str_of(text)) : (struct str){NULL, 0};
    return ret->data ? 0 : -EINVAL;
}

static int add_headers(const struct url_call *url, struct url_head *head, yyjson_val *headers)
{
    yyjson_obj_iter iter;
    yyjson_val *key;
    if (headers && !yyjson_is_obj(headers))
        return -EINVAL;
    yyjson_obj_iter_init(headers, &iter);
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        struct str value;
        if (is_ours(url, json_str(key)))
            continue;
        int r = header_value(url->call->request->arena, yyjson_obj_iter_get_val(key), &value);
        if (r == 0)
            r = add_header(head, json_str(key), value);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_cookies(struct url_head *head, yyjson_val *cookies)
{
    yyjson_arr_iter iter;
    yyjson_val *cookie;
    if (cookies && !yyjson_is_arr(cookies))
        return -EINVAL;
    yyjson_arr_iter_init(cookies, &iter);
    while ((cookie = yyjson_arr_iter_next(&iter)) != NULL) {
        if (!yyjson_is_str(cookie) || add_header(head, STR("Set-Cookie"), json_str(cookie)) < 0)
            return -EINVAL;
    }
    return 0;
}

static int add_body(struct answering *answering, yyjson_val *root)
{
    yyjson_val *body = json_member(root, "body");
    bool is_base64 = false;
    struct str text = json_str(body);
    if (body && !yyjson_is_str(body))
        return -EINVAL;
    if (json_member_bool(root, "isBase64Encoded", &is_base64) == -EINVAL)
        return -EINVAL;
    if (!is_base64)
        return buf_append_str(&answering->body, text);
    int r = buf_reserve(&answering->body, text.size + 4);
    if (r < 0)
        return r;
    ptrdiff_t size = base64_decode(text, answering->body.data);
    if (size < 0)
        return -EINVAL;
    buf_advance(&answering->body, (size_t) size);
    return 0;
}

static bool has_content_type(const struct url_head *head)
{
    for (size_t i = 0; i < head->n_headers; i++)
        if (str_equal_nocase(head->headers[i].name, STR("content-type")))
            return true;
    return false;
}

int url_head_read(struct url_head *head, const struct url_call *url, yyjson_val *root)
{
    int64_t status;
    if (json_member_i64(root, "statusCode", 200, 599, &status) < 0)
        return -EINVAL;
    head->status = (unsigned) status;
    int r = add_headers(url, head, json_member(root, "headers"));
    return r == 0 ? add_cookies(head, json_member(root, "cookies")) : r;
}

void url_head_complete(struct url_head *head, const struct url_call *url, struct str content_type,
                       struct str trace_id)
{
    if (!has_content_type(head))
        head->headers[head->n_headers++] = (struct http_header){STR("Content-Type"), content_type};
    if (trace_id.size > 0)
        head->headers[head->n_headers++] = (struct http_header){STR("X-Amzn-Trace-Id"), trace_id};
    url_cors_append(url, false, head->headers, &head->n_headers, ARRAY_SIZE(head->headers) - 1);
}

/* An object with statusCode says everything. */
static int read_object(struct answering *answering, yyjson_val *root)
{
    int r = url_head_read(&answering->head, answering->url, root);
    return r == 0 ? add_body(answering, root) : r;
}

static int read_answer(struct answering *answering)
{
    yyjson_val *root = yyjson_doc_get_root(answering->doc);
    buf_init(&answering->body, (size_t) LIMIT_RESPONSE_SYNC_MAX + 4);
    answering->head.status = 200;
    if (answering->parsed < 0)
        return -EINVAL;
    if (yyjson_is_obj(root) && json_member(root, "statusCode"))
        return read_object(answering, root);
    if (yyjson_is_str(root))
        return buf_append_str(&answering->body, json_str(root));
    answering->body = answering->payload;
    buf_init(&answering->payload, 0);
    return 0;
}

static void respond(struct answering *answering)
{
    struct url_call *url = answering->url;
    struct call *call = url->call;
    struct url_head *head = &answering->head;
    bool has_body = url_head_has_body(head);
    struct http_response response = {
        .status = head->status,
        .body_kind = has_body ? HTTP_BODY_BUF : HTTP_BODY_NONE,
    };
    url_head_complete(head, url, STR("application/json"), str_of(answering->trace_id));
    if (has_body) {
        response.buf = answering->body;
        buf_init(&answering->body, 0);
    }
    call_answer(call, &response, head->headers, head->n_headers, ARRAY_SIZE(head->headers));
    url_free(url);
    answering_free(answering);
}

static void finish(struct answering *answering)
{
    struct url_call *url = answering->url;
    if (!url->call->request) { /* the client went while a job ran */
        call_free(url->call);
        url_free(url);
        answering_free(answering);
        return;
    }
    if (read_answer(answering) == 0) {
        respond(answering);
        return;
    }
    answering_free(answering);
    url_refuse(url, 502, "ServiceException", "Internal Server Error");
}

static void parse(void *arg)
{
    struct answering *answering = arg;
    answering->parsed = json_parse(buf_str(&answering->payload), (size_t) LIMIT_RESPONSE_SYNC_MAX,
                                   &answering->doc, NULL);
}

static void parsed(void *arg, int status)
{
    struct answering *answering = arg;
    if (status < 0)
        answering->parsed = status;
    finish(answering);
}

void url_answer(struct url_call *url, struct invocation_result *result)
{
    struct answering *answering = NULL;
    if (result->outcome != INVOCATION_FUNCTION_ERROR)
        answering = mem_new(struct answering);
    if (!answering) {
        url_refuse(url, 502, "ServiceException", "Internal Server Error");
        return;
    }
    answering->url = url;
    answering->payload = result->payload;
    buf_init(&result->payload, 0);
    if (result->trace_id.size > 0)
        answering->trace_id = str_copy_heap(result->trace_id);
    if (answering->payload.size <= PARSE_INLINE_MAX) {
        parse(answering);
        finish(answering);
    } else if (job_submit(url->call->api->jobs, parse, parsed, answering) < 0) {
        answering_free(answering);
        url_refuse(url, 503, "ServiceUnavailableException", "Service Unavailable");
    }
}
