/* SPDX-License-Identifier: MIT
 *
 * call: one request to the API, from its head to its one answer.
 *
 *                      auth_begin    body complete, auth_finish, JSON parsed
 *   api_on_head ─ call_new ──► (body) ──► route->run(call) ──► (work: deploy, commit, invoke) ─┐
 *                                │                                                             │
 *                                └── refused ──► call_fail ◄───────────────────────────────────┤
 *                                                                            call_answer... ◄──┘
 *
 * Exactly one call_answer* or call_fail* ends a call and frees it. When the client goes away first,
 * `request` becomes NULL and `on_gone` is called if it is set; whoever set it may end the call
 * there with call_free. Without on_gone the work goes on (a creation that was begun is finished) and
 * its answer goes nowhere.
 *
 * Memory: the call is on the heap, because work may outlive the request; views into the request (its
 * labels, headers, body) are valid only while `request` is not NULL. What work needs later, it copies.
 * Thread: loop thread.
 */
#ifndef LAMINA_API_CALL_H
#define LAMINA_API_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "api/api.h"
#include "api/auth.h"
#include "api/function_name.h"
#include "api/route.h"
#include "aws/error.h"
#include "base/buf.h"
#include "base/json.h"
#include "http/server.h"
#include "loop/job.h"

struct instance_identity;
struct layer_follow;
struct model_watch;
struct spool;
struct users;
struct store_file;

/* Most bytes of an answer's JSON: 50 functions with 4 KB of environment each, escaped, and more. */
#define CALL_JSON_MAX (8 * 1024 * 1024)
#define CALL_REQUEST_ID_SIZE 37

struct api {
    struct api_config config;
    struct http_server *server; /* borrowed, may be NULL */
    struct users *users;
    struct model_watch *watch;
    struct layer_follow *follow;
    struct job_pool *jobs; /* what blocks and is nobody else's: store reads, package uploads */
    const char *region;    /* borrowed from the catalog */
    const char *account;
    bool is_ready;
    int64_t started_ms;
    uint64_t calls_total;
};

struct call {
    struct api *api;
    struct http_request *request; /* borrowed; NULL once the client is gone */
    const struct route *route;
    char request_id[CALL_REQUEST_ID_SIZE];
    struct str labels[ROUTE_LABELS_MAX]; /* in the request's arena */
    struct auth_ticket ticket;
    /* Of a sandbox that calls on its platform listener; NULL: a client outside. A reference. */
    struct instance_identity *identity;
    struct auth_temporary temporary; /* its keys */
    unsigned depth;         /* functions that called one another before this call; 0: a client's */
    struct aws_error error; /* for checks: aws_error_set(&call->error, ...), then call_fail */

    int retry_after_s;      /* of a 429; 0: 1 */
    uint64_t body_bytes;    /* of a streamed body, so far */
    struct spool *spool;    /* while a body is being spooled */
    struct store_file *zip; /* owned, or NULL */
    yyjson_doc *doc;        /* owned, or NULL */
    yyjson_val *json;       /* root of doc: an object; NULL if the operation has no JSON */

    void (*on_gone)(struct call *call);
    void *work; /* the operation's own */
};

/* NULL without memory. Sets request->user and watches for the client's going. */
struct call *call_new(struct api *api, struct http_request *request);
void call_free(struct call *call); /* without an answer */

/* Answers that end the call. `json` is moved from (freed in any case). */
void call_answer_json(struct call *call, unsigned status, struct buf *json);
void call_answer_empty(struct call *call, unsigned status);
/* The response's headers are the caller's; x-amzn-RequestId is added. */
void call_answer(struct call *call, struct http_response *response, struct http_header *headers,
                 size_t n_headers, size_t headers_capacity);

/* Sends the head of an answer of unknown length (HTTP_BODY_STREAM). The call lives on: what follows goes to
 * call->request with http_stream_write, as long as that is not NULL, until call_end_stream. on_gone stays
 * as it is. */
void call_begin_stream(struct call *call, struct http_response *response,
                       struct http_header *headers, size_t n_headers, size_t headers_capacity);
void call_end_stream(struct call *call); /* ends the call, too */

/* Answers call->error. */
void call_fail(struct call *call);
void call_fail_with(struct call *call, enum aws_error_code code, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* What a function of ours returned: logged as an operator's business, 500 ServiceException. */
void call_fail_internal(struct call *call, const char *event, const struct error *err);

/* Reads the FunctionName label (the route's first) and ?Qualifier. 0, or the error is set. */
MUST_CHECK int call_function_name(struct call *call, enum function_name_rule rule,
                                  struct function_name *ret_name);
/* "Function not found: <arn>[:<qualifier>]", 404; sets the error. */
int call_no_function(struct call *call, const struct function_name *name);
/* A query parameter; data == NULL if it is absent. Sets the error if it is malformed. */
MUST_CHECK int call_query(struct call *call, const char *name, struct str *ret_value);
/* ?MaxItems and ?Marker of the List operations: a page of 1 to LIMIT_LIST_PAGE_MAX, and the decoded
 * marker or "" in `marker`. */
MUST_CHECK int call_paging(struct call *call, size_t *ret_page, char *marker, size_t marker_size);
/* The version number in a marker; 0 if it is none ("$LATEST"). */
uint64_t call_marker_number(const char *text);
/* Appends ,"NextMarker":"..." for `last`, the last item's key. */
void call_append_marker(struct buf *json, const char *last);

#endif
