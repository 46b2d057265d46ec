// SPDX-License-Identifier: MIT
//
// The prepare job: a model in (descriptor 0), its prepared form out (the stream of wire/work.h).
//
//     load as an instance would, and write the form on the way -> find inputs that it runs on
//     -> its answers to TRIAL_CHECKS of them are what is expected -> load the form without and with
//     packed weights: measure, compare -> report, form
//
// A model that is too large for a form is loaded as it is, both ways, and only reported.
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

struct prepare_order {
    uint64_t bytes_max; // of the form; 0: any
    uint64_t time_ms;   // WORK_PREPARE_TIME_MS
    bool has_tree;      // WORK_PREPARE_HAS_TREE
    bool has_no_form;   // WORK_PREPARE_NO_FORM
};

int prepare_run(const struct prepare_order *order, int output) MUST_CHECK;

#endif
