// SPDX-License-Identifier: MIT
#include "sdk/http_reply.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

struct line {
    const char *text;
    size_t size; // without its end
};

static const char *const kept_names[HTTP_REPLY_HEADER_COUNT] = {
    [HTTP_REPLY_REQUEST_ID] = "lambda-runtime-aws-request-id",
    [HTTP_REPLY_DEADLINE_MS] = "lambda-runtime-deadline-ms",
    [HTTP_REPLY_FUNCTION_ARN] = "lambda-runtime-invoked-function-arn",
    [HTTP_REPLY_TRACE_ID] = "lambda-runtime-trace-id",
    [HTTP_REPLY_CLIENT_CONTEXT] = "lambda-runtime-client-context",
    [HTTP_REPLY_COGNITO_IDENTITY] = "lambda-runtime-cognito-identity",
    [HTTP_REPLY_PIPELINING] = "lamina-runtime-pipelining",
};

// The line at `*at`, moving it past; false when its end is not there yet.
static bool next_line(const char *data, size_t size, size_t *at, struct line *ret_line)
{
    const char *end = memchr(data + *at, '\n', size - *at);
    if (end == NULL)
        return false;
    *ret_line = (struct line){.text = data + *at, .size = (size_t) (end - (data + *at))};
    if (ret_line->size > 0 && ret_line->text[ret_line->size - 1] == '\r')
        ret_line->size--;
    *at = (size_t) (end - data) + 1;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// "HTTP/1.x SSS reason". HTTP/1.0 closes unless told otherwise.
static int parse_status(struct line line, struct http_reply *reply)
{
    if (line.size < 12 || memcmp(line.text, "HTTP/1.", 7) != 0 || !is_digit(line.text[7]) ||
        line.text[8] != ' ')
        return -EBADMSG;
    const char *code = line.text + 9;
    if (!is_digit(code[0]) || !is_digit(code[1]) || !is_digit(code[2]) ||
        (line.size > 12 && code[3] != ' '))
        return -EBADMSG;
    reply->status = (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0');
    reply->can_keep_alive = line.text[7] != '0';
    return reply->status >= 100 ? 0 : -EBADMSG;
}

static bool name_is(struct line name, const char *wanted)
{
    return strlen(wanted) == name.size && strncasecmp(name.text, wanted, name.size) == 0;
}

static struct line trimmed(struct line value)
{
    while (value.size > 0 && (value.text[0] == ' ' || value.text[0] == '\t')) {
        value.text++;
        value.size--;
    }
    while (value.size > 0 &&
           (value.text[value.size - 1] == ' ' || value.text[value.size - 1] == '\t'))
        value.size--;
    return value;
}

static int parse_length(struct line value, struct http_reply *reply)
{
    uint64_t length = 0;
    if (value.size == 0 || value.size > 18)
        return -EBADMSG;
    for (size_t i = 0; i < value.size; i++) {
        if (!is_digit(value.text[i]))
            return -EBADMSG;
        length = length * 10 + (uint64_t) (value.text[i] - '0');
    }
    if (reply->has_length && reply->length != length)
        return -EBADMSG;
    reply->has_length = true;
    reply->length = length;
    return 0;
}

static int parse_header(const char *data, struct line line, struct http_reply *reply)
{
    const char *colon = memchr(line.text, ':', line.size);
    if (colon == NULL || colon == line.text || line.text[0] == ' ' || line.text[0] == '\t')
        return -EBADMSG;
    struct line name = {line.text, (size_t) (colon - line.text)};
    struct line value = trimmed((struct line){colon + 1, line.size - name.size - 1});
    if (memchr(value.text, '\0', value.size) != NULL)
        return -EBADMSG;
    if (name_is(name, "content-length"))
        return parse_length(value, reply);
    if (name_is(name, "transfer-encoding")) {
        reply->is_chunked = true;
        return name_is(value, "chunked") ? 0 : -EBADMSG;
    }
    if (name_is(name, "connection") && name_is(value, "close"))
        reply->can_keep_alive = false;
    for (int i = 0; i < HTTP_REPLY_HEADER_COUNT; i++) {
        if (name_is(name, kept_names[i])) {
            reply->headers[i].at = (size_t) (value.text - data);
            reply->headers[i].size = value.size;
        }
    }
    return 0;
}

int http_reply_parse(const char *data, size_t size, struct http_reply *ret_reply)
{
    struct http_reply reply = {0};
    struct line line;
    size_t at = 0;
    size_t seen = size < HTTP_REPLY_HEAD_BYTES_MAX ? size : HTTP_REPLY_HEAD_BYTES_MAX;
    int incomplete = size < HTTP_REPLY_HEAD_BYTES_MAX ? 0 : -EMSGSIZE;

    if (!next_line(data, seen, &at, &line))
        return incomplete;
    int r = parse_status(line, &reply);
    while (r == 0) {
        if (!next_line(data, seen, &at, &line))
            return incomplete;
        if (line.size == 0)
            break;
        r = parse_header(data, line, &reply);
    }
    if (r < 0 || (reply.is_chunked && reply.has_length))
        return -EBADMSG;
    reply.head_size = at;
    *ret_reply = reply;
    return 1;
}
