// SPDX-License-Identifier: MIT
//
// How measurements are spread: collected one by one, then reduced to percentiles (nearest rank).
#ifndef LAMINA_COMPARE_SPREAD_H
#define LAMINA_COMPARE_SPREAD_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>

struct spread {
    size_t count; // 0: nothing was measured, the others are 0 too
    double minimum, p50, p95, p99, maximum;
};

#define SAMPLES_MAX ((size_t) 2000000)

struct samples {
    double *values;
    size_t count;
    size_t capacity;
    bool has_overflowed; // no memory, or more than SAMPLES_MAX: later ones were dropped
};

void samples_add(struct samples *samples, double value);
// Appends all of from, which is emptied.
void samples_move(struct samples *samples, struct samples *from);
void samples_done(struct samples *samples);

// Sorts the samples.
struct spread samples_spread(struct samples *samples);

#endif
