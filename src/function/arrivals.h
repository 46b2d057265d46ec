/* SPDX-License-Identifier: MIT
 *
 * arrivals: what is known of when something is wanted again: how long its pauses were.
 *
 * A histogram of the gaps between arrivals, four bins an octave from 1 ms to a day and a half, so that a bin is as
 * fine as a gap is long. Later gaps weigh more than earlier ones: by the time another ARRIVALS_MEMORY have come, a
 * gap counts a third. What was never seen is not impossible: a prior of one gap's weight lies over all bins alike on
 * the logarithmic scale (how long something stays away is best told by how long it has been away), and a part of it
 * is "never again". One observation beats the prior; none is needed for a decision.
 *
 * Pure: no clock, no allocation, no libm; the same calls give the same answers everywhere. The daemon and the
 * simulator (tests/bench/keepalive) use this very code. Times are milliseconds on any one clock that does not go back.
 */
#ifndef LAMINA_FUNCTION_ARRIVALS_H
#define LAMINA_FUNCTION_ARRIVALS_H

#include <stdint.h>

#define ARRIVALS_BINS 108 /* the last begins at 31 hours and holds all that is longer */
#define ARRIVALS_MEMORY 256

/* All zero: nothing has arrived yet. */
struct arrivals {
    float counts[ARRIVALS_BINS]; /* in units that grow with `weight` */
    float weight;                /* of the next gap */
    int64_t last_ms;             /* of the latest arrival; 0: none */
};

void arrivals_note(struct arrivals *arrivals, int64_t now_ms);

/* Since the latest arrival; 0 when there was none, or when it lies ahead. */
int64_t arrivals_age_ms(const struct arrivals *arrivals, int64_t now_ms);

/* The bin of a gap, and where a bin begins. arrivals_bin_start(ARRIVALS_BINS) is where the last one ends. */
int arrivals_bin(int64_t gap_ms);
int64_t arrivals_bin_start(int bin);

/* Expected number of gaps like this out of arrivals_total, the prior's part included. */
double arrivals_mass(const struct arrivals *arrivals, int bin);
/* That end in this bin or a later one, or never. arrivals_tail(a, 0) is the total. */
double arrivals_tail(const struct arrivals *arrivals, int bin);

#endif
