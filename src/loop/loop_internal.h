// SPDX-License-Identifier: MIT
//
// The loop's inside, shared by this folder's files only.

#ifndef LAMINA_LOOP_LOOP_INTERNAL_H
#define LAMINA_LOOP_LOOP_INTERNAL_H

#include "loop/loop.h"

#include <pthread.h>
#include <uv.h>

struct loop {
    uv_loop_t uv;

    // Timers: a binary heap, earliest first, behind one libuv timer (timer.c).
    uv_timer_t alarm;
    struct loop_timer **heap; // owned array, of borrowed timers; heap[1] is the earliest
    size_t heap_count;
    size_t heap_capacity;
    bool is_ringing;

    // Deferred calls, run after each poll phase.
    uv_check_t turn_end;
    uv_idle_t no_wait; // active while deferred calls are left, so that the poll does not wait
    struct list deferred;

    // Calls posted by other threads.
    uv_async_t wake;
    pthread_mutex_t posted_lock;
    struct loop_posted *posted_first, **posted_last;
    size_t posted_count;
    size_t holds;

    struct list polls;
    struct list signals;
};

int timers_init(struct loop *loop) MUST_CHECK;
void timers_done(struct loop *loop);

#endif
