// SPDX-License-Identifier: MIT
//
// oip_request: an inference request of the Open Inference Protocol v2, in JSON.
//
//     {"id": "7", "inputs": [{"name": "x", "shape": [1,2], "datatype": "FP32", "data": [0.5, 1]}],
//      "outputs": [{"name": "y", "parameters": {"binary_data_base64": true}}]}
//
// Read in two steps, so that a caller hears of a wrong name, datatype or shape before he hears of
// an element: oip_request_parse reads everything but the elements, oip_request_read_values reads
// them. Between the two the tensors' data is not there. `{}` (and an empty payload) asks for
// metadata. The format with its rules for elements: docs/open-inference.md.
//
// Errors are -EINVAL with the text for the caller, or -ENOMEM. Limits: OIP_INPUTS_MAX inputs and as
// many outputs, TENSOR_RANK_MAX dimensions; memory is bounded by the text's size, since each shape
// must be filled by elements that are in the text.

#ifndef LAMINA_MODEL_RUNTIME_OIP_REQUEST_H
#define LAMINA_MODEL_RUNTIME_OIP_REQUEST_H

#include "base/error.h"
#include "base/str.h"
#include "model_runtime/tensor.h"

#include <yyjson.h>

#define OIP_INPUTS_MAX 1024

struct oip_output {
    struct str name;
    bool is_binary;
};

struct oip_request {
    bool asks_metadata;
    bool is_binary; // all outputs
    struct str id;  // empty: none was given
    struct tensor *inputs;
    size_t input_count;
    struct oip_output *outputs;
    size_t output_count; // 0: all of the model's
    yyjson_doc *doc;     // owns what the views point into
    yyjson_val **values; // of each input: where its elements are
};

// `text` may go away afterwards.
int oip_request_parse(struct str text, struct oip_request *ret_request,
                      struct error *err) MUST_CHECK;
int oip_request_read_values(struct oip_request *request, struct error *err) MUST_CHECK;
void oip_request_done(struct oip_request *request);

#endif
