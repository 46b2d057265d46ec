// SPDX-License-Identifier: MIT
//
// Load: threads that call one after the other.
#include "compare/session.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define SLEEP_MS 100
#define FAILURE_PAUSE_MS 2 // a service that refuses at once must not be asked in a tight loop

struct caller {
    struct callers *all; // borrowed: outlives the thread
    struct client *client;
    pthread_t thread;
    bool is_running;
    struct callers_result result;
};

struct callers {
    struct session *session; // borrowed; only what does not change is read
    atomic_int is_over;
    unsigned count;
    struct caller callers[];
};

static void pause_ms(unsigned ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long) (ms % 1000) * 1000000};

    (void) nanosleep(&time, NULL);
}

void session_sleep_ms(const struct session *session, unsigned ms)
{
    int64_t end_ms = clock_monotonic_ms() + ms;

    while (!session_is_interrupted(session)) {
        int64_t left_ms = end_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            return;
        pause_ms(left_ms < SLEEP_MS ? (unsigned) left_ms : SLEEP_MS);
    }
}

static void *call_until_over(void *arg)
{
    struct caller *caller = arg;
    struct callers_result *result = &caller->result;

    while (!atomic_load(&caller->all->is_over) && !session_is_interrupted(caller->all->session)) {
        struct error err = {0};
        double ms = 0;
        int r = session_call(caller->all->session, caller->client, &ms, NULL, &err);
        if (r == -EINTR)
            break;
        result->calls++;
        if (r == 0) {
            samples_add(&result->ms, ms);
            continue;
        }
        result->failed++;
        if (result->first_failure[0] == '\0')
            snprintf(result->first_failure, sizeof result->first_failure, "%.250s", err.text);
        pause_ms(FAILURE_PAUSE_MS);
    }
    return NULL;
}

int callers_start(struct session *session, unsigned count, struct callers **ret, struct error *err)
{
    struct callers *all = calloc(1, sizeof *all + count * sizeof all->callers[0]);
    int r = 0;

    if (all == NULL)
        return error_set(err, -ENOMEM, "no memory for %u callers", count);
    all->session = session;
    all->count = count;
    for (unsigned i = 0; r == 0 && i < count; i++) {
        struct caller *caller = &all->callers[i];
        caller->all = all;
        r = client_new(client_target(session->client), &caller->client, err);
        if (r < 0)
            break;
        client_set_interrupt(caller->client, session->options->interrupt);
        r = -pthread_create(&caller->thread, NULL, call_until_over, caller);
        caller->is_running = r == 0;
        if (r < 0)
            error_set_errno(err, r, "start a thread");
    }
    if (r < 0) {
        struct callers_result ignored;
        callers_stop(all, &ignored);
        samples_done(&ignored.ms);
        return r;
    }
    *ret = all;
    return 0;
}

void callers_stop(struct callers *callers, struct callers_result *ret)
{
    *ret = (struct callers_result){0};
    atomic_store(&callers->is_over, 1);
    for (unsigned i = 0; i < callers->count; i++) {
        struct caller *caller = &callers->callers[i];
        if (caller->is_running)
            (void) pthread_join(caller->thread, NULL);
        client_free(caller->client);
        samples_move(&ret->ms, &caller->result.ms);
        ret->calls += caller->result.calls;
        ret->failed += caller->result.failed;
        if (ret->first_failure[0] == '\0')
            memcpy(ret->first_failure, caller->result.first_failure, sizeof ret->first_failure);
    }
    free(callers);
}
