// SPDX-License-Identifier: MIT

#include "unit.h"

#include "model_runtime/float_text.h"

#include <float.h>
#include <math.h>

static void assert_fp32(float value, const char *expected)
{
    char text[FLOAT_TEXT_BYTES];
    size_t size = float_text_fp32(value, text);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(text, expected, size);
}

static void fp32_as_people_write_it(void **state)
{
    assert_fp32(0.0f, "0.0");
    assert_fp32(-0.0f, "-0.0");
    assert_fp32(1.0f, "1.0");
    assert_fp32(-1.5f, "-1.5");
    assert_fp32(0.1f, "0.1");
    assert_fp32(0.3f, "0.3");
    assert_fp32(123456.0f, "123456.0");
    assert_fp32(16777216.0f, "16777216.0");
    assert_fp32(1e9f, "1000000000.0");
    assert_fp32(1e10f, "1e10");
    assert_fp32(0.001f, "0.001");
    assert_fp32(0.00001f, "0.00001");
    assert_fp32(0.000001f, "1e-6");
    assert_fp32(1.17549435e-38f, "1.1754944e-38");
    assert_fp32(FLT_MAX, "3.4028235e38");
    assert_fp32(1.4e-45f, "1e-45");
    assert_fp32(NAN, "\"NaN\"");
    assert_fp32(INFINITY, "\"Infinity\"");
    assert_fp32(-INFINITY, "\"-Infinity\"");
}

static size_t count_digits(const char *text)
{
    size_t count = 0;
    bool has_started = false;
    size_t zeros = 0; // at the end of the digits: they carry nothing
    for (; *text && *text != 'e'; text++) {
        if (*text < '0' || *text > '9')
            continue;
        has_started = has_started || *text != '0';
        count += has_started;
        zeros = *text == '0' ? zeros + 1 : 0;
    }
    return count > zeros ? count - zeros : 1;
}

// Reads back as the same number, and no shorter text does.
static void check_fp32(uint32_t bits)
{
    char text[FLOAT_TEXT_BYTES + 1], other[64];
    float value;
    memcpy(&value, &bits, sizeof value);
    if (!isfinite(value))
        return;
    text[float_text_fp32(value, text)] = '\0';
    float back = strtof(text, NULL);
    assert_memory_equal(&back, &value, sizeof value);
    size_t digits = count_digits(text);
    assert_in_range(digits, 1, 9);
    if (digits > 1) {
        (void) snprintf(other, sizeof other, "%.*e", (int) digits - 2, (double) value);
        assert_true(strtof(other, NULL) != value);
    }
}

static void fp32_reads_back_and_is_shortest(void **state)
{
    uint32_t random = 12345;
    for (int i = 0; i < 300000; i++) {
        random = random * 1664525u + 1013904223u;
        check_fp32(random);
    }
    // Each power of two, where the interval is lopsided, and its neighbours; the smallest of all.
    for (uint32_t exponent = 0; exponent < 255; exponent++)
        for (uint32_t offset = 0; offset < 5; offset++)
            check_fp32((exponent << 23) + offset - 2);
    for (uint32_t bits = 0; bits < 3000; bits++)
        check_fp32(bits);
}

static void fp64_reads_back(void **state)
{
    static const double values[] = {0,     -0.0,   1,       0.1,           1.0 / 3,
                                    1e300, 5e-324, DBL_MAX, 123456789.125, -2.5};
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        char text[FLOAT_TEXT_BYTES + 1];
        text[float_text_fp64(values[i], text)] = '\0';
        double back = strtod(text, NULL);
        assert_memory_equal(&back, &values[i], sizeof back);
        assert_non_null(strpbrk(text, ".e"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp32_as_people_write_it),
        cmocka_unit_test(fp32_reads_back_and_is_shortest),
        cmocka_unit_test(fp64_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
