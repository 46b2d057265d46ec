// SPDX-License-Identifier: MIT

#include "model_runtime/tensor.h"

#include <errno.h>
#include <inttypes.h>

static const struct {
    const char *name;
    uint8_t bits; // an element; 0: of varying size
    bool has_json;
} datatypes[DATATYPE_COUNT] = {
    [DATATYPE_NONE] = {"NONE", 0, false},
    [DATATYPE_BOOL] = {"BOOL", 8, true},
    [DATATYPE_UINT8] = {"UINT8", 8, true},
    [DATATYPE_UINT16] = {"UINT16", 16, true},
    [DATATYPE_UINT32] = {"UINT32", 32, true},
    [DATATYPE_UINT64] = {"UINT64", 64, true},
    [DATATYPE_INT8] = {"INT8", 8, true},
    [DATATYPE_INT16] = {"INT16", 16, true},
    [DATATYPE_INT32] = {"INT32", 32, true},
    [DATATYPE_INT64] = {"INT64", 64, true},
    [DATATYPE_FP16] = {"FP16", 16, false},
    [DATATYPE_BF16] = {"BF16", 16, false},
    [DATATYPE_FP32] = {"FP32", 32, true},
    [DATATYPE_FP64] = {"FP64", 64, true},
    [DATATYPE_BYTES] = {"BYTES", 0, true},
    [DATATYPE_FP8E4M3FN] = {"FP8E4M3FN", 8, false},
    [DATATYPE_FP8E4M3FNUZ] = {"FP8E4M3FNUZ", 8, false},
    [DATATYPE_FP8E5M2] = {"FP8E5M2", 8, false},
    [DATATYPE_FP8E5M2FNUZ] = {"FP8E5M2FNUZ", 8, false},
    [DATATYPE_UINT4] = {"UINT4", 4, false},
    [DATATYPE_INT4] = {"INT4", 4, false},
    [DATATYPE_COMPLEX64] = {"COMPLEX64", 64, false},
    [DATATYPE_COMPLEX128] = {"COMPLEX128", 128, false},
};

const char *datatype_name(enum datatype datatype)
{
    return datatypes[datatype].name;
}

enum datatype datatype_of_name(struct str name)
{
    for (enum datatype datatype = DATATYPE_BOOL; datatype < DATATYPE_COUNT; datatype++)
        if (str_equal_text(name, datatypes[datatype].name))
            return datatype;
    return DATATYPE_NONE;
}

bool datatype_has_json(enum datatype datatype)
{
    return datatypes[datatype].has_json;
}

size_t datatype_bytes(enum datatype datatype, size_t count)
{
    return (count * datatypes[datatype].bits + 7) / 8;
}

int tensor_count(const int64_t *shape, size_t rank, size_t *ret_count)
{
    // The product without its zeros: [0,2147483647,2147483647] has no elements, but an engine that
    // computes strides from it would overflow.
    int64_t extent = 1;
    bool is_empty = false;
    for (size_t i = 0; i < rank; i++) {
        if (shape[i] < 0)
            return -EINVAL;
        if (shape[i] > TENSOR_DIM_MAX)
            return -EOVERFLOW;
        is_empty = is_empty || shape[i] == 0;
        if (shape[i] > 0 &&
            (__builtin_mul_overflow(extent, shape[i], &extent) || extent > TENSOR_ELEMENTS_MAX))
            return -EOVERFLOW;
    }
    *ret_count = is_empty ? 0 : (size_t) extent;
    return 0;
}

void tensor_shape_append(struct buf *buf, const int64_t *shape, size_t rank)
{
    buf_append_byte(buf, '[');
    for (size_t i = 0; i < rank; i++)
        buf_printf(buf, "%s%" PRId64, i > 0 ? "," : "", shape[i]);
    buf_append_byte(buf, ']');
}
