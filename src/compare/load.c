// SPDX-License-Identifier: MIT
//
// Warm calls one after the other, memory, then throughput at 1, 8 and 32 callers.
#include "compare/session.h"

#include "base/clock.h"

#include <errno.h>

#define WARM_TIME_MS 10000 // a slow model's calls are fewer
#define WARM_CALLS_MIN 20
#define FIRST_CALLS 3 // not counted: the instance has just started

static const unsigned caller_counts[COMPARE_LOADS] = {1, 8, 32};

unsigned load_steps(void)
{
    return 2 + COMPARE_LOADS;
}

static int measure_warm(struct session *session, struct compare_row *row, struct error *err)
{
    struct samples samples = {0};
    int64_t end_ms = 0;
    double ms = 0;
    int r = 0;

    for (unsigned i = 0; r == 0 && i < FIRST_CALLS; i++)
        r = session_call(session, session->client, &ms, NULL, err);
    end_ms = clock_monotonic_ms() + WARM_TIME_MS;
    for (unsigned i = 0; r == 0 && i < session->options->warm_calls; i++) {
        if (i >= WARM_CALLS_MIN && clock_monotonic_ms() >= end_ms)
            break;
        r = session_call(session, session->client, &ms, NULL, err);
        if (r == 0)
            samples_add(&samples, ms);
    }
    row->warm_ms = samples_spread(&samples);
    samples_done(&samples);
    return r;
}

// Now, while one instance has answered calls and nothing else of this function runs.
static int measure_memory(struct session *session, struct compare_row *row, struct error *err)
{
    struct session_state state;

    int r = session_describe(session, &state, err);
    if (r < 0)
        return r;
    row->pss_bytes = state.pss_bytes;
    row->private_bytes = state.private_bytes;
    row->stored_bytes = state.stored_bytes;
    return 0;
}

static int measure_load(struct session *session, unsigned count, struct compare_load *load,
                        struct error *err)
{
    struct callers *callers = NULL;
    struct callers_result result;

    int64_t start_ns = clock_monotonic_ns();
    int r = callers_start(session, count, &callers, err);
    if (r < 0)
        return r;
    session_sleep_ms(session, session->options->load_ms);
    callers_stop(callers, &result);
    double seconds = (double) (clock_monotonic_ns() - start_ns) / 1e9;
    *load = (struct compare_load){
        .callers = count,
        .calls = result.calls,
        .failed = result.failed,
        .per_s = (double) result.ms.count / seconds,
        .ms = samples_spread(&result.ms),
    };
    bool is_lost = result.ms.count == 0 && result.failed > 0;
    samples_done(&result.ms);
    return is_lost ? error_set(err, -EREMOTEIO, "no call of %u callers succeeded: %s", count,
                               result.first_failure)
                   : 0;
}

int load_measure(struct session *session, struct compare_row *row, struct error *err)
{
    int r = measure_warm(session, row, err);

    session_progress(session, "warm calls");
    if (r == 0)
        r = measure_memory(session, row, err);
    session_progress(session, "memory");
    for (size_t i = 0; r == 0 && i < COMPARE_LOADS; i++) {
        if (session_is_interrupted(session))
            return error_set(err, -EINTR, "interrupted");
        r = measure_load(session, caller_counts[i], &row->loads[i], err);
        session_progress(session, "throughput");
    }
    return r;
}
