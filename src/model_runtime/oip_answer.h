// SPDX-License-Identifier: MIT
//
// oip_answer: what a model answers, as JSON of the Open Inference Protocol v2.
//
// Appended to a buffer that has the size limit of an answer. Errors: -EFBIG, with a text that names
// the output it happened at and what to do; -ENOMEM.

#ifndef LAMINA_MODEL_RUNTIME_OIP_ANSWER_H
#define LAMINA_MODEL_RUNTIME_OIP_ANSWER_H

#include "base/buf.h"
#include "base/error.h"
#include "model_runtime/signature.h"
#include "model_runtime/tensor.h"

struct oip_identity {
    const char *name;
    const char *version;  // the model's digest
    const char *platform; // "onnxruntime_onnx"
};

// {"model_name", "model_version", "id", "outputs": [...]}. Outputs whose datatype JSON has no form
// for are binary whatever `is_binary` says.
int oip_answer_infer(struct buf *out, const struct oip_identity *identity, struct str id,
                     const struct tensor *outputs, const bool *is_binary, size_t count,
                     struct error *err) MUST_CHECK;

// {"name", "versions", "platform", "inputs": [...], "outputs": [...]}.
int oip_answer_metadata(struct buf *out, const struct oip_identity *identity,
                        const struct signature *signature, struct error *err) MUST_CHECK;

#endif
