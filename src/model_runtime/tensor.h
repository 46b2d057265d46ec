// SPDX-License-Identifier: MIT
//
// tensor: named, typed, shaped values, as the Open Inference Protocol and the engines exchange
// them.
//
// Datatypes carry the protocol's names (docs/open-inference.md). Elements lie in row-major order,
// little-endian; BYTES elements are views, BOOL is one byte (0 or 1), 4-bit integers lie two to a
// byte, the first in the low half. Complex numbers are named so that a refusal can name them.
//
// One thread. A tensor borrows its name and owns its memory only as its maker says.

#ifndef LAMINA_MODEL_RUNTIME_TENSOR_H
#define LAMINA_MODEL_RUNTIME_TENSOR_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TENSOR_RANK_MAX 16
#define TENSOR_DIM_MAX INT32_MAX
#define TENSOR_ELEMENTS_MAX (INT64_C(1) << 40)

enum datatype {
    DATATYPE_NONE, // not a tensor type that we know
    DATATYPE_BOOL,
    DATATYPE_UINT8,
    DATATYPE_UINT16,
    DATATYPE_UINT32,
    DATATYPE_UINT64,
    DATATYPE_INT8,
    DATATYPE_INT16,
    DATATYPE_INT32,
    DATATYPE_INT64,
    DATATYPE_FP16,
    DATATYPE_BF16,
    DATATYPE_FP32,
    DATATYPE_FP64,
    DATATYPE_BYTES,
    DATATYPE_FP8E4M3FN,
    DATATYPE_FP8E4M3FNUZ,
    DATATYPE_FP8E5M2,
    DATATYPE_FP8E5M2FNUZ,
    DATATYPE_UINT4,
    DATATYPE_INT4,
    DATATYPE_COMPLEX64,
    DATATYPE_COMPLEX128,
    DATATYPE_COUNT
};

struct tensor {
    struct str name;
    enum datatype datatype;
    size_t rank;
    int64_t shape[TENSOR_RANK_MAX];
    size_t count;        // elements: the product of the shape
    void *data;          // the elements; for BYTES what the views point into, or NULL
    size_t size;         // bytes of data
    struct str *strings; // count views, for BYTES
    void *handle;        // an engine's own, for outputs
};

// The protocol's name ("FP32"); "NONE" for DATATYPE_NONE.
const char *datatype_name(enum datatype datatype);
// DATATYPE_NONE when no datatype has that name. Case counts.
enum datatype datatype_of_name(struct str name) MUST_CHECK;

// Whether JSON has a form for its elements; the others travel as binary data only.
bool datatype_has_json(enum datatype datatype) MUST_CHECK;

// Bytes of `count` packed elements; 0 for BYTES and NONE.
size_t datatype_bytes(enum datatype datatype, size_t count) MUST_CHECK;

// The product of the shape. -EINVAL: a negative dimension; -EOVERFLOW: a dimension above
// TENSOR_DIM_MAX or more than TENSOR_ELEMENTS_MAX elements.
int tensor_count(const int64_t *shape, size_t rank, size_t *ret_count) MUST_CHECK;

// Appends "[1,3,48]".
void tensor_shape_append(struct buf *buf, const int64_t *shape, size_t rank);

#endif
