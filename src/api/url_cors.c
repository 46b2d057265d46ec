/* SPDX-License-Identifier: MIT
 *
 * CORS of function URLs: the platform answers, so a function with a Cors setting cannot say otherwise.
 */

#include "api/url.h"

bool url_cors_is_preflight(const struct url_call *url)
{
    const struct http_request *request = url->call->request;
    return request->method == HTTP_METHOD_OPTIONS && http_request_header(request, "origin").data &&
           http_request_header(request, "access-control-request-method").data;
}

/* Joined by commas, in the request's arena; data == NULL for an absent list. */
static struct str join(struct arena *arena, yyjson_val *list)
{
    AUTO_BUF struct buf text = BUF_INIT(64 * 1024);
    yyjson_arr_iter iter;
    yyjson_val *item;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0)
        return (struct str){NULL, 0};
    yyjson_arr_iter_init(list, &iter);
    while ((item = yyjson_arr_iter_next(&iter)) != NULL) {
        buf_append_text(&text, text.size ? "," : "");
        buf_append_str(&text, json_str(item));
    }
    return arena_copy_str(arena, buf_str(&text));
}

static bool is_listed(yyjson_val *list, struct str wanted, bool *ret_is_any)
{
    yyjson_arr_iter iter;
    yyjson_val *item;
    bool is_there = false;
    *ret_is_any = false;
    yyjson_arr_iter_init(list, &iter);
    while ((item = yyjson_arr_iter_next(&iter)) != NULL) {
        *ret_is_any |= str_equal(json_str(item), STR("*"));
        is_there |= str_equal_nocase(json_str(item), wanted);
    }
    return is_there || *ret_is_any;
}

static void add(struct http_header *headers, size_t *n, size_t capacity, struct str name,
                struct str value)
{
    if (value.data && *n < capacity)
        headers[(*n)++] = (struct http_header){name, value};
}

static void append_preflight(struct arena *arena, yyjson_val *cors, struct http_header *headers,
                             size_t *n, size_t capacity)
{
    int64_t age;
    add(headers, n, capacity, STR("Access-Control-Allow-Methods"),
        join(arena, json_member(cors, "AllowMethods")));
    add(headers, n, capacity, STR("Access-Control-Allow-Headers"),
        join(arena, json_member(cors, "AllowHeaders")));
    if (json_member_i64(cors, "MaxAge", 0, 86400, &age) == 0) {
        char *text = arena_printf(arena, "%lld", (long long) age);
        add(headers, n, capacity, STR("Access-Control-Max-Age"), str_of(text));
    }
}

void url_cors_append(const struct url_call *url, bool is_preflight, struct http_header *headers,
                     size_t *n_headers, size_t capacity)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    const struct http_request *request = url->call->request;
    if (!url->cors || !request ||
        json_parse(str_of(url->cors), ATTACHMENT_JSON_MAX, &doc, NULL) < 0)
        return;
    yyjson_val *cors = yyjson_doc_get_root(doc);
    struct str origin = http_request_header(request, "origin");
    bool is_any;
    bool with_credentials = false;
    if (!origin.data || !is_listed(json_member(cors, "AllowOrigins"), origin, &is_any))
        return;
    (void) !json_member_bool(cors, "AllowCredentials", &with_credentials); /* absent: false */
    /* With credentials a wildcard is not allowed: the origin is named, and caches must know. */
    add(headers, n_headers, capacity, STR("Access-Control-Allow-Origin"),
        is_any && !with_credentials ? STR("*") : origin);
    add(headers, n_headers, capacity, STR("Vary"), STR("Origin"));
    if (with_credentials)
        add(headers, n_headers, capacity, STR("Access-Control-Allow-Credentials"), STR("true"));
    if (is_preflight)
        append_preflight(request->arena, cors, headers, n_headers, capacity);
    else
        add(headers, n_headers, capacity, STR("Access-Control-Expose-Headers"),
            join(request->arena, json_member(cors, "ExposeHeaders")));
}
