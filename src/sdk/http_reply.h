// SPDX-License-Identifier: MIT
//
// http_reply: the head of an HTTP/1.1 response (RFC 9112), as much of it as the Runtime API uses.
//
// A pure function over bytes: nothing is allocated or kept. Lines may end in CRLF or a bare LF;
// header names are compared without case; unknown headers are skipped; a repeated header's last
// value counts, except that two different Content-Length values, or Content-Length beside
// Transfer-Encoding, are refused.
#ifndef LAMINA_SDK_HTTP_REPLY_H
#define LAMINA_SDK_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_REPLY_HEAD_BYTES_MAX (128 * 1024)

// The headers whose values are kept, as offsets into the head.
enum http_reply_header {
    HTTP_REPLY_REQUEST_ID,
    HTTP_REPLY_DEADLINE_MS,
    HTTP_REPLY_FUNCTION_ARN,
    HTTP_REPLY_TRACE_ID,
    HTTP_REPLY_CLIENT_CONTEXT,
    HTTP_REPLY_COGNITO_IDENTITY,
    HTTP_REPLY_PIPELINING,
    HTTP_REPLY_HEADER_COUNT
};

struct http_reply {
    int status;
    size_t head_size; // up to and including the empty line
    bool is_chunked;
    bool has_length;
    bool can_keep_alive;
    uint64_t length; // of the body, with has_length
    struct {
        size_t at;
        size_t size; // 0: not sent, or empty
    } headers[HTTP_REPLY_HEADER_COUNT];
};

// 1: `ret_reply` is filled; 0: the head is not complete; -EBADMSG: this is not an HTTP/1 response,
// or one whose body's end cannot be told; -EMSGSIZE: more than HTTP_REPLY_HEAD_BYTES_MAX and no
// end.
int http_reply_parse(const char *data, size_t size, struct http_reply *ret_reply);

#endif
