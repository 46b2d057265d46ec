/* SPDX-License-Identifier: MIT
 *
 * retention: is what nobody uses worth its memory? For instances and for templates alike.
 *
 * Keeping costs memory for as long as the pause lasts; not keeping makes the next call wait for a start. A price puts
 * the two on one scale: so many milliseconds of a caller's waiting for a MiB held for a second. With the histogram of
 * past pauses (arrivals.h) the expected worth of each stretch of the pause is known:
 *
 *     worth(stretch) = P(it ends in the stretch) * start_ms - price * memory * expected seconds of it
 *
 * For arrivals at random this is the rule "start cost x frequency / memory" against the price; for a timer it says
 * drop it and have it again shortly before; for something new it keeps in proportion to how long it has been used.
 *
 *     used |##### kept #####|                 |### built ahead, kept ###|
 *          0              end             return                   return_end          age of the pause
 *
 * Pure, as arrivals.h is. A plan is about 100 multiplications.
 */
#ifndef LAMINA_FUNCTION_RETENTION_H
#define LAMINA_FUNCTION_RETENTION_H

#include <stdint.h>

#include "function/arrivals.h"

/* Milliseconds of waiting for a MiB-second: where the curve of waiting against memory bends on the synthesised day of
 * tests/bench/keepalive (docs/keep-alive.md has the curve). */
#define RETENTION_PRICE 0.006
/* A wait of up to RETENTION_NOTICED_MS counts as long as it is. A longer one is noticed: that alone counts as
 * RETENTION_MISS_MS, and its length by half. */
#define RETENTION_NOTICED_MS 5.0
#define RETENTION_MISS_MS 100.0
/* A start ahead is work that may be in vain: it is weighed as this part of a caller's waiting. */
#define RETENTION_START_AHEAD 0.1

struct retention_cost {
    double start_ms;   /* what a call waits when it is not there */
    double memory_mib; /* what is held, not counting what others hold anyway (a mapped model) */
    double ready_ms;   /* how long before its use a start ahead must begin */
};

/* Ages of the pause, milliseconds. */
struct retention_plan {
    int64_t end_ms;    /* kept until then; the age itself: not worth keeping at all */
    int64_t return_ms; /* then to be started again ahead of the call; -1: not */
    int64_t return_end_ms;
};

/* For a pause that has lasted `age_ms`. */
void retention_plan(const struct arrivals *arrivals, int64_t age_ms,
                    const struct retention_cost *cost, double price,
                    struct retention_plan *ret_plan);

/* The price at which it would just be kept, at this age of the pause: the most that any stretch from now on saves for a
 * MiB-second (Gittins's index). Who has the least goes first when there is no room. */
double retention_worth(const struct arrivals *arrivals, int64_t age_ms,
                       const struct retention_cost *cost);

/* What is wanted of a function: calls, and how many at once. The instance that was used last is used first, so
 * the n-th of them is needed only when n calls are in flight: each has arrivals of its own, those above the
 * fourth in pairs of octaves. */
#define DEMAND_LEVELS 6
struct demand {
    int64_t first_ms;                      /* of the first call; 0: there was none */
    struct arrivals calls;                 /* all of them: a template is wanted by any */
    struct arrivals levels[DEMAND_LEVELS]; /* in flight: 1, 2, 3-4, 5-8, 9-16, more */
};

/* A call arrives and makes it `in_flight`, itself included. */
void demand_note(struct demand *demand, unsigned in_flight, int64_t now_ms);
/* Of the n-th instance, from 1. */
const struct arrivals *demand_level(const struct demand *demand, unsigned n);
/* How long it was not needed: since so many calls were in flight, or since the first call when there never were so many.
 * -1: nobody called yet. */
int64_t demand_age_ms(const struct demand *demand, unsigned n, int64_t now_ms);

#endif
