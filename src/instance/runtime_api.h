/* SPDX-License-Identifier: MIT
 *
 * runtime_api: the Lambda Runtime API of one sandbox (docs.aws.amazon.com/lambda, "Using the Lambda runtime API"),
 * on the listener that lamina-spawn made inside the sandbox's network namespace.
 *
 *     GET  /2018-06-01/runtime/invocation/next           -> runtime_api_events.next, parked until runtime_api_give
 *     POST /2018-06-01/runtime/invocation/{id}/response  -> response
 *     POST /2018-06-01/runtime/invocation/{id}/error     -> error
 *     POST /2018-06-01/runtime/init/error                -> init_error
 *     GET  /2018-06-01/runtime/restore/next              -> restore_next; 404 without SnapStart
 *     POST /2018-06-01/runtime/restore/error             -> restore_error; the same
 *     GET  /ping, /2018-06-01/ping                       -> pong
 *
 * It checks what arrives (method, path, id, size, headers) and asks the instance whether the move is allowed;
 * the instance owns all state but the parked request. Everybody inside the sandbox can reach this listener, so
 * nothing here is trusted; what a request may cost is bounded: RUNTIME_API_CONNECTIONS_MAX connections, one
 * response at a time, of LIMIT_RESPONSE_SYNC_MAX bytes.
 *
 * Thread: loop only. Private to src/instance.
 */
#ifndef LAMINA_INSTANCE_RUNTIME_API_H
#define LAMINA_INSTANCE_RUNTIME_API_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#define RUNTIME_API_CONNECTIONS_MAX                                                                \
    32 /* a runtime with a few, ten extensions, lamina-init and its courier */

struct http_listener;
struct http_request;
struct http_server;
struct instance_request;
struct runtime_api;

/* What the runtime did. Verdicts are what the HTTP answer says. */
enum runtime_api_verdict {
    RUNTIME_API_ACCEPTED,
    RUNTIME_API_WRONG_ID,    /* 400 InvalidRequestID */
    RUNTIME_API_WRONG_STATE, /* 403 InvalidStateTransition */
};

struct runtime_api_post {
    struct str error_type;   /* Lambda-Runtime-Function-Error-Type */
    struct str model_digest; /* Lamina-Model-Digest: 64 hex digits, or empty */
    struct buf body;         /* may be moved out */
    struct str late_type;    /* trailers: an error after a part of the response */
    struct str late_body;    /* base64 of the error's JSON */
};

struct runtime_api_events {
    /* `phases` is the header Lamina-Init-Phases or empty. Accepted: the request is parked. */
    enum runtime_api_verdict (*next)(void *arg, struct str phases);
    /* The parked request's connection broke off. */
    void (*next_gone)(void *arg);
    /* May a response or error for `id` be posted now? Asked before its body is read. */
    enum runtime_api_verdict (*may_post)(void *arg, struct str id);
    /* Called only after may_post or init_may_post said yes in the same call or earlier; asked again. */
    enum runtime_api_verdict (*response)(void *arg, struct str id, struct runtime_api_post *post);
    enum runtime_api_verdict (*error)(void *arg, struct str id, struct runtime_api_post *post);
    /* Does the caller take the response as it comes? Then stream_begin, stream_data and stream_end come in place of
     * `response`; false from stream_data: the body is not read until runtime_api_resume. */
    bool (*wants_stream)(void *arg);
    void (*stream_begin)(void *arg, struct str content_type, bool is_streamed);
    bool (*stream_data)(void *arg, struct str id, struct str piece);
    enum runtime_api_verdict (*stream_end)(void *arg, struct str id, struct runtime_api_post *post);
    /* The connection broke off in the middle of it. */
    void (*stream_broken)(void *arg, struct str id);
    /* The response is larger than allowed; `bytes` as far as known. */
    enum runtime_api_verdict (*too_large)(void *arg, struct str id, uint64_t bytes);
    /* Lambda-Runtime-Function-Response-Mode is none that we know. */
    void (*bad_mode)(void *arg, struct str id);
    enum runtime_api_verdict (*init_may_post)(void *arg);
    enum runtime_api_verdict (*init_error)(void *arg, struct runtime_api_post *post);
    /* SnapStart: its hooks may run now. There is nothing to wait for: a fork is restored when it asks, and an instance
     * without a template never was anywhere else. */
    bool (*has_restore)(void *arg);
    enum runtime_api_verdict (*restore_next)(void *arg);
    enum runtime_api_verdict (*restore_error)(void *arg, struct runtime_api_post *post);
    /* GET /2018-06-01/lamina/model?uri=: false: there is nobody who could answer. */
    bool (*model)(void *arg, struct http_request *request);
    /* The name of the state in "State transition from X to Y failed": Started, Ready, Running ... */
    const char *(*state)(void *arg);
    /* The answer of the last accepted post was handed to the connection. */
    void (*posted)(void *arg);
};

/* The head of what a listener of a sandbox has as its `user`: who handles its requests. */
struct sandbox_listener {
    void (*on_head)(struct http_request *request, struct sandbox_listener *listener);
};

struct extensions;
struct telemetry;

struct runtime_api {
    struct sandbox_listener head;
    struct extensions *extensions; /* borrowed: the same listener serves them */
    struct telemetry *telemetry;   /* borrowed: the same */
    const struct runtime_api_events *events;
    void *arg;
    struct http_listener *listener;
    struct http_request *parked;    /* the runtime's `next` */
    struct http_request *receiving; /* the one post whose body is being read */
    bool is_paused;                 /* it is a streamed response, and its caller is slow */
};

/* `fd` is taken, also on failure. */
MUST_CHECK int runtime_api_open(struct runtime_api *api, struct http_server *server, int fd,
                                const struct runtime_api_events *events, void *arg,
                                struct extensions *extensions, struct telemetry *telemetry,
                                struct error *err);
void runtime_api_close(struct runtime_api *api); /* accepts a zeroed one */

/* Goes on reading a streamed response that was paused. */
void runtime_api_resume(struct runtime_api *api);

/* Connections that are open: what was written to them may not be read yet. */
bool runtime_api_is_connected(const struct runtime_api *api);

bool runtime_api_is_parked(const struct runtime_api *api);
/* Answers the parked `next`. The request's payload is moved. */
void runtime_api_give(struct runtime_api *api, const struct instance_request *request,
                      int64_t deadline_wall_ms);

#endif
