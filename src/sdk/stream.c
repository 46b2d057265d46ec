// SPDX-License-Identifier: MIT
#include "sdk/stream.h"

#include "sdk/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEAD_BYTES 2048
#define TRAILER_BYTES_MAX (CALL_MESSAGE_BYTES * 16)

void stream_init(struct stream *stream, struct runtime_client *client)
{
    *stream = (struct stream){.client = client, .trailers = {.maximum = TRAILER_BYTES_MAX}};
}

void stream_done(struct stream *stream)
{
    bytes_done(&stream->trailers);
}

void stream_reset(struct stream *stream)
{
    bytes_clear(&stream->trailers, CALL_MESSAGE_BYTES);
    stream->has_begun = false;
    stream->error = 0;
}

static int send_parts(struct stream *stream, const struct iovec *parts, int count)
{
    if (stream->error == 0)
        stream->error = runtime_client_send(stream->client, parts, count);
    return stream->error;
}

static struct iovec part(const void *data, size_t size)
{
    return (struct iovec){.iov_base = (void *) (uintptr_t) data, .iov_len = size};
}

static int begin(struct stream *stream, const struct call *call)
{
    char head[HEAD_BYTES], digest[SESSION_DIGEST_HEADER_BYTES];
    int size = snprintf(
        head, sizeof head,
        "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: %s\r\nUser-Agent: "
        "lamina\r\n"
        "Content-Type: %s\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n"
        "Transfer-Encoding: chunked\r\n"
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n%s\r\n",
        call->request_id, stream->client->address, call->content_type,
        session_digest_header(digest));
    if (size < 0 || size >= HEAD_BYTES)
        return stream->error = -EMSGSIZE;
    stream->has_begun = true;
    struct iovec parts[] = {part(head, (size_t) size)};
    return send_parts(stream, parts, 1);
}

int stream_write(void *arg, struct call *call, const void *data, size_t size)
{
    struct stream *stream = arg;
    char line[20];
    int r = stream->has_begun ? stream->error : begin(stream, call);
    if (r < 0)
        return r;
    int line_size = snprintf(line, sizeof line, "%zx\r\n", size);
    struct iovec parts[] = {part(line, (size_t) line_size), part(data, size), part("\r\n", 2)};
    return send_parts(stream, parts, 3);
}

// ---- the end

static int append_base64(struct bytes *out, const unsigned char *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        unsigned group = (unsigned) data[i] << 16 | (left > 1 ? (unsigned) data[i + 1] << 8 : 0) |
                         (left > 2 ? data[i + 2] : 0u);
        char text[4] = {digits[group >> 18], digits[group >> 12 & 63],
                        left > 1 ? digits[group >> 6 & 63] : '=',
                        left > 2 ? digits[group & 63] : '='};
        int r = bytes_append(out, text, sizeof text);
        if (r < 0)
            return r;
    }
    return 0;
}

static int append_text(struct bytes *out, const char *text)
{
    return bytes_append(out, text, strlen(text));
}

// Without memory the trailers are cut to none: the stream still ends, and the log has the error.
static void make_trailers(struct bytes *trailers, const struct call *call)
{
    struct bytes json = {.maximum = CALL_MESSAGE_BYTES * 8};
    int r = call_error_json(&json, call->error_type, call->error_message);
    if (r == 0)
        r = append_text(trailers, "Lambda-Runtime-Function-Error-Type: ");
    if (r == 0)
        r = append_text(trailers, call->error_type);
    if (r == 0)
        r = append_text(trailers, "\r\nLambda-Runtime-Function-Error-Body: ");
    if (r == 0)
        r = append_base64(trailers, (const unsigned char *) json.data, json.size);
    if (r == 0)
        r = append_text(trailers, "\r\n");
    if (r < 0)
        bytes_clear(trailers, CALL_MESSAGE_BYTES);
    bytes_done(&json);
}

int stream_end(struct stream *stream, struct call *call)
{
    struct runtime_reply reply = {0};
    if (!stream->has_begun)
        (void) begin(stream, call);
    if (call->has_failed)
        make_trailers(&stream->trailers, call);
    struct iovec parts[] = {
        part("0\r\n", 3),
        part(stream->trailers.data != NULL ? stream->trailers.data : "", stream->trailers.size),
        part("\r\n", 2)};
    (void) send_parts(stream, parts, 3);
    // Also after a send that failed: the platform may have said why before it hung up.
    int r = runtime_client_receive(stream->client, &reply);
    if (stream->error < 0)
        runtime_client_close(stream->client);
    if (r < 0)
        return stream->error < 0 ? stream->error : r;
    return reply.head.status;
}
