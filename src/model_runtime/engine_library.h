// SPDX-License-Identifier: MIT
//
// engine_library: an engine's shared library, opened at run time: building Lamina needs none of them, and a function
// loads the one of its model.
//
// Looked for: the path in the engine's variable when it is set, and only that; then each of its names beside the
// program and in lib/ beside it, in /opt/lamina/lib (a sandbox), /var/task/lib, /opt/lib and /opt. First found, first
// taken.

#ifndef LAMINA_MODEL_RUNTIME_ENGINE_LIBRARY_H
#define LAMINA_MODEL_RUNTIME_ENGINE_LIBRARY_H

#include "base/error.h"

#include <limits.h>

#define ENGINE_LIBRARY_NAMES_MAX 2
#define ENGINE_LIBRARY_NEEDS_MAX 2

struct engine_library {
    const char *title;    // "ONNX Runtime"
    const char *variable; // "LAMINA_ONNXRUNTIME"
    const char *names[ENGINE_LIBRARY_NAMES_MAX];
    // Libraries that it needs and that may lie beside it: loaded from there first, where they do. The loader does not
    // look there by itself, and takes what it has under a name already.
    const char *needs[ENGINE_LIBRARY_NEEDS_MAX];
};

// Opens it. ret_path: which it is, or whatever dlopen was given. -ENOENT: there is none (the text lists where it was
// looked for); -ELIBACC: it cannot be used.
int engine_library_open(const struct engine_library *library, void **ret_handle,
                        char ret_path[PATH_MAX], struct error *err) MUST_CHECK;

// All `count` functions of those names, in their order. -ELIBACC: one is missing, it is another library.
int engine_library_functions(const struct engine_library *library, const char *path, void *handle,
                             const char *const *names, size_t count, void **ret_functions,
                             struct error *err) MUST_CHECK;

#endif
