// SPDX-License-Identifier: MIT

#include "aws/event_stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <zlib.h>

#define PRELUDE_BYTES 12
#define TYPE_STRING 7

static uint32_t checksum(const void *data, size_t size)
{
    return (uint32_t) crc32_z(0, data, size);
}

static void put_u32(struct buf *out, uint32_t value)
{
    uint32_t wire = htonl(value);
    buf_append(out, &wire, sizeof(wire));
}

static uint32_t get_u32(const char *from)
{
    uint32_t wire;
    memcpy(&wire, from, sizeof(wire));
    return ntohl(wire);
}

// ---- Writing

static size_t header_bytes(const struct http_header *header)
{
    return 1 + header->name.size + 1 + 2 + header->value.size;
}

static void put_header(struct buf *out, const struct http_header *header)
{
    uint16_t size = htons((uint16_t) header->value.size);
    buf_append_byte(out, (char) header->name.size);
    buf_append_str(out, header->name);
    buf_append_byte(out, TYPE_STRING);
    buf_append(out, &size, sizeof(size));
    buf_append_str(out, header->value);
}

int event_stream_append(struct buf *out, const struct http_header *headers, size_t header_count,
                        struct str payload)
{
    size_t bytes = 0, start = out->size;
    for (size_t i = 0; i < header_count; i++) {
        const struct http_header *header = &headers[i];
        if (header->name.size < 1 || header->name.size > 255 || header->value.size > UINT16_MAX)
            return -EINVAL;
        bytes += header_bytes(header);
    }
    if (bytes > EVENT_STREAM_HEADER_BYTES_MAX || payload.size > EVENT_STREAM_PAYLOAD_MAX)
        return -EINVAL;
    size_t whole = EVENT_STREAM_OVERHEAD + bytes + payload.size;
    int r = buf_reserve(out, whole);
    if (r < 0)
        return r;
    put_u32(out, (uint32_t) whole);
    put_u32(out, (uint32_t) bytes);
    put_u32(out, checksum(out->data + start, 8));
    for (size_t i = 0; i < header_count; i++)
        put_header(out, &headers[i]);
    buf_append_str(out, payload);
    put_u32(out, checksum(out->data + start, out->size - start));
    return buf_status(out);
}

int event_stream_append_chunk(struct buf *out, struct str payload)
{
    static const struct http_header headers[] = {
        {{":message-type", 13}, {"event", 5}},
        {{":event-type", 11}, {"PayloadChunk", 12}},
        {{":content-type", 13}, {"application/octet-stream", 24}},
    };
    return event_stream_append(out, headers, ARRAY_SIZE(headers), payload);
}

int event_stream_append_complete(struct buf *out, struct str json)
{
    static const struct http_header headers[] = {
        {{":message-type", 13}, {"event", 5}},
        {{":event-type", 11}, {"InvokeComplete", 14}},
        {{":content-type", 13}, {"application/json", 16}},
    };
    return event_stream_append(out, headers, ARRAY_SIZE(headers), json);
}

int event_stream_append_exception(struct buf *out, struct str type, struct str json)
{
    const struct http_header headers[] = {
        {STR(":message-type"), STR("exception")},
        {STR(":exception-type"), type},
        {STR(":content-type"), STR("application/json")},
    };
    return event_stream_append(out, headers, ARRAY_SIZE(headers), json);
}

// ---- Reading

static int take(struct str *rest, size_t size, struct str *ret_part)
{
    if (rest->size < size)
        return -EBADMSG;
    *ret_part = str_part(*rest, 0, size);
    *rest = str_skip(*rest, size);
    return 0;
}

static int take_header(struct str *rest, struct http_header *header)
{
    struct str part;
    if (take(rest, 1, &part) < 0 || take(rest, (unsigned char) part.data[0], &header->name) < 0 ||
        header->name.size == 0 || take(rest, 3, &part) < 0 || part.data[0] != TYPE_STRING)
        return -EBADMSG;
    size_t size = (size_t) (unsigned char) part.data[1] << 8 | (unsigned char) part.data[2];
    return take(rest, size, &header->value);
}

static int take_headers(struct str rest, struct event_stream_message *message)
{
    message->header_count = 0;
    while (rest.size > 0) {
        if (message->header_count == EVENT_STREAM_HEADERS_MAX ||
            take_header(&rest, &message->headers[message->header_count]) < 0)
            return -EBADMSG;
        message->header_count++;
    }
    return 0;
}

int event_stream_next(struct str *rest, struct event_stream_message *ret_message)
{
    if (rest->size < PRELUDE_BYTES)
        return -EAGAIN;
    size_t whole = get_u32(rest->data), bytes = get_u32(rest->data + 4);
    if (get_u32(rest->data + 8) != checksum(rest->data, 8) ||
        bytes > EVENT_STREAM_HEADER_BYTES_MAX || whole < EVENT_STREAM_OVERHEAD + bytes ||
        whole - EVENT_STREAM_OVERHEAD - bytes > EVENT_STREAM_PAYLOAD_MAX)
        return -EBADMSG;
    if (rest->size < whole)
        return -EAGAIN;
    if (get_u32(rest->data + whole - 4) != checksum(rest->data, whole - 4))
        return -EBADMSG;
    struct event_stream_message message;
    int r = take_headers(str_part(*rest, PRELUDE_BYTES, bytes), &message);
    if (r < 0)
        return r;
    message.payload = str_part(*rest, PRELUDE_BYTES + bytes, whole - EVENT_STREAM_OVERHEAD - bytes);
    *ret_message = message;
    *rest = str_skip(*rest, whole);
    return 0;
}

struct str event_stream_header(const struct event_stream_message *message, const char *name)
{
    for (size_t i = 0; i < message->header_count; i++)
        if (str_equal_text(message->headers[i].name, name))
            return message->headers[i].value;
    return (struct str){NULL, 0};
}
