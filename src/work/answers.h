// SPDX-License-Identifier: MIT
//
// answers: what a model gives for made-up inputs, and whether two models give the same. One thread.

#ifndef LAMINA_WORK_ANSWERS_H
#define LAMINA_WORK_ANSWERS_H

#include "base/error.h"
#include "model_runtime/model.h"
#include "work/inputs.h"

// Real numbers are compared relative to the expected one, or to a hundredth of the largest of its
// tensor: close to zero a model's own rounding is all that is left. Everything else must be equal to
// the bit.
#define ANSWERS_FLOOR 1e-2

struct answers {
    struct model *model; // borrowed: lives longer; NULL: a copy, which needs none
    struct tensor *outputs;
    size_t count;
};

// All outputs that are tensors. -EINVAL, -EIO: the model does not run on these; -ENOTSUP: it has none.
int answers_take(struct model *model, const struct inputs *inputs, struct answers *ret_answers,
                 struct error *err) MUST_CHECK;
void answers_done(struct answers *answers);
// What stays when the model goes.
int answers_copy(const struct answers *answers, struct answers *ret_copy,
                 struct error *err) MUST_CHECK;

// The largest relative difference; INFINITY for other shapes, types, or values that are no numbers in
// one of them only.
double answers_difference(const struct answers *expected, const struct answers *got) MUST_CHECK;

#endif
