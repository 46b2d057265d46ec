/* SPDX-License-Identifier: MIT
 *
 * InvokeWithResponseStream: the response goes to the caller as the runtime posts it, each piece a
 * PayloadChunk of the event stream (aws/event_stream.h), an InvokeComplete at the end.
 *
 *   runtime ── POST response ─► scheduler ── begin, data ─► event stream ─► http_stream_write ─► caller
 *                  ▲ paused                                                      │ false
 *                  └────────────── invocation_stream_resume ◄── drained ◄────────┘
 *
 * A function error is told in InvokeComplete, because the status is out by then.
 */

#include <stdio.h>
#include <string.h>

#include "api/call.h"
#include "api/invoking.h"
#include "api/operations.h"
#include "aws/event_stream.h"
#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"

/* A response that comes whole is cut into chunks of this size. */
#define CHUNK_BYTES ((size_t) 64 * 1024)
/* InvokeComplete: an error of at most 6 MB, escaped, and the log's tail. */
#define COMPLETE_BYTES_MAX ((size_t) 16 << 20)

static void drained(struct http_request *request)
{
    struct call *call = request->user;
    struct invoking *invoking = call->work;
    if (invoking && invoking->invocation)
        invocation_stream_resume(invoking->invocation);
}

static void begin_answer(struct call *call)
{
    const struct invoking *invoking = call->work;
    struct http_header headers[4] = {
        {STR("Content-Type"), STR(EVENT_STREAM_TYPE)},
        {STR("X-Amz-Executed-Version"), str_of(invoking->version->qualifier)},
    };
    struct http_response response = {.status = 200, .body_kind = HTTP_BODY_STREAM};
    call_begin_stream(call, &response, headers, 2, ARRAY_SIZE(headers));
}

static void begin(void *arg, struct str content_type, bool is_streamed)
{
    struct call *call = arg;
    const struct invoking *invoking = call->work;
    const char *id = invocation_request_id(invoking->invocation);
    (void) snprintf(call->request_id, sizeof(call->request_id), "%s", id);
    begin_answer(call);
}

/* One message. False: the caller is slow. */
static bool send(struct call *call, struct buf *message)
{
    bool can_go_on = true;
    if (call->request && buf_status(message) == 0)
        can_go_on = http_stream_write(call->request, buf_str(message), drained);
    buf_done(message);
    return can_go_on;
}

static bool data(void *arg, struct str piece)
{
    struct buf message = BUF_INIT(piece.size + 256);
    (void) !event_stream_append_chunk(&message, piece); /* sticks in the buffer */
    return send(arg, &message);
}

/* A response that did not stream: whatever its length, http_stream_write takes it. */
static void send_whole(struct call *call, struct str payload)
{
    while (payload.size > 0) {
        (void) data(call, str_part(payload, 0, CHUNK_BYTES));
        payload = str_skip(payload, CHUNK_BYTES);
    }
}

static void append_member(struct buf *json, const char *name, struct str value)
{
    if (json->size > 1)
        buf_append_byte(json, ',');
    json_append_string(json, str_of(name));
    buf_append_byte(json, ':');
    json_append_string(json, value);
}

static void complete_json(struct buf *json, const struct invoking *invoking,
                          const struct invocation_result *result)
{
    char tail[BASE64_ENCODED_SIZE(INVOCATION_LOG_TAIL_MAX) + 1];
    buf_append_byte(json, '{');
    if (result->outcome == INVOCATION_FUNCTION_ERROR) {
        append_member(json, "ErrorCode",
                      result->error_type.size > 0 ? result->error_type : STR("Unhandled"));
        append_member(json, "ErrorDetails", buf_str(&result->payload));
    }
    if (invoking->wants_log_tail)
        append_member(json, "LogResult",
                      str_of(base64_encode(result->log_tail.data, result->log_tail.size, tail)));
    buf_append_byte(json, '}');
}

static void send_complete(struct call *call, const struct invocation_result *result)
{
    AUTO_BUF struct buf json = BUF_INIT(COMPLETE_BYTES_MAX);
    struct buf message = BUF_INIT(COMPLETE_BYTES_MAX + 256);
    complete_json(&json, call->work, result);
    (void) !event_stream_append_complete(&message, buf_str(&json)); /* sticks */
    (void) send(call, &message);
}

static void invoked(void *arg, struct invocation_result *result)
{
    struct call *call = arg;
    if (!result->has_begun) {
        if (!invoking_has_run(call, result))
            return;
        begin_answer(call);
        if (result->outcome == INVOCATION_ANSWERED)
            send_whole(call, buf_str(&result->payload));
    }
    send_complete(call, result);
    invoking_free(TAKE_PTR(call->work));
    call_end_stream(call);
}

void invoke_with_response_stream(struct call *call)
{
    static const struct invocation_stream stream = {begin, data};
    invoking_begin(call, invoked, &stream);
}
