/* SPDX-License-Identifier: MIT
 *
 * Invoke: RequestResponse and DryRun; and what InvokeWithResponseStream has in common with it.
 *
 *   name, qualifier, headers ─► payload is JSON? ─► version (catalog) ─► scheduler ─► answer
 *
 * A payload above CHECK_INLINE_MAX is checked by a job, so that one of 6 MB does not hold up the loop
 * for ten milliseconds.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/invoking.h"
#include "api/json_check.h"
#include "api/mount_error.h"
#include "api/operations.h"
#include "api/validation.h"
#include "base/base64.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "function/catalog.h"
#include "function/scheduler.h"

#define CHECK_INLINE_MAX ((size_t) 64 * 1024)
#define TRACE_ID_MAX 256

void invoking_free(struct invoking *invoking)
{
    if (!invoking)
        return;
    version_unref(invoking->version);
    buf_done(&invoking->payload);
    free(invoking->client_context);
    free(invoking);
}

static void fail(struct call *call)
{
    invoking_free(call->work);
    call->work = NULL;
    call_fail(call);
}

static int read_type(struct call *call, struct invoking *invoking)
{
    static const char *const types[] = {"RequestResponse", "Event", "DryRun"};
    struct str type = http_request_header(call->request, "x-amz-invocation-type");
    struct str log = http_request_header(call->request, "x-amz-log-type");
    AUTO_VALIDATION struct validation validation = VALIDATION_INIT;
    bool is_known = type.size == 0;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        bool is_allowed = !invoking->stream || i != INVOKE_EVENT;
        if (str_equal_text(type, types[i]) && is_allowed) {
            invoking->type = (enum invoke_type) i;
            is_known = true;
        }
    }
    if (!is_known)
        validation_add(&validation, type, "invocationType",
                       invoking->stream
                           ? "satisfy enum value set: [RequestResponse, DryRun]"
                           : "satisfy enum value set: [Event, RequestResponse, DryRun]");
    if (str_equal(log, STR("Tail")))
        invoking->wants_log_tail = true;
    else if (log.size > 0 && !str_equal(log, STR("None")))
        validation_add(&validation, log, "logType", "satisfy enum value set: [None, Tail]");
    return validation_finish(&validation, AWS_VALIDATION, &call->error);
}

static int read_client_context(struct call *call, struct invoking *invoking)
{
    struct str text = http_request_header(call->request, "x-amz-client-context");
    size_t position;
    const char *why;
    if (text.size == 0)
        return 0;
    if (text.size > LIMIT_CLIENT_CONTEXT_MAX)
        return aws_error_set(&call->error, AWS_INVALID_REQUEST_CONTENT,
                             "Client context must be smaller than %d bytes",
                             LIMIT_CLIENT_CONTEXT_MAX + 1);
    char *decoded = malloc(BASE64_DECODED_SIZE_MAX(text.size) + 1);
    if (!decoded)
        return aws_error_set(&call->error, AWS_SERVICE, "No memory");
    invoking->client_context = decoded;
    ptrdiff_t size = base64_decode(text, decoded);
    if (size < 0 || json_check(str_of_data(decoded, (size_t) size), &position, &why) < 0)
        return aws_error_set(&call->error, AWS_INVALID_REQUEST_CONTENT,
                             "Client context must be a valid Base64-encoded JSON object.");
    decoded[size] = '\0';
    /* It travels in a header line: line ends, which JSON allows between values, become spaces. */
    for (ptrdiff_t i = 0; i < size; i++)
        if (decoded[i] == '\n' || decoded[i] == '\r' || decoded[i] == '\t')
            decoded[i] = ' ';
    return 0;
}

/* Functions that call one another without end are stopped here, as AWS stops them: whichever way they call, since
 * the depth is this service's own count and not what a function says. */
static int refuse_loop(struct call *call)
{
    if (call->depth <= LIMIT_INVOKE_DEPTH)
        return 0;
    return aws_error_set(&call->error, AWS_RECURSIVE_INVOCATION,
                         "Lambda detected the function being invoked in a recursive loop: %d "
                         "functions have called one another before this call",
                         LIMIT_INVOKE_DEPTH);
}

/* What an event may carry. (The limit of a synchronous call is the route's.) */
static int refuse_size(struct call *call, const struct invoking *invoking)
{
    if (invoking->type == INVOKE_EVENT && call->request->body.size > LIMIT_PAYLOAD_ASYNC_MAX)
        return aws_error_set(&call->error, AWS_REQUEST_TOO_LARGE,
                             "%zu byte payload is too large for the Event invocation type (limit "
                             "%d bytes)",
                             call->request->body.size, LIMIT_PAYLOAD_ASYNC_MAX);
    return 0;
}

