/* SPDX-License-Identifier: MIT */

#include "api/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/rights.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "function/catalog.h"

#define PATH_PREFIX "/_lamina/url/"
#define HOST_SUFFIX ".lambda-url.localhost"
#define ID_SIZE ((size_t) ATTACHMENT_URL_ID_SIZE - 1)
#define FORBIDDEN                                                                                  \
    "Forbidden. For troubleshooting Function URL authorization issues, see: "                      \
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"

static bool is_id(struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
            return false;
    }
    return text.size == ID_SIZE;
}

static bool is_by_host(const struct http_request *request, struct str *ret_id)
{
    struct str host = request->host;
    ptrdiff_t colon = str_find_last(host, ':');
    if (colon >= 0)
        host = str_part(host, 0, (size_t) colon);
    if (host.size != ID_SIZE + sizeof(HOST_SUFFIX) - 1 ||
        !str_equal_nocase(str_skip(host, ID_SIZE), STR(HOST_SUFFIX)))
        return false;
    *ret_id = str_part(host, 0, ID_SIZE);
    return true;
}

bool url_is(const struct http_request *request, struct str *ret_id, struct str *ret_path)
{
    struct str path = request->path;
    if (is_by_host(request, ret_id)) {
        *ret_path = path;
        return true;
    }
    if (!str_has_prefix(path, STR(PATH_PREFIX)))
        return false;
    path = str_skip(path, sizeof(PATH_PREFIX) - 1);
    ptrdiff_t slash = str_find(path, '/');
    *ret_id = slash < 0 ? path : str_part(path, 0, (size_t) slash);
    *ret_path = slash < 0 ? STR("/") : str_skip(path, (size_t) slash);
    return true;
}

void url_free(struct url_call *url)
{
    if (!url)
        return;
    version_unref(url->version);
    url_stream_free(url->stream);
    free(url->cors);
    free(url);
}

/* Does one statement let everybody call the URL? Only what AddPermission can write is understood; a
 * condition that is not about the URL's authentication is not met by an anonymous caller. */
static bool is_open(yyjson_val *statement)
{
    struct str action = json_str(json_member(statement, "Action"));
    yyjson_val *condition = json_member(statement, "Condition");
    yyjson_val *equals = json_member(condition, "StringEquals");
    yyjson_val *type = json_member(equals, "lambda:FunctionUrlAuthType");
    bool is_action = str_equal(action, STR("*")) || str_equal(action, STR("lambda:*")) ||
                     str_equal(action, STR("lambda:InvokeFunctionUrl"));
    bool is_condition =
        !condition || (yyjson_obj_size(condition) == 1 && type && yyjson_obj_size(equals) == 1 &&
                       str_equal(json_str(type), STR("NONE")));
    return is_action && is_condition &&
           str_equal(json_str(json_member(statement, "Effect")), STR("Allow")) &&
           str_equal(json_str(json_member(statement, "Principal")), STR("*"));
}

static bool is_public(const struct attachment *config)
{
    const struct attachment *policy =
        function_attachment(config->function, ATTACHMENT_POLICY, config->qualifier);
    yyjson_arr_iter iter;
    yyjson_val *statement;
    if (!policy)
        return false;
    yyjson_arr_iter_init(json_member(attachment_root(policy), "Statement"), &iter);
    while ((statement = yyjson_arr_iter_next(&iter)) != NULL)
        if (is_open(statement))
            return true;
    return false;
}

static bool is_none(const struct attachment *config)
{
    return str_equal(json_str(json_member(attachment_root(config), "AuthType")), STR("NONE"));
}

/* The caller went away. */
static void gone(struct call *call)
{
    struct url_call *url = TAKE_PTR(call->work);
    if (url->invocation)
        invocation_cancel(url->invocation);
    url_free(url);
    call_free(call);
}

static void invoked(void *arg, struct invocation_result *result)
{
    struct url_call *url = arg;
    struct call *call = url->call;
    call->on_gone = NULL;
    call->work = NULL;
    url->invocation = NULL;
    if (result->request_id && !url->stream)
        (void) snprintf(call->request_id, sizeof(call->request_id), "%s", result->request_id);
    if (result->outcome == INVOCATION_THROTTLED) {
        url_refuse(url, 429, "TooManyRequestsException", "Rate Exceeded.");
    } else if (result->outcome == INVOCATION_FAULT) {
        log_error("url.fault", "url=%s request=%s error=%s", url->url_id, call->request_id,
                  LOG_TEXT(result->error ? result->error->text : ""));
        url_refuse(url, 500, "ServiceException", "Internal Server Error");
    } else if (result->outcome == INVOCATION_RESTORE_FAILED ||
               result->outcome == INVOCATION_RESTORE_TIMEOUT) {
        url_refuse(url, 502, "SnapStartException", "Internal Server Error");
    } else if (result->outcome == INVOCATION_MOUNT_FAILED) {
        log_warn("url.unmounted", "url=%s request=%s error=%s", url->url_id, call->request_id,
                 LOG_TEXT(result->error->text));
        url_refuse(url, 502, "EFSMountFailureException", "Internal Server Error");
    } else if (url->is_streaming) {
        url_stream_finish(url, result);
    } else {
        url_answer(url, result);
    }
}

