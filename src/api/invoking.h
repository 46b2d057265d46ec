/* SPDX-License-Identifier: MIT
 *
 * invoking: one Invoke or InvokeWithResponseStream on its way, as call->work. What the two have in
 * common is in invoke.c: names, headers, the payload's check, the version, the start. They differ in
 * how the answer is written. Loop thread.
 */
#ifndef LAMINA_API_INVOKING_H
#define LAMINA_API_INVOKING_H

#include <stdbool.h>
#include <stddef.h>

#include "api/call.h"
#include "api/function_name.h"
#include "base/limits.h"
#include "function/scheduler.h"
#include "function/version.h"

enum invoke_type { INVOKE_REQUEST_RESPONSE, INVOKE_EVENT, INVOKE_DRY_RUN };

struct invoking {
    struct function_name name;
    enum invoke_type type;
    bool wants_log_tail;
    char *client_context;                            /* decoded JSON, or NULL */
    struct buf payload;                              /* owned until the invocation takes it */
    struct invocation *invocation;                   /* borrowed: to cancel it */
    const struct version *version;                   /* a reference, or NULL */
    invocation_cb *done;                             /* writes the answer; its arg is the call */
    const struct invocation_stream *stream;          /* NULL: the answer is taken whole */
    char arn[VERSION_ARN_MAX + LIMIT_QUALIFIER_MAX]; /* as the caller named the function */
    /* of the check, by whichever thread */
    int check;
    size_t position;
    const char *why;
};

/* From a complete request to a started invocation; fails the call by itself. */
void invoking_begin(struct call *call, invocation_cb *done, const struct invocation_stream *stream);

/* First thing in `done`: true if the function ran, well or not. False: the call was answered (throttled,
 * no sandbox) and is gone. */
MUST_CHECK bool invoking_has_run(struct call *call, struct invocation_result *result);

void invoking_free(struct invoking *invoking); /* accepts NULL */

/* InvocationType Event: into the queue, and 202. Ends the call. invoke_event.c */
void invoking_submit(struct call *call);

/* X-Amzn-Trace-Id as the caller sent it, or empty. */
struct str invoking_trace_id(const struct call *call);

#endif
