// SPDX-License-Identifier: MIT
#include "fleet.h"

#include <math.h>
#include <stdlib.h>

int64_t draw_run_ms(const struct kind *kind, uint64_t *random)
{
    double ms = kind->run_ms * exp(0.25 * random_normal(random));
    return ms < 1 ? 1 : (int64_t) ms;
}

double draw_delay_ms(double p50, double p99, uint64_t *random)
{
    return p50 * exp(log(p99 / p50) / 2.3263 * random_normal(random));
}

static double held(const struct simulated *instance, int64_t until_ms, double mib)
{
    return until_ms > instance->born_ms ? (double) (until_ms - instance->born_ms) / 1000 * mib : 0;
}

void fleet_end(struct fleet *fleet, int64_t now_ms, double mib, double *mib_s)
{
    for (unsigned i = 0; i < fleet->count;) {
        struct simulated *instance = &fleet->instances[i];
        if (instance->free_ms <= now_ms && instance->end_ms <= now_ms) {
            *mib_s += held(instance, instance->end_ms, mib);
            *instance = fleet->instances[--fleet->count];
        } else
            i++;
    }
}

void fleet_finish(struct fleet *fleet, int64_t end_ms, double mib, double *mib_s)
{
    for (unsigned i = 0; i < fleet->count; i++) {
        const struct simulated *instance = &fleet->instances[i];
        *mib_s += held(instance, instance->end_ms < end_ms ? instance->end_ms : end_ms, mib);
    }
    fleet->count = 0;
}

struct simulated *fleet_idle(struct fleet *fleet, int64_t now_ms)
{
    struct simulated *latest = NULL;
    for (unsigned i = 0; i < fleet->count; i++) {
        struct simulated *instance = &fleet->instances[i];
        if (instance->free_ms <= now_ms && (latest == NULL || instance->free_ms > latest->free_ms))
            latest = instance;
    }
    return latest;
}

unsigned fleet_in_flight(const struct fleet *fleet, int64_t now_ms)
{
    unsigned count = 0;
    for (unsigned i = 0; i < fleet->count; i++)
        count += fleet->instances[i].free_ms > now_ms;
    return count;
}

struct simulated *fleet_add(struct fleet *fleet, int64_t now_ms)
{
    if (fleet->count == fleet->room) {
        unsigned room = fleet->room ? fleet->room * 2 : 8;
        struct simulated *more = realloc(fleet->instances, room * sizeof *more);
        if (more == NULL)
            abort(); // a simulation has no use for half a result
        fleet->instances = more;
        fleet->room = room;
    }
    struct simulated *instance = &fleet->instances[fleet->count++];
    *instance = (struct simulated){.born_ms = now_ms, .end_ms = INT64_MAX};
    return instance;
}

void fleet_done(struct fleet *fleet)
{
    free(fleet->instances);
}

void outcome_note(struct outcome *outcome, const struct traced *function, double penalty_ms)
{
    outcome->calls++;
    outcome->by_trigger[function->trigger]++;
    outcome->within_5ms += penalty_ms <= 5;
    outcome->penalty_ms += penalty_ms;
    if (penalty_ms > outcome->penalty_max_ms)
        outcome->penalty_max_ms = penalty_ms;
}
