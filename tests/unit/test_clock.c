// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/clock.h"

static void formats_times(void **state)
{
    char text[CLOCK_TEXT_MAX];
    int64_t at = INT64_C(1767323045678); // 2026-01-02T03:04:05.678Z
    assert_string_equal(clock_iso_z(at, text), "2026-01-02T03:04:05.678Z");
    assert_string_equal(clock_iso_lambda(at, text), "2026-01-02T03:04:05.678+0000");
    assert_string_equal(clock_basic(at, text), "20260102T030405Z");
    assert_string_equal(clock_http(at, text), "Fri, 02 Jan 2026 03:04:05 GMT");
    assert_string_equal(clock_iso_z(0, text), "1970-01-01T00:00:00.000Z");
    assert_string_equal(clock_iso_z(-1, text), "1970-01-01T00:00:00.000Z");
    assert_string_equal(clock_iso_z(INT64_MAX, text), "9999-12-31T23:59:59.999Z");
}

static void reads_what_it_wrote(void **state)
{
    char text[CLOCK_TEXT_MAX];
    for (int64_t wall_s = 0; wall_s < INT64_C(253402300799); wall_s += INT64_C(123456789)) {
        int64_t back = -1;
        assert_int_equal(clock_parse_basic(str_of(clock_basic(wall_s * 1000, text)), &back), 0);
        assert_true(back == wall_s);
    }
}

static void refuses_what_is_no_moment(void **state)
{
    static const char *const bad[] = {
        "20261302T030405Z", "20260230T030405Z",  "20260229T030405Z", "20260100T030405Z",
        "20260001T030405Z", "20260102T240405Z",  "20260102T036005Z", "20260102T030460Z",
        "19691231T235959Z", "20260102T030405z",  "20260102 030405Z", "2026010aT030405Z",
        "+2026102T030405Z", "20260102T030405ZZ", "2026-01-02T03:04",
    };
    int64_t at = 7;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(clock_parse_basic(str_of(bad[i]), &at), -EINVAL);
    const char *good = "20240229T030405Z";
    for (size_t size = 0; size < 16; size++) {
        struct unit_guard guard = unit_guard_new(good, size);
        assert_int_equal(clock_parse_basic(str_of_data(guard.data, size), &at), -EINVAL);
        unit_guard_free(&guard);
    }
    assert_int_equal(at, 7);
    assert_int_equal(clock_parse_basic(str_of(good), &at), 0); // a leap day is one
}

static void clocks_run(void **state)
{
    int64_t before = clock_monotonic_ns();
    assert_true(clock_monotonic_ns() >= before);
    assert_true(clock_monotonic_ms() >= before / CLOCK_NS_PER_MS);
    assert_true(clock_wall_ms() / 1000 <= clock_wall_s());
    assert_true(clock_wall_s() > INT64_C(1700000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_times),
        cmocka_unit_test(reads_what_it_wrote),
        cmocka_unit_test(refuses_what_is_no_moment),
        cmocka_unit_test(clocks_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
