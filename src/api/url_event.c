/* SPDX-License-Identifier: MIT
 *
 * The event of a function URL: payload format version 2.0 ("Invoking Lambda function URLs", AWS Lambda
 * Developer Guide).
 */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/url.h"

#include "api/rights.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/percent.h"

static void member(struct buf *json, const char *name, struct str value)
{
    buf_printf(json, ",\"%s\":", name);
    json_append_string(json, value);
}

static bool is_first_of_name(const struct http_request *request, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (str_equal(request->headers[k].name, request->headers[i].name))
            return false;
    return true;
}

/* Cookies have a member of their own; a signature is nothing for the function to see. */
static bool is_hidden(const struct url_call *url, struct str name)
{
    if (str_equal(name, STR("cookie")))
        return true;
    return url->is_iam &&
           (str_equal(name, STR("authorization")) || str_equal(name, STR("x-amz-security-token")));
}

static void append_repeated(struct buf *json, const struct http_request *request, size_t first,
                            char separator)
{
    struct str name = request->headers[first].name;
    AUTO_BUF struct buf joined = BUF_INIT(64 * 1024);
    for (size_t i = first; i < request->header_count; i++) {
        if (!str_equal(request->headers[i].name, name))
            continue;
        if (i > first)
            buf_append_byte(&joined, separator);
        buf_append_str(&joined, request->headers[i].value);
    }
    json_append_string(json, buf_str(&joined));
}

static void append_headers(struct buf *json, const struct url_call *url)
{
    const struct http_request *request = url->call->request;
    char peer[HTTP_ADDRESS_TEXT_MAX];
    http_request_peer(request, peer);
    buf_printf(json, ",\"headers\":{\"x-forwarded-proto\":\"%s\"",
               url->call->api->config.is_tls ? "https" : "http");
    for (size_t i = 0; i < request->header_count; i++) {
        struct str name = request->headers[i].name;
        bool is_ours = str_equal(name, STR("x-forwarded-proto")) ||
                       str_equal(name, STR("x-forwarded-for")) ||
                       str_equal(name, STR("x-forwarded-port"));
        if (is_ours || is_hidden(url, name) || !is_first_of_name(request, i))
            continue;
        buf_append_byte(json, ',');
        json_append_string(json, name);
        buf_append_byte(json, ':');
        append_repeated(json, request, i, ',');
    }
    ptrdiff_t colon = str_find_last(request->host, ':');
    member(json, "x-forwarded-port",
           colon >= 0 ? str_skip(request->host, (size_t) colon + 1) : STR("80"));
    member(json, "x-forwarded-for", str_of(peer));
    buf_append_byte(json, '}');
}

static void append_cookies(struct buf *json, const struct http_request *request)
{
    size_t n = 0;
    for (size_t i = 0; i < request->header_count; i++) {
        struct str rest = request->headers[i].value;
        bool is_more = str_equal(request->headers[i].name, STR("cookie"));
        while (is_more) {
            struct str cookie;
            is_more = str_cut(rest, ';', &cookie, &rest);
            cookie = str_trim(cookie);
            if (cookie.size == 0)
                continue;
            buf_append_text(json, n++ ? "," : ",\"cookies\":[");
            json_append_string(json, cookie);
        }
    }
    if (n)
        buf_append_byte(json, ']');
}

/* A decoded name or value of the query; what is not well-formed stays as it is. */
static struct str decode(struct arena *arena, struct str text)
{
    char *data = arena_alloc(arena, text.size + 1);
    ptrdiff_t size = data ? percent_decode(text, true, data) : -1;
    return size < 0 ? text : str_of_data(data, (size_t) size);
}

/* The next pair that is not empty; false at the end. */
static bool next_pair(struct str *rest, struct str *ret_name, struct str *ret_value)
{
    while (rest->size > 0) {
        struct str pair;
        (void) str_cut(*rest, '&', &pair, rest);
        if (pair.size == 0)
            continue;
        (void) str_cut(pair, '=', ret_name, ret_value);
        return true;
    }
    return false;
}

/* `name` is a view into the query: is it there for the first time? */
static bool is_first_pair(struct str query, struct str name)
{
    struct str other;
    struct str value;
    while (next_pair(&query, &other, &value))
        if (str_equal(other, name))
            return other.data == name.data;
    return true;
}

static void append_values(struct buf *json, struct arena *arena, struct str query,
                          struct str wanted)
{
    AUTO_BUF struct buf joined = BUF_INIT(64 * 1024);
    struct str name;
    struct str value;
    size_t n = 0;
    while (next_pair(&query, &name, &value)) {
        if (!str_equal(name, wanted))
            continue;
        if (n++)
            buf_append_byte(&joined, ',');
        buf_append_str(&joined, decode(arena, value));
    }
    json_append_string(json, buf_str(&joined));
}

