/* SPDX-License-Identifier: MIT */

#include "api/health.h"

#include <arpa/inet.h>

#include "api/metrics.h"
#include "function/scheduler.h"

/* Host without its port; the brackets of an IPv6 address stay. */
static struct str host_name(struct str host)
{
    ptrdiff_t bracket = str_find_last(host, ']');
    ptrdiff_t colon = str_find_last(host, ':');
    return colon > bracket ? str_part(host, 0, (size_t) colon) : host;
}

/* A literal address or "localhost": no name that somebody else's DNS could point here. */
static bool is_host_literal(struct str host)
{
    char text[INET6_ADDRSTRLEN + 2];
    struct in_addr v4;
    struct in6_addr v6;
    struct str name = host_name(host);
    if (str_equal_nocase(name, STR("localhost")))
        return true;
    if (str_has_prefix(name, STR("[")) && str_has_suffix(name, STR("]")))
        return str_copy(str_part(name, 1, name.size - 2), text, sizeof(text)) == 0 &&
               inet_pton(AF_INET6, text, &v6) == 1;
    return str_copy(name, text, sizeof(text)) == 0 && inet_pton(AF_INET, text, &v4) == 1;
}

/* Ready is what an invocation needs: the start is over and somebody can make sandboxes. */
static bool is_ready(const struct api *api)
{
    struct scheduler_totals totals;
    scheduler_totals(api->config.scheduler, &totals);
    return api->is_ready && totals.is_spawn_alive;
}

static void answer_metrics(struct api *api, struct http_request *request)
{
    struct http_header headers[] = {
        {STR("Content-Type"), STR("text/plain; version=0.0.4; charset=utf-8")}};
    struct buf text = BUF_INIT(METRICS_BYTES_MAX);
    metrics_append(api, &text);
    struct http_response response = {
        .status = 200,
        .headers = headers,
        .header_count = 1,
        .body_kind = HTTP_BODY_BUF,
        .buf = text,
    };
    if (buf_status(&text) < 0) {
        buf_done(&text);
        http_respond_text(request, 503, "text/plain", STR("too many metrics\n"));
        return;
    }
    http_respond(request, &response);
}

bool health_answer(struct api *api, struct http_request *request)
{
    bool is_reading = request->method == HTTP_METHOD_GET || request->method == HTTP_METHOD_HEAD;
    if (!is_reading || !http_request_is_loopback(request) || !is_host_literal(request->host))
        return false;
    if (str_equal(request->path, STR("/healthz"))) {
        http_respond_text(request, 200, "text/plain", STR("ok\n"));
    } else if (str_equal(request->path, STR("/readyz"))) {
        bool is = is_ready(api);
        http_respond_text(request, is ? 200 : 503, "text/plain",
                          is ? STR("ready\n") : STR("not ready\n"));
    } else if (str_equal(request->path, STR("/metrics"))) {
        answer_metrics(api, request);
    } else {
        return false;
    }
    return true;
}
