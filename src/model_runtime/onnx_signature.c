// SPDX-License-Identifier: MIT

#include "model_runtime/onnx_signature.h"

#include "base/mem.h"

#include <errno.h>

static const ONNXTensorElementDataType element_types[DATATYPE_COUNT] = {
    [DATATYPE_NONE] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED,
    [DATATYPE_BOOL] = ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
    [DATATYPE_UINT8] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
    [DATATYPE_UINT16] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16,
    [DATATYPE_UINT32] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32,
    [DATATYPE_UINT64] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64,
    [DATATYPE_INT8] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
    [DATATYPE_INT16] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16,
    [DATATYPE_INT32] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
    [DATATYPE_INT64] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
    [DATATYPE_FP16] = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
    [DATATYPE_BF16] = ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
    [DATATYPE_FP32] = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
    [DATATYPE_FP64] = ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
    [DATATYPE_BYTES] = ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING,
    [DATATYPE_FP8E4M3FN] = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FN,
    [DATATYPE_FP8E4M3FNUZ] = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FNUZ,
    [DATATYPE_FP8E5M2] = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2,
    [DATATYPE_FP8E5M2FNUZ] = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2FNUZ,
    [DATATYPE_UINT4] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT4,
    [DATATYPE_INT4] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT4,
    [DATATYPE_COMPLEX64] = ONNX_TENSOR_ELEMENT_DATA_TYPE_COMPLEX64,
    [DATATYPE_COMPLEX128] = ONNX_TENSOR_ELEMENT_DATA_TYPE_COMPLEX128,
};

enum datatype onnx_datatype(ONNXTensorElementDataType type)
{
    for (enum datatype datatype = DATATYPE_BOOL; datatype < DATATYPE_COUNT; datatype++)
        if (element_types[datatype] == type)
            return datatype;
    return DATATYPE_NONE;
}

ONNXTensorElementDataType onnx_element_type(enum datatype datatype)
{
    return element_types[datatype];
}

int onnx_status(const OrtApi *api, OrtStatus *status, struct error *err)
{
    if (status == NULL)
        return 0;
    int code = api->GetErrorCode(status) == ORT_INVALID_ARGUMENT ? -EINVAL : -EIO;
    (void) error_set(err, code, "%s", api->GetErrorMessage(status));
    api->ReleaseStatus(status);
    return code;
}

// ---- one value

static int read_dimensions(const OrtApi *api, const OrtTensorTypeAndShapeInfo *info,
                           struct tensor_spec *spec, struct error *err)
{
    const char *names[TENSOR_RANK_MAX] = {0};
    int r = onnx_status(api, api->GetDimensionsCount(info, &spec->rank), err);
    if (r < 0)
        return r;
    if (spec->rank > TENSOR_RANK_MAX)
        return error_set(err, -EINVAL, "'%.80s' has %zu dimensions, at most %d are possible",
                         spec->name, spec->rank, TENSOR_RANK_MAX);
    // No dimensions is a scalar or an unknown shape: version 17 of the interface does not tell them
    // apart.
    spec->has_shape = spec->rank > 0;
    r = onnx_status(api, api->GetDimensions(info, spec->shape, spec->rank), err);
    if (r == 0)
        r = onnx_status(api, api->GetSymbolicDimensions(info, names, spec->rank), err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < spec->rank; i++) {
        if (spec->shape[i] >= 0)
            continue;
        spec->shape[i] = -1;
        if (names[i] != NULL && names[i][0] != '\0')
            spec->dim_names[i] = mem_copy_text(names[i]); // only for messages: none without memory
    }
    return 0;
}

static const char *kind_of(enum ONNXType type)
{
    switch (type) {
    case ONNX_TYPE_SEQUENCE:
        return "sequence";
    case ONNX_TYPE_MAP:
        return "map";
    case ONNX_TYPE_OPTIONAL:
        return "optional value";
    case ONNX_TYPE_SPARSETENSOR:
        return "sparse tensor";
    case ONNX_TYPE_TENSOR:
        return "tensor of a type that ONNX Runtime has no place for";
    default:
        return "value of an unknown type";
    }
}

// Complex numbers have names, but ONNX Runtime makes no tensors of them.
static bool is_usable(enum datatype datatype)
{
    return datatype != DATATYPE_COMPLEX64 && datatype != DATATYPE_COMPLEX128;
}

