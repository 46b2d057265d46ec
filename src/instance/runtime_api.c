/* SPDX-License-Identifier: MIT */
#include "instance/runtime_api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/percent.h"
#include "http/server.h"
#include "instance/extensions.h"
#include "instance/telemetry.h"
#include "instance/instance.h"

#define VERSION_PATH "/2018-06-01"
#define INVOCATION_PATH VERSION_PATH "/runtime/invocation/"
#define ID_MAX 128
/* An error with its cause attached is taken apart only up to this size; it is text for people. */
#define CAUSE_BYTES_MAX ((size_t) 1 << 20)
#define CAUSE_TYPE "application/vnd.aws.lambda.error.cause+json"

/* What a request is for, remembered in request->user while its body arrives. */
enum post_kind { POST_RESPONSE, POST_ERROR, POST_INIT_ERROR, POST_RESTORE_ERROR };

struct post {
    enum post_kind kind;
    struct str id;
    bool is_streamed;      /* the runtime says that it streams */
    uint64_t bytes, limit; /* of a response that is passed on as it comes */
};

static struct runtime_api *request_api(const struct http_request *request)
{
    return container_of((struct sandbox_listener *) request->server_user, struct runtime_api, head);
}

/* ---- answers */

static void respond(struct http_request *request, unsigned status, struct str body)
{
    http_respond_text(request, status, "application/json", body);
}

static void respond_accepted(struct http_request *request)
{
    respond(request, 202, STR("{\"status\":\"OK\"}\n"));
}

static void respond_error(struct http_request *request, unsigned status, const char *type,
                          const char *message)
{
    char body[512];
    int size = snprintf(body, sizeof(body), "{\"errorMessage\":\"%s\",\"errorType\":\"%s\"}\n",
                        message, type);
    respond(request, status, str_of_data(body, (size_t) size));
}

static void respond_wrong_state(struct http_request *request, const char *wanted)
{
    struct runtime_api *api = request_api(request);
    char message[256];
    snprintf(message, sizeof(message),
             "State transition from %s to %s failed for runtime. Error: State transition is not "
             "allowed",
             api->events->state(api->arg), wanted);
    respond_error(request, 403, "InvalidStateTransition", message);
}

static void respond_too_large(struct http_request *request)
{
    char message[128];
    snprintf(message, sizeof(message), "Exceeded maximum allowed payload size (%d bytes).",
             LIMIT_RESPONSE_SYNC_MAX);
    respond_error(request, 413, "RequestEntityTooLarge", message);
}

/* Refuses as the verdict says; true if it was not refused. */
static bool verdict_passes(struct http_request *request, enum runtime_api_verdict verdict,
                           const char *wanted)
{
    if (verdict == RUNTIME_API_WRONG_ID)
        respond_error(request, 400, "InvalidRequestID", "Invalid request ID");
    else if (verdict == RUNTIME_API_WRONG_STATE)
        respond_wrong_state(request, wanted);
    return verdict == RUNTIME_API_ACCEPTED;
}

static bool post_is_of_call(enum post_kind kind)
{
    return kind == POST_RESPONSE || kind == POST_ERROR;
}

static const char *post_wanted(const struct post *post)
{
    switch (post->kind) {
    case POST_RESPONSE:
        return "InvocationResponse";
    case POST_ERROR:
        return "InvocationErrorResponse";
    case POST_RESTORE_ERROR:
        return "RestoreError";
    default:
        return "InitError";
    }
}

/* ---- GET next */

static void next_gone(struct http_request *request)
{
    struct runtime_api *api = request_api(request);
    api->parked = NULL;
    api->events->next_gone(api->arg);
}

static void next_complete(struct http_request *request, int status)
{
    struct runtime_api *api = request_api(request);
    enum runtime_api_verdict verdict = RUNTIME_API_WRONG_STATE;
    if (status < 0) {
        respond_error(request, 400, "InvalidRequest", "next takes no body");
        return;
    }
    /* Parked before the instance hears of it: it may give a call at once. */
    if (!api->parked) {
        api->parked = request;
        http_request_on_gone(request, next_gone);
        verdict = api->events->next(api->arg, http_request_header(request, "lamina-init-phases"));
        if (verdict != RUNTIME_API_ACCEPTED) {
            api->parked = NULL;
            http_request_on_gone(request, NULL);
        }
    }
    (void) verdict_passes(request, verdict, "Ready");
}

static void header_add(struct http_header *headers, size_t *count, struct str name,
                       struct str value)
{
    if (value.size > 0)
        headers[(*count)++] = (struct http_header){name, value};
}

