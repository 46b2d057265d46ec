/* SPDX-License-Identifier: MIT */
#include "function/arrivals.h"

#define SUB_BITS 2 /* bins an octave: 1 << SUB_BITS */
#define GROWTH (1.0f + 1.0f / ARRIVALS_MEMORY)
#define WEIGHT_MAX 1e20f /* float ends at 3e38; the counts are brought back before */

/* The prior: gaps below are not expected of what nobody called yet. */
#define PRIOR_FIRST_BIN 20 /* 64 ms */
#define PRIOR_NEVER 0.25
#define PRIOR_A_BIN ((1.0 - PRIOR_NEVER) / (ARRIVALS_BINS - PRIOR_FIRST_BIN))

int arrivals_bin(int64_t gap_ms)
{
    if (gap_ms < 1 << SUB_BITS)
        return gap_ms < 0 ? 0 : (int) gap_ms;
    int octave = 63 - __builtin_clzll((uint64_t) gap_ms);
    int sub = (int) (gap_ms >> (octave - SUB_BITS)) & ((1 << SUB_BITS) - 1);
    int bin = ((octave - SUB_BITS + 1) << SUB_BITS) + sub;
    return bin < ARRIVALS_BINS ? bin : ARRIVALS_BINS - 1;
}

int64_t arrivals_bin_start(int bin)
{
    if (bin < 1 << SUB_BITS)
        return bin;
    int octave = (bin >> SUB_BITS) + SUB_BITS - 1;
    int sub = bin & ((1 << SUB_BITS) - 1);
    return (int64_t) ((1 << SUB_BITS) + sub) << (octave - SUB_BITS);
}

/* So that old gaps count less without all bins being touched at each arrival, new ones count more. */
static void arrivals_rescale(struct arrivals *arrivals)
{
    for (int bin = 0; bin < ARRIVALS_BINS; bin++)
        arrivals->counts[bin] /= arrivals->weight;
    arrivals->weight = 1;
}

void arrivals_note(struct arrivals *arrivals, int64_t now_ms)
{
    if (arrivals->weight == 0)
        arrivals->weight = 1;
    else {
        arrivals->weight *= GROWTH;
        arrivals->counts[arrivals_bin(arrivals_age_ms(arrivals, now_ms))] += arrivals->weight;
    }
    if (arrivals->weight > WEIGHT_MAX)
        arrivals_rescale(arrivals);
    arrivals->last_ms = now_ms;
}

int64_t arrivals_age_ms(const struct arrivals *arrivals, int64_t now_ms)
{
    return arrivals->weight == 0 || now_ms < arrivals->last_ms ? 0 : now_ms - arrivals->last_ms;
}

double arrivals_mass(const struct arrivals *arrivals, int bin)
{
    double seen =
        arrivals->weight > 0 ? (double) arrivals->counts[bin] / (double) arrivals->weight : 0;
    return bin < PRIOR_FIRST_BIN ? seen : seen + PRIOR_A_BIN;
}

double arrivals_tail(const struct arrivals *arrivals, int bin)
{
    double tail = PRIOR_NEVER;
    for (int at = ARRIVALS_BINS - 1; at >= bin; at--)
        tail += arrivals_mass(arrivals, at);
    return tail;
}
