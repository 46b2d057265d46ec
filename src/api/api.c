/* SPDX-License-Identifier: MIT */

#include "api/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/code_location.h"
#include "api/efs.h"
#include "api/health.h"
#include "api/layer_follow.h"
#include "api/model_watch.h"
#include "api/rights.h"
#include "api/s3_call.h"
#include "api/url.h"
#include "api/users.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "fetch/spool.h"
#include "function/catalog.h"
#include "instance/identity.h"
#include "loop/loop.h"

#define JOB_THREADS 2
#define JOBS_WAITING_MAX 256

int api_new(const struct api_config *config, struct api **ret_api, struct error *err)
{
    struct api *api = mem_new(struct api);
    if (!api)
        return error_set(err, -ENOMEM, "no memory for the API");
    api->config = *config;
    api->region = catalog_region(config->catalog);
    api->account = catalog_account(config->catalog);
    api->started_ms = loop_now_ms(config->loop);
    int r = job_pool_new(config->loop, "api", JOB_THREADS, JOBS_WAITING_MAX, &api->jobs);
    if (r < 0) {
        free(api);
        return error_set_errno(err, r, "start the API's threads");
    }
    r = users_new(config->registry, config->auth, &api->users, err);
    if (r < 0) {
        api_free(api);
        return r;
    }
    api->watch = model_watch_new(api);
    api->follow = layer_follow_new(api);
    if (!api->watch || !api->follow) {
        api_free(api);
        return error_set(err, -ENOMEM, "no memory for the API");
    }
    *ret_api = api;
    return 0;
}

void api_free(struct api *api)
{
    if (!api)
        return;
    job_pool_free(api->jobs);
    model_watch_free(api->watch);
    layer_follow_free(api->follow);
    users_free(api->users);
    free(api);
}

void api_set_server(struct api *api, struct http_server *server)
{
    api->server = server;
}

void api_set_ready(struct api *api, bool is_ready)
{
    api->is_ready = is_ready;
}

/* The server's own answers (400, 408, ...), in the form that AWS's clients can read. */
void api_format_fault(struct http_fault *fault, void *user)
{
    (void) user;
    static const struct {
        unsigned status;
        enum aws_error_code code;
    } codes[] = {
        {400, AWS_VALIDATION},          {405, AWS_METHOD_NOT_ALLOWED},
        {408, AWS_REQUEST_TIMEOUT},     {413, AWS_REQUEST_ENTITY_TOO_LARGE},
        {503, AWS_SERVICE_UNAVAILABLE},
    };
    const char *type = fault->status >= 500 ? "ServiceException" : "ValidationException";
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
        if (codes[i].status == fault->status)
            type = aws_error_name(codes[i].code);
    AUTO_BUF struct buf body = BUF_INIT(sizeof(fault->body) - 1);
    buf_printf(&body, "{\"Type\":\"%s\",\"message\":", fault->status >= 500 ? "Server" : "User");
    json_append_string(&body, str_of(fault->why));
    buf_append_byte(&body, '}');
    if (buf_status(&body) < 0)
        return; /* the plain text stays */
    (void) snprintf(fault->body, sizeof(fault->body), "%s", body.data);
    (void) snprintf(fault->headers, sizeof(fault->headers),
                    "Content-Type: application/json\r\nx-amzn-ErrorType: %s\r\n", type);
}

/* The body is complete and the caller is who it says: parse, and run the operation. */
static void run(struct call *call)
{
    if (rights_check(call) < 0) {
        call_fail(call);
        return;
    }
    /* From here on the operation decides what a client's going means. */
    call->on_gone = NULL;
    call->route->run(call);
}

