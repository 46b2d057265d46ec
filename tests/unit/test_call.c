// SPDX-License-Identifier: MIT

#include "unit.h"

#include "sdk/call.h"
#include "sdk/json_text.h"

#include <time.h>

static struct call call; // too large for a stack that is checked

static void assert_answer(const char *text)
{
    assert_int_equal(call.answer.size, strlen(text));
    assert_memory_equal(call.answer.size > 0 ? call.answer.data : "", text, strlen(text));
}

static int start(void **state)
{
    call_init(&call, NULL, NULL);
    return 0;
}

static int end(void **state)
{
    call_done(&call);
    return 0;
}

static void writes_append(void **state)
{
    struct lamina_call *public = &call.public;
    assert_int_equal(lamina_write(public, "ab", 2), 0);
    assert_int_equal(lamina_printf(public, "%s-%d", "c", 7), 0);
    assert_int_equal(lamina_write(public, "", 0), 0);
    assert_int_equal(lamina_json_string(public, "q\"\\\n\x01", 5), 0);
    assert_answer("abc-7\"q\\\"\\\\\\n\\u0001\"");
    call_settle(&call, 0);
    assert_false(call.has_failed);
}

static void printf_of_every_length_around_its_first_guess(void **state)
{
    char text[1200];
    memset(text, 'x', sizeof text);
    for (int length = 500; length < 1100; length++) {
        call_reset(&call);
        assert_int_equal(lamina_printf(&call.public, "%.*s", length, text), 0);
        assert_int_equal(call.answer.size, length);
        assert_memory_equal(call.answer.data, text, (size_t) length);
    }
}

static void an_answer_has_a_maximum(void **state)
{
    char *megabyte = calloc(1, 1 << 20);
    assert_non_null(megabyte);
    for (int i = 0; i < 6; i++)
        assert_int_equal(lamina_write(&call.public, megabyte, 1 << 20), 0);
    assert_int_equal(lamina_write(&call.public, megabyte, 100), 0);
    assert_int_equal(call.answer.size, LAMINA_PAYLOAD_BYTES_MAX);
    call_settle(&call, 0);
    assert_false(call.has_failed);
    assert_int_equal(lamina_printf(&call.public, "x"), -EMSGSIZE);
    assert_int_equal(call.answer.size, LAMINA_PAYLOAD_BYTES_MAX);
    call_settle(&call, 0); // the handler ignored it; the caller must not get a cut answer
    assert_true(call.has_failed);
    assert_string_equal(call.error_type, "Function.ResponseSizeTooLarge");
    call_reset(&call);
    assert_null(call.answer.data); // and the memory is given back
    free(megabyte);
}

static void failures(void **state)
{
    call_settle(&call, -5);
    assert_string_equal(call.error_type, "Function.HandlerFailed");
    assert_string_equal(call.error_message, "the handler returned -5 (Input/output error)");
    call_reset(&call);
    assert_int_equal(lamina_fail(&call.public, "Function.BadInput", "no %d", 1), -1);
    call_settle(&call, -1);
    assert_string_equal(call.error_type, "Function.BadInput");
    assert_string_equal(call.error_message, "no 1");
    call_reset(&call); // a type that AWS would not take, or that could add a header
    (void) lamina_fail(&call.public, "Function.Bad\r\nX: y", "m");
    assert_string_equal(call.error_type, "Function.Unknown");
}

static void error_types(void **state)
{
    static const struct {
        const char *type;
        bool is_good;
    } rows[] = {
        {"Runtime.ExitError", true},
        {"Function.Ab", true},
        {"Function.A", false},
        {"Function.", false},
        {"Function", false},
        {"function.Ab", false},
        {"Function.ab", false},
        {"Function.A1", false},
        {"Function.A b", false},
        {"Sandbox.Ab", false},
        {"", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(call_is_error_type(rows[i].type), rows[i].is_good);
}

static void content_types(void **state)
{
    char lots[200];
    assert_string_equal(call.content_type, "application/json");
    assert_int_equal(lamina_content_type(&call.public, "image/png"), 0);
    assert_string_equal(call.content_type, "image/png");
    assert_int_equal(lamina_content_type(&call.public, "a\r\nX: y"), -EINVAL);
    assert_int_equal(lamina_content_type(&call.public, ""), -EINVAL);
    memset(lots, 'x', sizeof lots - 1);
    lots[sizeof lots - 1] = '\0';
    assert_int_equal(lamina_content_type(&call.public, lots), -EINVAL);
    assert_string_equal(call.content_type, "image/png");
    call_reset(&call);
    assert_string_equal(call.content_type, "application/json");
}

static void time_left(void **state)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    assert_true(lamina_remaining_ms(&call.public) == INT64_MAX);
    call.public.deadline_ms = 1;
    assert_int_equal(lamina_remaining_ms(&call.public), 0);
    call.public.deadline_ms = ((int64_t) now.tv_sec + 86400) * 1000;
    assert_in_range(lamina_remaining_ms(&call.public), 86400000 / 2, 86400000);
    call.public.deadline_ms = 0;
}

static void json_text_is_valid_utf8_whatever_comes(void **state)
{
    static const struct {
        const char *text, *json;
    } rows[] = {
        {"", "\"\""},
        {"plain", "\"plain\""},
        {"\x7f", "\"\\u007f\""},
        {"gr\xC3\xBC\xC3\x9F", "\"gr\xC3\xBC\xC3\x9F\""},
        {"\xE2\x82\xAC", "\"\xE2\x82\xAC\""},
        {"\xF0\x9F\x98\x80", "\"\xF0\x9F\x98\x80\""},
        {"\xC0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},                 // overlong
        {"\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""}, // a surrogate
        {"\xF4\x90\x80\x80",
         "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""}, // above U+10FFFF
        {"a\xE2\x82", "\"a\xEF\xBF\xBD\xEF\xBF\xBD\""},           // cut off
        {"\t\r\b", "\"\\t\\r\\u0008\""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct bytes out = {.maximum = 1000};
        struct unit_guard guard = unit_guard_new(rows[i].text, strlen(rows[i].text));
        assert_int_equal(json_text_append(&out, guard.data, strlen(rows[i].text)), 0);
        assert_string_equal(out.data, rows[i].json);
        unit_guard_free(&guard);
        bytes_done(&out);
    }
}

static void errors_as_json(void **state)
{
    struct bytes out = {.maximum = 1000}, small = {.maximum = 10};
    assert_int_equal(call_error_json(&out, "Function.X", "say \"no\""), 0);
    assert_string_equal(out.data,
                        "{\"errorMessage\":\"say \\\"no\\\"\",\"errorType\":\"Function.X\"}");
    assert_int_equal(call_error_json(&small, "Function.X", "m"), -EMSGSIZE);
    bytes_done(&out);
    bytes_done(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_append, start, end),
        cmocka_unit_test_setup_teardown(printf_of_every_length_around_its_first_guess, start, end),
        cmocka_unit_test_setup_teardown(an_answer_has_a_maximum, start, end),
        cmocka_unit_test_setup_teardown(failures, start, end),
        cmocka_unit_test(error_types),
        cmocka_unit_test_setup_teardown(content_types, start, end),
        cmocka_unit_test_setup_teardown(time_left, start, end),
        cmocka_unit_test(json_text_is_valid_utf8_whatever_comes),
        cmocka_unit_test(errors_as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
