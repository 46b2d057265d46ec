// SPDX-License-Identifier: MIT
//
// onnx_signature: a session's inputs and outputs as ONNX Runtime describes them.

#ifndef LAMINA_MODEL_RUNTIME_ONNX_SIGNATURE_H
#define LAMINA_MODEL_RUNTIME_ONNX_SIGNATURE_H

#include "base/error.h"
#include "model_runtime/signature.h"

#include <onnxruntime_c_api.h>

// -EIO with ONNX Runtime's words; -EINVAL: more than SIGNATURE_VALUES_MAX values.
int onnx_signature_read(const OrtApi *api, const OrtSession *session,
                        struct signature *ret_signature, struct error *err) MUST_CHECK;

enum datatype onnx_datatype(ONNXTensorElementDataType type) MUST_CHECK;
ONNXTensorElementDataType onnx_element_type(enum datatype datatype) MUST_CHECK;

// The status's message as an error of ours; releases it. 0 for NULL, which is ONNX Runtime's
// success.
int onnx_status(const OrtApi *api, OrtStatus *status, struct error *err) MUST_CHECK;

#endif
