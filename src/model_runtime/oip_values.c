// SPDX-License-Identifier: MIT

#include "model_runtime/oip_values.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define SHAPE_TEXT_BYTES_MAX 200
#define VALUE_TEXT_BYTES 64
#define INTEGER_IN_REAL_MAX                                                                        \
    9007199254740992.0 // 2^53: above it a JSON real no longer tells integers apart

// ---- JSON: first the structure

static int wrong_count(const struct tensor *tensor, size_t given, struct error *err)
{
    AUTO_BUF struct buf shape = BUF_INIT(SHAPE_TEXT_BYTES_MAX);
    tensor_shape_append(&shape, tensor->shape, tensor->rank);
    return error_set(err, -EINVAL, "data has %zu elements, its shape " STR_FORMAT " holds %zu",
                     given, STR_ARGUMENTS(buf_str(&shape)), tensor->count);
}

// Nested data has the shape's own structure, on each level.
static int check_nested(const struct tensor *tensor, yyjson_val *array, size_t dim,
                        struct error *err)
{
    size_t i, count;
    yyjson_val *inner;
    if (!yyjson_is_arr(array))
        return error_set(err, -EINVAL,
                         "data is nested, but not %zu levels deep everywhere as its shape is",
                         tensor->rank);
    if (yyjson_arr_size(array) != (size_t) tensor->shape[dim])
        return error_set(err, -EINVAL,
                         "data has %zu elements on level %zu, its shape says %" PRId64,
                         yyjson_arr_size(array), dim, tensor->shape[dim]);
    if (dim + 1 == tensor->rank)
        return 0;
    yyjson_arr_foreach(array, i, count, inner)
    {
        int r = check_nested(tensor, inner, dim + 1, err);
        if (r < 0)
            return r;
    }
    return 0;
}

// The levels below the first that the elements lie on: 0 for flat data.
static int check_structure(const struct tensor *tensor, yyjson_val *data, size_t *ret_levels,
                           struct error *err)
{
    bool is_nested = yyjson_is_arr(yyjson_arr_get_first(data));
    if (!is_nested || tensor->rank < 2) {
        // {"shape": [1, 1], "data": [[5]]} is nested; {"shape": [], "data": [[5]]} is a mistake,
        // which the element's own type then tells.
        if (yyjson_arr_size(data) != tensor->count)
            return wrong_count(tensor, yyjson_arr_size(data), err);
        *ret_levels = 0;
        return 0;
    }
    *ret_levels = tensor->rank - 1;
    return check_nested(tensor, data, 0, err);
}

// ---- JSON: then the elements

static const struct {
    int64_t minimum;
    uint64_t maximum;
} integer_limits[DATATYPE_COUNT] = {
    [DATATYPE_UINT8] = {0, UINT8_MAX},         [DATATYPE_UINT16] = {0, UINT16_MAX},
    [DATATYPE_UINT32] = {0, UINT32_MAX},       [DATATYPE_UINT64] = {0, UINT64_MAX},
    [DATATYPE_INT8] = {INT8_MIN, INT8_MAX},    [DATATYPE_INT16] = {INT16_MIN, INT16_MAX},
    [DATATYPE_INT32] = {INT32_MIN, INT32_MAX}, [DATATYPE_INT64] = {INT64_MIN, INT64_MAX},
};

static int wrong_element(const struct tensor *tensor, size_t index, yyjson_val *value,
                         const char *why, struct error *err)
{
    char number[VALUE_TEXT_BYTES];
    const char *text = yyjson_get_type_desc(value);
    if (yyjson_is_uint(value))
        (void) snprintf(number, sizeof number, "%" PRIu64, yyjson_get_uint(value));
    else if (yyjson_is_sint(value))
        (void) snprintf(number, sizeof number, "%" PRId64, yyjson_get_sint(value));
    else if (yyjson_is_real(value))
        (void) snprintf(number, sizeof number, "%.17g", yyjson_get_real(value));
    if (yyjson_is_num(value))
        text = number;
    return error_set(err, -EINVAL, "element %zu is %s, %s %s", index, text, why,
                     datatype_name(tensor->datatype));
}

