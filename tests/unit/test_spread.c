// SPDX-License-Identifier: MIT
//
// Percentiles by nearest rank.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "compare/spread.h"

static void expect(struct samples *samples, double p50, double p95, double p99, double maximum)
{
    struct spread spread = samples_spread(samples);

    assert_true(spread.p50 == p50 && spread.p95 == p95 && spread.p99 == p99);
    assert_true(spread.maximum == maximum);
}

static void nothing_is_zeros(void **state)
{
    struct samples samples = {0};

    expect(&samples, 0, 0, 0, 0);
    assert_int_equal(samples_spread(&samples).count, 0);
    samples_done(&samples);
}

static void one_is_itself(void **state)
{
    struct samples samples = {0};

    samples_add(&samples, 7.5);
    expect(&samples, 7.5, 7.5, 7.5, 7.5);
    samples_done(&samples);
}

static void a_thousand_backwards(void **state)
{
    struct samples samples = {0}, more = {0};

    for (int i = 1000; i > 500; i--)
        samples_add(&samples, i);
    for (int i = 500; i > 0; i--)
        samples_add(&more, i);
    samples_move(&samples, &more);
    assert_int_equal(more.count, 0);
    expect(&samples, 500, 950, 990, 1000);
    assert_int_equal(samples_spread(&samples).count, 1000);
    assert_false(samples.has_overflowed);
    samples_done(&samples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_zeros),
        cmocka_unit_test(one_is_itself),
        cmocka_unit_test(a_thousand_backwards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
