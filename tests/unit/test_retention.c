/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "function/retention.h"

#include <string.h>

#define SECOND INT64_C(1000)
#define HOUR (3600 * SECOND)

static const struct retention_cost template_of_20_mib = {
    .start_ms = 60, .memory_mib = 20, .ready_ms = 60};
static const struct retention_cost fork_of_half_a_mib = {.start_ms = 1.4, .memory_mib = 0.5};

static struct retention_plan plan_of(const struct arrivals *arrivals, int64_t age_ms,
                                     const struct retention_cost *cost)
{
    struct retention_plan plan;
    retention_plan(arrivals, age_ms, cost, RETENTION_PRICE, &plan);
    return plan;
}

/* Every `gap_ms`, `times` times; the last arrival's time is returned. */
static int64_t every(struct arrivals *arrivals, int64_t gap_ms, int times)
{
    int64_t at = 1;
    memset(arrivals, 0, sizeof *arrivals);
    for (int i = 0; i < times; i++)
        arrivals_note(arrivals, at += gap_ms);
    return at;
}

static void bins_are_without_holes(void **state)
{
    assert_int_equal(arrivals_bin(-5), 0);
    assert_int_equal(arrivals_bin(0), 0);
    for (int bin = 0; bin < ARRIVALS_BINS; bin++) {
        int64_t start = arrivals_bin_start(bin), end = arrivals_bin_start(bin + 1);
        assert_true(start < end);
        assert_int_equal(arrivals_bin(start), bin);
        assert_int_equal(arrivals_bin(end - 1), bin);
        assert_true(bin < 8 || (end - start) * 4 <= start); /* as fine as a gap is long */
    }
    assert_int_equal(arrivals_bin(arrivals_bin_start(ARRIVALS_BINS)), ARRIVALS_BINS - 1);
    assert_int_equal(arrivals_bin(INT64_MAX), ARRIVALS_BINS - 1);
}

static void a_gap_is_counted_where_it_belongs(void **state)
{
    struct arrivals arrivals;
    int64_t last = every(&arrivals, 10 * SECOND, 5);
    assert_int_equal(arrivals_age_ms(&arrivals, last + 70), 70);
    assert_int_equal(arrivals_age_ms(&arrivals, last - 70),
                     0); /* a clock that stood still does no harm */
    int bin = arrivals_bin(10 * SECOND);
    assert_true(arrivals_mass(&arrivals, bin) > 3.9);
    assert_true(arrivals_mass(&arrivals, bin - 1) < 0.1);
    assert_true(arrivals_tail(&arrivals, 0) < 5.1 && arrivals_tail(&arrivals, 0) > 4.9);
}

/* Also over the rescaling, some tens of thousands of arrivals on. */
static void what_was_long_ago_counts_less_and_less(void **state)
{
    struct arrivals arrivals;
    int64_t at = every(&arrivals, HOUR, 100);
    double before = arrivals_mass(&arrivals, arrivals_bin(HOUR));
    for (int i = 0; i < 100000; i++)
        arrivals_note(&arrivals, at += 10);
    assert_true(before > 80);
    assert_true(arrivals_mass(&arrivals, arrivals_bin(HOUR)) < 0.01 + before / 1000);
    double recent = arrivals_mass(&arrivals, arrivals_bin(10));
    assert_true(recent > ARRIVALS_MEMORY * 0.9 && recent < ARRIVALS_MEMORY * 1.1);
}

static void what_is_called_often_is_kept_through_its_pauses(void **state)
{
    struct arrivals arrivals;
    (void) every(&arrivals, 20 * SECOND, 50);
    struct retention_plan plan = plan_of(&arrivals, 10 * SECOND, &template_of_20_mib);
    assert_true(plan.end_ms >= 20 * SECOND);
    assert_true(plan.end_ms < 120 * SECOND); /* and given up when it has clearly stopped */
    assert_true(plan_of(&arrivals, 1 * SECOND, &fork_of_half_a_mib).end_ms >= 20 * SECOND);
}

