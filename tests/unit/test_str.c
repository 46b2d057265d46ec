// SPDX-License-Identifier: MIT

#include "unit.h"

static void makes_views(void **state)
{
    assert_str_equal(STR("abc"), "abc");
    assert_str_equal(str_of(NULL), "");
    assert_str_equal(str_of("x"), "x");
    assert_int_equal(STR("a\0b").size, 3);
}

static void compares(void **state)
{
    assert_true(str_equal(STR("a"), STR("a")));
    assert_true(str_equal(str_of(NULL), STR("")));
    assert_false(str_equal(STR("a"), STR("ab")));
    assert_true(str_equal_nocase(STR("Content-Length"), STR("cOnTENT-lENGTH")));
    assert_false(str_equal_nocase(STR("["), STR("{"))); // one bit apart, as letters' cases are
    assert_false(str_equal_nocase(STR("a"), STR("ab")));
    assert_true(str_equal_text(STR("x"), "x"));
    assert_true(str_compare(STR("a"), STR("b")) < 0);
    assert_true(str_compare(STR("a"), STR("ab")) < 0);
    assert_true(str_compare(STR("b"), STR("ab")) > 0);
    assert_true(str_compare(STR("\xff"), STR("a")) > 0);
    assert_int_equal(str_compare(str_of(NULL), STR("")), 0);
    assert_true(str_has_prefix(STR("abc"), STR("ab")));
    assert_true(str_has_prefix(STR("abc"), STR("")));
    assert_false(str_has_prefix(STR("a"), STR("ab")));
    assert_true(str_has_suffix(STR("abc"), STR("bc")));
    assert_false(str_has_suffix(STR("c"), STR("bc")));
}

static void finds_and_cuts(void **state)
{
    assert_int_equal(str_find(STR("a=b=c"), '='), 1);
    assert_int_equal(str_find_last(STR("a=b=c"), '='), 3);
    assert_int_equal(str_find(STR("abc"), '='), -1);
    assert_int_equal(str_find(str_of(NULL), '='), -1);
    struct str head, tail = STR("a=b=c");
    assert_true(str_cut(tail, '=', &head, &tail));
    assert_str_equal(head, "a");
    assert_str_equal(tail, "b=c");
    assert_true(str_cut(tail, '=', &head, &tail));
    assert_false(str_cut(tail, '=', &head, &tail));
    assert_str_equal(head, "c");
    assert_str_equal(tail, "");
}

static void takes_parts(void **state)
{
    assert_str_equal(str_part(STR("abc"), 1, 1), "b");
    assert_str_equal(str_part(STR("abc"), 1, SIZE_MAX), "bc");
    assert_str_equal(str_part(STR("abc"), 9, 1), "");
    assert_str_equal(str_skip(STR("abc"), 3), "");
    assert_str_equal(str_skip(str_of(NULL), 3), "");
    assert_str_equal(str_trim(STR(" \t\r\n a b \n")), "a b");
    assert_str_equal(str_trim(STR(" \t ")), "");
}

static void reads_unsigned_numbers(void **state)
{
    static const struct {
        const char *text;
        uint64_t maximum;
        int result;
        uint64_t value;
    } rows[] = {
        {"0", 10, 0, 0},
        {"10", 10, 0, 10},
        {"11", 10, -ERANGE, 0},
        {"0007", 10, 0, 7},
        {"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, -ERANGE, 0},
        {"99999999999999999999999", UINT64_MAX, -ERANGE, 0},
        {"99999999999999999999999x", UINT64_MAX, -EINVAL, 0},
        {"", 10, -EINVAL, 0},
        {"-1", 10, -EINVAL, 0},
        {"+1", 10, -EINVAL, 0},
        {" 1", 10, -EINVAL, 0},
        {"1 ", 10, -EINVAL, 0},
        {"0x1", 10, -EINVAL, 0},
        {"1.0", 10, -EINVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t value = 0;
        assert_int_equal(str_to_u64(str_of(rows[i].text), rows[i].maximum, &value), rows[i].result);
        assert_int_equal(value, rows[i].value);
    }
}

static void reads_signed_numbers(void **state)
{
    static const struct {
        const char *text;
        int result;
        int64_t value;
    } rows[] = {
        {"-9223372036854775808", 0, INT64_MIN},
        {"9223372036854775807", 0, INT64_MAX},
        {"-9223372036854775809", -ERANGE, 0},
        {"9223372036854775808", -ERANGE, 0},
        {"-0", 0, 0},
        {"-5", 0, -5},
        {"--5", -EINVAL, 0},
        {"-", -EINVAL, 0},
        {"", -EINVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t value = 0;
        assert_int_equal(str_to_i64(str_of(rows[i].text), INT64_MIN, INT64_MAX, &value),
                         rows[i].result);
        assert_true(value == rows[i].value);
    }
    int64_t value = 7;
    assert_int_equal(str_to_i64(STR("4"), 5, 9, &value), -ERANGE);
    assert_int_equal(value, 7);
}

static void copies_for_syscalls(void **state)
{
    char to[4] = "zzz";
    assert_int_equal(str_copy(STR("abc"), to, sizeof to), 0);
    assert_string_equal(to, "abc");
    assert_int_equal(str_copy(STR("abcd"), to, sizeof to), -ENAMETOOLONG);
    assert_string_equal(to, "");
    assert_int_equal(str_copy(STR("a\0b"), to, sizeof to), -EINVAL);
    assert_int_equal(str_copy(STR("a"), to, 0), -ENAMETOOLONG);
    char *copy = str_copy_heap(str_of(NULL));
    assert_string_equal(copy, "");
    free(copy);
}

static void knows_utf8(void **state)
{
    static const char *const good[] = {"",
                                       "abc",
                                       "\xc3\xa4",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80"};
    static const char *const bad[] = {
        "\x80",             // a continuation alone
        "\xc0\x80",         // overlong NUL
        "\xc1\xbf",         // overlong
        "\xe0\x9f\xbf",     // overlong
        "\xf0\x8f\xbf\xbf", // overlong
        "\xed\xa0\x80",     // surrogate
        "\xf4\x90\x80\x80", // above U+10FFFF
        "\xf5\x80\x80\x80",
        "\xff",
        "a\xc3",
        "\xe2\x82",
        "\xc3(",
        "\xe2(\xac",
        "\xf0\x9f\x98(",
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(str_is_utf8(str_of(good[i])));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(str_is_utf8(str_of(bad[i])));
    // Every prefix that ends inside a character is bad, and is not read past its end.
    const char *text = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
    static const bool is_whole[] = {1, 1, 0, 1, 0, 0, 1, 0, 0, 0, 1};
    for (size_t size = 0; size < ARRAY_SIZE(is_whole); size++) {
        struct unit_guard guard = unit_guard_new(text, size);
        assert_int_equal(str_is_utf8(str_of_data(guard.data, size)), is_whole[size]);
        unit_guard_free(&guard);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_views),
        cmocka_unit_test(compares),
        cmocka_unit_test(finds_and_cuts),
        cmocka_unit_test(takes_parts),
        cmocka_unit_test(reads_unsigned_numbers),
        cmocka_unit_test(reads_signed_numbers),
        cmocka_unit_test(copies_for_syscalls),
        cmocka_unit_test(knows_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
