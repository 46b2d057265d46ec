// SPDX-License-Identifier: MIT
//
// Timers in a binary heap of our own, behind one libuv timer. A libuv timer must stay in memory until
// its close callback came, one turn later; ours are stopped and freed in one breath, and a thousand
// instances with three timers each cost one handle.

#include "loop/loop_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static void place(struct loop *loop, size_t position, struct loop_timer *timer)
{
    loop->heap[position] = timer;
    timer->position = position;
}

static void sift_up(struct loop *loop, size_t position, struct loop_timer *timer)
{
    for (; position > 1 && timer->due_ms < loop->heap[position / 2]->due_ms; position /= 2)
        place(loop, position, loop->heap[position / 2]);
    place(loop, position, timer);
}

static void sift_down(struct loop *loop, size_t position, struct loop_timer *timer)
{
    for (;;) {
        size_t child = 2 * position;
        if (child > loop->heap_count)
            break;
        if (child < loop->heap_count && loop->heap[child + 1]->due_ms < loop->heap[child]->due_ms)
            child++;
        if (loop->heap[child]->due_ms >= timer->due_ms)
            break;
        place(loop, position, loop->heap[child]);
        position = child;
    }
    place(loop, position, timer);
}

static void remove_from_heap(struct loop *loop, struct loop_timer *timer)
{
    size_t position = timer->position;
    assert(position >= 1 && position <= loop->heap_count && loop->heap[position] == timer);
    struct loop_timer *last = loop->heap[loop->heap_count--];
    timer->position = 0;
    if (last == timer)
        return;
    if (position > 1 && last->due_ms < loop->heap[position / 2]->due_ms)
        sift_up(loop, position, last);
    else
        sift_down(loop, position, last);
}

static void ring(uv_timer_t *alarm);

// The libuv timer follows the earliest of ours, at least `least_ms` from now.
static void set_alarm(struct loop *loop, int64_t least_ms)
{
    if (loop->is_ringing)
        return; // ring() sets it at its end
    if (loop->heap_count == 0) {
        uv_timer_stop(&loop->alarm);
        return;
    }
    int64_t wait_ms = loop->heap[1]->due_ms - loop_now_ms(loop);
    uv_timer_start(&loop->alarm, ring, (uint64_t) (wait_ms > least_ms ? wait_ms : least_ms), 0);
}

// Calls what is due now, no more often than there were timers: one that starts itself again cannot
// hold the turn. What is due after that waits a millisecond, because libuv before 1.45 would ring a
// timer of 0 again in the same turn.
static void ring(uv_timer_t *alarm)
{
    struct loop *loop = container_of(alarm, struct loop, alarm);
    int64_t now_ms = loop_now_ms(loop);
    loop->is_ringing = true;
    for (size_t bound = loop->heap_count; bound > 0 && loop->heap_count > 0; bound--) {
        struct loop_timer *timer = loop->heap[1];
        if (timer->due_ms > now_ms)
            break;
        remove_from_heap(loop, timer);
        timer->call(timer->argument);
    }
    loop->is_ringing = false;
    set_alarm(loop, 1);
}

static int make_room(struct loop *loop)
{
    if (loop->heap_count + 1 < loop->heap_capacity)
        return 0;
    size_t capacity = loop->heap_capacity ? 2 * loop->heap_capacity : 64;
    struct loop_timer **heap = realloc(loop->heap, capacity * sizeof(struct loop_timer *));
    if (!heap)
        return -ENOMEM;
    loop->heap = heap;
    loop->heap_capacity = capacity;
    return 0;
}

int loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t after_ms,
                     void (*call)(void *argument), void *argument)
{
    assert(after_ms >= 0);
    loop_timer_stop(timer);
    int r = make_room(loop);
    if (r < 0)
        return r;
    timer->loop = loop;
    timer->call = call;
    timer->argument = argument;
    timer->due_ms = loop_now_ms(loop) + after_ms;
    sift_up(loop, ++loop->heap_count, timer);
    if (timer->position == 1)
        set_alarm(loop, 0);
    return 0;
}

void loop_timer_stop(struct loop_timer *timer)
{
    if (timer->position == 0)
        return;
    remove_from_heap(timer->loop, timer);
    // The alarm may now ring early; it then finds nothing due and is set again. Only the last timer
    // must stop it, or it would keep the loop alive.
    if (timer->loop->heap_count == 0)
        set_alarm(timer->loop, 0);
}

bool loop_timer_is_running(const struct loop_timer *timer)
{
    return timer->position > 0;
}

int timers_init(struct loop *loop)
{
    return uv_timer_init(&loop->uv, &loop->alarm);
}

void timers_done(struct loop *loop)
{
    // Timers that are still running are borrowed objects: they must be seen as stopped.
    for (size_t i = 1; i <= loop->heap_count; i++)
        loop->heap[i]->position = 0;
    free(loop->heap);
    loop->heap = NULL;
    loop->heap_count = loop->heap_capacity = 0;
}