static void start(struct url_call *url)
{
    struct call *call = url->call;
    struct buf event = BUF_INIT((size_t) LIMIT_PAYLOAD_SYNC_MAX * 2);
    url_event_append(&event, url);
    if (buf_status(&event) < 0) {
        buf_done(&event);
        url_refuse(url, 413, "RequestTooLargeException", "Request too large");
        return;
    }
    struct invocation_spec spec = {
        .payload = event,
        .trace_id = http_request_header(call->request, "x-amzn-trace-id"),
        .invoked_arn = str_of(url->arn),
        .stream = url->is_streaming ? &url_stream_callbacks : NULL,
        .stream_arg = url,
    };
    if (spec.trace_id.size > 256)
        spec.trace_id = STR("");
    call->on_gone = gone;
    url->invocation =
        invocation_start(call->api->config.scheduler, url->version, &spec, invoked, url);
    if (!url->invocation) {
        buf_done(&spec.payload);
        call->on_gone = NULL;
        url_refuse(url, 500, "ServiceException", "Internal Server Error");
    }
}

/* The service's own key, or a person who may; what they may not is told in AWS's word for it. */
static int check_right(struct url_call *url, const struct attachment *config)
{
    struct call *call = url->call;
    if (!url->is_iam ||
        rights_check_url(call, str_of(config->function->name), str_of(config->qualifier)) == 0)
        return 0;
    return aws_error_set(&call->error, AWS_ACCESS_DENIED, "%s", FORBIDDEN);
}

/* The configuration again: it may have changed while the body arrived, also who may call. */
static int find_version(struct url_call *url)
{
    struct catalog *catalog = url->call->api->config.catalog;
    const struct attachment *config = catalog_url(catalog, str_of(url->url_id));
    const struct version *version;
    if (!config)
        return -ENOENT;
    if (is_none(config) == url->is_iam || (!url->is_iam && !is_public(config)))
        return -EACCES;
    if (check_right(url, config) < 0)
        return -EACCES;
    int r = catalog_find(catalog, config->function->name, config->qualifier, &version);
    if (r < 0)
        return r;
    url->version = version_ref(version);
    url->is_streaming = str_equal(json_str(json_member(attachment_root(config), "InvokeMode")),
                                  STR("RESPONSE_STREAM"));
    (void) snprintf(url->arn, sizeof(url->arn), "%s%s%s", version->arn,
                    config->qualifier[0] ? ":" : "", config->qualifier);
    return 0;
}

static void body_read(struct http_request *request, int status)
{
    struct call *call = request->user;
    struct url_call *url = TAKE_PTR(call->work);
    struct aws_error error = {0};
    int r = 0;
    if (status < 0) {
        url_refuse(url, 413, "RequestTooLargeException", "Request too large");
        return;
    }
    if (url->is_iam && !call->ticket.claim.is_presigned)
        r = auth_finish(call->api->config.auth, request, &call->ticket, &error);
    if (r < 0) {
        url_refuse(url, 403, aws_error_name(error.code), error.message);
        return;
    }
    r = find_version(url);
    if (r == -EACCES) {
        url_refuse(url, 403, aws_error_name(AWS_ACCESS_DENIED), FORBIDDEN);
        return;
    }
    if (r < 0) {
        url_refuse(url, 502, "ServiceException", "Internal Server Error");
        return;
    }
    call->work = url;
    start(url);
}

static bool is_of_signature(struct str pair)
{
    static const char *const names[] = {
        "X-Amz-Algorithm",     "X-Amz-Credential", "X-Amz-Date",           "X-Amz-Expires",
        "X-Amz-SignedHeaders", "X-Amz-Signature",  "X-Amz-Security-Token",
    };
    struct str name;
    struct str value;
    (void) str_cut(pair, '=', &name, &value);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (str_equal(name, str_of(names[i])))
            return true;
    return false;
}

