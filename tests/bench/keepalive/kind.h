// SPDX-License-Identifier: MIT
//
// kind: what an inference function costs to start, to hold and to run; measured, not invented.
//
// "ordinary" is a process of its own that loads its model in the ordinary way (what a platform without templates keeps
// alive); "template" is a process made once whose forks are the instances. Memory is private memory and page tables.
// The mapped model is file pages, in the page cache under every policy; it is reported apart.
#ifndef LAMINA_BENCH_KIND_H
#define LAMINA_BENCH_KIND_H

struct kind {
    const char *name;
    double share;        // of the functions
    double start_ms;     // ordinary: process start to first inference
    double ordinary_mib; // private, of one that has answered
    double rebuild_ms;   // template: process start to ready
    double template_mib; // private
    double fork_ms;      // call to handler running, p50, above a warm call
    double fork_p99_ms;
    double fork_mib;  // private and page tables
    double run_ms;    // one warm inference
    double model_mib; // mapped
};

#define KINDS 5
extern const struct kind kinds[KINDS];

#endif
