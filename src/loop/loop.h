// SPDX-License-Identifier: MIT
//
// The event loop: one libuv loop and one thread, "the loop thread". Everything here is called on
// that thread, except loop_post(). Nothing on it may block: no disk, DNS, database or waitpid.
//
// A turn:
//
//     read the time -> timers that are due -> descriptors that are ready, posted calls
//       -> deferred calls (frees of what was closed in this turn) -> wait
//
// The time is read once per turn (loop_now_ms). Objects that callbacks of the same turn might still
// hold are freed through loop_defer(), at the end of the turn.

#ifndef LAMINA_LOOP_LOOP_H
#define LAMINA_LOOP_LOOP_H

#include "base/compiler.h"
#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
typedef struct uv_loop_s uv_loop_t;

// NULL when there is no memory or no descriptor.
struct loop *loop_new(void) MUST_CHECK;
// Closes what is left and frees. The loop must not be running.
void loop_free(struct loop *loop);

// Runs turns until loop_stop(), or until nothing is left that could wake it.
void loop_run(struct loop *loop);
// One turn. Waits for an event only if `can_wait`. For tests.
void loop_run_once(struct loop *loop, bool can_wait);
void loop_stop(struct loop *loop);

// Monotonic milliseconds at this turn's start.
int64_t loop_now_ms(const struct loop *loop);

// For the folders that need libuv itself (http: sockets).
uv_loop_t *loop_uv(struct loop *loop);

// ---- Timers: embedded in their object, which may be freed as soon as the timer is stopped.

struct loop_timer {
    struct loop *loop; // borrowed; NULL while never started
    void (*call)(void *argument);
    void *argument;
    int64_t due_ms;
    size_t position; // in the loop's heap, from 1; 0: not running
};

// Calls once, `after_ms` from this turn's time (0: in the next turn; from within a timer's call, a
// millisecond later). A running timer starts again
// with the new values. -ENOMEM. Zeroed memory is a stopped timer.
int loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t after_ms,
                     void (*call)(void *argument), void *argument) MUST_CHECK;
void loop_timer_stop(struct loop_timer *timer); // harmless when it is not running
bool loop_timer_is_running(const struct loop_timer *timer);

// ---- Deferred calls: at the end of the turn, in order. Embedded; a second loop_defer of the same
// object before it ran does nothing.

struct loop_deferred {
    struct list link;
    void (*call)(void *argument);
    void *argument;
};

void loop_defer(struct loop *loop, struct loop_deferred *deferred, void (*call)(void *argument),
                void *argument);

// ---- Descriptors (sockets, pipes, pidfds; SEQPACKET too), level-triggered

#define LOOP_READABLE 1
#define LOOP_WRITABLE 2
#define LOOP_HANGUP 4 // the peer closed its writing side

struct loop_poll;

// Watches `fd`, which becomes nonblocking, stays the caller's and must stay open until
// loop_poll_stop(); one watch per descriptor (-EEXIST). `call` gets the events that are there; an error on the descriptor is reported as
// all events that were asked for, so that the next read or write finds it. -errno on failure.
int loop_poll_start(struct loop *loop, int fd, int events, void (*call)(void *argument, int events),
                    void *argument, struct loop_poll **ret_poll) MUST_CHECK;
// Other events for the same descriptor (0: none for now, not even hang-up).
int loop_poll_change(struct loop_poll *poll, int events) MUST_CHECK;
// No call comes after it; the descriptor may be closed at once. Accepts NULL.
void loop_poll_stop(struct loop_poll *poll);

// ---- Signals: `call` on the loop thread. Lives as long as the loop. -errno.

int loop_signal(struct loop *loop, int signal_number,
                void (*call)(void *argument, int signal_number), void *argument) MUST_CHECK;

// ---- From other threads

// Calls on the loop thread, in order of posting. Thread-safe, never blocks, cannot fail: `posted` is
// embedded in the caller's object, which must live until the call (or until it is taken back).
// Calls that were posted and not made when the loop is freed are never made.
struct loop_posted {
    struct loop_posted *next;
    void (*call)(void *argument);
    void *argument;
};

void loop_post(struct loop *loop, struct loop_posted *posted, void (*call)(void *argument),
               void *argument);

// Loop thread. Takes a posted call back; false when it was made already or never posted.
bool loop_unpost(struct loop *loop, struct loop_posted *posted);

// A posted call that will come although nothing else is left keeps loop_run() running: hold before
// handing the work to another thread, release when its answer came.
void loop_hold(struct loop *loop);
void loop_release(struct loop *loop);

#endif
