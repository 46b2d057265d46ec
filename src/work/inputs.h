// SPDX-License-Identifier: MIT
//
// inputs: made-up inputs for a model of which nothing but the signature is known: seeded, not zero,
// the same for the same seed everywhere. One thread.

#ifndef LAMINA_WORK_INPUTS_H
#define LAMINA_WORK_INPUTS_H

#include "base/error.h"
#include "model_runtime/model.h"

#include <stdbool.h>
#include <stdint.h>

#define INPUTS_BYTES_MAX (64u * 1024 * 1024) // of one set; larger ones are not tried

// What stands in integer inputs: they are often indices or counts, and a model that gets one that it
// has no row for does not run.
enum inputs_integers {
    INPUTS_SMALL, // 0 to 7, seeded
    INPUTS_RATE,  // 16000: of sound
    INPUTS_ONE,
    INPUTS_ZERO,
    INPUTS_INTEGERS_COUNT,
};

struct inputs_shape {
    int64_t size; // of each open dimension
    enum inputs_integers integers;
};

struct inputs {
    struct tensor *tensors; // owned, with their data
    size_t count;
};

// -ENOTSUP: an input is no tensor of a type that can be made up, or too large.
int inputs_make(const struct signature *signature, struct inputs_shape shape, uint64_t seed,
                struct inputs *ret_inputs, struct error *err) MUST_CHECK;
void inputs_done(struct inputs *inputs);

bool inputs_have_open_dimensions(const struct signature *signature) MUST_CHECK;
bool inputs_have_integers(const struct signature *signature) MUST_CHECK;

#endif
