// SPDX-License-Identifier: MIT

#include "loop/loop.h"

#include "base/mem.h"
#include "loop/loop_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct loop_poll {
    struct list link; // of loop->polls
    uv_poll_t handle;
    void (*call)(void *argument, int events);
    void *argument;
    int events; // asked for
};

struct signal_watch {
    struct list link; // of loop->signals
    uv_signal_t handle;
    void (*call)(void *argument, int signal_number);
    void *argument;
};

static void run_posted(uv_async_t *wake);
static void run_deferred(uv_check_t *turn_end);

static int open_handles(struct loop *loop)
{
    int r = timers_init(loop);
    if (r == 0)
        r = uv_check_init(&loop->uv, &loop->turn_end);
    if (r == 0)
        r = uv_idle_init(&loop->uv, &loop->no_wait);
    if (r == 0)
        r = uv_async_init(&loop->uv, &loop->wake, run_posted);
    if (r == 0)
        r = uv_check_start(&loop->turn_end, run_deferred);
    if (r < 0)
        return r;
    // Neither keeps the loop alive: the check is ours alone, the wake-up counts only while held.
    uv_unref((uv_handle_t *) &loop->turn_end);
    uv_unref((uv_handle_t *) &loop->wake);
    return 0;
}

struct loop *loop_new(void)
{
    AUTO_FREE struct loop *loop = mem_new(struct loop);
    if (!loop || uv_loop_init(&loop->uv) < 0)
        return NULL;
    list_init(&loop->deferred);
    list_init(&loop->polls);
    list_init(&loop->signals);
    loop->posted_last = &loop->posted_first;
    pthread_mutex_init(&loop->posted_lock, NULL);
    if (open_handles(loop) < 0) {
        loop_free(TAKE_PTR(loop));
        return NULL;
    }
    return TAKE_PTR(loop);
}

static void close_handle(uv_handle_t *handle, void *argument)
{
    (void) argument;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void free_poll(uv_handle_t *handle)
{
    free(container_of((uv_poll_t *) handle, struct loop_poll, handle));
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    while (!list_is_empty(&loop->deferred))
        run_deferred(&loop->turn_end);
    LIST_FOR_EACH_SAFE (struct loop_poll, poll, &loop->polls, link)
        loop_poll_stop(poll);
    uv_walk(&loop->uv, close_handle, NULL);
    while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0)
        ; // the close callbacks
    LIST_FOR_EACH_SAFE (struct signal_watch, watch, &loop->signals, link)
        free(watch);
    timers_done(loop);
    int r = uv_loop_close(&loop->uv);
    assert(r == 0);
    (void) r;
    pthread_mutex_destroy(&loop->posted_lock);
    free(loop);
}

