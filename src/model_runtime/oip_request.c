// SPDX-License-Identifier: MIT

#include "model_runtime/oip_request.h"

#include "base/json.h"
#include "base/mem.h"
#include "model_runtime/oip_values.h"

#include <errno.h>

#define TEXT_BYTES_MAX (8u * 1024 * 1024)
#define SHOWN(text) STR_ARGUMENTS(str_part((text), 0, 80))

// ---- one tensor's head

static int parse_shape(yyjson_val *object, struct tensor *tensor, struct error *err)
{
    yyjson_val *shape = json_member(object, "shape"), *dim;
    size_t i, count;

    if (!yyjson_is_arr(shape))
        return error_set(err, -EINVAL, "input '" STR_FORMAT "': shape must be an array of integers",
                         SHOWN(tensor->name));
    if (yyjson_arr_size(shape) > TENSOR_RANK_MAX)
        return error_set(err, -EINVAL,
                         "input '" STR_FORMAT "': %zu dimensions, at most %d are possible",
                         SHOWN(tensor->name), yyjson_arr_size(shape), TENSOR_RANK_MAX);
    yyjson_arr_foreach(shape, i, count, dim)
    {
        if (!yyjson_is_uint(dim) || yyjson_get_uint(dim) > TENSOR_DIM_MAX)
            return error_set(err, -EINVAL,
                             "input '" STR_FORMAT
                             "': dimension %zu of its shape must be an integer of 0 to %d",
                             SHOWN(tensor->name), i, TENSOR_DIM_MAX);
        tensor->shape[i] = (int64_t) yyjson_get_uint(dim);
    }
    tensor->rank = yyjson_arr_size(shape);
    if (tensor_count(tensor->shape, tensor->rank, &tensor->count) < 0)
        return error_set(err, -EINVAL, "input '" STR_FORMAT "': its shape holds too many elements",
                         SHOWN(tensor->name));
    return 0;
}

static int parse_datatype(yyjson_val *object, struct tensor *tensor, struct error *err)
{
    struct str name;
    if (json_member_str(object, "datatype", &name) < 0)
        return error_set(err, -EINVAL,
                         "input '" STR_FORMAT "': datatype must be a string, such as \"FP32\"",
                         SHOWN(tensor->name));
    tensor->datatype = datatype_of_name(name);
    if (tensor->datatype == DATATYPE_NONE)
        return error_set(err, -EINVAL,
                         "input '" STR_FORMAT "': there is no datatype '" STR_FORMAT "'",
                         SHOWN(tensor->name), SHOWN(name));
    return 0;
}

static int parse_input(yyjson_val *object, size_t index, struct tensor *tensor, struct error *err)
{
    if (!yyjson_is_obj(object) || json_member_str(object, "name", &tensor->name) < 0)
        return error_set(err, -EINVAL, "input %zu must be an object with a string \"name\"", index);
    int r = parse_datatype(object, tensor, err);
    return r < 0 ? r : parse_shape(object, tensor, err);
}

static int parse_inputs(yyjson_val *inputs, struct oip_request *request, struct error *err)
{
    size_t i, count = yyjson_arr_size(inputs);
    yyjson_val *object;

    if (!yyjson_is_arr(inputs) || count == 0 || count > OIP_INPUTS_MAX)
        return error_set(err, -EINVAL,
                         "the request must have \"inputs\", an array of 1 to %d tensors ({} asks "
                         "for the model's "
                         "metadata)",
                         OIP_INPUTS_MAX);
    request->inputs = calloc(count, sizeof *request->inputs);
    request->values = calloc(count, sizeof(yyjson_val *));
    if (request->inputs == NULL || request->values == NULL)
        return error_set(err, -ENOMEM, "no memory for %zu inputs", count);
    request->input_count = count;
    yyjson_arr_foreach(inputs, i, count, object)
    {
        int r = parse_input(object, i, &request->inputs[i], err);
        if (r < 0)
            return r;
        request->values[i] = object;
    }
    return 0;
}

// ---- outputs and the rest

// The parameter that asks for binary data, on an output or on the whole request.
static int parse_binary(yyjson_val *object, bool *ret_is_binary, struct error *err)
{
    yyjson_val *parameters = json_member(object, "parameters");
    if (parameters != NULL && !yyjson_is_obj(parameters))
        return error_set(err, -EINVAL, "\"parameters\" must be an object");
    int r = json_member_bool(parameters, "binary_data_base64", ret_is_binary);
    if (r < 0 && r != -ENOENT)
        return error_set(err, -EINVAL,
                         "the parameter binary_data_base64 must be true or false here");
    return 0;
}

