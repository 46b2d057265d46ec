// SPDX-License-Identifier: MIT
//
// Cold starts: end the instances, call once, read the phases. Node cold and node warm alternate,
// so that whatever else the machine does falls on both.
#include "compare/session.h"

#include "client/service.h"

#include "base/clock.h"

#include <errno.h>

#define COUNT_TIMEOUT_MS 60000
#define STOP_TIMEOUT_MS 60000
#define PAUSE_MS 2
#define ATTEMPTS 5 // a call that was not cold after all is not counted, and tried again

enum cache { CACHE_WARM, CACHE_COLD };

struct cold_samples {
    struct samples total, caller, phases[COMPARE_PHASES];
};

static int ask_to_stop(struct session *session, enum cache cache, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    char path[128];

    snprintf(path, sizeof path, "/lamina/v1/functions/%s/stop", session->name);
    return service_post(session->client, path, cache == CACHE_COLD ? "cache=cold" : "cache=warm",
                        "end the instances", &doc, err);
}

// Until none is left: one that has just answered is not idle yet, and is not ended when asked then.
static int stop_instances(struct session *session, enum cache cache, struct session_state *ret,
                          struct error *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + STOP_TIMEOUT_MS;

    for (;;) {
        int r = ask_to_stop(session, cache, err);
        if (r == 0)
            r = session_describe(session, ret, err);
        if (r < 0 || ret->instances == 0)
            return r;
        if (session_is_interrupted(session))
            return error_set(err, -EINTR, "interrupted");
        if (clock_monotonic_ms() >= deadline_ms)
            return error_set(err, -ETIMEDOUT, "the instances of '%s' do not end", session->name);
        session_sleep_ms(session, PAUSE_MS);
    }
}

// The service counts a cold start when the instance asks for its next call, which may be a moment
// after the answer has reached us.
static int await_count(struct session *session, uint64_t before, struct session_state *ret,
                       struct error *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + COUNT_TIMEOUT_MS;

    for (;;) {
        int r = session_describe(session, ret, err);
        if (r < 0 || ret->cold_starts > before)
            return r;
        if (session_is_interrupted(session))
            return error_set(err, -EINTR, "interrupted");
        if (clock_monotonic_ms() >= deadline_ms)
            return error_set(err, -ETIMEDOUT, "the service does not tell of a cold start of '%s'",
                             session->name);
        session_sleep_ms(session, PAUSE_MS);
    }
}

// One call that found no instance: 1; 0 when one was still there.
static int try_cold_start(struct session *session, enum cache cache, struct cold_samples *samples,
                          struct error *err)
{
    struct session_state before, after;
    bool is_cold = false;
    double ms = 0;

    int r = stop_instances(session, cache, &before, err);
    if (r == 0)
        r = session_call(session, session->client, &ms, &is_cold, err);
    if (r < 0 || !is_cold)
        return r;
    r = await_count(session, before.cold_starts, &after, err);
    if (r < 0)
        return r;
    samples_add(&samples->total, after.total_ms);
    samples_add(&samples->caller, ms);
    for (size_t i = 0; i < COMPARE_PHASES; i++)
        samples_add(&samples->phases[i], after.phases_ms[i]);
    return 1;
}

static int cold_start(struct session *session, enum cache cache, struct cold_samples *samples,
                      struct error *err)
{
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        int r = try_cold_start(session, cache, samples, err);
        if (r != 0)
            return r < 0 ? r : 0;
    }
    return error_set(err, -EREMOTEIO,
                     "the service did not start '%s' anew although its instances were ended",
                     session->name);
}

static void reduce(struct cold_samples *samples, struct compare_cold *ret)
{
    ret->total_ms = samples_spread(&samples->total);
    ret->caller_ms = samples_spread(&samples->caller);
    for (size_t i = 0; i < COMPARE_PHASES; i++)
        ret->phases_ms[i] = samples_spread(&samples->phases[i]);
    samples_done(&samples->total);
    samples_done(&samples->caller);
    for (size_t i = 0; i < COMPARE_PHASES; i++)
        samples_done(&samples->phases[i]);
}

unsigned cold_steps(const struct compare_options *options)
{
    return 2 * options->cold_starts;
}

int cold_measure(struct session *session, struct compare_row *row, struct error *err)
{
    struct cold_samples cold = {0}, warm = {0};
    int r = 0;

    for (unsigned i = 0; r == 0 && i < session->options->cold_starts; i++) {
        r = cold_start(session, CACHE_COLD, &cold, err);
        session_progress(session, "cold starts, node cold");
        if (r == 0)
            r = cold_start(session, CACHE_WARM, &warm, err);
        session_progress(session, "cold starts, node warm");
    }
    reduce(&cold, &row->node_cold);
    reduce(&warm, &row->node_warm);
    return r;
}
