// SPDX-License-Identifier: MIT
//
// application/vnd.amazon.eventstream: how InvokeWithResponseStream answers. Source: the Smithy
// specification, "Amazon Event Stream".
//
//     +------------------+------------------+------------+---------+---------+-------------+
//     | u32 whole length | u32 header bytes | u32 CRC-32 | headers | payload | u32 CRC-32  |
//     +------------------+------------------+------------+---------+---------+-------------+
//       big-endian                            of those 8                       of all before
//
// Headers here are strings only (type 7), as AWS's services send them. Any thread.

#ifndef LAMINA_AWS_EVENT_STREAM_H
#define LAMINA_AWS_EVENT_STREAM_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/http_header.h"
#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

#define EVENT_STREAM_TYPE "application/vnd.amazon.eventstream"
#define EVENT_STREAM_OVERHEAD 16    // bytes of a message without headers and payload
#define EVENT_STREAM_HEADERS_MAX 16 // in a message that is read
#define EVENT_STREAM_HEADER_BYTES_MAX ((size_t) 128 * 1024) // the format's own limit
#define EVENT_STREAM_PAYLOAD_MAX ((size_t) 16 * 1024 * 1024)

// Appends one message. Names of 1-255 bytes, values of at most 65,535. -EINVAL for others, -EFBIG or
// -ENOMEM as buf.h.
int event_stream_append(struct buf *out, const struct http_header *headers, size_t header_count,
                        struct str payload) MUST_CHECK;

// The three messages of InvokeWithResponseStream.
int event_stream_append_chunk(struct buf *out, struct str payload) MUST_CHECK;
int event_stream_append_complete(struct buf *out, struct str json) MUST_CHECK;
int event_stream_append_exception(struct buf *out, struct str type, struct str json) MUST_CHECK;

// ---- Reading, for clients and tests

struct event_stream_message {
    struct http_header headers[EVENT_STREAM_HEADERS_MAX]; // views
    size_t header_count;
    struct str payload; // a view
};

// Takes one message off the front of *rest. 0; -EAGAIN: not all of it is there yet (nothing is
// taken); -EBADMSG: a checksum or length is wrong, a header is no string, or a limit is exceeded.
int event_stream_next(struct str *rest, struct event_stream_message *ret_message) MUST_CHECK;

// The header's value; data == NULL if there is none.
struct str event_stream_header(const struct event_stream_message *message, const char *name);

#endif