/* AWS reads an absent body as {}. */
static int parse_json(struct call *call, struct str text)
{
    struct error err = {0};
    if (text.size == 0)
        text = STR("{}");
    int r = json_parse(text, SPOOL_JSON_MAX, &call->doc, &err);
    if (r == -EFBIG)
        return aws_error_set(&call->error, AWS_REQUEST_ENTITY_TOO_LARGE,
                             "Request must be smaller than %d bytes without the zip for the %s "
                             "operation",
                             SPOOL_JSON_MAX, call->route->operation);
    if (r < 0)
        return aws_error_set(&call->error, AWS_INVALID_REQUEST_CONTENT,
                             "Could not parse request body into json: %s", err.text);
    call->json = yyjson_doc_get_root(call->doc);
    if (!yyjson_is_obj(call->json))
        return aws_error_set(&call->error, AWS_SERIALIZATION,
                             "The request body is JSON, but not an object");
    return 0;
}

static void kept_body(struct http_request *request, int status)
{
    struct call *call = request->user;
    bool is_payload = call->route->body == ROUTE_BODY_PAYLOAD;
    int r = 0;
    if (status == -EFBIG && is_payload)
        r = aws_error_set(&call->error, AWS_REQUEST_TOO_LARGE,
                          "%llu byte payload is too large for the RequestResponse invocation type "
                          "(limit %d bytes)",
                          (unsigned long long) request->content_length, LIMIT_PAYLOAD_SYNC_MAX);
    else if (status < 0)
        r = aws_error_set(&call->error, AWS_REQUEST_ENTITY_TOO_LARGE,
                          "Request must be smaller than %lld bytes for the %s operation",
                          (long long) LIMIT_CONTROL_REQUEST_MAX, call->route->operation);
    if (r == 0)
        r = auth_finish(call->api->config.auth, request, &call->ticket, &call->error);
    if (r == 0 && call->route->body == ROUTE_BODY_JSON)
        r = parse_json(call, buf_str(&request->body));
    if (r < 0)
        call_fail(call);
    else
        run(call);
}

/* Spooled bodies */

static uint64_t zip_bytes_max(const struct api *api)
{
    return api->config.limits == API_LIMITS_ENFORCE ? LIMIT_ZIP_DIRECT_MAX : 0;
}

static int too_large(struct call *call)
{
    return aws_error_set(&call->error, AWS_REQUEST_ENTITY_TOO_LARGE,
                         "Request must be smaller than %d bytes for the %s operation",
                         LIMIT_CREATE_REQUEST_MAX, call->route->operation);
}

static bool is_too_large(const struct call *call, uint64_t bytes)
{
    return call->route->body == ROUTE_BODY_CODE && call->api->config.limits == API_LIMITS_ENFORCE &&
           bytes > LIMIT_CREATE_REQUEST_MAX;
}

static void spool_resumed(void *arg)
{
    struct call *call = arg;
    http_request_resume(call->request);
}

static int spool_refused(struct call *call, const struct spool_result *result)
{
    struct aws_error *error = &call->error;
    switch (result->status) {
    case SPOOL_OK:
        return 0;
    case SPOOL_BAD_JSON:
        return aws_error_set(error, AWS_INVALID_REQUEST_CONTENT,
                             "Could not parse request body into json: %s", result->err.text);
    case SPOOL_BAD_BASE64:
        return aws_error_set(error, AWS_SERIALIZATION, "'%s' is not a base64 text: %s",
                             call->route->zip_member, result->err.text);
    case SPOOL_JSON_TOO_LARGE:
        return aws_error_set(error, AWS_REQUEST_ENTITY_TOO_LARGE,
                             "Request must be smaller than %d bytes without the zip for the %s "
                             "operation",
                             SPOOL_JSON_MAX, call->route->operation);
    case SPOOL_ZIP_TOO_LARGE:
        return aws_error_set(error, AWS_REQUEST_ENTITY_TOO_LARGE,
                             "Zipped size must be smaller than %lld bytes",
                             (long long) LIMIT_ZIP_DIRECT_MAX);
    case SPOOL_DIGEST_DIFFERS:
        return aws_error_set(error, AWS_INVALID_PARAMETER_VALUE,
                             "The package's SHA-256 is not the one in the path");
    case SPOOL_NO_SPACE:
        return aws_error_set(error, AWS_SERVICE, "The disk of this service is full.");
    case SPOOL_FAILED:
        break;
    }
    log_error("api.spool", "request=%s error=%s", call->request_id, LOG_TEXT(result->err.text));
    return aws_error_set(error, AWS_SERVICE, "The service failed; its log names request %s.",
                         call->request_id);
}

