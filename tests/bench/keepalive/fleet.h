// SPDX-License-Identifier: MIT
//
// fleet: the instances of one function in the simulation.
#ifndef LAMINA_BENCH_FLEET_H
#define LAMINA_BENCH_FLEET_H

#include "kind.h"
#include "simulate.h"

#include <stdbool.h>
#include <stdint.h>

struct simulated {
    int64_t born_ms;
    int64_t free_ms; // when its call ends, or ended
    int64_t end_ms;  // when it will be ended; INT64_MAX: not decided
    bool is_decided;
};

struct fleet {
    struct simulated *instances; // in no order
    unsigned count, room;
};

// Microseconds matter for the penalty, not for the course of a day: running times are drawn in milliseconds, at least 1.
int64_t draw_run_ms(const struct kind *kind, uint64_t *random);
// Around `p50` with the given p99.
double draw_delay_ms(double p50, double p99, uint64_t *random);

// Removes those that have ended by `now`, and counts their memory.
void fleet_end(struct fleet *fleet, int64_t now_ms, double mib, double *mib_s);
// All that is left, at the end of the trace.
void fleet_finish(struct fleet *fleet, int64_t end_ms, double mib, double *mib_s);
// The idle one that was used last; NULL.
struct simulated *fleet_idle(struct fleet *fleet, int64_t now_ms);
unsigned fleet_in_flight(const struct fleet *fleet, int64_t now_ms);
struct simulated *fleet_add(struct fleet *fleet, int64_t now_ms);
void fleet_done(struct fleet *fleet);

void outcome_note(struct outcome *outcome, const struct traced *function, double penalty_ms);

#endif