void runtime_api_give(struct runtime_api *api, const struct instance_request *request,
                      int64_t deadline_wall_ms)
{
    struct http_request *parked = api->parked;
    struct http_header headers[9];
    size_t count = 0;
    char deadline[24];
    struct http_response response = {.status = 200, .headers = headers, .body_kind = HTTP_BODY_BUF};
    snprintf(deadline, sizeof(deadline), "%lld", (long long) deadline_wall_ms);
    /* Content-Type always: the C++ runtime, and so node's and Python's, crash without it. */
    header_add(headers, &count, STR("Content-Type"), STR("application/json"));
    header_add(headers, &count, STR("Lambda-Runtime-Aws-Request-Id"), str_of(request->id));
    header_add(headers, &count, STR("Lambda-Runtime-Deadline-Ms"), str_of(deadline));
    header_add(headers, &count, STR("Lambda-Runtime-Invoked-Function-Arn"), request->invoked_arn);
    header_add(headers, &count, STR("Lambda-Runtime-Trace-Id"), request->trace_id);
    header_add(headers, &count, STR("Lambda-Runtime-Client-Context"), request->client_context);
    header_add(headers, &count, STR("Lambda-Runtime-Cognito-Identity"), request->cognito);
    /* liblamina asks for its next call behind its answer then: one segment each way. */
    header_add(headers, &count, STR("Lamina-Runtime-Pipelining"), STR("1"));
    response.header_count = count;
    response.buf = *request->payload;
    buf_init(request->payload, request->payload->maximum);
    api->parked = NULL;
    http_request_on_gone(parked, NULL);
    http_respond(parked, &response);
}

bool runtime_api_is_connected(const struct runtime_api *api)
{
    return api->listener && http_listener_connections(api->listener) > 0;
}

bool runtime_api_is_parked(const struct runtime_api *api)
{
    return api->parked != NULL;
}

/* ---- POST response, error, init/error */

/* {errorMessage, errorType, stackTrace, xrayCause} -> the same without xrayCause, which is for X-Ray only. */
static void cause_strip(struct buf *body)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    AUTO_JSON_MUT yyjson_mut_doc *stripped = NULL;
    struct buf out;
    yyjson_mut_val *root = NULL;
    if (json_parse(buf_str(body), CAUSE_BYTES_MAX, &doc, NULL) < 0 ||
        !yyjson_is_obj(yyjson_doc_get_root(doc)))
        return; /* not of that form after all: the caller gets it as it is */
    stripped = yyjson_doc_mut_copy(doc, NULL);
    root = yyjson_mut_doc_get_root(stripped);
    if (!root)
        return;
    (void) yyjson_mut_obj_remove_key(root, "xrayCause"); /* absent is fine */
    buf_init(&out, CAUSE_BYTES_MAX * 2);
    (void) !json_append_doc(&out, stripped); /* sticks in `out` */
    if (buf_status(&out) < 0) {
        buf_done(&out);
        return;
    }
    buf_done(body);
    *body = out;
}

static void post_finish(struct http_request *request, struct runtime_api *api,
                        const struct post *post, struct runtime_api_post *content)
{
    enum runtime_api_verdict verdict = RUNTIME_API_WRONG_STATE;
    if (post->kind == POST_RESPONSE)
        verdict = api->events->response(api->arg, post->id, content);
    else if (post->kind == POST_ERROR)
        verdict = api->events->error(api->arg, post->id, content);
    else if (post->kind == POST_RESTORE_ERROR)
        verdict = api->events->restore_error(api->arg, content);
    else
        verdict = api->events->init_error(api->arg, content);
    if (verdict_passes(request, verdict, post_wanted(post))) {
        respond_accepted(request);
        api->events->posted(api->arg);
    }
}

/* ---- a response that is passed on as it comes */

/* Of a post whose body is complete: trailers come last. */
static struct runtime_api_post post_content(const struct http_request *request)
{
    return (struct runtime_api_post){
        .error_type = http_request_header(request, "lambda-runtime-function-error-type"),
        .model_digest = http_request_header(request, "lamina-model-digest"),
        .late_type = http_request_trailer(request, "lambda-runtime-function-error-type"),
        .late_body = http_request_trailer(request, "lambda-runtime-function-error-body"),
    };
}

static void post_leave(struct runtime_api *api, struct http_request *request)
{
    http_request_on_gone(request, NULL);
    if (api->receiving == request)
        api->receiving = NULL;
    api->is_paused = false;
}

static void post_too_large(struct http_request *request, struct runtime_api *api,
                           const struct post *post, uint64_t bytes)
{
    if (post_is_of_call(post->kind))
        (void) api->events->too_large(api->arg, post->id, bytes); /* moved on: 413 all the same */
    respond_too_large(request);
    api->events->posted(api->arg);
}

