// SPDX-License-Identifier: MIT
//
// warm: one run before the first caller, so that he does not pay for what a first run allocates and
// compiles.
//
// The request is warm_up.json beside the model, when it is there: an inference request as a caller
// would send it. Otherwise the inputs are zeros of the model's shapes, 1 for each dimension that is
// open. Not every model can run on zeros: a failure is told, not fatal.

#ifndef LAMINA_MODEL_RUNTIME_WARM_H
#define LAMINA_MODEL_RUNTIME_WARM_H

#include "base/error.h"
#include "model_runtime/model.h"

#define WARM_FILE_NAME "warm_up.json"
#define WARM_BYTES_MAX (256u * 1024 * 1024) // of zeros; larger inputs are not tried

// 0, or the run's error.
int warm_run(struct model *model, const char *model_path, struct error *err) MUST_CHECK;

#endif
