// SPDX-License-Identifier: MIT

#include "work/answers.h"

#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int answers_take(struct model *model, const struct inputs *inputs, struct answers *ret_answers,
                 struct error *err)
{
    const struct signature *signature = &model->signature;
    AUTO_FREE const struct tensor_spec **wanted =
        calloc(signature->output_count + 1, sizeof *wanted);
    AUTO_FREE struct tensor *outputs = calloc(signature->output_count + 1, sizeof *outputs);
    size_t count = 0;
    if (wanted == NULL || outputs == NULL)
        return error_set(err, -ENOMEM, "no memory for outputs");
    for (size_t i = 0; i < signature->output_count; i++)
        if (signature->outputs[i].datatype != DATATYPE_NONE)
            wanted[count++] = &signature->outputs[i];
    if (count == 0)
        return error_set(err, -ENOTSUP, "no output is a tensor");
    int r = model_run(model, inputs->tensors, inputs->count, wanted, count, outputs, err);
    if (r == 0)
        *ret_answers = (struct answers){model, TAKE_PTR(outputs), count};
    return r;
}

void answers_done(struct answers *answers)
{
    if (answers->model != NULL)
        model_outputs_done(answers->model, answers->outputs, answers->count);
    free(answers->outputs);
    *answers = (struct answers){0};
}

// ---- comparing

static double half_value(uint16_t bits)
{
    int exponent = bits >> 10 & 0x1f, mantissa = bits & 0x3ff;
    double value = exponent == 0x1f ? (mantissa ? NAN : INFINITY)
                   : exponent == 0  ? ldexp(mantissa, -24)
                                    : ldexp(mantissa | 0x400, exponent - 25);
    return bits & 0x8000 ? -value : value;
}

static double bfloat_value(uint16_t bits)
{
    uint32_t wide = (uint32_t) bits << 16;
    float value;
    memcpy(&value, &wide, sizeof(value));
    return (double) value;
}

static bool is_real(enum datatype datatype)
{
    return datatype >= DATATYPE_FP16 && datatype <= DATATYPE_FP64;
}

static double element(const struct tensor *tensor, size_t i)
{
    switch (tensor->datatype) {
    case DATATYPE_FP16:
        return half_value(((const uint16_t *) tensor->data)[i]);
    case DATATYPE_BF16:
        return bfloat_value(((const uint16_t *) tensor->data)[i]);
    case DATATYPE_FP64:
        return ((const double *) tensor->data)[i];
    default:
        return (double) ((const float *) tensor->data)[i];
    }
}

static double difference_of(double expected, double got, double largest)
{
    if (isnan(expected) || isinf(expected) || isnan(got) || isinf(got))
        return (isnan(expected) && isnan(got)) || expected == got ? 0 : INFINITY;
    double part = fmax(fabs(expected), ANSWERS_FLOOR * largest);
    double difference = fabs(expected - got);
    return difference == 0 ? 0 : part == 0 ? INFINITY : difference / part;
}

static double real_difference(const struct tensor *expected, const struct tensor *got)
{
    double largest = 0, worst = 0;
    for (size_t i = 0; i < expected->count; i++) {
        double value = fabs(element(expected, i));
        if (isfinite(value))
            largest = fmax(largest, value);
    }
    for (size_t i = 0; i < expected->count; i++)
        worst = fmax(worst, difference_of(element(expected, i), element(got, i), largest));
    return worst;
}

static bool strings_equal(const struct tensor *expected, const struct tensor *got)
{
    for (size_t i = 0; i < expected->count; i++)
        if (!str_equal(expected->strings[i], got->strings[i]))
            return false;
    return true;
}

static double tensor_difference(const struct tensor *expected, const struct tensor *got)
{
    if (expected->datatype != got->datatype || expected->rank != got->rank ||
        memcmp(expected->shape, got->shape, expected->rank * sizeof(expected->shape[0])) != 0)
        return INFINITY;
    if (is_real(expected->datatype))
        return real_difference(expected, got);
    bool is_equal = expected->datatype == DATATYPE_BYTES
                        ? strings_equal(expected, got)
                        : memcmp(expected->data, got->data, expected->size) == 0;
    return is_equal ? 0 : INFINITY;
}

double answers_difference(const struct answers *expected, const struct answers *got)
{
    double worst = expected->count == got->count ? 0 : INFINITY;
    for (size_t i = 0; i < expected->count && i < got->count; i++)
        worst = fmax(worst, tensor_difference(&expected->outputs[i], &got->outputs[i]));
    return worst;
}