static int read_type(const OrtApi *api, const OrtTypeInfo *type, struct tensor_spec *spec,
                     struct error *err)
{
    const OrtTensorTypeAndShapeInfo *info = NULL;
    enum ONNXType kind = ONNX_TYPE_UNKNOWN;
    ONNXTensorElementDataType element;

    int r = onnx_status(api, api->GetOnnxTypeFromTypeInfo(type, &kind), err);
    spec->kind = kind_of(kind);
    if (r < 0 || kind != ONNX_TYPE_TENSOR)
        return r;
    r = onnx_status(api, api->CastTypeInfoToTensorInfo(type, &info), err);
    if (r == 0)
        r = onnx_status(api, api->GetTensorElementType(info, &element), err);
    if (r < 0)
        return r;
    spec->datatype = is_usable(onnx_datatype(element)) ? onnx_datatype(element) : DATATYPE_NONE;
    return read_dimensions(api, info, spec, err);
}

// ---- all values

// The three lists of a session, read alike.
struct list {
    OrtStatus *(ORT_API_CALL *count)(const OrtSession *, size_t *);
    OrtStatus *(ORT_API_CALL *name)(const OrtSession *, size_t, OrtAllocator *, char **);
    OrtStatus *(ORT_API_CALL *type)(const OrtSession *, size_t, OrtTypeInfo **);
    bool is_optional;
};

static int read_spec(const OrtApi *api, const OrtSession *session, const struct list *list,
                     size_t index, struct tensor_spec *spec, struct error *err)
{
    OrtAllocator *allocator;
    OrtTypeInfo *type = NULL;
    char *name = NULL;

    int r = onnx_status(api, api->GetAllocatorWithDefaultOptions(&allocator), err);
    if (r == 0)
        r = onnx_status(api, list->name(session, index, allocator, &name), err);
    if (r < 0)
        return r;
    spec->name = mem_copy_text(name);
    spec->is_optional = list->is_optional;
    r = onnx_status(api, api->AllocatorFree(allocator, name), err);
    if (spec->name == NULL)
        return error_set(err, -ENOMEM, "no memory for a name");
    if (r == 0)
        r = onnx_status(api, list->type(session, index, &type), err);
    if (r == 0)
        r = read_type(api, type, spec, err);
    api->ReleaseTypeInfo(type);
    return r;
}

// Appends the list's values to the `*count` that are there.
static int read_list(const OrtApi *api, const OrtSession *session, const struct list *list,
                     struct tensor_spec **specs, size_t *count, struct error *err)
{
    size_t more;
    int r = onnx_status(api, list->count(session, &more), err);
    if (r < 0 || more == 0)
        return r;
    if (more > SIGNATURE_VALUES_MAX - *count)
        return error_set(err, -EINVAL, "the model has more than %d inputs or outputs",
                         SIGNATURE_VALUES_MAX);
    struct tensor_spec *all = realloc(*specs, (*count + more) * sizeof *all);
    if (all == NULL)
        return error_set(err, -ENOMEM, "no memory for %zu inputs or outputs", more);
    *specs = all;
    memset(all + *count, 0, more * sizeof *all);
    for (size_t i = 0; i < more; i++) {
        r = read_spec(api, session, list, i, &all[(*count)++], err);
        if (r < 0)
            return r;
    }
    return 0;
}

int onnx_signature_read(const OrtApi *api, const OrtSession *session,
                        struct signature *ret_signature, struct error *err)
{
    const struct list inputs = {api->SessionGetInputCount, api->SessionGetInputName,
                                api->SessionGetInputTypeInfo, false};
    const struct list defaults = {api->SessionGetOverridableInitializerCount,
                                  api->SessionGetOverridableInitializerName,
                                  api->SessionGetOverridableInitializerTypeInfo, true};
    const struct list outputs = {api->SessionGetOutputCount, api->SessionGetOutputName,
                                 api->SessionGetOutputTypeInfo, false};
    struct signature signature = {0};

    int r = read_list(api, session, &inputs, &signature.inputs, &signature.input_count, err);
    if (r == 0)
        r = read_list(api, session, &defaults, &signature.inputs, &signature.input_count, err);
    if (r == 0)
        r = read_list(api, session, &outputs, &signature.outputs, &signature.output_count, err);
    if (r < 0) {
        signature_done(&signature);
        return r;
    }
    *ret_signature = signature;
    return 0;
}
