// SPDX-License-Identifier: MIT
//
// Updates while a caller goes on calling: how long one takes, and whether any call fails for it.
//
// The new package differs from the old by one small file: a new digest, so that nothing can be
// skipped but what content addressing skips (the model's bytes are stored already). The whole zip
// travels, as it does for a new model.
#include "compare/variant.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>

unsigned update_steps(const struct compare_options *options)
{
    return options->updates;
}

static double seconds_since(int64_t start_ns)
{
    return (double) (clock_monotonic_ns() - start_ns) / 1e9;
}

static int send(struct session *session, uint64_t *ret_bytes, struct error *err)
{
    struct lambda_function function;
    int r = session->variant->update(session, ret_bytes, err);

    return r < 0 ? r
                 : lambda_wait(session->client, session->name, VARIANT_READY_TIMEOUT_MS, &function,
                               err);
}

struct update_samples {
    struct samples seconds, package_seconds;
};

static int update_once(struct session *session, unsigned round, struct update_samples *samples,
                       uint64_t *ret_bytes, struct error *err)
{
    struct strategy_size size;
    char marker[32];

    snprintf(marker, sizeof marker, "update %u\n", round + 1);
    int64_t start_ns = clock_monotonic_ns();
    int r = session->variant->build(session, marker, &size, err);
    if (r < 0)
        return r;
    samples_add(&samples->package_seconds, seconds_since(start_ns));
    start_ns = clock_monotonic_ns();
    r = send(session, ret_bytes, err);
    if (r == 0)
        samples_add(&samples->seconds, seconds_since(start_ns));
    return r;
}

static int update_all(struct session *session, struct compare_update *update, struct error *err)
{
    struct update_samples samples = {0};
    double ms = 0;
    int r = 0;

    for (unsigned i = 0; r == 0 && i < session->options->updates; i++) {
        r = update_once(session, i, &samples, &update->bytes_moved, err);
        if (r == 0)
            r = session_call(session, session->client, &ms, NULL, err); // the new code answers
        session_progress(session, "updates");
    }
    update->seconds = samples_spread(&samples.seconds);
    update->package_seconds = samples_spread(&samples.package_seconds);
    update->rounds = (unsigned) update->seconds.count;
    samples_done(&samples.seconds);
    samples_done(&samples.package_seconds);
    return r;
}

int update_measure(struct session *session, struct compare_row *row, struct error *err)
{
    struct callers *callers = NULL;
    struct callers_result result;

    int r = callers_start(session, 1, &callers, err);
    if (r < 0)
        return r;
    r = update_all(session, &row->update, err);
    callers_stop(callers, &result);
    row->update.is_measured = r == 0;
    row->update.redeploys = session->variant->redeploys;
    row->update.calls = result.calls;
    row->update.failed = result.failed;
    row->update.call_ms = samples_spread(&result.ms);
    samples_done(&result.ms);
    return r;
}
