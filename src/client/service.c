// SPDX-License-Identifier: MIT
#include "client/service.h"

#include "base/percent.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

#define SERVICE_TIMEOUT_MS 120000
#define ACCOUNT_DEFAULT "000000000000"

static int ask(struct client *client, const struct client_request *request, const char *what,
               yyjson_doc **ret, struct error *err)
{
    struct client_answer answer;

    int r = client_perform(client, request, &answer, err);
    r = r < 0 ? error_wrap(err, r, "%s", what)
              : client_check(&answer, client_target(client), what, err);
    if (r == 0 && json_parse(buf_str(&answer.body), CLIENT_ANSWER_BYTES_MAX, ret, err) < 0)
        r = error_wrap(err, -EREMOTEIO, "%s: the service's answer", what);
    client_answer_done(&answer);
    return r;
}

int service_get(struct client *client, const char *path, const char *query, const char *what,
                yyjson_doc **ret, struct error *err)
{
    const struct client_request request = {
        .method = "GET", .path = path, .query = query, .timeout_ms = SERVICE_TIMEOUT_MS};

    return ask(client, &request, what, ret, err);
}

int service_post(struct client *client, const char *path, const char *query, const char *what,
                 yyjson_doc **ret, struct error *err)
{
    const struct client_request request = {
        .method = "POST", .path = path, .query = query, .timeout_ms = SERVICE_TIMEOUT_MS};

    return ask(client, &request, what, ret, err);
}

int service_put(struct client *client, const char *path, struct str json, const char *what,
                yyjson_doc **ret, struct error *err)
{
    const struct client_request request = {.method = "PUT",
                                           .path = path,
                                           .headers = {{"content-type", "application/json"}},
                                           .body = json.data,
                                           .body_size = json.size,
                                           .timeout_ms = SERVICE_TIMEOUT_MS};

    return ask(client, &request, what, ret, err);
}

int service_delete(struct client *client, const char *path, const char *query, const char *what,
                   yyjson_doc **ret, struct error *err)
{
    const struct client_request request = {
        .method = "DELETE", .path = path, .query = query, .timeout_ms = SERVICE_TIMEOUT_MS};

    return ask(client, &request, what, ret, err);
}

int service_probe(struct client *client, const char *path, unsigned timeout_ms, int *ret_status,
                  struct error *err)
{
    const struct client_request request = {.method = "GET",
                                           .path = path,
                                           .is_unsigned = true,
                                           .is_unverified = true,
                                           .timeout_ms = timeout_ms};
    struct client_answer answer;

    int r = client_perform(client, &request, &answer, err);
    if (r == 0)
        *ret_status = answer.status;
    client_answer_done(&answer);
    return r;
}

// ---- Lists

// The query of the page after this one; 0 when there is none.
static int next_page(yyjson_val *root, struct buf *query)
{
    struct str marker = {0};

    buf_clear(query);
    if (json_member_str(root, "NextMarker", &marker) < 0 || marker.size == 0)
        return 0;
    buf_append_text(query, "Marker=");
    percent_append(query, marker, false);
    return buf_status(query) == 0 ? 1 : 0;
}

static int visit_page(yyjson_val *root, service_visit visit, void *arg, struct error *err)
{
    yyjson_val *functions = NULL, *function;
    size_t i, count;

    if (json_member_array(root, "Functions", &functions) < 0)
        return error_set(err, -EREMOTEIO, "list functions: the answer holds no list");
    yyjson_arr_foreach(functions, i, count, function)
    {
        int r = visit(arg, function, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int service_each_function(struct client *client, service_visit visit, void *arg, struct error *err)
{
    AUTO_BUF struct buf query = BUF_INIT(8192);
    int more = 1;

    while (more > 0) {
        AUTO_JSON yyjson_doc *doc = NULL;
        int r =
            service_get(client, "/2015-03-31/functions", query.data, "list functions", &doc, err);
        if (r == 0)
            r = visit_page(yyjson_doc_get_root(doc), visit, arg, err);
        if (r < 0)
            return r;
        more = next_page(yyjson_doc_get_root(doc), &query);
    }
    return 0;
}

// ---- Limits

static void take(yyjson_val *root, const char *member, char *field, size_t size)
{
    struct str value = {0};

    if (json_member_str(root, member, &value) == 0 && value.size > 0 && value.size < size)
        (void) !str_copy(value, field, size);
}

int service_limits(struct client *client, struct service_limits *ret, struct error *err)
{
    struct service_limits limits = {.account_id = ACCOUNT_DEFAULT, .aws_limits = "enforce"};
    AUTO_JSON yyjson_doc *doc = NULL;
    struct error why = {0};

    int r =
        service_get(client, "/lamina/v1/status", NULL, "ask for the service's limits", &doc, &why);
    // Somebody whose policy does not allow this question may well be allowed to deploy.
    bool is_untold = r == -ENOENT || r == -EINVAL ||
                     (r == -EACCES && strstr(why.text, "AccessDeniedException") != NULL);
    if (r < 0 && !is_untold)
        return error_set(err, r, "%s", why.text);
    if (r == 0) {
        take(yyjson_doc_get_root(doc), "account_id", limits.account_id, sizeof limits.account_id);
        take(yyjson_doc_get_root(doc), "aws_limits", limits.aws_limits, sizeof limits.aws_limits);
    }
    *ret = limits;
    return 0;
}
