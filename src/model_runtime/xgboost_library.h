// SPDX-License-Identifier: MIT
//
// xgboost_library: XGBoost's shared library, opened at run time, and the part of its C interface that we use.
//
// The interface is declared here, as function pointers: it is older than any version that reads UBJSON (1.6), and
// building Lamina must not need XGBoost. Functions give 0 for success, and LastError's words otherwise. Where it is
// looked for: engine_library.h.
//
// It computes with OpenMP, whose threads would not be there in a fork of a template, which then waits for them for
// ever. So it is told before it is loaded that there is one thread.

#ifndef LAMINA_MODEL_RUNTIME_XGBOOST_LIBRARY_H
#define LAMINA_MODEL_RUNTIME_XGBOOST_LIBRARY_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

// Each is named as in the library, without its prefix.
#define XGBOOST_FUNCTIONS(X)                                                                       \
    X(void, XGBoost, Version, (int *, int *, int *) )                                              \
    X(const char *, XGB, GetLastError, (void) )                                                    \
    X(int, XGBooster, Create, (void *const *, uint64_t, void **) )                                 \
    X(int, XGBooster, Free, (void *) )                                                             \
    X(int, XGBooster, SetParam, (void *, const char *, const char *) )                             \
    X(int, XGBooster, LoadModelFromBuffer, (void *, const void *, uint64_t))                       \
    X(int, XGBooster, SaveJsonConfig, (void *, uint64_t *, const char **) )                        \
    X(int, XGBooster, GetNumFeature, (void *, uint64_t *) )                                        \
    X(int, XGBooster, PredictFromDMatrix,                                                          \
      (void *, void *, const char *, const uint64_t **, uint64_t *, const float **) )              \
    X(int, XGDMatrix, CreateFromMat, (const float *, uint64_t, uint64_t, float, void **) )         \
    X(int, XGDMatrix, Free, (void *) )

struct xgboost_api {
#define XGBOOST_MEMBER(result, prefix, name, arguments) result(*prefix##name) arguments;
    XGBOOST_FUNCTIONS(XGBOOST_MEMBER)
#undef XGBOOST_MEMBER
};

// Opens it once per process. Errors as engine_library.h has them.
int xgboost_library_open(const struct xgboost_api **ret_api, struct error *err) MUST_CHECK;

const char *xgboost_library_version(void); // "1.7.4"; "" before it was opened

#endif
