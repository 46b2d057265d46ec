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
    for (size_t i = 0; answers->model == NULL && i < answers->count; i++) {
        free(answers->outputs[i].data);
        free(answers->outputs[i].strings);
    }
    free(answers->outputs);
    *answers = (struct answers){0};
}

static int copy_strings(const struct tensor *tensor, struct tensor *copy)
{
    size_t size = 0;
    for (size_t i = 0; i < tensor->count; i++)
        size += tensor->strings[i].size;
    char *at = copy->data = malloc(size + 1);
    copy->strings = calloc(tensor->count + 1, sizeof(copy->strings[0]));
    if (copy->data == NULL || copy->strings == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < tensor->count; i++) {
        const struct str *string = &tensor->strings[i];
        if (string->size > 0)
            memcpy(at, string->data, string->size);
        copy->strings[i] = str_of_data(at, string->size);
        at += string->size;
    }
    return 0;
}

static int copy_tensor(const struct tensor *tensor, struct tensor *copy)
{
    *copy = *tensor;
    copy->name = (struct str){0}; // the model's
    copy->handle = copy->data = copy->strings = NULL;
    if (tensor->datatype == DATATYPE_BYTES)
        return copy_strings(tensor, copy);
    copy->data = malloc(tensor->size + 1);
    if (copy->data == NULL)
        return -ENOMEM;
    if (tensor->size > 0)
        memcpy(copy->data, tensor->data, tensor->size);
    return 0;
}

int answers_copy(const struct answers *answers, struct answers *ret_copy, struct error *err)
{
    struct answers copy = {.outputs = calloc(answers->count + 1, sizeof(struct tensor))};
    int r = copy.outputs == NULL ? -ENOMEM : 0;
    while (r == 0 && copy.count < answers->count) {
        r = copy_tensor(&answers->outputs[copy.count], &copy.outputs[copy.count]);
        copy.count++;
    }
    if (r < 0) {
        answers_done(&copy);
        return error_set(err, r, "no memory for answers");
    }
    *ret_copy = copy;
    return 0;
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
