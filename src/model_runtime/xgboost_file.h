// SPDX-License-Identifier: MIT
//
// xgboost_file: whether a file holds an XGBoost model in JSON or UBJSON, by its first bytes.
//
// Both forms are one object with a member "learner", itself an object. XGBoost writes it first; in JSON others may
// stand before it, since people have tools for JSON. XGBoost's older binary form is none of these: it is not read,
// since its reader believes what it reads. Never allocates; any bytes are safe. Any thread.

#ifndef LAMINA_MODEL_RUNTIME_XGBOOST_FILE_H
#define LAMINA_MODEL_RUNTIME_XGBOOST_FILE_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>

#define XGBOOST_HEAD_BYTES 4096 // looked at, at most

bool xgboost_head_is_model(const void *data, size_t size) MUST_CHECK;

// Reads the beginning; false for what cannot be read.
bool xgboost_file_is_model(int dir, const char *path) MUST_CHECK;

#endif