static void stream_data(struct http_request *request, const void *data, size_t size)
{
    struct runtime_api *api = request_api(request);
    struct post *post = request->user;
    post->bytes += size;
    if (post->bytes > post->limit) {
        post_leave(api, request);
        post_too_large(request, api, post, post->bytes);
        return;
    }
    if (!api->events->stream_data(api->arg, post->id, str_of_data(data, size)) &&
        api->receiving == request) {
        api->is_paused = true;
        http_request_pause(request);
    }
}

static void stream_end(struct http_request *request)
{
    struct runtime_api *api = request_api(request);
    const struct post *post = request->user;
    struct runtime_api_post content = post_content(request);
    enum runtime_api_verdict verdict = RUNTIME_API_WRONG_STATE;
    post_leave(api, request);
    verdict = api->events->stream_end(api->arg, post->id, &content);
    if (verdict_passes(request, verdict, post_wanted(post))) {
        respond_accepted(request);
        api->events->posted(api->arg);
    }
}

static const struct http_sink stream_sink = {.on_data = stream_data, .on_end = stream_end};

static void stream_gone(struct http_request *request)
{
    struct runtime_api *api = request_api(request);
    const struct post *post = request->user;
    if (api->receiving != request)
        return;
    api->receiving = NULL;
    api->is_paused = false;
    api->events->stream_broken(api->arg, post->id);
}

static void stream_start(struct http_request *request, struct runtime_api *api, struct post *post)
{
    post->limit = post->is_streamed ? INSTANCE_STREAM_BYTES_MAX : LIMIT_RESPONSE_SYNC_MAX;
    if (request->content_length > post->limit) {
        post_too_large(request, api, post, request->content_length);
        return;
    }
    api->receiving = request;
    http_request_on_gone(request, stream_gone);
    api->events->stream_begin(api->arg, http_request_header(request, "content-type"),
                              post->is_streamed);
    http_request_stream_body(request, &stream_sink);
}

void runtime_api_resume(struct runtime_api *api)
{
    if (!api->receiving || !api->is_paused)
        return;
    api->is_paused = false;
    http_request_resume(api->receiving);
}

/* ---- a post that is kept whole */

/* The instance may have moved on while the body arrived: it is asked again by each event. */
static void post_complete(struct http_request *request, int status)
{
    struct runtime_api *api = request_api(request);
    const struct post *post = request->user;
    struct runtime_api_post content = {0};
    post_leave(api, request);
    if (status == -EFBIG) {
        post_too_large(request, api, post,
                       request->is_chunked ? LIMIT_RESPONSE_SYNC_MAX + 1 : request->content_length);
        return;
    }
    content = post_content(request);
    content.body = http_request_take_body(request);
    if (post->kind != POST_RESPONSE &&
        str_equal_nocase(http_request_header(request, "content-type"), STR(CAUSE_TYPE)))
        cause_strip(&content.body);
    post_finish(request, api, post, &content);
    buf_done(&content.body);
}

static void post_gone(struct http_request *request)
{
    struct runtime_api *api = request_api(request);
    if (api->receiving == request)
        api->receiving = NULL;
}

static void post_begin(struct http_request *request, enum post_kind kind, struct str id,
                       bool is_streamed)
{
    struct runtime_api *api = request_api(request);
    struct post *post = arena_new(request->arena, struct post);
    struct str kept = arena_copy_str(request->arena, id);
    enum runtime_api_verdict verdict = RUNTIME_API_WRONG_STATE;
    if (!post || (id.size > 0 && !kept.data)) {
        respond_error(request, 500, "InternalServerError", "out of memory");
        return;
    }
    post->kind = kind;
    post->id = kept;
    post->is_streamed = is_streamed;
    request->user = post;
    if (!api->receiving)
        verdict = post_is_of_call(kind) ? api->events->may_post(api->arg, id)
                                        : api->events->init_may_post(api->arg);
    if (!verdict_passes(request, verdict, post_wanted(post)))
        return;
    if (kind == POST_RESPONSE && api->events->wants_stream(api->arg)) {
        stream_start(request, api, post);
        return;
    }
    api->receiving = request;
    http_request_on_gone(request, post_gone);
    http_request_keep_body(request, LIMIT_RESPONSE_SYNC_MAX, post_complete);
}

