// SPDX-License-Identifier: MIT
//
// tflite_library: TensorFlow Lite's shared library, opened at run time, and the part of its C interface that we use.
//
// The interface is declared here, as function pointers, since its headers come with the library only, and building
// Lamina must not need either. All types are opaque; numbers are those of tensorflow/lite/c/c_api_types.h, which are
// fixed for ever by the file format. Where it is looked for: engine_library.h.

#ifndef LAMINA_MODEL_RUNTIME_TFLITE_LIBRARY_H
#define LAMINA_MODEL_RUNTIME_TFLITE_LIBRARY_H

#include "base/error.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct tflite_model;
struct tflite_options;
struct tflite_interpreter;
struct tflite_tensor;

enum tflite_type {
    TFLITE_FLOAT32 = 1,
    TFLITE_INT32 = 2,
    TFLITE_UINT8 = 3,
    TFLITE_INT64 = 4,
    TFLITE_BOOL = 6,
    TFLITE_INT16 = 7,
    TFLITE_COMPLEX64 = 8,
    TFLITE_INT8 = 9,
    TFLITE_FLOAT16 = 10,
    TFLITE_FLOAT64 = 11,
    TFLITE_COMPLEX128 = 12,
    TFLITE_UINT64 = 13,
    TFLITE_UINT32 = 16,
    TFLITE_TYPES = 17,
};

// Each is named as in the library, without "TfLite". Functions that return int give 0 for success.
#define TFLITE_FUNCTIONS(X)                                                                        \
    X(const char *, Version, (void) )                                                              \
    X(struct tflite_model *, ModelCreate, (const void *data, size_t size))                         \
    X(void, ModelDelete, (struct tflite_model *) )                                                 \
    X(struct tflite_options *, InterpreterOptionsCreate, (void) )                                  \
    X(void, InterpreterOptionsDelete, (struct tflite_options *) )                                  \
    X(void, InterpreterOptionsSetNumThreads, (struct tflite_options *, int32_t))                   \
    X(void, InterpreterOptionsSetErrorReporter,                                                    \
      (struct tflite_options *, void (*)(void *, const char *, va_list), void *) )                 \
    X(struct tflite_interpreter *, InterpreterCreate,                                              \
      (const struct tflite_model *, const struct tflite_options *) )                               \
    X(void, InterpreterDelete, (struct tflite_interpreter *) )                                     \
    X(int, InterpreterAllocateTensors, (struct tflite_interpreter *) )                             \
    X(int, InterpreterInvoke, (struct tflite_interpreter *) )                                      \
    X(int32_t, InterpreterGetInputTensorCount, (const struct tflite_interpreter *) )               \
    X(struct tflite_tensor *, InterpreterGetInputTensor,                                           \
      (const struct tflite_interpreter *, int32_t))                                                \
    X(int32_t, InterpreterGetOutputTensorCount, (const struct tflite_interpreter *) )              \
    X(const struct tflite_tensor *, InterpreterGetOutputTensor,                                    \
      (const struct tflite_interpreter *, int32_t))                                                \
    X(int, TensorType, (const struct tflite_tensor *) )                                            \
    X(int32_t, TensorNumDims, (const struct tflite_tensor *) )                                     \
    X(int32_t, TensorDim, (const struct tflite_tensor *, int32_t))                                 \
    X(size_t, TensorByteSize, (const struct tflite_tensor *) )                                     \
    X(void *, TensorData, (const struct tflite_tensor *) )                                         \
    X(const char *, TensorName, (const struct tflite_tensor *) )                                   \
    X(int, TensorCopyFromBuffer, (struct tflite_tensor *, const void *, size_t))

struct tflite_api {
#define TFLITE_MEMBER(result, name, arguments) result(*name) arguments;
    TFLITE_FUNCTIONS(TFLITE_MEMBER)
#undef TFLITE_MEMBER
};

// Opens it once per process. -ENOENT: there is none (the text lists where it was looked for); -ELIBACC: it cannot be
// used.
int tflite_library_open(const struct tflite_api **ret_api, struct error *err) MUST_CHECK;

const char *tflite_library_version(void); // "2.15.0"; "" before it was opened

#endif