// 0: `ret_bits` holds the integer, in two's complement.
static int get_integer(enum datatype datatype, yyjson_val *value, uint64_t *ret_bits)
{
    int64_t minimum = integer_limits[datatype].minimum;
    uint64_t maximum = integer_limits[datatype].maximum;

    if (yyjson_is_sint(value)) {
        *ret_bits = (uint64_t) yyjson_get_sint(value);
        return yyjson_get_sint(value) >= minimum ? 0 : -ERANGE;
    }
    if (yyjson_is_uint(value)) {
        *ret_bits = yyjson_get_uint(value);
        return *ret_bits <= maximum ? 0 : -ERANGE;
    }
    if (!yyjson_is_real(value))
        return -EINVAL;
    // Languages with one number type write 16000.0 or 1.6e4.
    double real = yyjson_get_real(value);
    if (fabs(real) > INTEGER_IN_REAL_MAX || real != floor(real))
        return -EINVAL;
    if (real < (double) minimum || real > (double) maximum)
        return -ERANGE;
    *ret_bits = real < 0 ? (uint64_t) (int64_t) real : (uint64_t) real;
    return 0;
}

// Numbers, and what JSON has no number for, spelled as protobuf's JSON mapping spells it.
static int get_real(yyjson_val *value, double *ret_real)
{
    if (yyjson_is_num(value))
        *ret_real = yyjson_get_num(value);
    else if (yyjson_equals_str(value, "NaN"))
        *ret_real = NAN;
    else if (yyjson_equals_str(value, "Infinity"))
        *ret_real = INFINITY;
    else if (yyjson_equals_str(value, "-Infinity"))
        *ret_real = -INFINITY;
    else
        return -EINVAL;
    return 0;
}

static int store_integer(struct tensor *tensor, size_t index, yyjson_val *value)
{
    uint64_t bits;
    int r = get_integer(tensor->datatype, value, &bits);
    size_t size = datatype_bytes(tensor->datatype, 1);
    if (r == 0) // the low bytes: we are little-endian, as the format is
        memcpy((char *) tensor->data + index * size, &bits, size);
    return r;
}

static int store_real(struct tensor *tensor, size_t index, yyjson_val *value)
{
    double real;
    int r = get_real(value, &real);
    if (r < 0)
        return r;
    if (tensor->datatype == DATATYPE_FP64) {
        ((double *) tensor->data)[index] = real;
        return 0;
    }
    float single = (float) real;
    ((float *) tensor->data)[index] = single;
    return isinf(single) && !isinf(real) ? -ERANGE : 0;
}

static int store_bool(struct tensor *tensor, size_t index, yyjson_val *value)
{
    bool is_number = yyjson_is_uint(value) && yyjson_get_uint(value) <= 1;
    if (!yyjson_is_bool(value) && !is_number)
        return -EINVAL;
    ((uint8_t *) tensor->data)[index] =
        is_number ? (uint8_t) yyjson_get_uint(value) : yyjson_get_bool(value);
    return 0;
}

static int store_string(struct tensor *tensor, size_t index, yyjson_val *value)
{
    if (!yyjson_is_str(value))
        return -EINVAL;
    tensor->strings[index] = json_str(value);
    return 0;
}

typedef int (*store_function)(struct tensor *tensor, size_t index, yyjson_val *value);

static store_function store_for(enum datatype datatype)
{
    switch (datatype) {
    case DATATYPE_BOOL:
        return store_bool;
    case DATATYPE_FP32:
    case DATATYPE_FP64:
        return store_real;
    case DATATYPE_BYTES:
        return store_string;
    default:
        return store_integer;
    }
}

// Walks `levels` down to the arrays of elements and stores them from `*index` on.
static int store_all(struct tensor *tensor, yyjson_val *array, size_t levels, store_function store,
                     size_t *index, struct error *err)
{
    size_t i, count;
    yyjson_val *value;
    yyjson_arr_foreach(array, i, count, value)
    {
        int r = levels > 0 ? store_all(tensor, value, levels - 1, store, index, err)
                           : store(tensor, *index, value);
        if (r < 0 && levels > 0)
            return r;
        if (r == -ERANGE)
            return wrong_element(tensor, *index, value, "outside the range of", err);
        if (r < 0)
            return wrong_element(tensor, *index, value, "not a value of", err);
        if (levels == 0)
            (*index)++;
    }
    return 0;
}