static void a_timer_is_dropped_and_started_again_in_time(void **state)
{
    struct arrivals arrivals;
    (void) every(&arrivals, HOUR, 20);
    struct retention_plan plan = plan_of(&arrivals, 10 * SECOND, &template_of_20_mib);
    assert_true(plan.end_ms < HOUR / 10);
    assert_true(plan.return_ms > HOUR * 7 / 10 && plan.return_ms <= HOUR - 60);
    assert_true(plan.return_end_ms >= HOUR);
    /* A day later an hour's presence costs more than the wait. */
    (void) every(&arrivals, 24 * HOUR, 20);
    assert_int_equal(plan_of(&arrivals, 10 * SECOND, &template_of_20_mib).return_ms, -1);
    /* A fork comes fast enough not to be started for nothing. */
    assert_int_equal(plan_of(&arrivals, 10 * SECOND, &fork_of_half_a_mib).return_ms, -1);
}

static void what_is_new_is_kept_for_a_while_and_longer_the_longer_it_stays(void **state)
{
    struct arrivals arrivals;
    (void) every(&arrivals, 0, 1);
    struct retention_plan plan = plan_of(&arrivals, SECOND, &template_of_20_mib);
    assert_true(plan.end_ms > 20 * SECOND && plan.end_ms < HOUR);
    assert_int_equal(plan.return_ms, -1);
    struct retention_cost cheap = template_of_20_mib;
    cheap.memory_mib = 2;
    assert_true(plan_of(&arrivals, SECOND, &cheap).end_ms > plan.end_ms);
    struct retention_cost slow = template_of_20_mib;
    slow.start_ms = 1000;
    assert_true(plan_of(&arrivals, SECOND, &slow).end_ms > plan.end_ms);
}

/* The index is the price at which the plan changes its mind, whatever has arrived: so that who is evicted for want of
 * room is who would have been dropped at a higher price. */
static void the_worth_is_the_price_at_which_it_is_just_kept(void **state)
{
    static const int64_t gaps[] = {5, 800, 40 * SECOND, HOUR},
                         ages[] = {0, 700, 5 * SECOND, 10 * HOUR};
    for (int gap = 0; gap < 4; gap++)
        for (int age = 0; age < 4; age++) {
            struct arrivals arrivals;
            struct retention_plan plan;
            (void) every(&arrivals, gaps[gap], 3 + gap);
            double worth = retention_worth(&arrivals, ages[age], &template_of_20_mib);
            retention_plan(&arrivals, ages[age], &template_of_20_mib, worth * 0.999, &plan);
            assert_true(plan.end_ms > ages[age]);
            retention_plan(&arrivals, ages[age], &template_of_20_mib, worth * 1.001, &plan);
            assert_int_equal(plan.end_ms, ages[age]);
        }
}

static void calls_at_once_are_arrivals_of_their_own(void **state)
{
    static struct demand demand;
    for (int i = 0; i < 100; i++) {
        demand_note(&demand, 1, 1 + i * SECOND);
        if (i % 50 == 0)
            demand_note(&demand, 2, 2 + i * SECOND);
    }
    assert_int_equal(arrivals_age_ms(&demand.calls, 100 * SECOND), SECOND - 1);
    assert_int_equal(arrivals_age_ms(demand_level(&demand, 1), 100 * SECOND), SECOND - 1);
    assert_int_equal(arrivals_age_ms(demand_level(&demand, 2), 100 * SECOND), 50 * SECOND - 2);
    assert_ptr_equal(demand_level(&demand, 3), demand_level(&demand, 4));
    assert_ptr_not_equal(demand_level(&demand, 4), demand_level(&demand, 5));
    assert_ptr_equal(demand_level(&demand, 17), demand_level(&demand, 4000000000u));
    assert_ptr_equal(demand_level(&demand, 0), demand_level(&demand, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bins_are_without_holes),
        cmocka_unit_test(a_gap_is_counted_where_it_belongs),
        cmocka_unit_test(what_was_long_ago_counts_less_and_less),
        cmocka_unit_test(what_is_called_often_is_kept_through_its_pauses),
        cmocka_unit_test(a_timer_is_dropped_and_started_again_in_time),
        cmocka_unit_test(what_is_new_is_kept_for_a_while_and_longer_the_longer_it_stays),
        cmocka_unit_test(the_worth_is_the_price_at_which_it_is_just_kept),
        cmocka_unit_test(calls_at_once_are_arrivals_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
