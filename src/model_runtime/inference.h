// SPDX-License-Identifier: MIT
//
// inference: from an Open Inference request to its answer, with a model between.

#ifndef LAMINA_MODEL_RUNTIME_INFERENCE_H
#define LAMINA_MODEL_RUNTIME_INFERENCE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "model_runtime/model.h"
#include "model_runtime/oip_answer.h"

// Appends the answer to `text` to `out`, whose maximum is the answer's. Errors as model.h and
// oip_answer.h give them: -EINVAL the request, -EFBIG the answer, -EIO the engine, -ENOMEM.
int inference_answer(struct model *model, const struct oip_identity *identity, struct str text,
                     struct buf *out, struct error *err) MUST_CHECK;

#endif