static int allocate(struct tensor *tensor, struct error *err)
{
    // One more byte: an allocation of none may be NULL, which some engines refuse.
    if (tensor->datatype == DATATYPE_BYTES) {
        tensor->strings = calloc(tensor->count + 1, sizeof *tensor->strings);
    } else {
        tensor->size = datatype_bytes(tensor->datatype, tensor->count);
        tensor->data = malloc(tensor->size + 1);
    }
    if (tensor->strings == NULL && tensor->data == NULL)
        return error_set(err, -ENOMEM, "no memory for %zu elements", tensor->count);
    return 0;
}

int oip_values_json(struct tensor *tensor, yyjson_val *data, struct error *err)
{
    size_t levels = 0, index = 0;
    if (!datatype_has_json(tensor->datatype))
        return error_set(
            err, -EINVAL,
            "%s has no form in JSON: give it as the parameter binary_data_base64 in place of data",
            datatype_name(tensor->datatype));
    int r = check_structure(tensor, data, &levels, err);
    if (r == 0)
        r = allocate(tensor, err);
    if (r == 0)
        r = store_all(tensor, data, levels, store_for(tensor->datatype), &index, err);
    return r;
}

// ---- binary data

static int wrong_bytes(const struct tensor *tensor, size_t given, size_t needed, struct error *err)
{
    AUTO_BUF struct buf shape = BUF_INIT(SHAPE_TEXT_BYTES_MAX);
    tensor_shape_append(&shape, tensor->shape, tensor->rank);
    return error_set(err, -EINVAL,
                     "binary_data_base64 holds %zu bytes, %s " STR_FORMAT " takes %zu", given,
                     datatype_name(tensor->datatype), STR_ARGUMENTS(buf_str(&shape)), needed);
}

// Views of the elements: each a 32-bit length and its bytes, and nothing left over.
static int split_strings(struct tensor *tensor, struct error *err)
{
    const char *at = tensor->data;
    size_t left = tensor->size;
    if (tensor->count > left / 4)
        return wrong_bytes(tensor, left, tensor->count * 4, err);
    tensor->strings = calloc(tensor->count + 1, sizeof *tensor->strings);
    if (tensor->strings == NULL)
        return error_set(err, -ENOMEM, "no memory for %zu elements", tensor->count);
    for (size_t i = 0; i < tensor->count; i++) {
        uint32_t length = 0;
        if (left >= 4)
            memcpy(&length, at, 4);
        if (left < 4 || length > left - 4)
            return error_set(err, -EINVAL, "binary_data_base64 ends inside element %zu", i);
        tensor->strings[i] = str_of_data(at + 4, length);
        at += 4 + length;
        left -= 4 + length;
    }
    if (left > 0)
        return error_set(err, -EINVAL, "binary_data_base64 has %zu bytes after its last element",
                         left);
    return 0;
}

int oip_values_binary(struct tensor *tensor, struct str base64, struct error *err)
{
    tensor->data = malloc(BASE64_DECODED_SIZE_MAX(base64.size) + 1);
    if (tensor->data == NULL)
        return error_set(err, -ENOMEM, "no memory for %zu characters of base64", base64.size);
    ptrdiff_t size = base64_decode(base64, tensor->data);
    if (size < 0)
        return error_set(err, -EINVAL, "binary_data_base64 is not base64 (RFC 4648, with padding)");
    tensor->size = (size_t) size;
    if (tensor->datatype == DATATYPE_BYTES)
        return split_strings(tensor, err);
    size_t needed = datatype_bytes(tensor->datatype, tensor->count);
    if (tensor->size != needed)
        return wrong_bytes(tensor, tensor->size, needed, err);
    if (tensor->datatype == DATATYPE_BOOL) // any other byte would be undefined to the engine
        for (size_t i = 0; i < tensor->count; i++)
            ((uint8_t *) tensor->data)[i] = ((uint8_t *) tensor->data)[i] != 0;
    return 0;
}
