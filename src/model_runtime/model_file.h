// SPDX-License-Identifier: MIT
//
// model_file: which file is the model, and what to say about files that cannot be one.
//
// libc and base only; the command-line tool uses the refusals too.

#ifndef LAMINA_MODEL_RUNTIME_MODEL_FILE_H
#define LAMINA_MODEL_RUNTIME_MODEL_FILE_H

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>

// Where to look, as the environment of a function says it. Each may be NULL or "".
struct model_place {
    const char *model_path;  // $MODEL_PATH: beats everything
    const char *handler;     // $_HANDLER: a model file's name, beneath task_root
    const char *task_root;   // $LAMBDA_TASK_ROOT: the only model file in it, three folders deep
    const char *layers_root; // "/opt": the only model file of the function's layers, the same way
};

// -ENOENT: no such file, or none, or more than one in the task; -ENOTSUP: a format that must be
// exported to ONNX first. The text says what was found and what to do.
int model_file_find(const struct model_place *place, char ret_path[PATH_MAX],
                    struct error *err) MUST_CHECK;

// By the name alone: a file that lamina-model loads (.onnx, .ort, .tflite, .ubj).
bool model_file_is_model(const char *name) MUST_CHECK;

// By the name alone: an XGBoost model if it is a model (.ubj, .json).
bool model_file_is_xgboost(const char *name) MUST_CHECK;

// By the name, and of what may be an XGBoost model by its content too: many files that end in .json are none. `path`
// is relative to `dir` (AT_FDCWD).
bool model_file_holds_model(int dir, const char *path) MUST_CHECK;

// What to tell the owner of a file whose name says that it holds a model in another format: what it
// is, the line that exports it, the page. NULL: not such a name. A directory is a SavedModel when
// it holds saved_model.pb: ask with that file's name. `path` may have folders.
const char *model_file_refusal(const char *path) MUST_CHECK;

#endif