static void spooled(void *arg, struct spool_result *result)
{
    struct call *call = arg;
    call->spool = NULL; /* it frees itself after this call */
    int r = spool_refused(call, result);
    if (r == 0) {
        call->zip = result->zip;
        result->zip = NULL;
        r = auth_finish(call->api->config.auth, call->request, &call->ticket, &call->error);
    }
    if (r == 0 && call->route->body == ROUTE_BODY_CODE)
        r = parse_json(call, buf_str(&result->json));
    if (r < 0)
        call_fail(call);
    else
        run(call);
}

static void sink_data(struct http_request *request, const void *data, size_t size)
{
    struct call *call = request->user;
    call->body_bytes += size;
    if (is_too_large(call, call->body_bytes)) {
        (void) too_large(call);
        call_fail(call);
        return;
    }
    if (spool_write(call->spool, data, size))
        http_request_pause(request);
}

static void sink_end(struct http_request *request)
{
    struct call *call = request->user;
    spool_end(call->spool);
}

static const struct http_sink spool_sink = {.on_data = sink_data, .on_end = sink_end};

/* A package may be of any size: that the caller means this one is proven before a byte of it is kept. */
static int check_package_hash(struct call *call, const struct digest *expected)
{
    struct digest named;
    if (!call->ticket.is_proven || digest_parse_hex(call->ticket.claim.payload_hash, &named) < 0)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "A package needs the header x-amz-content-sha256");
    if (!digest_equal(&named, expected))
        return aws_error_set(
            &call->error, AWS_INVALID_PARAMETER_VALUE,
            "The package's SHA-256 in x-amz-content-sha256 is not the one in the path");
    return 0;
}

static void spool_body(struct call *call)
{
    struct http_request *request = call->request;
    struct digest expected;
    struct spool_spec spec = {
        .form = SPOOL_JSON,
        .zip_member = call->route->zip_member,
        .content_length = request->is_chunked ? -1 : (int64_t) request->content_length,
        .zip_bytes_max = zip_bytes_max(call->api),
        .resume = spool_resumed,
        .done = spooled,
        .arg = call,
    };
    if (is_too_large(call, request->content_length)) {
        (void) too_large(call);
        call_fail(call);
        return;
    }
    if (call->route->body == ROUTE_BODY_PACKAGE) {
        if (digest_parse_hex(call->labels[0], &expected) < 0) {
            call_fail_with(call, AWS_INVALID_PARAMETER_VALUE,
                           "The package's name must be its SHA-256 in 64 lower-case hex digits");
            return;
        }
        if (check_package_hash(call, &expected) < 0) {
            call_fail(call);
            return;
        }
        spec.form = SPOOL_PLAIN;
        spec.expected = &expected;
    }
    if (rights_check_head(call) < 0) {
        call_fail(call);
        return;
    }
    int r = spool_start(call->api->config.spooler, &spec, &call->spool);
    if (r < 0) {
        (void) aws_error_set_reason(&call->error, AWS_TOO_MANY_REQUESTS, "CallerRateLimitExceeded",
                                    "Rate Exceeded.");
        call_fail(call);
        return;
    }
    http_request_stream_body(request, &spool_sink);
}

static void take_body(struct call *call)
{
    switch (call->route->body) {
    case ROUTE_BODY_CODE:
    case ROUTE_BODY_PACKAGE:
        spool_body(call);
        return;
    case ROUTE_BODY_PAYLOAD:
        http_request_keep_body(call->request, LIMIT_PAYLOAD_SYNC_MAX, kept_body);
        return;
    case ROUTE_BODY_JSON:
    case ROUTE_BODY_NONE:
        http_request_keep_body(call->request, LIMIT_CONTROL_REQUEST_MAX, kept_body);
        return;
    }
}

