/* SPDX-License-Identifier: MIT */
#include "function/retention.h"

/* What the rest of the pause is worth, bin by bin, from the one that the age is in. */
struct outlook {
    int first;
    double
        worth[ARRIVALS_BINS]; /* of being there throughout the bin, not yet divided by the tail */
    double tail;              /* at the age */
};

static double burden_ms(const struct retention_cost *cost)
{
    return cost->start_ms <= RETENTION_NOTICED_MS ? cost->start_ms
                                                  : RETENTION_MISS_MS + cost->start_ms / 2;
}

static double seconds_of(int bin, int64_t from_ms)
{
    int64_t start = arrivals_bin_start(bin), end = arrivals_bin_start(bin + 1);
    return (double) (end - (from_ms > start ? from_ms : start)) / 1000.0;
}

/* Of the bin that the age is in, only what is ahead counts, in proportion. */
static double part_ahead(int bin, int64_t age_ms)
{
    int64_t start = arrivals_bin_start(bin), end = arrivals_bin_start(bin + 1);
    if (age_ms <= start)
        return 1;
    return age_ms >= end ? 0 : (double) (end - age_ms) / (double) (end - start);
}

static void outlook_init(struct outlook *outlook, const struct arrivals *arrivals, int64_t age_ms,
                         const struct retention_cost *cost, double price)
{
    outlook->first = arrivals_bin(age_ms);
    double tail = arrivals_tail(arrivals, ARRIVALS_BINS), burden = burden_ms(cost);
    for (int bin = ARRIVALS_BINS - 1; bin >= outlook->first; bin--) {
        double mass = arrivals_mass(arrivals, bin) * part_ahead(bin, age_ms);
        /* Those whose pause ends in the bin hold the memory for half of it. */
        outlook->worth[bin] =
            mass * burden - price * cost->memory_mib * seconds_of(bin, age_ms) * (tail + mass / 2);
        tail += mass;
    }
    outlook->tail = tail;
}

/* The end of the best stretch that begins at `from`: its bin (exclusive), and its worth. */
static int best_end(const struct outlook *outlook, int from, double *ret_worth)
{
    int best = from;
    double sum = 0, most = 0;
    for (int bin = from; bin < ARRIVALS_BINS; bin++) {
        sum += outlook->worth[bin];
        if (sum > most) {
            most = sum;
            best = bin + 1;
        }
    }
    *ret_worth = most;
    return best;
}

/* The best stretch anywhere after `from`. */
static int best_stretch(const struct outlook *outlook, int from, int *ret_end, double *ret_worth)
{
    int start = from, best = from, best_stop = from;
    double sum = 0, most = 0;
    for (int bin = from; bin < ARRIVALS_BINS; bin++) {
        if (sum <= 0) {
            sum = 0;
            start = bin;
        }
        sum += outlook->worth[bin];
        if (sum > most) {
            most = sum;
            best = start;
            best_stop = bin + 1;
        }
    }
    *ret_end = best_stop;
    *ret_worth = most;
    return best;
}

void retention_plan(const struct arrivals *arrivals, int64_t age_ms,
                    const struct retention_cost *cost, double price,
                    struct retention_plan *ret_plan)
{
    struct outlook outlook;
    double worth;
    int stop;
    outlook_init(&outlook, arrivals, age_ms, cost, price);

    int end = best_end(&outlook, outlook.first, &worth);
    *ret_plan =
        (struct retention_plan){.end_ms = end > outlook.first ? arrivals_bin_start(end) : age_ms,
                                .return_ms = -1,
                                .return_end_ms = -1};
    int start = best_stretch(&outlook, end, &stop, &worth);
    if (worth <= RETENTION_START_AHEAD * burden_ms(cost) * outlook.tail)
        return;
    int64_t ready = arrivals_bin_start(start) - (int64_t) cost->ready_ms;
    ret_plan->return_ms = ready > ret_plan->end_ms ? ready : ret_plan->end_ms;
    ret_plan->return_end_ms = arrivals_bin_start(stop);
}

double retention_worth(const struct arrivals *arrivals, int64_t age_ms,
                       const struct retention_cost *cost)
{
    double mib = cost->memory_mib > 0 ? cost->memory_mib : 1.0 / 1024;
    double tail = arrivals_tail(arrivals, arrivals_bin(age_ms)), arrived = 0, mib_s = 0, most = 0;
    for (int bin = arrivals_bin(age_ms); bin < ARRIVALS_BINS; bin++) {
        double whole = arrivals_mass(arrivals, bin), mass = whole * part_ahead(bin, age_ms);
        tail -= whole;
        arrived += mass;
        mib_s += mib * seconds_of(bin, age_ms) * (tail + mass / 2);
        if (arrived > most * mib_s)
            most = arrived / mib_s;
    }
    return most * burden_ms(cost);
}

static unsigned level_of(unsigned n)
{
    unsigned level = n <= 1 ? 0 : 32 - (unsigned) __builtin_clz(n - 1);
    return level < DEMAND_LEVELS ? level : DEMAND_LEVELS - 1;
}

void demand_note(struct demand *demand, unsigned in_flight, int64_t now_ms)
{
    if (demand->first_ms == 0)
        demand->first_ms = now_ms;
    arrivals_note(&demand->calls, now_ms);
    arrivals_note(&demand->levels[level_of(in_flight)], now_ms);
}

const struct arrivals *demand_level(const struct demand *demand, unsigned n)
{
    return &demand->levels[level_of(n)];
}

int64_t demand_age_ms(const struct demand *demand, unsigned n, int64_t now_ms)
{
    const struct arrivals *level = demand_level(demand, n);
    if (demand->first_ms == 0)
        return -1;
    return level->weight > 0 ? arrivals_age_ms(level, now_ms) : now_ms - demand->first_ms;
}
