/* SPDX-License-Identifier: MIT
 *
 * Invoke with InvocationType Event: 202 once the event is in the queue, on the disk.
 */

#include <errno.h>

#include "api/call.h"
#include "api/invoking.h"
#include "async/async.h"

static void fail(struct call *call)
{
    invoking_free(call->work);
    call->work = NULL;
    call_fail(call);
}

/* The client may have gone meanwhile: its event was accepted all the same. */
static void accepted(void *arg, const struct error *err)
{
    struct call *call = arg;
    invoking_free(call->work);
    call->work = NULL;
    if (!call->request)
        call_free(call);
    else if (err)
        call_fail_internal(call, "api.event", err);
    else
        call_answer_empty(call, 202);
}

void invoking_submit(struct call *call)
{
    struct invoking *invoking = call->work;
    const struct async_event event = {
        .function = str_of(invoking->name.name),
        .qualifier = str_of(invoking->name.qualifier),
        .arn = str_of(invoking->arn),
        .request_id = str_of(call->request_id),
        .trace_id = invoking_trace_id(call),
        .context = str_of(invoking->client_context),
        .depth = call->depth,
        .payload = buf_str(&invoking->payload),
    };
    int r = async_submit(call->api->config.async, &event, accepted, call);
    if (r == 0)
        return;
    if (r == -EAGAIN || r == -ENOSPC)
        (void) aws_error_set_reason(&call->error, AWS_TOO_MANY_REQUESTS,
                                    "FunctionInvocationRateLimitExceeded", "Rate Exceeded.");
    else
        (void) aws_error_set(&call->error, AWS_SERVICE, "No memory");
    fail(call);
}
