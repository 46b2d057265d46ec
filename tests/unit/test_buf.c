// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/buf.h"

static void appends_and_ends_with_nul(void **state)
{
    AUTO_BUF struct buf buf = BUF_INIT(1 << 20);
    assert_str_equal(buf_str(&buf), "");
    assert_int_equal(buf_append_text(&buf, "ab"), 0);
    assert_int_equal(buf_append_byte(&buf, 'c'), 0);
    assert_int_equal(buf_append_str(&buf, STR("de")), 0);
    assert_int_equal(buf_append(&buf, NULL, 0), 0);
    assert_string_equal(buf.data, "abcde");
    buf_consume(&buf, 2);
    assert_string_equal(buf.data, "cde");
    buf_consume(&buf, 99);
    assert_int_equal(buf.size, 0);
    buf_clear(&buf);
    assert_int_equal(buf_status(&buf), 0);
}

static void grows_to_its_maximum_exactly(void **state)
{
    for (size_t maximum = 0; maximum < 1200; maximum += 37) {
        AUTO_BUF struct buf buf = BUF_INIT(maximum);
        for (size_t i = 0; i < maximum; i++)
            assert_int_equal(buf_append_byte(&buf, 'x'), 0);
        assert_int_equal(buf.size, maximum);
        assert_int_equal(buf_append_byte(&buf, 'x'), -EFBIG);
        assert_int_equal(buf.size, maximum);
    }
}

static void a_failure_sticks(void **state)
{
    AUTO_BUF struct buf buf = BUF_INIT(4);
    assert_int_equal(buf_append_text(&buf, "abc"), 0);
    assert_int_equal(buf_append_text(&buf, "de"), -EFBIG);
    assert_int_equal(buf_append_text(&buf, "f"), -EFBIG); // would fit, but the text has a hole
    assert_int_equal(buf_printf(&buf, "%d", 1), -EFBIG);
    assert_int_equal(buf_status(&buf), -EFBIG);
    assert_string_equal(buf.data, "abc");
    buf_clear(&buf);
    assert_int_equal(buf_append_text(&buf, "f"), 0);
    assert_int_equal(buf_reserve(&buf, SIZE_MAX), -EFBIG);
}

static void formats(void **state)
{
    AUTO_BUF struct buf buf = BUF_INIT(2000);
    assert_int_equal(buf_printf(&buf, "%s", ""), 0);
    assert_string_equal(buf.data, "");
    for (int i = 0; i < 300; i++) // crosses the first capacity at every offset
        assert_int_equal(buf_printf(&buf, "%d,", i % 10), 0);
    assert_int_equal(buf.size, 600);
    assert_memory_equal(buf.data + 590, "5,6,7,8,9,", 10);
    char lots[1401];
    memset(lots, 'y', 1400);
    lots[1400] = '\0';
    assert_int_equal(buf_printf(&buf, "%s", lots), 0);
    assert_int_equal(buf.size, 2000);
    assert_int_equal(buf_printf(&buf, "z"), -EFBIG);
    assert_int_equal(buf.data[2000], '\0');
}

static void hands_over_its_memory(void **state)
{
    AUTO_BUF struct buf buf = BUF_INIT(100);
    size_t size = 9;
    char *data = buf_take(&buf, &size);
    assert_string_equal(data, "");
    assert_int_equal(size, 0);
    free(data);
    buf_append_text(&buf, "abc");
    data = buf_take(&buf, &size);
    assert_string_equal(data, "abc");
    assert_int_equal(size, 3);
    free(data);
    assert_int_equal(buf.size, 0);
    assert_int_equal(buf.maximum, 100);
}

static void lets_the_caller_fill(void **state)
{
    AUTO_BUF struct buf buf = BUF_INIT(100);
    assert_int_equal(buf_reserve(&buf, 10), 0);
    memcpy(buf.data, "0123456789", 10);
    buf_advance(&buf, 4);
    assert_string_equal(buf.data, "0123");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_and_ends_with_nul), cmocka_unit_test(grows_to_its_maximum_exactly),
        cmocka_unit_test(a_failure_sticks),          cmocka_unit_test(formats),
        cmocka_unit_test(hands_over_its_memory),     cmocka_unit_test(lets_the_caller_fill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