/* Which operation is it? Fails with AWS's words for what is not there. */
static int route_call(struct call *call)
{
    struct http_request *request = call->request;
    const struct route *table = lambda_routes;
    if (call->ticket.service == AUTH_SERVICE_STS)
        table = sts_routes;
    else if (call->ticket.service == AUTH_SERVICE_IAM && !call->identity)
        table = iam_routes;
    else if (call->ticket.service == AUTH_SERVICE_EFS && !call->identity)
        table = efs_routes;
    else if (call->identity && call->ticket.service != AUTH_SERVICE_LAMBDA)
        return aws_error_set(&call->error, AWS_ACCESS_DENIED,
                             "This function's role allows no operation of that service");
    else if (call->ticket.service != AUTH_SERVICE_LAMBDA)
        return aws_error_set(&call->error, AWS_NOT_IMPLEMENTED,
                             "This service does not implement the API that the signature names");
    struct route_match match;
    int r =
        route_find(table, request->method, request->path, request->query, request->arena, &match);
    if (r < 0)
        return aws_error_set(&call->error, AWS_VALIDATION, "The path is not well-formed");
    if (!match.route)
        return aws_error_set(&call->error,
                             match.is_other_method ? AWS_METHOD_NOT_ALLOWED : AWS_UNKNOWN_OPERATION,
                             "Unknown operation: " STR_FORMAT " " STR_FORMAT,
                             STR_ARGUMENTS(request->method_text), STR_ARGUMENTS(request->path));
    call->route = match.route;
    memcpy(call->labels, match.labels, sizeof(call->labels));
    if (!match.route->run)
        return aws_error_set(&call->error, AWS_NOT_IMPLEMENTED,
                             "The operation %s is not implemented by Lamina",
                             match.route->operation);
    return 0;
}

/* A signed request, of whichever service. */
static void serve(struct call *call)
{
    if (s3_call_is(call->request) || s3_call_is_anonymous(call->request)) {
        s3_call_serve(call);
        return;
    }
    int r = auth_begin(call->api->config.auth, call->request, &call->ticket, &call->error);
    if (r == 0)
        r = route_call(call);
    if (r == 0 && call->identity)
        r = rights_check_head(call);
    if (r < 0)
        call_fail(call);
    else
        take_body(call);
}

void api_on_head(struct http_request *request, void *user)
{
    struct api *api = user;
    bool is_s3 = s3_call_is(request); /* a bucket may have any name, that of a route too */
    if (!is_s3 && health_answer(api, request))
        return;
    struct call *call = call_new(api, request);
    if (!call) {
        http_respond_text(request, 503, NULL, STR(""));
        return;
    }
    struct str url_id;
    struct str url_path;
    if (url_is(request, &url_id, &url_path)) { /* neither by host nor by path can it be a bucket */
        url_serve(call, url_id, url_path);
        return;
    }
    if (!is_s3 && code_location_is(request)) {
        code_location_serve(call);
        return;
    }
    call->ticket.takes_people = true; /* run() looks at their rights */
    serve(call);
}

void api_on_platform_head(void *arg, struct http_request *request,
                          struct instance_identity *identity, unsigned depth)
{
    struct call *call = call_new(arg, request);
    if (!call) {
        http_respond_text(request, 503, NULL, STR(""));
        return;
    }
    call->identity = instance_identity_ref(identity);
    call->depth = depth + 1;
    call->temporary = (struct auth_temporary){.access_key = str_of(identity->access_key),
                                              .secret = str_of(identity->secret),
                                              .token = str_of(identity->token),
                                              .is_ended = &identity->is_ended};
    call->ticket.temporary = &call->temporary;
    serve(call);
}