void loop_run(struct loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_run_once(struct loop *loop, bool can_wait)
{
    uv_run(&loop->uv, can_wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

void loop_stop(struct loop *loop)
{
    uv_stop(&loop->uv);
}

int64_t loop_now_ms(const struct loop *loop)
{
    return (int64_t) uv_now(&loop->uv);
}

uv_loop_t *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

// ---- Deferred calls

static void do_nothing(uv_idle_t *no_wait)
{
    (void) no_wait;
}

void loop_defer(struct loop *loop, struct loop_deferred *deferred, void (*call)(void *argument),
                void *argument)
{
    if (list_is_linked(&deferred->link))
        return;
    deferred->call = call;
    deferred->argument = argument;
    list_add_last(&loop->deferred, &deferred->link);
    if (!uv_is_active((uv_handle_t *) &loop->no_wait))
        uv_idle_start(&loop->no_wait, do_nothing);
}

// What the calls defer themselves runs at the end of the next turn, which does not wait.
static void run_deferred(uv_check_t *turn_end)
{
    struct loop *loop = container_of(turn_end, struct loop, turn_end);
    struct list now = LIST_INIT(now);
    list_move_all(&now, &loop->deferred);
    uv_idle_stop(&loop->no_wait);
    for (struct list *link; (link = list_take_first(&now));) {
        struct loop_deferred *deferred = LIST_ENTRY(link, struct loop_deferred, link);
        deferred->call(deferred->argument);
    }
}

// ---- Descriptors

static int to_uv(int events)
{
    return (events & LOOP_READABLE ? UV_READABLE : 0) | (events & LOOP_WRITABLE ? UV_WRITABLE : 0) |
           (events & LOOP_HANGUP ? UV_DISCONNECT : 0);
}

static void poll_ready(uv_poll_t *handle, int status, int uv_events)
{
    struct loop_poll *poll = container_of(handle, struct loop_poll, handle);
    int events = (uv_events & UV_READABLE ? LOOP_READABLE : 0) |
                 (uv_events & UV_WRITABLE ? LOOP_WRITABLE : 0) |
                 (uv_events & UV_DISCONNECT ? LOOP_HANGUP : 0);
    poll->call(poll->argument, status < 0 ? poll->events : events);
}

int loop_poll_start(struct loop *loop, int fd, int events, void (*call)(void *argument, int events),
                    void *argument, struct loop_poll **ret_poll)
{
    struct loop_poll *poll = mem_new(struct loop_poll);
    if (!poll)
        return -ENOMEM;
    poll->call = call;
    poll->argument = argument;
    int r = uv_poll_init(&loop->uv, &poll->handle, fd);
    if (r < 0) { // libuv has not taken the handle over: nothing to close
        free(poll);
        return r;
    }
    list_add_last(&loop->polls, &poll->link);
    r = loop_poll_change(poll, events);
    if (r < 0) {
        loop_poll_stop(poll);
        return r;
    }
    *ret_poll = poll;
    return 0;
}

int loop_poll_change(struct loop_poll *poll, int events)
{
    poll->events = events;
    if (events == 0)
        return uv_poll_stop(&poll->handle);
    return uv_poll_start(&poll->handle, to_uv(events), poll_ready);
}

void loop_poll_stop(struct loop_poll *poll)
{
    if (!poll)
        return;
    list_remove(&poll->link);
    // Stops at once, so the descriptor may be closed; the memory is needed until the turn's end.
    uv_close((uv_handle_t *) &poll->handle, free_poll);
}

// ---- Signals

static void signal_came(uv_signal_t *handle, int signal_number)
{
    struct signal_watch *watch = container_of(handle, struct signal_watch, handle);
    watch->call(watch->argument, signal_number);
}

int loop_signal(struct loop *loop, int signal_number,
                void (*call)(void *argument, int signal_number), void *argument)
{
    struct signal_watch *watch = mem_new(struct signal_watch);
    if (!watch)
        return -ENOMEM;
    watch->call = call;
    watch->argument = argument;
    int r = uv_signal_init(&loop->uv, &watch->handle);
    if (r < 0) {
        free(watch);
        return r;
    }
    list_add_last(&loop->signals, &watch->link); // from here loop_free frees it
    r = uv_signal_start(&watch->handle, signal_came, signal_number);
    uv_unref((uv_handle_t *) &watch->handle); // waiting for a signal is no reason to run on
    return r;
}

// ---- From other threads

void loop_post(struct loop *loop, struct loop_posted *posted, void (*call)(void *argument),
               void *argument)
{
    posted->next = NULL;
    posted->call = call;
    posted->argument = argument;
    pthread_mutex_lock(&loop->posted_lock);
    *loop->posted_last = posted;
    loop->posted_last = &posted->next;
    loop->posted_count++;
    // Inside the lock: whoever frees the loop after our call was made cannot overtake the send.
    uv_async_send(&loop->wake);
    pthread_mutex_unlock(&loop->posted_lock);
}

// Takes the call that `place` points to out of the list. Under the lock.
static struct loop_posted *unlink_posted(struct loop *loop, struct loop_posted **place)
{
    struct loop_posted *posted = *place;
    *place = posted->next;
    if (!posted->next)
        loop->posted_last = place;
    loop->posted_count--;
    return posted;
}

bool loop_unpost(struct loop *loop, struct loop_posted *posted)
{
    pthread_mutex_lock(&loop->posted_lock);
    struct loop_posted **place = &loop->posted_first;
    while (*place && *place != posted)
        place = &(*place)->next;
    bool is_found = *place != NULL;
    if (is_found)
        unlink_posted(loop, place);
    pthread_mutex_unlock(&loop->posted_lock);
    return is_found;
}

// One at a time, so that a call may take back those behind it; and no more than there are now, so
// that busy threads cannot hold the loop.
static void run_posted(uv_async_t *wake)
{
    struct loop *loop = container_of(wake, struct loop, wake);
    pthread_mutex_lock(&loop->posted_lock);
    for (size_t bound = loop->posted_count; bound > 0 && loop->posted_first; bound--) {
        struct loop_posted *posted = unlink_posted(loop, &loop->posted_first);
        pthread_mutex_unlock(&loop->posted_lock);
        posted->call(posted->argument);
        pthread_mutex_lock(&loop->posted_lock);
    }
    if (loop->posted_first)
        uv_async_send(&loop->wake);
    pthread_mutex_unlock(&loop->posted_lock);
}

void loop_hold(struct loop *loop)
{
    if (loop->holds++ == 0)
        uv_ref((uv_handle_t *) &loop->wake);
}

void loop_release(struct loop *loop)
{
    assert(loop->holds > 0);
    if (--loop->holds == 0)
        uv_unref((uv_handle_t *) &loop->wake);
}
