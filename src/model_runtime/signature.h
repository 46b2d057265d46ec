// SPDX-License-Identifier: MIT
//
// signature: what a model takes and gives: its inputs and outputs by name, datatype and shape.
//
// Filled by an engine when it loads a model, read-only afterwards; it owns all its text. Checks
// name what was expected and what was given, since their text is what a caller reads.

#ifndef LAMINA_MODEL_RUNTIME_SIGNATURE_H
#define LAMINA_MODEL_RUNTIME_SIGNATURE_H

#include "base/error.h"
#include "model_runtime/sha256.h"
#include "model_runtime/tensor.h"

#define SIGNATURE_VALUES_MAX 1024

struct tensor_spec {
    char *name;
    enum datatype datatype; // DATATYPE_NONE: not a tensor, or of a type without a name here
    const char *kind;       // what it is instead, for messages ("sequence of maps"); a literal
    bool is_optional;       // an input with a default inside the model
    bool has_shape;         // false: the model declares none (or a scalar: engines do not tell)
    size_t rank;
    int64_t shape[TENSOR_RANK_MAX];   // -1: any
    char *dim_names[TENSOR_RANK_MAX]; // symbolic names of -1 dimensions; NULL: none
};

struct signature {
    struct tensor_spec *inputs;
    size_t input_count;
    struct tensor_spec *outputs;
    size_t output_count;
};

void signature_done(struct signature *signature);

// By name; NULL when there is none.
const struct tensor_spec *signature_input(const struct signature *signature,
                                          struct str name) MUST_CHECK;
const struct tensor_spec *signature_output(const struct signature *signature,
                                           struct str name) MUST_CHECK;

// Whether the tensors can be the model's inputs: each known, once, of its datatype and shape; none
// missing. -EINVAL with the text for the caller.
int signature_check_inputs(const struct signature *signature, const struct tensor *inputs,
                           size_t count, struct error *err) MUST_CHECK;

// -EINVAL: no such output, or one that is not a tensor we can encode.
int signature_check_output(const struct signature *signature, struct str name,
                           struct error *err) MUST_CHECK;

// The SHA-256 of what a request must bring: names, datatypes and shapes of the inputs, in their order.
// Two models with the same one take the same requests. The names of open dimensions do not count.
void signature_input_digest(const struct signature *signature, char ret_hex[SHA256_HEX_BYTES]);

// Appends "FP32 [batch,3,48,-1]".
void tensor_spec_append(struct buf *buf, const struct tensor_spec *spec);

#endif
