// SPDX-License-Identifier: MIT

#include "unit.h"

#include "sdk/http_reply.h"

static const char next[] =
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: application/json\r\n"
    "LAMBDA-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n"
    "Lambda-Runtime-Deadline-Ms:1542409706888\r\n"
    "Lambda-Runtime-Trace-Id: \t Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=1 \t\r\n"
    "Lambda-Runtime-Client-Context:\r\n"
    "content-length: 2\r\n"
    "\r\n"
    "{}";

static void assert_header(const struct http_reply *reply, enum http_reply_header which,
                          const char *text)
{
    assert_int_equal(reply->headers[which].size, strlen(text));
    assert_memory_equal(next + reply->headers[which].at, text, strlen(text));
}

static void reads_an_answer_to_next(void **state)
{
    struct http_reply reply;
    assert_int_equal(http_reply_parse(next, sizeof next - 1, &reply), 1);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.head_size, sizeof next - 1 - 2);
    assert_true(reply.has_length && reply.length == 2 && !reply.is_chunked);
    assert_true(reply.can_keep_alive);
    assert_header(&reply, HTTP_REPLY_REQUEST_ID, "8476a536-e9f4-11e8-9739-2dfe598c3fcd");
    assert_header(&reply, HTTP_REPLY_DEADLINE_MS, "1542409706888");
    assert_header(&reply, HTTP_REPLY_TRACE_ID,
                  "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=1");
    assert_header(&reply, HTTP_REPLY_CLIENT_CONTEXT, "");
    assert_header(&reply, HTTP_REPLY_COGNITO_IDENTITY, "");
}

static void each_prefix_is_incomplete(void **state)
{
    for (size_t size = 0; size < sizeof next - 1; size++) {
        struct http_reply reply;
        struct unit_guard guard = unit_guard_new(next, size);
        int expected = size >= sizeof next - 1 - 2 ? 1 : 0;
        assert_int_equal(http_reply_parse(guard.data, size, &reply), expected);
        unit_guard_free(&guard);
    }
}

static void other_good_heads(void **state)
{
    static const struct {
        const char *text;
        int status;
        bool is_chunked, has_length, can_keep_alive;
    } rows[] = {
        {"HTTP/1.1 202\r\n\r\n", 202, false, false, true},
        {"HTTP/1.1 202 \n\n", 202, false, false, true},
        {"HTTP/1.0 200 OK\r\n\r\n", 200, false, false, false},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", 200, false, false, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", 200, true, false, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 200, false, true,
         true},
        {"HTTP/1.1 100 Continue\r\n\r\n", 100, false, false, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct http_reply reply;
        assert_int_equal(http_reply_parse(rows[i].text, strlen(rows[i].text), &reply), 1);
        assert_int_equal(reply.status, rows[i].status);
        assert_int_equal(reply.is_chunked, rows[i].is_chunked);
        assert_int_equal(reply.has_length, rows[i].has_length);
        assert_int_equal(reply.can_keep_alive, rows[i].can_keep_alive);
    }
}

static void bad_heads_are_refused(void **state)
{
    static const char *const rows[] = {
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 20\r\n\r\n",
        "HTTP/1.1 2000\r\n\r\n",
        "HTTP/1.1 099 x\r\n\r\n",
        "HTTX/1.1 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct http_reply reply;
        assert_int_equal(http_reply_parse(rows[i], strlen(rows[i]), &reply), -EBADMSG);
    }
    static const char with_nul[] = "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n";
    struct http_reply reply;
    assert_int_equal(http_reply_parse(with_nul, sizeof with_nul - 1, &reply), -EBADMSG);
}

static void a_head_without_end_is_too_long(void **state)
{
    char *head = malloc(HTTP_REPLY_HEAD_BYTES_MAX);
    struct http_reply reply;
    assert_non_null(head);
    memset(head, 'a', HTTP_REPLY_HEAD_BYTES_MAX);
    memcpy(head, "HTTP/1.1 200 OK\r\nA: ", 20);
    assert_int_equal(http_reply_parse(head, HTTP_REPLY_HEAD_BYTES_MAX - 1, &reply), 0);
    assert_int_equal(http_reply_parse(head, HTTP_REPLY_HEAD_BYTES_MAX, &reply), -EMSGSIZE);
    free(head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_an_answer_to_next),
        cmocka_unit_test(each_prefix_is_incomplete),
        cmocka_unit_test(other_good_heads),
        cmocka_unit_test(bad_heads_are_refused),
        cmocka_unit_test(a_head_without_end_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
