// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/percent.h"

static void decodes(void **state)
{
    static const struct {
        const char *text;
        bool plus_is_space;
        const char *result; // NULL: refused
    } rows[] = {
        {"", false, ""},         {"abc", false, "abc"},       {"arn%3Aaws", false, "arn:aws"},
        {"%2f%2F", false, "//"}, {"a+b", false, "a+b"},       {"a+b", true, "a b"},
        {"%2B", true, "+"},      {"%25%33%61", false, "%3a"}, {"%", false, NULL},
        {"%4", false, NULL},     {"a%4", false, NULL},        {"%zz", false, NULL},
        {"%4g", false, NULL},    {"%%41", false, NULL},       {"% 41", false, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct unit_guard guard = unit_guard_new(rows[i].text, strlen(rows[i].text));
        char data[64];
        ptrdiff_t size = percent_decode(str_of_data(guard.data, strlen(rows[i].text)),
                                        rows[i].plus_is_space, data);
        unit_guard_free(&guard);
        if (!rows[i].result) {
            assert_int_equal(size, -EINVAL);
            continue;
        }
        assert_int_equal(size, strlen(rows[i].result));
        assert_memory_equal(data, rows[i].result, (size_t) size);
    }
    char nul[4];
    assert_int_equal(percent_decode(STR("%00"), false, nul), 1); // what it means is the caller's
    char in_place[] = "%41%42c";
    assert_int_equal(percent_decode(str_of(in_place), false, in_place), 3);
    assert_memory_equal(in_place, "ABc", 3);
}

static void encodes_as_sigv4_wants(void **state)
{
    AUTO_BUF struct buf buf = BUF_INIT(100);
    assert_int_equal(percent_append(&buf, STR("aZ0-._~/ +\xc3\xa4:"), false), 0);
    assert_string_equal(buf.data, "aZ0-._~%2F%20%2B%C3%A4%3A");
    buf_clear(&buf);
    assert_int_equal(percent_append(&buf, STR("a/b c"), true), 0);
    assert_string_equal(buf.data, "a/b%20c");
}

static void every_byte_comes_back(void **state)
{
    char bytes[256];
    for (size_t i = 0; i < 256; i++)
        bytes[i] = (char) i;
    AUTO_BUF struct buf buf = BUF_INIT(1000);
    assert_int_equal(percent_append(&buf, str_of_data(bytes, 256), false), 0);
    assert_int_equal(percent_decode(buf_str(&buf), true, buf.data), 256);
    assert_memory_equal(buf.data, bytes, 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes),
        cmocka_unit_test(encodes_as_sigv4_wants),
        cmocka_unit_test(every_byte_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
