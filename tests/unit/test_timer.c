// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/mem.h"
#include "loop/loop.h"

struct event {
    struct loop_timer timer;
    struct loop *loop;
    int64_t due_ms;
    int *calls;
    int64_t *last_due_ms;
};

static void count(void *argument)
{
    (*(int *) argument)++;
}

static void in_order(void *argument)
{
    struct event *event = argument;
    assert_true(event->due_ms >= *event->last_due_ms);
    assert_true(loop_now_ms(event->loop) >= event->due_ms);
    *event->last_due_ms = event->due_ms;
    (*event->calls)++;
}

static void calls_come_in_order_and_never_early(void **state)
{
    struct loop *loop = loop_new();
    struct event events[100];
    int calls = 0;
    int64_t last_due_ms = 0;
    for (int i = 0; i < 100; i++) {
        int64_t after_ms = i * 37 % 50;
        events[i] = (struct event){.loop = loop, .calls = &calls, .last_due_ms = &last_due_ms};
        assert_int_equal(loop_timer_start(loop, &events[i].timer, after_ms, in_order, &events[i]),
                         0);
        events[i].due_ms = loop_now_ms(loop) + after_ms;
        assert_true(loop_timer_is_running(&events[i].timer));
    }
    loop_run(loop); // ends when the last has rung
    assert_int_equal(calls, 100);
    assert_false(loop_timer_is_running(&events[7].timer));
    loop_free(loop);
}

static void a_stopped_timer_may_be_freed(void **state)
{
    struct loop *loop = loop_new();
    int calls = 0;
    struct loop_timer *timers[200];
    for (int i = 0; i < 200; i++) {
        timers[i] = mem_new(struct loop_timer);
        assert_int_equal(loop_timer_start(loop, timers[i], i % 7, count, &calls), 0);
    }
    for (int i = 0; i < 200; i += 2) { // from the middle of the heap, too
        loop_timer_stop(timers[i]);
        loop_timer_stop(timers[i]);
        free(timers[i]);
    }
    loop_run(loop);
    assert_int_equal(calls, 100);
    for (int i = 1; i < 200; i += 2)
        free(timers[i]);
    loop_free(loop);
}

static void starting_again_replaces(void **state)
{
    struct loop *loop = loop_new();
    int first = 0, second = 0;
    struct loop_timer timer = {0};
    assert_int_equal(loop_timer_start(loop, &timer, 1000000, count, &first), 0);
    assert_int_equal(loop_timer_start(loop, &timer, 1, count, &second), 0);
    loop_run(loop);
    assert_int_equal(first, 0);
    assert_int_equal(second, 1);
    loop_free(loop);
}

static void stop_other(void *argument)
{
    loop_timer_stop(argument);
}

static void stop_within_a_call_holds(void **state)
{
    struct loop *loop = loop_new();
    struct loop_timer one = {0}, two = {0};
    int calls = 0;
    assert_int_equal(loop_timer_start(loop, &one, 0, stop_other, &two), 0);
    assert_int_equal(loop_timer_start(loop, &two, 0, count, &calls), 0);
    // Both are due in one turn, whichever rings first stops nothing that rang: at most one call.
    loop_run(loop);
    assert_true(calls <= 1);
    assert_false(loop_timer_is_running(&two));
    loop_free(loop);
}

struct again {
    struct loop *loop;
    struct loop_timer timer;
    int calls;
};

static void start_again(void *argument)
{
    struct again *again = argument;
    again->calls++;
    assert_int_equal(loop_timer_start(again->loop, &again->timer, 0, start_again, again), 0);
}

static void a_timer_that_starts_itself_does_not_hold_the_turn(void **state)
{
    struct again again = {.loop = loop_new()};
    assert_int_equal(loop_timer_start(again.loop, &again.timer, 0, start_again, &again), 0);
    for (int turn = 0; turn < 5; turn++)
        loop_run_once(again.loop, false);
    assert_true(again.calls >= 1 && again.calls <= 5);
    loop_free(again.loop);
    assert_false(loop_timer_is_running(&again.timer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_come_in_order_and_never_early),
        cmocka_unit_test(a_stopped_timer_may_be_freed),
        cmocka_unit_test(starting_again_replaces),
        cmocka_unit_test(stop_within_a_call_holds),
        cmocka_unit_test(a_timer_that_starts_itself_does_not_hold_the_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
