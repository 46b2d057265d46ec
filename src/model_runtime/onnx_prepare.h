// SPDX-License-Identifier: MIT
//
// onnx_prepare: writes the prepared form of an ONNX model: what ONNX Runtime would make of it at
// each start, optimised for this processor, in the format whose weights are used where they lie.
//
// Only lamina-work calls it, on strangers' models. The result is for the machine and the library
// that made it (docs/prepared-models.md has the key).

#ifndef LAMINA_MODEL_RUNTIME_ONNX_PREPARE_H
#define LAMINA_MODEL_RUNTIME_ONNX_PREPARE_H

#include "base/error.h"

// Reads `path`, writes `out_path`, which is created or cut. The model's external data, if it has
// any, is looked for beside `path`. -EIO with ONNX Runtime's words; -ENOENT, -ELIBACC of
// onnx_library.h. One thread.
int onnx_prepare(const char *path, const char *out_path, struct error *err) MUST_CHECK;

#endif