/* Who has the signature can call in the caller's name until it expires: the function is not given it. */
static int hide_signature(struct url_call *url)
{
    struct http_request *request = url->call->request;
    struct str rest = request->query;
    char *kept = arena_alloc(request->arena, rest.size + 1);
    size_t size = 0;
    if (!kept)
        return aws_error_set(&url->call->error, AWS_SERVICE, "No memory");
    while (rest.size > 0) {
        struct str pair;
        (void) str_cut(rest, '&', &pair, &rest);
        if (is_of_signature(pair))
            continue;
        if (size > 0)
            kept[size++] = '&';
        memcpy(kept + size, pair.data, pair.size);
        size += pair.size;
    }
    url->query = str_of_data(kept, size);
    return 0;
}

static int check_presigned(struct url_call *url)
{
    struct call *call = url->call;
    int r =
        auth_check_presigned(call->api->config.auth, call->request, &call->ticket, &call->error);
    return r < 0 ? r : hide_signature(url);
}

/* Who may call? */
static int authorize(struct url_call *url, const struct attachment *config)
{
    struct call *call = url->call;
    struct http_request *request = call->request;
    if (is_none(config))
        return is_public(config) ? 0
                                 : aws_error_set(&call->error, AWS_ACCESS_DENIED, "%s", FORBIDDEN);
    url->is_iam = true;
    struct str signature = {NULL, 0};
    (void) !route_query(request->query, "X-Amz-Signature", request->arena, &signature);
    call->ticket.takes_people = true;
    int r;
    if (signature.data && http_request_header_count(request, "authorization") == 0)
        r = check_presigned(url);
    else
        r = auth_begin(call->api->config.auth, request, &call->ticket, &call->error);
    if (r < 0 && call->error.code == AWS_MISSING_AUTHENTICATION_TOKEN)
        r = aws_error_set(&call->error, AWS_ACCESS_DENIED, "%s", FORBIDDEN);
    if (r == 0 && call->ticket.service != AUTH_SERVICE_LAMBDA)
        r = aws_error_set(&call->error, AWS_ACCESS_DENIED, "%s", FORBIDDEN);
    return r < 0 ? r : check_right(url, config);
}

static void answer_preflight(struct url_call *url)
{
    struct call *call = url->call;
    struct http_header headers[URL_HEADERS_OURS];
    size_t n = 0;
    struct http_response response = {.status = 200, .body_kind = HTTP_BODY_NONE};
    url_cors_append(url, true, headers, &n, URL_HEADERS_OURS - 1);
    call_answer(call, &response, headers, n, URL_HEADERS_OURS);
    url_free(url);
}

static bool has_too_many_pairs(struct str query)
{
    size_t n = 1;
    for (size_t i = 0; i < query.size; i++)
        n += query.data[i] == '&';
    return n > URL_PAIRS_MAX;
}

static int begin(struct url_call *url, struct str id, const struct attachment **ret_config)
{
    struct call *call = url->call;
    const struct attachment *config = is_id(id) ? catalog_url(call->api->config.catalog, id) : NULL;
    if (!config)
        return aws_error_set(&call->error, AWS_RESOURCE_NOT_FOUND, "There is no such URL.");
    if (has_too_many_pairs(call->request->query))
        return aws_error_set(&call->error, AWS_VALIDATION,
                             "More than %d query parameters are not accepted.", URL_PAIRS_MAX);
    yyjson_val *cors = json_member(attachment_root(config), "Cors");
    if (cors)
        url->cors = yyjson_val_write(cors, YYJSON_WRITE_NOFLAG, NULL);
    (void) snprintf(url->url_id, sizeof(url->url_id), "%s", config->url_id);
    *ret_config = config;
    return 0;
}

void url_serve(struct call *call, struct str id, struct str path)
{
    const struct attachment *config = NULL;
    struct url_call *url = mem_new(struct url_call);
    if (!url) {
        call_fail_with(call, AWS_SERVICE, "No memory");
        return;
    }
    url->call = call;
    url->path = path;
    url->query = call->request->query;
    int r = begin(url, id, &config);
    if (r == 0 && url->cors && url_cors_is_preflight(url)) {
        answer_preflight(url);
        return;
    }
    if (r == 0)
        r = authorize(url, config);
    if (r < 0) {
        url_refuse(url, aws_error_status(call->error.code), aws_error_name(call->error.code),
                   call->error.message);
        return;
    }
    call->work = url;
    call->on_gone = gone;
    http_request_keep_body(call->request, LIMIT_PAYLOAD_SYNC_MAX, body_read);
}
