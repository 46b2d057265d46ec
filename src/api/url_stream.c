/* SPDX-License-Identifier: MIT
 *
 * A URL whose InvokeMode is RESPONSE_STREAM: the function's bytes become the response's as they come.
 *
 * A function that wants to say more than a body begins with a prelude, under its own Content-Type:
 *
 *     {"statusCode":..., "headers":{...}, "cookies":[...]}  eight NUL bytes  body...
 *
 * Without one the status is 200 and the runtime's Content-Type is the response's. A function that
 * fails before its head is out is answered 502; after it the connection is cut, so that nobody takes
 * half a response for a whole one.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/url.h"
#include "base/mem.h"

#define PRELUDE_TYPE "application/vnd.awslambda.http-integration-response"
#define PRELUDE_END_SIZE 8
#define PRELUDE_MAX ((size_t) 128 * 1024)

enum stage { IN_PRELUDE, IN_BODY, WITHOUT_BODY, FAILED };

struct url_stream {
    enum stage stage;
    struct url_head head;
    struct buf prelude; /* what came of it so far */
    yyjson_doc *doc;    /* of the prelude: head's texts are in it */
};

void url_stream_free(struct url_stream *stream)
{
    if (!stream)
        return;
    buf_done(&stream->prelude);
    yyjson_doc_free(stream->doc);
    free(stream);
}

static void drained(struct http_request *request)
{
    struct call *call = request->user;
    struct url_call *url = call->work;
    if (url && url->invocation)
        invocation_stream_resume(url->invocation);
}

/* The head is known. One without a body waits for the function's end, as every other answer. */
static void send_head(struct url_call *url, struct str content_type)
{
    struct url_stream *stream = url->stream;
    struct url_head *head = &stream->head;
    struct http_response response = {.status = head->status, .body_kind = HTTP_BODY_STREAM};
    url_head_complete(head, url, content_type, STR(""));
    if (!url_head_has_body(head)) {
        stream->stage = WITHOUT_BODY;
        return;
    }
    stream->stage = IN_BODY;
    call_begin_stream(url->call, &response, head->headers, head->n_headers,
                      ARRAY_SIZE(head->headers));
}

static void begin(void *arg, struct str content_type, bool is_streamed)
{
    struct url_call *url = arg;
    struct call *call = url->call;
    struct url_stream *stream = mem_new(struct url_stream);
    if (!stream || !call->request) {
        free(stream); /* answered 502 at the end, or nobody waits */
        return;
    }
    url->stream = stream;
    buf_init(&stream->prelude, PRELUDE_MAX);
    (void) snprintf(call->request_id, sizeof(call->request_id), "%s",
                    invocation_request_id(url->invocation));
    if (str_has_prefix(content_type, STR(PRELUDE_TYPE)))
        return; /* stage IN_PRELUDE */
    stream->head.status = 200;
    /* The view ends with this call: the head goes out in it. */
    send_head(url, content_type.size > 0 ? content_type : STR("application/octet-stream"));
}

static bool send_body(struct url_call *url, struct str piece)
{
    struct http_request *request = url->call->request;
    return !request || http_stream_write(request, piece, drained);
}

static int read_prelude(struct url_call *url, struct str text)
{
    struct url_stream *stream = url->stream;
    int r = json_parse(text, PRELUDE_MAX, &stream->doc, NULL);
    yyjson_val *root = yyjson_doc_get_root(stream->doc);
    if (r < 0 || !yyjson_is_obj(root))
        return -EINVAL;
    if (json_member(root, "statusCode"))
        return url_head_read(&stream->head, url, root);
    stream->head.status = 200;
    return 0;
}

/* Collects until the eight NULs, which may come in two pieces; what follows them is body. */
static bool take_prelude(struct url_call *url, struct str piece)
{
    static const char end[PRELUDE_END_SIZE] = {0};
    struct url_stream *stream = url->stream;
    struct buf *prelude = &stream->prelude;
    /* What was searched before is not searched again: pieces may be one byte each. */
    size_t from = prelude->size < sizeof(end) ? 0 : prelude->size - (sizeof(end) - 1);
    if (buf_append_str(prelude, piece) < 0) {
        stream->stage = FAILED;
        return true;
    }
    struct str all = buf_str(prelude);
    const char *at = memmem(all.data + from, all.size - from, end, sizeof(end));
    if (!at)
        return true;
    size_t size = (size_t) (at - all.data);
    if (read_prelude(url, str_part(all, 0, size)) < 0) {
        stream->stage = FAILED;
        return true;
    }
    send_head(url, STR("application/octet-stream"));
    struct str rest = str_skip(all, size + sizeof(end));
    return stream->stage != IN_BODY || rest.size == 0 || send_body(url, rest);
}

static bool data(void *arg, struct str piece)
{
    struct url_call *url = arg;
    struct url_stream *stream = url->stream;
    if (!stream || !url->call->request)
        return true;
    if (stream->stage == IN_PRELUDE)
        return take_prelude(url, piece);
    return stream->stage != IN_BODY || send_body(url, piece);
}

const struct invocation_stream url_stream_callbacks = {begin, data};

static void answer_without_body(struct url_call *url)
{
    struct url_head *head = &url->stream->head;
    struct http_response response = {.status = head->status, .body_kind = HTTP_BODY_NONE};
    call_answer(url->call, &response, head->headers, head->n_headers, ARRAY_SIZE(head->headers));
    url_free(url);
}

static void end_body(struct url_call *url, bool is_whole)
{
    struct call *call = url->call;
    url_free(url);
    if (is_whole) {
        call_end_stream(call);
        return;
    }
    if (call->request)
        http_stream_abort(call->request);
    call->request = NULL;
    call_free(call);
}

void url_stream_finish(struct url_call *url, struct invocation_result *result)
{
    bool is_whole = result->outcome == INVOCATION_ANSWERED;
    enum stage stage = url->stream ? url->stream->stage : FAILED;
    if (stage == IN_BODY)
        end_body(url, is_whole);
    else if (stage == WITHOUT_BODY && is_whole)
        answer_without_body(url);
    else
        url_refuse(url, 502, "ServiceException", "Internal Server Error");
}
