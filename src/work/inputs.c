// SPDX-License-Identifier: MIT

#include "work/inputs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Sebastiano Vigna's splitmix64: any seed is a good one.
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

// -1 to 1, and never 0.
static double random_real(uint64_t *state)
{
    double value = (double) (random_next(state) >> 11) / (double) (UINT64_C(1) << 52) - 1;
    return value == 0 ? 0.5 : value;
}

static int64_t random_integer(uint64_t *state, enum inputs_integers integers)
{
    static const int64_t constants[] = {[INPUTS_RATE] = 16000, [INPUTS_ONE] = 1, [INPUTS_ZERO] = 0};
    uint64_t random = random_next(state);
    return integers == INPUTS_SMALL ? (int64_t) (random & 7) : constants[integers];
}

// The half whose bits are those of a float between 1/4096 and 2 in magnitude, cut.
static uint16_t half_of(double value)
{
    float narrow = (float) value;
    uint32_t bits;
    if (narrow > -0x1p-12f && narrow < 0x1p-12f)
        narrow = 0x1p-12f;
    memcpy(&bits, &narrow, sizeof(bits));
    return (uint16_t) ((bits >> 16 & 0x8000) | (((bits >> 23 & 0xff) - 112) << 10) |
                       (bits >> 13 & 0x3ff));
}

static uint16_t bfloat_of(double value)
{
    float narrow = (float) value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof(bits));
    return (uint16_t) (bits >> 16);
}

// ---- one element at a time

static void put_element(struct tensor *tensor, size_t i, enum inputs_integers integers,
                        uint64_t *state)
{
    char *to = (char *) tensor->data;
    size_t width = tensor->size / tensor->count;
    if (tensor->datatype == DATATYPE_FP32) {
        float value = (float) random_real(state);
        memcpy(to + i * width, &value, width);
    } else if (tensor->datatype == DATATYPE_FP64) {
        double value = random_real(state);
        memcpy(to + i * width, &value, width);
    } else if (tensor->datatype == DATATYPE_FP16 || tensor->datatype == DATATYPE_BF16) {
        double real = random_real(state);
        uint16_t value = tensor->datatype == DATATYPE_FP16 ? half_of(real) : bfloat_of(real);
        memcpy(to + i * width, &value, width);
    } else if (tensor->datatype == DATATYPE_BOOL) {
        to[i] = (char) (random_next(state) & 1);
    } else {
        int64_t value = random_integer(state, integers);
        memcpy(to + i * width, &value, width); // little-endian: the low bytes come first
    }
}

static bool can_make(enum datatype datatype)
{
    return datatype >= DATATYPE_BOOL && datatype <= DATATYPE_FP64;
}

static int make_tensor(const struct tensor_spec *spec, struct inputs_shape shape, uint64_t *state,
                       size_t *bytes_left, struct tensor *tensor, struct error *err)
{
    *tensor =
        (struct tensor){.name = str_of(spec->name), .datatype = spec->datatype, .rank = spec->rank};
    for (size_t i = 0; i < spec->rank; i++)
        tensor->shape[i] = spec->shape[i] < 0 ? shape.size : spec->shape[i];
    if (!can_make(spec->datatype) || tensor_count(tensor->shape, tensor->rank, &tensor->count) < 0)
        return error_set(err, -ENOTSUP, "input '%.80s' cannot be made up", spec->name);
    tensor->size = datatype_bytes(tensor->datatype, tensor->count);
    if (tensor->size > *bytes_left)
        return error_set(err, -ENOTSUP, "input '%.80s' is too large to try", spec->name);
    *bytes_left -= tensor->size;
    tensor->data = calloc(1, tensor->size + 8);
    if (tensor->data == NULL)
        return error_set(err, -ENOMEM, "no memory for inputs");
    for (size_t i = 0; i < tensor->count; i++)
        put_element(tensor, i, shape.integers, state);
    return 0;
}

int inputs_make(const struct signature *signature, struct inputs_shape shape, uint64_t seed,
                struct inputs *ret_inputs, struct error *err)
{
    struct inputs inputs = {calloc(signature->input_count + 1, sizeof(struct tensor)), 0};
    size_t bytes_left = INPUTS_BYTES_MAX;
    int r = inputs.tensors == NULL ? error_set(err, -ENOMEM, "no memory for inputs") : 0;
    for (size_t i = 0; r == 0 && i < signature->input_count; i++)
        if (!signature->inputs[i].is_optional)
            r = make_tensor(&signature->inputs[i], shape, &seed, &bytes_left,
                            &inputs.tensors[inputs.count++], err);
    if (r < 0) {
        inputs_done(&inputs);
        return r;
    }
    *ret_inputs = inputs;
    return 0;
}

void inputs_done(struct inputs *inputs)
{
    for (size_t i = 0; i < inputs->count; i++)
        free(inputs->tensors[i].data);
    free(inputs->tensors);
    *inputs = (struct inputs){0};
}

bool inputs_have_open_dimensions(const struct signature *signature)
{
    for (size_t i = 0; i < signature->input_count; i++)
        for (size_t d = 0; !signature->inputs[i].is_optional && d < signature->inputs[i].rank; d++)
            if (signature->inputs[i].shape[d] < 0)
                return true;
    return false;
}

bool inputs_have_integers(const struct signature *signature)
{
    for (size_t i = 0; i < signature->input_count; i++)
        if (!signature->inputs[i].is_optional && signature->inputs[i].datatype >= DATATYPE_UINT8 &&
            signature->inputs[i].datatype <= DATATYPE_INT64)
            return true;
    return false;
}
