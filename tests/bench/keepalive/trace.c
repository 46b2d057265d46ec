// SPDX-License-Identifier: MIT
#include "trace.h"

#include "kind.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const trigger_names[TRIGGERS] = {"http",  "queue",         "event",
                                             "timer", "orchestration", "other"};

// Of the functions, and of the calls.
static const double trigger_functions[TRIGGERS] = {0.55, 0.15, 0.02, 0.16, 0.07, 0.05};
static const double trigger_calls[TRIGGERS] = {0.36, 0.34, 0.25, 0.02, 0.02, 0.01};

#define CALLS_PER_S_MAX 100.0 // of an application

// ---- chance

static uint64_t random_bits(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

double random_unit(uint64_t *state)
{
    return ((double) (random_bits(state) >> 11) + 0.5) / 9007199254740992.0;
}

double random_normal(uint64_t *state)
{
    double u = random_unit(state), v = random_unit(state);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static double exponential(uint64_t *state, double mean)
{
    return -mean * log(random_unit(state));
}

static double log_uniform(uint64_t *state, double low, double high)
{
    return low * exp(random_unit(state) * log(high / low));
}

static unsigned choose(uint64_t *state, const double *shares, unsigned count)
{
    double left = random_unit(state);
    for (unsigned i = 0; i + 1 < count; i++)
        if ((left -= shares[i]) < 0)
            return i;
    return count - 1;
}

// ---- who there is

// 54 % have one function, 95 % at most ten, the rest up to thirty.
static unsigned app_functions(uint64_t *state)
{
    double u = random_unit(state);
    if (u < 0.54)
        return 1;
    return (unsigned) (u < 0.95 ? log_uniform(state, 2, 11) : log_uniform(state, 11, 31));
}

// 45 % at most one call an hour, 81 % at most one a minute, 3 % more than one a second, over eight orders of magnitude. By
// quantile, so that each seed has the distribution and not a sample of it.
static double app_rate(double quantile)
{
    static const struct {
        double quantile, calls_per_s;
    } points[] = {{0, 1.0 / 86400 / 7},
                  {0.45, 1.0 / 3600},
                  {0.81, 1.0 / 60},
                  {0.97, 1},
                  {1, CALLS_PER_S_MAX}};
    unsigned i = 1;
    while (quantile > points[i].quantile)
        i++;
    double part =
        (quantile - points[i - 1].quantile) / (points[i].quantile - points[i - 1].quantile);
    return points[i - 1].calls_per_s * pow(points[i].calls_per_s / points[i - 1].calls_per_s, part);
}

static unsigned choose_kind(uint64_t *state)
{
    double shares[KINDS];
    for (unsigned i = 0; i < KINDS; i++)
        shares[i] = kinds[i].share;
    return choose(state, shares, KINDS);
}

// Its functions share the application's rate unevenly, by how much their triggers call.
static void app_make(struct traced *functions, unsigned count, unsigned app, double quantile,
                     uint64_t *state)
{
    double rate = app_rate(quantile), sum = 0;
    for (unsigned i = 0; i < count; i++) {
        struct traced *function = &functions[i];
        *function = (struct traced){.app = app, .kind = choose_kind(state)};
        function->trigger = choose(state, trigger_functions, TRIGGERS);
        function->calls_per_s = exponential(state, 1) * trigger_calls[function->trigger] /
                                trigger_functions[function->trigger];
        sum += function->calls_per_s;
    }
    for (unsigned i = 0; i < count; i++)
        functions[i].calls_per_s *= rate / sum;
}

void trace_rewind(struct trace *trace, uint64_t seed)
{
    for (unsigned i = 0; i < trace->count; i++) {
        struct traced *function = &trace->functions[i];
        function->random = seed * 1000003 + i;
        (void) random_bits(&function->random);
        // Timers and the rest are somewhere in their cycle when the day begins.
        function->clock_ms = 0;
        if (function->calls_per_s > 0 && function->trigger == TRIGGER_TIMER)
            function->clock_ms = -random_unit(&function->random) * 1000 / function->calls_per_s;
        function->burst_left = 0;
        function->calm = 1;
        function->at = 0;
    }
}

int trace_make(struct trace *trace, uint64_t seed, unsigned apps, int64_t end_ms)
{
    uint64_t state = seed;
    *trace = (struct trace){.apps = apps, .end_ms = end_ms};
    trace->functions = calloc((size_t) apps * 31, sizeof *trace->functions);
    if (trace->functions == NULL)
        return -ENOMEM;
    for (unsigned app = 0; app < apps; app++) {
        unsigned count = app_functions(&state);
        double quantile = (app + 0.5) / apps;
        app_make(trace->functions + trace->count, count, app, quantile, &state);
        trace->count += count;
    }
    trace_rewind(trace, seed);
    return 0;
}

// ---- when they are called

// Twice as much in the day's middle as at night; the mean over the day is 1.
static double daily_factor(double ms)
{
    return 1 + sin(6.283185307179586 * (ms / 86.4e6 - 0.25)) / 3;
}

// Arrivals at random, thinned to the day's course.
static double poisson_next(struct traced *function, double per_ms)
{
    double clock = function->clock_ms;
    do
        clock += exponential(&function->random, 1 / (per_ms * 4 / 3));
    while (random_unit(&function->random) > daily_factor(clock) * 3 / 4);
    return clock;
}

// A batch at random, its calls close together: queues hand out what has gathered, orchestrations call step by step.
static double burst_next(struct traced *function, double per_ms, double mean, double gap_ms)
{
    if (function->burst_left > 0) {
        function->burst_left--;
        return function->clock_ms + exponential(&function->random, gap_ms);
    }
    function->burst_left = (int) exponential(&function->random, mean - 1 + 0.5);
    return poisson_next(function, per_ms / mean);
}

// Busy and calm spells follow each other, of some fifty calls each.
static double spell_next(struct traced *function, double per_ms)
{
    if (random_unit(&function->random) < 0.02)
        function->calm = random_unit(&function->random) < 0.5 ? 0.2 : 5;
    return poisson_next(function, per_ms * function->calm);
}

int64_t trace_next(const struct trace *trace, struct traced *function)
{
    if (function->times != NULL)
        return function->at < function->count ? function->times[function->at++] : INT64_MAX;
    double per_ms = function->calls_per_s / 1000;
    switch (function->trigger) {
    case TRIGGER_QUEUE:
        function->clock_ms = burst_next(function, per_ms, 4, 20);
        break;
    case TRIGGER_CHAIN:
        function->clock_ms = burst_next(function, per_ms, 3, 500);
        break;
    case TRIGGER_EVENT:
        function->clock_ms = spell_next(function, per_ms);
        break;
    case TRIGGER_TIMER: { // every so often, a little late each time
        double period = 1 / per_ms, tick = floor(function->clock_ms / period + 0.5) * period;
        function->clock_ms = tick + period;
        function->clock_ms +=
            exponential(&function->random, period * 0.002 < 200 ? period * 0.002 : 200);
        break;
    }
    default:
        function->clock_ms = poisson_next(function, per_ms);
    }
    return function->clock_ms < (double) trace->end_ms ? (int64_t) function->clock_ms : INT64_MAX;
}

// ---- from a file

static struct traced *traced_of(struct trace *trace, char (*names)[129], const char *name)
{
    for (unsigned i = 0; i < trace->count; i++)
        if (strcmp(names[i], name) == 0)
            return &trace->functions[i];
    unsigned i = trace->count++;
    (void) snprintf(names[i], 129, "%s", name);
    size_t size = strlen(name);
    uint64_t state =
        strtoull(size > 16 ? name + size - 16 : name, NULL, 16); // a digest's end, as a seed
    trace->functions[i] = (struct traced){.kind = choose_kind(&state), .trigger = TRIGGER_OTHER};
    return &trace->functions[i];
}

static int by_time(const void *left, const void *right)
{
    int64_t a = *(const int64_t *) left, b = *(const int64_t *) right;
    return (a > b) - (a < b);
}

static int add_time(struct traced *function, int64_t ms)
{
    int64_t *times = realloc(function->times, (size_t) (function->count + 1) * sizeof *times);
    if (times == NULL)
        return -ENOMEM;
    function->times = times;
    times[function->count++] = ms;
    return 0;
}

#define FILE_FUNCTIONS_MAX 4096

int trace_read(struct trace *trace, const char *path)
{
    char line[512], app[129], name[129];
    double end, duration;
    int r = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -errno;
    char(*names)[129] = calloc(FILE_FUNCTIONS_MAX, sizeof *names);
    *trace = (struct trace){.functions = calloc(FILE_FUNCTIONS_MAX, sizeof *trace->functions)};
    if (names == NULL || trace->functions == NULL)
        r = -ENOMEM;
    while (r == 0 && trace->count < FILE_FUNCTIONS_MAX && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%128[^,],%128[^,],%lf,%lf", app, name, &end, &duration) != 4)
            continue; // the heading
        double start = end - duration > 0 ? end - duration : 0;
        r = add_time(traced_of(trace, names, name), (int64_t) (start * 1000));
        if (end * 1000 > (double) trace->end_ms)
            trace->end_ms = (int64_t) (end * 1000) + 1;
    }
    for (unsigned i = 0; i < trace->count; i++)
        qsort(trace->functions[i].times, (size_t) trace->functions[i].count, sizeof(int64_t),
              by_time);
    free(names);
    (void) fclose(file);
    return r;
}

void trace_done(struct trace *trace)
{
    for (unsigned i = 0; i < trace->count; i++)
        free(trace->functions[i].times);
    free(trace->functions);
}