static int find_version(struct call *call, struct invoking *invoking)
{
    const struct version *version;
    int r = catalog_find(call->api->config.catalog, invoking->name.name, invoking->name.qualifier,
                         &version);
    if (r == -ENOENT)
        return call_no_function(call, &invoking->name);
    if (r == -EAGAIN && version_is_snap_start(version))
        return aws_error_set(&call->error, AWS_SNAP_START_NOT_READY,
                             "Lambda is initializing your function. It will be ready to invoke "
                             "once your function state becomes ACTIVE.");
    if (r < 0)
        return aws_error_set(&call->error, AWS_RESOURCE_CONFLICT,
                             "The operation cannot be performed at this time. The function is "
                             "currently in the following state: %s",
                             version_state_name(version->state));
    invoking->version = version_ref(version);
    return 0;
}

static void append_model_digest(struct invocation_result *result, struct http_header *headers,
                                size_t *n)
{
    if (result->model_digest.size > 0)
        headers[(*n)++] = (struct http_header){STR("X-Lamina-Model-Digest"), result->model_digest};
}

/* 200: what the function said, or the error that it ran into. */
static void answer_result(struct call *call, struct invocation_result *result)
{
    struct invoking *invoking = call->work;
    struct http_header headers[10];
    size_t n = 0;
    char tail[BASE64_ENCODED_SIZE(INVOCATION_LOG_TAIL_MAX) + 1];
    headers[n++] = (struct http_header){STR("Content-Type"), STR("application/json")};
    headers[n++] =
        (struct http_header){STR("X-Amz-Executed-Version"), str_of(invoking->version->qualifier)};
    if (result->outcome == INVOCATION_FUNCTION_ERROR)
        headers[n++] = (struct http_header){STR("X-Amz-Function-Error"), STR("Unhandled")};
    if (invoking->wants_log_tail)
        headers[n++] = (struct http_header){
            STR("X-Amz-Log-Result"),
            str_of(base64_encode(result->log_tail.data, result->log_tail.size, tail))};
    if (result->trace_id.size > 0)
        headers[n++] = (struct http_header){STR("X-Amzn-Trace-Id"), result->trace_id};
    append_model_digest(result, headers, &n);
    struct http_response response = {
        .status = 200, .body_kind = HTTP_BODY_BUF, .buf = result->payload};
    buf_init(&result->payload, 0);
    /* The executed version's text must live until the answer is written. */
    const struct version *version = TAKE_PTR(invoking->version);
    invoking_free(TAKE_PTR(call->work));
    call_answer(call, &response, headers, n, ARRAY_SIZE(headers));
    version_unref(version);
}

bool invoking_has_run(struct call *call, struct invocation_result *result)
{
    struct invoking *invoking = call->work;
    call->on_gone = NULL;
    if (result->request_id)
        (void) snprintf(call->request_id, sizeof(call->request_id), "%s", result->request_id);
    switch (result->outcome) {
    case INVOCATION_ANSWERED:
    case INVOCATION_FUNCTION_ERROR:
        return true;
    case INVOCATION_THROTTLED:
        (void) aws_error_set_reason(&call->error, AWS_TOO_MANY_REQUESTS, result->throttle_reason,
                                    "Rate Exceeded.");
        call->retry_after_s = result->retry_after_s;
        break;
    case INVOCATION_FAULT:
        log_error("invoke.fault", "function=%s request=%s error=%s", invoking->name.name,
                  call->request_id, LOG_TEXT(result->error ? result->error->text : ""));
        (void) aws_error_set(&call->error, AWS_SERVICE,
                             "The function could not be started; the service's log names request "
                             "%s.",
                             call->request_id);
        break;
    case INVOCATION_MOUNT_FAILED:
        log_warn("invoke.unmounted", "function=%s request=%s access_point=%s error=%s",
                 invoking->name.name, call->request_id,
                 LOG_TEXT(invoking->version->filesystem.arn), LOG_TEXT(result->error->text));
        (void) mount_error_set(&call->error, invoking->version, result->mount_failure,
                               result->error->text);
        break;
    case INVOCATION_RESTORE_FAILED:
        (void) aws_error_set(&call->error, AWS_SNAP_START,
                             "The afterRestore() runtime hook encountered an error: %.200s",
                             result->error->text);
        break;
    case INVOCATION_RESTORE_TIMEOUT:
        (void) aws_error_set(&call->error, AWS_SNAP_START_TIMEOUT,
                             "Lambda couldn't restore the snapshot within the timeout limit.");
        break;
    }
    fail(call);
    return false;
}

static void invoked(void *arg, struct invocation_result *result)
{
    if (invoking_has_run(arg, result))
        answer_result(arg, result);
}

