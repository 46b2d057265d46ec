// SPDX-License-Identifier: MIT
//
// onnx_library: ONNX Runtime's shared library, opened at run time.
//
// lamina-model is not linked with it: the same program serves a sandbox that shows the library at
// $LAMINA_ONNXRUNTIME and a zip that carries its own. Where it is looked for: engine_library.h.
//
// The C interface only grows, so version 17 of it is asked for: what we use is all in there, and
// libraries from 1.17 on work.

#ifndef LAMINA_MODEL_RUNTIME_ONNX_LIBRARY_H
#define LAMINA_MODEL_RUNTIME_ONNX_LIBRARY_H

#include "base/error.h"

#include <onnxruntime_c_api.h>

#define ONNX_API_VERSION 17

// Opens it once per process; later calls answer at once. -ENOENT: there is none (the text lists
// where it was looked for); -ELIBACC: it cannot be used.
int onnx_library_open(const OrtApi **ret_api, struct error *err) MUST_CHECK;

const char *onnx_library_version(void); // "1.30.0"; "" before it was opened

#endif
