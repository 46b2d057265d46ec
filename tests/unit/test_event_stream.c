// SPDX-License-Identifier: MIT
//
// Event-stream framing: the specification's own examples, our messages read back, every prefix and
// every flipped bit.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "aws/event_stream.h"

#include <errno.h>

// The two messages that the format's test vectors begin with: an empty one, and a payload alone.
static void the_published_messages(void **state)
{
    static const unsigned char empty[] = {0,    0,    0,    0x10, 0,    0,    0,    0,
                                          0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff};
    static const unsigned char payload[] = {
        0,   0,   0,    0x1d, 0,    0,   0,   0,   0xfd, 0x52, 0x8c, 0x5a, '{',  '\'', 'f',
        'o', 'o', '\'', ':',  '\'', 'b', 'a', 'r', '\'', '}',  0xc3, 0x65, 0x39, 0x36};
    AUTO_BUF struct buf out = BUF_INIT(4096);
    assert_int_equal(event_stream_append(&out, NULL, 0, STR("")), 0);
    assert_int_equal(out.size, sizeof(empty));
    assert_memory_equal(out.data, empty, sizeof(empty));
    buf_clear(&out);
    assert_int_equal(event_stream_append(&out, NULL, 0, STR("{'foo':'bar'}")), 0);
    assert_int_equal(out.size, sizeof(payload));
    assert_memory_equal(out.data, payload, sizeof(payload));
}

static void make(struct buf *out)
{
    assert_int_equal(event_stream_append_chunk(out, STR("one\0two")), 0);
    assert_int_equal(event_stream_append_chunk(out, STR("")), 0);
    assert_int_equal(event_stream_append_complete(out, STR("{}")), 0);
    assert_int_equal(
        event_stream_append_exception(out, STR("ServiceException"), STR("{\"message\":\"x\"}")), 0);
}

static void what_we_write_we_read(void **state)
{
    static const struct {
        const char *header, *value;
        struct str payload;
    } rows[] = {
        {":event-type", "PayloadChunk", {"one\0two", 7}},
        {":event-type", "PayloadChunk", {"", 0}},
        {":event-type", "InvokeComplete", {"{}", 2}},
        {":exception-type", "ServiceException", {"{\"message\":\"x\"}", 15}},
    };
    AUTO_BUF struct buf out = BUF_INIT(4096);
    make(&out);
    struct str rest = buf_str(&out);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct event_stream_message message;
        assert_int_equal(event_stream_next(&rest, &message), 0);
        assert_true(str_equal_text(event_stream_header(&message, rows[i].header), rows[i].value));
        assert_true(str_equal(message.payload, rows[i].payload));
        assert_null(event_stream_header(&message, "other").data);
    }
    assert_int_equal(rest.size, 0);
}

static void every_prefix_waits_and_every_flipped_bit_is_noticed(void **state)
{
    AUTO_BUF struct buf out = BUF_INIT(4096);
    struct event_stream_message message;
    assert_int_equal(event_stream_append_chunk(&out, STR("payload")), 0);
    for (size_t size = 0; size < out.size; size++) {
        char *exact = malloc(size + 1); // AddressSanitizer sees its end
        memcpy(exact, out.data, size);
        struct str rest = {exact, size};
        assert_int_equal(event_stream_next(&rest, &message), -EAGAIN);
        assert_int_equal(rest.size, size);
        free(exact);
    }
    for (size_t bit = 0; bit < 8 * out.size; bit++) {
        out.data[bit / 8] ^= (char) (1 << bit % 8);
        struct str rest = buf_str(&out);
        assert_int_equal(event_stream_next(&rest, &message), -EBADMSG);
        out.data[bit / 8] ^= (char) (1 << bit % 8);
    }
}

static void limits(void **state)
{
    static char text[70000];
    AUTO_BUF struct buf out = BUF_INIT(1 << 20);
    memset(text, 'x', sizeof(text));
    struct http_header header = {{text, 256}, STR("v")};
    assert_int_equal(event_stream_append(&out, &header, 1, STR("")), -EINVAL);
    header = (struct http_header){STR(""), STR("v")};
    assert_int_equal(event_stream_append(&out, &header, 1, STR("")), -EINVAL);
    header = (struct http_header){STR("n"), {text, 65536}};
    assert_int_equal(event_stream_append(&out, &header, 1, STR("")), -EINVAL);
    assert_int_equal(out.size, 0);
    header.value.size = 65535;
    assert_int_equal(event_stream_append(&out, &header, 1, STR("p")), 0);
    struct str rest = buf_str(&out);
    struct event_stream_message message;
    assert_int_equal(event_stream_next(&rest, &message), 0);
    assert_int_equal(message.headers[0].value.size, 65535);
    struct http_header many[EVENT_STREAM_HEADERS_MAX + 1];
    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        many[i] = (struct http_header){STR("n"), STR("v")};
    buf_clear(&out);
    assert_int_equal(event_stream_append(&out, many, ARRAY_SIZE(many), STR("")), 0);
    rest = buf_str(&out);
    assert_int_equal(event_stream_next(&rest, &message), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_messages),
        cmocka_unit_test(what_we_write_we_read),
        cmocka_unit_test(every_prefix_waits_and_every_flipped_bit_is_noticed),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