/* Nobody waits for the answer any more: the invocation's callback will not come. */
static void caller_gone(struct call *call)
{
    struct invoking *invoking = call->work;
    if (invoking->invocation)
        invocation_cancel(invoking->invocation);
    invoking_free(invoking);
    call->work = NULL;
    call_free(call);
}

struct str invoking_trace_id(const struct call *call)
{
    struct str trace = http_request_header(call->request, "x-amzn-trace-id");
    return trace.size > TRACE_ID_MAX ? STR("") : trace;
}

static void start(struct call *call)
{
    struct invoking *invoking = call->work;
    const struct version *version = invoking->version;
    struct invocation_spec spec = {
        .payload = invoking->payload,
        .client_context = str_of(invoking->client_context),
        .trace_id = invoking_trace_id(call),
        .invoked_arn = str_of(invoking->arn),
        .depth = call->depth,
        .wants_log_tail = invoking->wants_log_tail,
        .stream = invoking->stream,
        .stream_arg = call,
    };
    buf_init(&invoking->payload, 0);
    call->on_gone = caller_gone;
    invoking->invocation =
        invocation_start(call->api->config.scheduler, version, &spec, invoking->done, call);
    if (!invoking->invocation) {
        buf_done(&spec.payload);
        call->on_gone = NULL;
        (void) aws_error_set(&call->error, AWS_SERVICE, "No memory");
        fail(call);
    }
}

static int check_failed(struct call *call, const struct invoking *invoking)
{
    if (invoking->check == 0)
        return 0;
    return aws_error_set(&call->error, AWS_INVALID_REQUEST_CONTENT,
                         "Could not parse request body into json: %s at byte %zu", invoking->why,
                         invoking->position);
}

/* The payload is known to be JSON or not: what is left is to find the function and run it. */
static void checked(struct call *call)
{
    struct invoking *invoking = call->work;
    int r = check_failed(call, invoking);
    if (r == 0)
        r = find_version(call, invoking);
    if (r < 0) {
        fail(call);
        return;
    }
    (void) snprintf(invoking->arn, sizeof(invoking->arn), "%s%s%s", invoking->version->arn,
                    invoking->name.qualifier[0] ? ":" : "", invoking->name.qualifier);
    if (invoking->type == INVOKE_EVENT)
        invoking_submit(call);
    else
        start(call);
}

static void check_job(void *arg)
{
    struct invoking *invoking = ((struct call *) arg)->work;
    invoking->check = json_check(buf_str(&invoking->payload), &invoking->position, &invoking->why);
}

static void check_done(void *arg, int status)
{
    struct call *call = arg;
    struct invoking *invoking = call->work;
    if (!call->request) { /* the client went while the job ran */
        invoking_free(invoking);
        call->work = NULL;
        call_free(call);
        return;
    }
    if (status < 0) {
        (void) aws_error_set(&call->error, AWS_SERVICE, "The service is ending");
        fail(call);
        return;
    }
    checked(call);
}

static void check(struct call *call)
{
    struct invoking *invoking = call->work;
    if (invoking->payload.size > CHECK_INLINE_MAX &&
        job_submit(call->api->jobs, check_job, check_done, call) == 0)
        return;
    /* Small, or the threads have enough to do: a burst of callers is no reason to refuse one. */
    check_job(call);
    checked(call);
}

static void dry_run(struct call *call)
{
    if (find_version(call, call->work) < 0) {
        fail(call);
        return;
    }
    invoking_free(call->work);
    call->work = NULL;
    call_answer_empty(call, 204);
}

/* AWS passes {} on when a call has no body. */
static void take_payload(struct call *call, struct invoking *invoking)
{
    if (call->request->body.size > 0) {
        invoking->payload = http_request_take_body(call->request);
        return;
    }
    buf_init(&invoking->payload, 2);
    buf_append_text(&invoking->payload, "{}");
}

void invoke(struct call *call)
{
    invoking_begin(call, invoked, NULL);
}

void invoking_begin(struct call *call, invocation_cb *done, const struct invocation_stream *stream)
{
    struct invoking *invoking = mem_new(struct invoking);
    if (!invoking) {
        call_fail_with(call, AWS_SERVICE, "No memory");
        return;
    }
    call->work = invoking;
    invoking->done = done;
    invoking->stream = stream;
    int r = refuse_loop(call);
    if (r == 0)
        r = call_function_name(call, FUNCTION_NAME_NAMESPACED, &invoking->name);
    if (r == 0)
        r = read_type(call, invoking);
    if (r == 0)
        r = refuse_size(call, invoking);
    if (r == 0)
        r = read_client_context(call, invoking);
    if (r < 0) {
        fail(call);
        return;
    }
    take_payload(call, invoking);
    if (invoking->type == INVOKE_DRY_RUN)
        dry_run(call);
    else
        check(call);
}
