// SPDX-License-Identifier: MIT
//
// trial: one model, loaded in several ways, run on the same inputs: what each way takes, and how far
// its answers are from those of the first.
//
//     trial_init ─► trial_load, trial_run of the original: its answers are what is expected
//                ─► trial_load, trial_run of each other way ─► trial_done
//
// Times are the process's processor time: it has one thread, and others that run on a busy machine are
// not part of what a model takes. One thread.

#ifndef LAMINA_WORK_TRIAL_H
#define LAMINA_WORK_TRIAL_H

#include "base/error.h"
#include "model_runtime/model.h"
#include "wire/work.h"
#include "work/answers.h"
#include "work/shapes.h"

#include <stdbool.h>
#include <stdint.h>

#define TRIAL_CHECKS 8      // inputs whose answers are compared
#define TRIAL_WARM_CALLS 20 // that are timed, at most
#define TRIAL_WARM_MS 200   // no more of them are begun when those so far have taken this long

struct trial {
    struct shapes shapes;
    uint64_t seed;
    bool has_expected;
    struct answers expected[TRIAL_CHECKS]; // owned
};

// A model that is loaded, and what that took.
struct trial_model {
    struct model *model; // owned
    uint64_t load_us, private_before;
};

void trial_done(struct trial *trial);

int trial_load(const char *path, const struct model_options *options,
               struct trial_model *ret_loaded, struct error *err) MUST_CHECK;
void trial_unload(struct trial_model *loaded);

// Runs it on each input. The first one's answers are kept; each other one's difference goes into
// *measured: INFINITY if it does not run. -EIO, -EINVAL: the first one does not; -ENOMEM.
int trial_run(struct trial *trial, struct trial_model *loaded, struct work_measured *measured,
              struct error *err) MUST_CHECK;

#endif
