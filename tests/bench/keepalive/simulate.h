// SPDX-License-Identifier: MIT
//
// simulate: the calls of a trace, served under a policy of keeping instances; what it costs.
//
// Three policies. `fixed`: ordinary instances, each kept ten minutes after its last call. `histogram`: the policy of
// Shahrad et al. (ATC 2020), per function. `learned`: Lamina's: instances are forks of a template; both are kept as
// function/retention.h says, which is the daemon's own code, and the templates' memory has a cap.
//
// Under all three an idle instance, the one used last, takes the call, else a new one is started; nobody waits for a
// busy one. A penalty is what a call waits above a warm call. Memory is counted from the beginning of a start to the
// end, instances that run included. Processors are not simulated: a call takes its kind's time whatever else runs.
#ifndef LAMINA_BENCH_SIMULATE_H
#define LAMINA_BENCH_SIMULATE_H

#include "trace.h"

struct outcome {
    uint64_t calls, warm, forked, cold; // cold: had to wait for an ordinary start or for a template
    uint64_t within_5ms;
    double penalty_ms; // sum
    double penalty_max_ms;
    double instance_mib_s, template_mib_s, model_mib_s;
    uint64_t rebuilds, ahead; // templates made; of them ahead of a call
    double rebuild_s;         // time of making them
    double template_peak_mib;
    uint64_t evicted;   // templates that had to go for the cap
    uint64_t instances; // started
    uint64_t by_trigger[TRIGGERS], functions_by_trigger[TRIGGERS];
};

struct setting {
    double price;            // retention.h
    double template_mib_max; // the cap
    uint64_t seed;           // of running times and start times
};

int simulate_fixed(struct trace *trace, const struct setting *setting, int64_t keep_ms,
                   struct outcome *ret);
int simulate_histogram(struct trace *trace, const struct setting *setting, struct outcome *ret);
int simulate_learned(struct trace *trace, const struct setting *setting, struct outcome *ret);

#endif