/* Repeated parameters are joined by commas, in the order of the first of each. */
static void append_query(struct buf *json, const struct url_call *url)
{
    struct arena *arena = url->call->request->arena;
    struct str rest = url->query;
    struct str name;
    struct str value;
    size_t n = 0;
    while (next_pair(&rest, &name, &value)) {
        if (!is_first_pair(url->query, name))
            continue;
        buf_append_text(json, n++ ? "," : ",\"queryStringParameters\":{");
        json_append_string(json, decode(arena, name));
        buf_append_byte(json, ':');
        append_values(json, arena, url->query, name);
    }
    if (n)
        buf_append_byte(json, '}');
}

/* 12/Mar/2020:19:03:58 +0000 */
static void append_time(struct buf *json)
{
    int64_t now_ms = clock_wall_ms();
    time_t now = (time_t) (now_ms / 1000);
    struct tm parts;
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (!gmtime_r(&now, &parts))
        return;
    buf_printf(json, ",\"time\":\"%02d/%.3s/%04d:%02d:%02d:%02d +0000\",\"timeEpoch\":%lld",
               parts.tm_mday, months + 3 * parts.tm_mon, parts.tm_year + 1900, parts.tm_hour,
               parts.tm_min, parts.tm_sec, (long long) now_ms);
}

static void append_authorizer(struct buf *json, const struct url_call *url)
{
    const struct api *api = url->call->api;
    if (!url->is_iam)
        return;
    char arn[RIGHTS_ARN_BYTES], id[RIGHTS_ARN_BYTES];
    rights_identity(url->call, arn, id);
    buf_append_text(json, ",\"authorizer\":{\"iam\":{\"accessKey\":");
    json_append_string(json, url->call->ticket.claim.access_key);
    buf_printf(json,
               ",\"accountId\":\"%s\",\"callerId\":\"%s\",\"cognitoIdentity\":null,"
               "\"principalOrgId\":null,\"userArn\":\"%s\",\"userId\":\"%s\"}}",
               api->account, id, arn, id);
}

static void append_context(struct buf *json, const struct url_call *url)
{
    const struct http_request *request = url->call->request;
    char peer[HTTP_ADDRESS_TEXT_MAX];
    http_request_peer(request, peer);
    struct str host = request->host;
    ptrdiff_t colon = str_find_last(host, ':');
    if (colon > str_find_last(host, ']'))
        host = str_part(host, 0, (size_t) colon);
    buf_printf(json, ",\"requestContext\":{\"accountId\":\"%s\",\"apiId\":\"%s\",\"domainName\":",
               url->is_iam ? url->call->api->account : "anonymous", url->url_id);
    json_append_string(json, host);
    buf_printf(json, ",\"domainPrefix\":\"%s\",\"http\":{\"method\":", url->url_id);
    json_append_string(json, request->method_text);
    member(json, "path", url->path);
    buf_append_text(json, ",\"protocol\":\"HTTP/1.1\"");
    member(json, "sourceIp", str_of(peer));
    struct str agent = http_request_header(request, "user-agent");
    member(json, "userAgent", agent);
    buf_printf(json, "},\"requestId\":\"%s\",\"routeKey\":\"$default\",\"stage\":\"$default\"",
               url->call->request_id);
    append_time(json);
    append_authorizer(json, url);
    buf_append_byte(json, '}');
}

/* Types that are passed as text; everything else, and text that is no UTF-8, as base64. */
static bool is_text(struct str type)
{
    static const char *const types[] = {
        "application/json",       "application/xml",
        "application/javascript", "application/x-www-form-urlencoded",
        "application/graphql",
    };
    struct str kind;
    struct str parameters;
    (void) str_cut(type, ';', &kind, &parameters);
    kind = str_trim(kind);
    if (kind.size >= 5 && str_equal_nocase(str_part(kind, 0, 5), STR("text/")))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (str_equal_nocase(kind, str_of(types[i])))
            return true;
    return str_has_suffix(kind, STR("+json")) || str_has_suffix(kind, STR("+xml"));
}

static void append_body(struct buf *json, const struct http_request *request)
{
    struct str body = buf_str(&request->body);
    struct str type = http_request_header(request, "content-type");
    bool is_plain = is_text(type) && str_is_utf8(body);
    if (body.size > 0 && is_plain) {
        member(json, "body", body);
    } else if (body.size > 0) {
        buf_append_text(json, ",\"body\":\"");
        base64_append(json, body.data, body.size);
        buf_append_byte(json, '"');
    }
    buf_printf(json, ",\"isBase64Encoded\":%s", body.size > 0 && !is_plain ? "true" : "false");
}

void url_event_append(struct buf *json, const struct url_call *url)
{
    const struct http_request *request = url->call->request;
    buf_append_text(json, "{\"version\":\"2.0\",\"routeKey\":\"$default\"");
    member(json, "rawPath", url->path);
    member(json, "rawQueryString", url->query);
    append_cookies(json, request);
    append_headers(json, url);
    append_query(json, url);
    append_context(json, url);
    append_body(json, request);
    buf_append_byte(json, '}');
}
