// SPDX-License-Identifier: MIT
//
// What Lamina is compared with: ordinary instances, kept for a fixed time or by a histogram of idle times. Functions
// have nothing to do with each other here, so each is played to its end before the next.
#include "fleet.h"

#include <stdlib.h>
#include <string.h>

#define HISTOGRAM_BINS 240 // minutes: four hours
#define MINUTE_MS 60000
#define ENOUGH 10             // idle times before a histogram says anything
#define REPRESENTATIVE_CV 2.0 // of its bins' counts (the paper's threshold)

struct histogram {
    unsigned bins[HISTOGRAM_BINS];
    unsigned within, beyond;
};

// Ages of the pause between which an instance is there.
struct window {
    int64_t from_ms, until_ms; // from 0: kept on
};

// ---- the policy

static void histogram_note(struct histogram *histogram, int64_t idle_ms)
{
    if (idle_ms / MINUTE_MS < HISTOGRAM_BINS) {
        histogram->bins[idle_ms / MINUTE_MS]++;
        histogram->within++;
    } else
        histogram->beyond++;
}

static bool is_representative(const struct histogram *histogram)
{
    double mean = (double) histogram->within / HISTOGRAM_BINS, sum = 0;
    for (int i = 0; i < HISTOGRAM_BINS; i++)
        sum += (histogram->bins[i] - mean) * (histogram->bins[i] - mean);
    return sum / HISTOGRAM_BINS >= REPRESENTATIVE_CV * REPRESENTATIVE_CV * mean * mean;
}

static int percentile(const struct histogram *histogram, double part)
{
    double wanted = part * histogram->within, have = 0;
    for (int i = 0; i < HISTOGRAM_BINS; i++)
        if ((have += histogram->bins[i]) >= wanted)
            return i;
    return HISTOGRAM_BINS - 1;
}

// Without a histogram to go by: kept on for its range. Where most idle times are longer than that, the paper forecasts
// with ARIMA; what calls so rarely makes no difference to the sums, and is not kept here at all.
static struct window histogram_window(const struct histogram *histogram)
{
    if (histogram->beyond > histogram->within && histogram->beyond + histogram->within >= ENOUGH)
        return (struct window){0, 0};
    if (histogram->within < ENOUGH || !is_representative(histogram))
        return (struct window){0, (int64_t) HISTOGRAM_BINS * MINUTE_MS};
    return (struct window){
        (int64_t) (percentile(histogram, 0.05) * MINUTE_MS * 0.9),
        (int64_t) ((percentile(histogram, 0.95) + 1) * MINUTE_MS * 1.1),
    };
}

// ---- one function

struct player {
    const struct trace *trace;
    struct outcome *outcome;
    struct histogram *histogram; // NULL: a fixed time
    struct window window;
    struct fleet fleet;
    uint64_t random;
    int64_t busy_until_ms; // the end of its latest call
};

// A pause is about to end at `now`: was an instance started ahead, and is it ready?
static void start_ahead(struct player *player, const struct kind *kind, int64_t now_ms)
{
    int64_t born = player->busy_until_ms + player->window.from_ms;
    if (player->window.from_ms == 0 || player->busy_until_ms == 0 || born >= now_ms)
        return;
    struct simulated *instance = fleet_add(&player->fleet, born);
    instance->free_ms = born + (int64_t) kind->start_ms;
    instance->end_ms = player->busy_until_ms + player->window.until_ms;
    player->outcome->instances++;
}

static void end_and_count(struct player *player, const struct kind *kind, int64_t now_ms)
{
    start_ahead(player, kind, now_ms);
    fleet_end(&player->fleet, now_ms, kind->ordinary_mib, &player->outcome->instance_mib_s);
}

static void play_call(struct player *player, const struct traced *function, int64_t now_ms)
{
    const struct kind *kind = &kinds[function->kind];
    bool is_pause = now_ms >= player->busy_until_ms;
    double penalty = 0;
    if (is_pause)
        end_and_count(player, kind, now_ms);
    else
        fleet_end(&player->fleet, now_ms, kind->ordinary_mib, &player->outcome->instance_mib_s);
    if (is_pause && player->histogram != NULL && player->busy_until_ms > 0) {
        histogram_note(player->histogram, now_ms - player->busy_until_ms);
        player->window = histogram_window(player->histogram);
    }
    struct simulated *instance = fleet_idle(&player->fleet, now_ms);
    if (instance == NULL) {
        instance = fleet_add(&player->fleet, now_ms);
        penalty = draw_delay_ms(kind->start_ms, kind->start_ms * 1.5, &player->random);
        player->outcome->instances++;
        player->outcome->cold++;
    } else
        player->outcome->warm++;
    instance->free_ms = now_ms + (int64_t) penalty + draw_run_ms(kind, &player->random);
    instance->end_ms =
        instance->free_ms + (player->window.from_ms > 0 ? 0 : player->window.until_ms);
    if (instance->free_ms > player->busy_until_ms)
        player->busy_until_ms = instance->free_ms;
    outcome_note(player->outcome, function, penalty);
}

static void play(struct trace *trace, struct traced *function, const struct setting *setting,
                 struct window window, struct histogram *histogram, struct outcome *outcome)
{
    struct player player = {.trace = trace,
                            .outcome = outcome,
                            .histogram = histogram,
                            .window = window,
                            .random = setting->seed + (uint64_t) (function - trace->functions)};
    const struct kind *kind = &kinds[function->kind];
    int64_t at;
    if (histogram != NULL)
        player.window = histogram_window(histogram);
    while ((at = trace_next(trace, function)) != INT64_MAX)
        play_call(&player, function, at);
    end_and_count(&player, kind, trace->end_ms);
    fleet_finish(&player.fleet, trace->end_ms, kind->ordinary_mib, &outcome->instance_mib_s);
    fleet_done(&player.fleet);
    outcome->functions_by_trigger[function->trigger]++;
}

int simulate_fixed(struct trace *trace, const struct setting *setting, int64_t keep_ms,
                   struct outcome *ret)
{
    *ret = (struct outcome){0};
    trace_rewind(trace, setting->seed);
    for (unsigned i = 0; i < trace->count; i++)
        play(trace, &trace->functions[i], setting, (struct window){0, keep_ms}, NULL, ret);
    return 0;
}

int simulate_histogram(struct trace *trace, const struct setting *setting, struct outcome *ret)
{
    struct histogram histogram;
    *ret = (struct outcome){0};
    trace_rewind(trace, setting->seed);
    for (unsigned i = 0; i < trace->count; i++) {
        memset(&histogram, 0, sizeof histogram);
        play(trace, &trace->functions[i], setting, (struct window){0, 0}, &histogram, ret);
    }
    return 0;
}
