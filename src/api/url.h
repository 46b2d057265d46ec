/* SPDX-License-Identifier: MIT
 *
 * url: function URLs. A request that is for a URL becomes an event of version 2.0, the function's answer becomes
 * the response.
 *
 *   http://<url id>.lambda-url.localhost:4566/path    by the Host header
 *   http://127.0.0.1:4566/_lamina/url/<url id>/path   by the path, for clients that cannot resolve the other
 *
 *   url.c         whose request is it, may it be made, the call
 *   url_event.c   request  -> event
 *   url_answer.c  answer of the function -> response
 *   url_stream.c  the same for InvokeMode RESPONSE_STREAM: as the function writes it
 *   url_cors.c    what other origins may
 *
 * AuthType NONE needs a statement in the function's policy that lets everybody call lambda:InvokeFunctionUrl;
 * AWS_IAM needs a signature of the service's account, in the headers or (GET) presigned.
 * Limits: LIMIT_PAYLOAD_SYNC_MAX of body, URL_PAIRS_MAX query parameters (400), URL_HEADERS_MAX response headers
 * (502).
 */
#ifndef LAMINA_API_URL_H
#define LAMINA_API_URL_H

#include <stdbool.h>

#include "api/call.h"
#include "base/limits.h"
#include "function/attachment.h"
#include "function/scheduler.h"
#include "function/version.h"

#define URL_PAIRS_MAX 512 /* finding repeated ones takes their square */
#define URL_HEADERS_MAX 100
#define URL_HEADERS_OURS 16

struct url_stream;

/* A request on its way through a URL. */
struct url_call {
    struct call *call;
    const struct version *version; /* a reference, or NULL */
    struct str path;               /* of the function: "/" at least; a view into the request */
    struct str query; /* for the function: without a presigned URL's signature; in the request's arena */
    char url_id[ATTACHMENT_URL_ID_SIZE];
    char arn[VERSION_ARN_MAX + LIMIT_QUALIFIER_MAX]; /* of what the URL stands for */
    char *cors; /* the Cors object as text, owned; NULL: none */
    bool is_iam;
    bool is_streaming;             /* InvokeMode RESPONSE_STREAM */
    struct url_stream *stream;     /* owned; NULL until the function's answer begins */
    struct invocation *invocation; /* borrowed */
};

/* Status and headers of a response. Values are views into JSON or the request's arena. */
struct url_head {
    unsigned status;
    struct http_header headers[URL_HEADERS_MAX + URL_HEADERS_OURS];
    size_t n_headers;
};
/* From an object with statusCode, headers, cookies. -EINVAL: it cannot be a response. */
MUST_CHECK int url_head_read(struct url_head *head, const struct url_call *url, yyjson_val *root);
/* What the function did not say itself: Content-Type; and what is the platform's. */
void url_head_complete(struct url_head *head, const struct url_call *url, struct str content_type,
                       struct str trace_id);
static inline bool url_head_has_body(const struct url_head *head)
{
    return head->status != 204 && head->status != 304;
}

/* Is it for a URL, by host or by path? The id and the path are written then. */
bool url_is(const struct http_request *request, struct str *ret_id, struct str *ret_path);
/* Answers it. Ends the call. */
void url_serve(struct call *call, struct str id, struct str path);

/* The event's JSON. The buffer's failures stick in it. */
void url_event_append(struct buf *json, const struct url_call *url);

/* The response for what the function answered. Frees url and ends the call. */
void url_answer(struct url_call *url, struct invocation_result *result);
/* For a URL that streams: what the invocation calls with the url as arg, and its end. */
extern const struct invocation_stream url_stream_callbacks;
void url_stream_finish(struct url_call *url, struct invocation_result *result); /* as url_answer */
void url_stream_free(struct url_stream *stream);
/* 403, 404, 429, 502 in the form that AWS's URLs have: {"Message":"..."}. Frees url and ends the call. */
void url_refuse(struct url_call *url, unsigned status, const char *type, const char *message);
void url_free(struct url_call *url);

/* Appends the Access-Control headers for this request's Origin. `is_preflight` adds those of OPTIONS. The
 * texts are in the request's arena. */
void url_cors_append(const struct url_call *url, bool is_preflight, struct http_header *headers,
                     size_t *n_headers, size_t capacity);
/* OPTIONS with an Origin and a method that it asks for. */
bool url_cors_is_preflight(const struct url_call *url);

#endif
