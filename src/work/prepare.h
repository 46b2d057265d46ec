// SPDX-License-Identifier: MIT
//
// The prepare job: a model in (descriptor 0), its prepared form out (the stream of wire/work.h).
//
//     optimise and write -> find inputs that it runs on -> measure without and with packed weights
//     -> compare both with the original on PREPARE_CHECKS inputs -> report, form
//
// 0 when the stream is complete, whether it ends with END or REFUSED; -errno when it could not be
// written. Memory, processor time and patience are its starter's to limit: the engine is a large
// library that runs what a stranger made.

#ifndef LAMINA_WORK_PREPARE_H
#define LAMINA_WORK_PREPARE_H

#include "base/compiler.h"
#include "wire/work.h"

#include <stdbool.h>
#include <stdint.h>

#define PREPARE_CHECKS 8      // inputs whose answers are compared, at least
#define PREPARE_WARM_CALLS 20 // that a cold start is weighed against

struct prepare_order {
    uint64_t bytes_max; // of the form; 0: any
    uint64_t time_ms;   // WORK_PREPARE_TIME_MS
    bool has_tree;      // WORK_PREPARE_HAS_TREE
};

int prepare_run(const struct prepare_order *order, int output) MUST_CHECK;

#endif
