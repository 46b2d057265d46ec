// SPDX-License-Identifier: MIT
//
// trace: who is called when. Read from a file, or made from published distributions and a seed.
//
// The same seed gives the same calls, whatever is done with them: each function has a generator of its own. Times are
// milliseconds from the trace's start.
#ifndef LAMINA_BENCH_TRACE_H
#define LAMINA_BENCH_TRACE_H

#include <stdbool.h>
#include <stdint.h>

enum trigger {
    TRIGGER_HTTP,
    TRIGGER_QUEUE,
    TRIGGER_EVENT,
    TRIGGER_TIMER,
    TRIGGER_CHAIN,
    TRIGGER_OTHER,
    TRIGGERS
};
extern const char *const trigger_names[TRIGGERS];

struct traced {
    unsigned app, kind;
    enum trigger trigger;
    double calls_per_s; // over the day; 0: from a file
    uint64_t random;    // the generator's state
    double clock_ms;    // of the latest call
    double burst_gap_ms;
    int burst_left; // calls that follow at once
    double calm;    // event: the present factor on the rate
    int64_t *times; // from a file: its calls in order
    int count, at;
};

struct trace {
    struct traced *functions;
    unsigned count, apps;
    int64_t end_ms;
};

// Shahrad et al., "Serverless in the Wild", USENIX ATC 2020 (Azure Functions, 2019): functions an application, rates,
// triggers and their part of the calls, a daily swing of 2x over a flat half.
int trace_make(struct trace *trace, uint64_t seed, unsigned apps, int64_t end_ms);
// app,func,end_timestamp,duration: the Azure Functions Invocation Trace 2021.
int trace_read(struct trace *trace, const char *path);
void trace_done(struct trace *trace);

// Starts all functions again, so that another policy sees the same calls.
void trace_rewind(struct trace *trace, uint64_t seed);
// The function's next call, INT64_MAX when none comes before the end.
int64_t trace_next(const struct trace *trace, struct traced *function);

// SplitMix64, and what is made of it.
double random_unit(uint64_t *state); // in (0, 1)
double random_normal(uint64_t *state);

#endif
