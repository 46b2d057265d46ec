// SPDX-License-Identifier: MIT
//
// shapes: made-up inputs that a model runs on, found by trying. One thread.

#ifndef LAMINA_WORK_SHAPES_H
#define LAMINA_WORK_SHAPES_H

#include "base/error.h"
#include "model_runtime/model.h"
#include "work/inputs.h"

#include <stddef.h>
#include <stdint.h>

#define SHAPES_MAX 8

struct shapes {
    struct inputs_shape each[SHAPES_MAX];
    size_t count; // at least 1; one of them has all open dimensions above 1, if there are any
};

// Nothing more is tried when the process has used `deadline_ns` of processor time (clock_cpu_ns): a
// busy machine is not the model's fault. -ENOENT: none was found; err has what the last one failed at.
int shapes_find(struct model *model, uint64_t seed, int64_t deadline_ns, struct shapes *ret_shapes,
                struct error *err) MUST_CHECK;

#endif
