// SPDX-License-Identifier: MIT
//
// Event-stream messages: what is read, written again, is the same bytes. The checksums are made right
// first, or nothing would get past them.

#include "aws/event_stream.h"

#include <arpa/inet.h>
#include <assert.h>
#include <zlib.h>

static void put_checksum(uint8_t *data, size_t at)
{
    uint32_t wire = htonl((uint32_t) crc32_z(0, data, at));
    memcpy(data + at, &wire, sizeof(wire));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF struct buf copy = BUF_INIT(1 << 20);
    AUTO_BUF struct buf again = BUF_INIT(1 << 20);
    struct event_stream_message message;
    if (buf_append(&copy, data, size) < 0)
        return 0;
    struct str rest = buf_str(&copy);
    (void) !event_stream_next(&rest, &message);
    if (size < EVENT_STREAM_OVERHEAD)
        return 0;
    uint32_t whole = htonl((uint32_t) size);
    memcpy(copy.data, &whole, sizeof(whole));
    put_checksum((uint8_t *) copy.data, 8);
    put_checksum((uint8_t *) copy.data, size - 4);
    rest = buf_str(&copy);
    if (event_stream_next(&rest, &message) < 0)
        return 0;
    assert(rest.size == 0);
    assert(event_stream_append(&again, message.headers, message.header_count, message.payload) ==
           0);
    assert(str_equal(buf_str(&again), buf_str(&copy)));
    return 0;
}
