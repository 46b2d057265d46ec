// SPDX-License-Identifier: MIT
//
// oip_values: a tensor's elements, out of JSON or base64.
//
// The tensor has its datatype and shape. On success `data` (and `strings`, for BYTES) are allocated
// and filled; on failure both may be set too and are freed by whoever owns the tensor. Nothing is
// allocated before the number of elements was found equal to what the shape holds. Errors: -EINVAL
// with the text for the caller (which element, its value, what would do), -ENOMEM.

#ifndef LAMINA_MODEL_RUNTIME_OIP_VALUES_H
#define LAMINA_MODEL_RUNTIME_OIP_VALUES_H

#include "base/error.h"
#include "base/str.h"
#include "model_runtime/tensor.h"

#include <yyjson.h>

// `data`: an array, flat or nested as the shape is. BYTES views point into the document.
int oip_values_json(struct tensor *tensor, yyjson_val *data, struct error *err) MUST_CHECK;

// Packed little-endian elements; BYTES elements are a 4-byte length and the bytes each.
int oip_values_binary(struct tensor *tensor, struct str base64, struct error *err) MUST_CHECK;

#endif
