// SPDX-License-Identifier: MIT
//
// Warm calls one after the other, memory, then throughput at 1, 8 and 32 callers.
#include "compare/session.h"

#include "client/service.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"

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

// The memory of one instance, the one that has answered most calls: on a slow machine the service
// may have started more than one.
static void take_memory(const struct session *session, yyjson_val *instances,
                        struct compare_row *row)
{
    yyjson_val *instance;
    size_t i, count;
    int64_t most = -1;

    yyjson_arr_foreach(instances, i, count, instance)
    {
        struct str function = {0};
        int64_t calls = 0, pss = 0, private = 0;
        if (json_member_str(instance, "function", &function) < 0 ||
            !str_equal_text(function, session->name) ||
            json_member_i64(instance, "invocations", 0, INT64_MAX, &calls) < 0 || calls <= most)
            continue;
        (void) !json_member_i64(instance, "pss_bytes", 0, INT64_MAX, &pss);
        (void) !json_member_i64(instance, "private_bytes", 0, INT64_MAX, &private);
        most = calls;
        row->pss_bytes = (uint64_t) pss;
        row->private_bytes = (uint64_t) private;
    }
}

static int measure_memory(struct session *session, struct compare_row *row, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    struct session_state state;

    int r = service_get(session->client, "/lamina/v1/instances", "memory=1", "list the instances",
                        &doc, err);
    if (r == 0)
        r = session_describe(session, &state, err);
    if (r < 0)
        return r;
    take_memory(session, json_member(yyjson_doc_get_root(doc), "instances"), row);
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
