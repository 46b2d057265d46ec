// SPDX-License-Identifier: MIT
#include "compare/spread.h"

#include <math.h>
#include <stdlib.h>

void samples_add(struct samples *samples, double value)
{
    if (samples->count == samples->capacity) {
        size_t capacity = samples->capacity == 0 ? 256 : 2 * samples->capacity;
        double *grown =
            capacity > SAMPLES_MAX ? NULL : reallocarray(samples->values, capacity, sizeof *grown);
        if (grown == NULL) {
            samples->has_overflowed = true;
            return;
        }
        samples->values = grown;
        samples->capacity = capacity;
    }
    samples->values[samples->count++] = value;
}

void samples_move(struct samples *samples, struct samples *from)
{
    for (size_t i = 0; i < from->count; i++)
        samples_add(samples, from->values[i]);
    samples->has_overflowed |= from->has_overflowed;
    samples_done(from);
}

void samples_done(struct samples *samples)
{
    free(samples->values);
    *samples = (struct samples){0};
}

static int compare_values(const void *left, const void *right)
{
    double one = *(const double *) left, other = *(const double *) right;

    return (one > other) - (one < other);
}

// The smallest value that at least this part of all values do not exceed.
static double percentile(const struct samples *samples, double part)
{
    size_t rank = (size_t) ceil(part * (double) samples->count);

    return samples->values[rank > 0 ? rank - 1 : 0];
}

struct spread samples_spread(struct samples *samples)
{
    if (samples->count == 0)
        return (struct spread){0};
    qsort(samples->values, samples->count, sizeof *samples->values, compare_values);
    return (struct spread){
        .count = samples->count,
        .minimum = samples->values[0],
        .p50 = percentile(samples, 0.50),
        .p95 = percentile(samples, 0.95),
        .p99 = percentile(samples, 0.99),
        .maximum = samples->values[samples->count - 1],
    };
}