static int parse_outputs(yyjson_val *outputs, struct oip_request *request, struct error *err)
{
    size_t i, count = yyjson_arr_size(outputs);
    yyjson_val *object;

    if (outputs == NULL)
        return 0;
    if (!yyjson_is_arr(outputs) || count > OIP_INPUTS_MAX)
        return error_set(err, -EINVAL,
                         "\"outputs\" must be an array of at most %d objects with a \"name\"",
                         OIP_INPUTS_MAX);
    request->outputs = calloc(count + 1, sizeof *request->outputs);
    if (request->outputs == NULL)
        return error_set(err, -ENOMEM, "no memory for %zu outputs", count);
    request->output_count = count;
    yyjson_arr_foreach(outputs, i, count, object)
    {
        struct oip_output *output = &request->outputs[i];
        if (!yyjson_is_obj(object) || json_member_str(object, "name", &output->name) < 0)
            return error_set(err, -EINVAL, "output %zu must be an object with a string \"name\"",
                             i);
        int r = parse_binary(object, &output->is_binary, err);
        if (r < 0)
            return error_wrap(err, r, "output '" STR_FORMAT "'", SHOWN(output->name));
    }
    return 0;
}

static int parse_root(yyjson_val *root, struct oip_request *request, struct error *err)
{
    if (!yyjson_is_obj(root))
        return error_set(err, -EINVAL, "the request must be a JSON object with \"inputs\"");
    if (yyjson_obj_size(root) == 0) {
        request->asks_metadata = true;
        return 0;
    }
    int r = json_member_str(root, "id", &request->id);
    if (r < 0 && r != -ENOENT)
        return error_set(err, -EINVAL, "\"id\" must be a string");
    r = parse_binary(root, &request->is_binary, err);
    if (r == 0)
        r = parse_inputs(json_member(root, "inputs"), request, err);
    if (r == 0)
        r = parse_outputs(json_member(root, "outputs"), request, err);
    return r;
}

int oip_request_parse(struct str text, struct oip_request *ret_request, struct error *err)
{
    struct oip_request request = {0};
    int r;

    if (str_trim(text).size == 0) {
        request.asks_metadata = true;
        *ret_request = request;
        return 0;
    }
    r = json_parse(text, TEXT_BYTES_MAX, &request.doc, err);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return error_wrap(err, -EINVAL, "the request is not JSON");
    r = parse_root(yyjson_doc_get_root(request.doc), &request, err);
    if (r < 0) {
        oip_request_done(&request);
        return r;
    }
    *ret_request = request;
    return 0;
}

// ---- the elements

static int read_values(struct tensor *tensor, yyjson_val *object, struct error *err)
{
    yyjson_val *data = json_member(object, "data");
    yyjson_val *parameters = json_member(object, "parameters");
    yyjson_val *binary = json_member(parameters, "binary_data_base64");

    if (data != NULL && binary != NULL)
        return error_set(err, -EINVAL, "both data and the parameter binary_data_base64 are given");
    if (json_member(parameters, "binary_data_size") != NULL)
        return error_set(
            err, -EINVAL,
            "binary_data_size needs a binary body, which an invocation does not have: use the "
            "parameter binary_data_base64");
    if (binary != NULL)
        return yyjson_is_str(binary)
                   ? oip_values_binary(tensor, json_str(binary), err)
                   : error_set(err, -EINVAL,
                               "the parameter binary_data_base64 must be a string here");
    if (!yyjson_is_arr(data))
        return error_set(err, -EINVAL, "data must be an array");
    return oip_values_json(tensor, data, err);
}

int oip_request_read_values(struct oip_request *request, struct error *err)
{
    for (size_t i = 0; i < request->input_count; i++) {
        int r = read_values(&request->inputs[i], request->values[i], err);
        if (r < 0)
            return error_wrap(err, r, "input '" STR_FORMAT "'", SHOWN(request->inputs[i].name));
    }
    return 0;
}

void oip_request_done(struct oip_request *request)
{
    for (size_t i = 0; i < request->input_count; i++) {
        free(request->inputs[i].data);
        free(request->inputs[i].strings);
    }
    free(request->inputs);
    free(request->values);
    free(request->outputs);
    yyjson_doc_free(request->doc);
    *request = (struct oip_request){0};
}