static void response_begin(struct http_request *request, struct str id)
{
    struct runtime_api *api = request_api(request);
    struct str mode = http_request_header(request, "lambda-runtime-function-response-mode");
    if (mode.size > 0 && !str_equal_nocase(mode, STR("streaming"))) {
        if (verdict_passes(request, api->events->may_post(api->arg, id), "InvocationResponse")) {
            api->events->bad_mode(api->arg, id);
            respond_error(request, 400, "InvalidFunctionResponseMode",
                          "Invalid function response mode");
            api->events->posted(api->arg);
        }
        return;
    }
    /* A streamed response is collected for a caller of Invoke, who gets it whole. */
    post_begin(request, POST_RESPONSE, id, mode.size > 0);
}

/* ---- routes */

static void respond_not_found(struct http_request *request)
{
    respond_error(request, 404, "NotFound", "no such route");
}

static bool is_method(const struct http_request *request, enum http_method method)
{
    return request->method == method ||
           (method == HTTP_METHOD_GET && request->method == HTTP_METHOD_HEAD);
}

static void model_complete(struct http_request *request, int status)
{
    struct runtime_api *api = request_api(request);
    if (status < 0 || !api->events->model(api->arg, request))
        respond_not_found(request);
}

/* {id}/response and {id}/error; node's client percent-encodes the id. */
static void route_invocation(struct http_request *request, struct str rest)
{
    struct str encoded = {0}, action = {0};
    char id[ID_MAX];
    ptrdiff_t id_size = 0;
    if (str_equal_text(rest, "next") && request->method == HTTP_METHOD_GET) {
        http_request_keep_body(request, 0, next_complete);
        return;
    }
    if (!str_cut(rest, '/', &encoded, &action) || request->method != HTTP_METHOD_POST ||
        encoded.size > ID_MAX || (id_size = percent_decode(encoded, false, id)) < 0)
        respond_not_found(request);
    else if (str_equal_text(action, "response"))
        response_begin(request, str_of_data(id, (size_t) id_size));
    else if (str_equal_text(action, "error"))
        post_begin(request, POST_ERROR, str_of_data(id, (size_t) id_size), false);
    else
        respond_not_found(request);
}

/* False: not for it. */
static bool route_restore(struct http_request *request, struct runtime_api *api)
{
    struct str path = request->path;
    if (!api->events->has_restore(api->arg))
        return false;
    if (str_equal_text(path, VERSION_PATH "/runtime/restore/next") &&
        request->method == HTTP_METHOD_GET) {
        if (verdict_passes(request, api->events->restore_next(api->arg), "Restored"))
            respond(request, 200, (struct str){0});
        return true;
    }
    if (!str_equal_text(path, VERSION_PATH "/runtime/restore/error") ||
        request->method != HTTP_METHOD_POST)
        return false;
    post_begin(request, POST_RESTORE_ERROR, (struct str){0}, false);
    return true;
}

static void on_head(struct http_request *request, struct sandbox_listener *listener)
{
    struct runtime_api *api = container_of(listener, struct runtime_api, head);
    struct str path = request->path;
    if (extensions_on_head(api->extensions, request) ||
        telemetry_on_head(api->telemetry, request) || route_restore(request, api))
        return;
    if (str_has_prefix(path, STR(INVOCATION_PATH)))
        route_invocation(request, str_skip(path, strlen(INVOCATION_PATH)));
    else if (str_equal_text(path, VERSION_PATH "/runtime/init/error") &&
             request->method == HTTP_METHOD_POST)
        post_begin(request, POST_INIT_ERROR, (struct str){0}, false);
    else if (str_equal_text(path, VERSION_PATH "/lamina/model") &&
             request->method == HTTP_METHOD_GET)
        http_request_keep_body(request, 0, model_complete);
    else if ((str_equal_text(path, "/ping") || str_equal_text(path, VERSION_PATH "/ping")) &&
             is_method(request, HTTP_METHOD_GET))
        http_respond_text(request, 200, "text/plain", STR("pong"));
    else
        respond_not_found(request);
}

int runtime_api_open(struct runtime_api *api, struct http_server *server, int fd,
                     const struct runtime_api_events *events, void *arg,
                     struct extensions *extensions, struct telemetry *telemetry, struct error *err)
{
    *api = (struct runtime_api){.head.on_head = on_head,
                                .events = events,
                                .arg = arg,
                                .extensions = extensions,
                                .telemetry = telemetry};
    return http_listen_fd(server, fd, RUNTIME_API_CONNECTIONS_MAX, &api->head, &api->listener, err);
}

/* Without any hook the server would keep the request for an answer to come. */
static void gone_unheard(struct http_request *request)
{
    (void) request;
}

void runtime_api_close(struct runtime_api *api)
{
    /* The parked request loses its client, but the instance is not told: it is ending. */
    if (api->parked)
        http_request_on_gone(api->parked, gone_unheard);
    api->parked = NULL;
    http_listener_close(api->listener);
    api->listener = NULL;
}
