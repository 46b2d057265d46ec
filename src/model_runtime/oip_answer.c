// SPDX-License-Identifier: MIT

#include "model_runtime/oip_answer.h"

#include "base/base64.h"
#include "base/json.h"
#include "model_runtime/float_text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define BATCH 64                  // elements formatted between two looks at the buffer
#define ELEMENT_TEXT_BYTES_MAX 40 // the longest text of an element and its comma

// ---- elements

static size_t put_integer(enum datatype datatype, const void *data, size_t index, char *text)
{
    int64_t value = 0;
    switch (datatype) {
    case DATATYPE_UINT8:
        value = ((const uint8_t *) data)[index];
        break;
    case DATATYPE_UINT16:
        value = ((const uint16_t *) data)[index];
        break;
    case DATATYPE_UINT32:
        value = ((const uint32_t *) data)[index];
        break;
    case DATATYPE_INT8:
        value = ((const int8_t *) data)[index];
        break;
    case DATATYPE_INT16:
        value = ((const int16_t *) data)[index];
        break;
    case DATATYPE_INT32:
        value = ((const int32_t *) data)[index];
        break;
    case DATATYPE_UINT64:
        return (size_t) snprintf(text, ELEMENT_TEXT_BYTES_MAX, "%" PRIu64,
                                 ((const uint64_t *) data)[index]);
    default:
        value = ((const int64_t *) data)[index];
    }
    return (size_t) snprintf(text, ELEMENT_TEXT_BYTES_MAX, "%" PRId64, value);
}

static size_t put_element(const struct tensor *tensor, size_t index, char *text)
{
    switch (tensor->datatype) {
    case DATATYPE_FP32:
        return float_text_fp32(((const float *) tensor->data)[index], text);
    case DATATYPE_FP64:
        return float_text_fp64(((const double *) tensor->data)[index], text);
    case DATATYPE_BOOL:
        return (size_t) snprintf(text, ELEMENT_TEXT_BYTES_MAX, "%s",
                                 ((const uint8_t *) tensor->data)[index] ? "true" : "false");
    default:
        return put_integer(tensor->datatype, tensor->data, index, text);
    }
}

static void append_numbers(struct buf *out, const struct tensor *tensor)
{
    for (size_t i = 0; i < tensor->count;) {
        size_t room = out->maximum - out->size;
        size_t batch = room >= BATCH * ELEMENT_TEXT_BYTES_MAX ? BATCH : 1;
        if (buf_reserve(out, batch * ELEMENT_TEXT_BYTES_MAX) < 0)
            return;
        char *start = out->data + out->size, *at = start;
        for (size_t end = i + batch; i < end && i < tensor->count; i++) {
            if (i > 0)
                *at++ = ',';
            at += put_element(tensor, i, at);
        }
        buf_advance(out, (size_t) (at - start));
    }
}

static void append_strings(struct buf *out, const struct tensor *tensor)
{
    for (size_t i = 0; i < tensor->count && buf_status(out) == 0; i++) {
        buf_append_text(out, i > 0 ? "," : "");
        (void) json_append_string(out, tensor->strings[i]);
    }
}

// ---- binary

// The elements as u32 length and bytes each, which base64 then wraps.
static void append_binary_strings(struct buf *out, const struct tensor *tensor)
{
    AUTO_BUF struct buf packed = BUF_INIT(out->maximum);
    for (size_t i = 0; i < tensor->count && buf_status(&packed) == 0; i++) {
        uint32_t length = (uint32_t) tensor->strings[i].size;
        buf_append(&packed, &length, sizeof length);
        buf_append_str(&packed, tensor->strings[i]);
    }
    // What did not fit here does not fit there either.
    if (buf_status(&packed) < 0)
        (void) !buf_reserve(out, out->maximum + 1);
    else
        base64_append(out, packed.data, packed.size);
}

static void append_data(struct buf *out, const struct tensor *tensor, bool is_binary)
{
    if (is_binary || !datatype_has_json(tensor->datatype)) {
        buf_append_text(out, ",\"parameters\":{\"binary_data_base64\":\"");
        if (tensor->datatype == DATATYPE_BYTES)
            append_binary_strings(out, tensor);
        else
            base64_append(out, tensor->data, tensor->size);
        buf_append_text(out, "\"}");
        return;
    }
    buf_append_text(out, ",\"data\":[");
    if (tensor->datatype == DATATYPE_BYTES)
        append_strings(out, tensor);
    else
        append_numbers(out, tensor);
    buf_append_byte(out, ']');
}

// ---- whole answers

static int too_large(const struct tensor *tensor, size_t maximum, struct error *err)
{
    AUTO_BUF struct buf shape = BUF_INIT(200);
    struct str name = str_part(tensor->name, 0, 80);
    tensor_shape_append(&shape, tensor->shape, tensor->rank);
    return error_set(err, -EFBIG,
                     "the answer is larger than the %zu bytes that an invocation may return, at "
                     "output '" STR_FORMAT "' (%s " STR_FORMAT
                     "): ask for fewer outputs, or for binary_data_base64",
                     maximum, STR_ARGUMENTS(name), datatype_name(tensor->datatype),
                     STR_ARGUMENTS(buf_str(&shape)));
}

int oip_answer_infer(struct buf *out, const struct oip_identity *identity, struct str id,
                     const struct tensor *outputs, const bool *is_binary, size_t count,
                     struct error *err)
{
    buf_append_text(out, "{\"model_name\":");
    (void) json_append_string(out, str_of(identity->name));
    buf_append_text(out, ",\"model_version\":");
    (void) json_append_string(out, str_of(identity->version));
    if (id.size > 0) {
        buf_append_text(out, ",\"id\":");
        (void) json_append_string(out, id);
    }
    buf_append_text(out, ",\"outputs\":[");
    for (size_t i = 0; i < count; i++) {
        const struct tensor *output = &outputs[i];
        buf_append_text(out, i > 0 ? ",{\"name\":" : "{\"name\":");
        (void) json_append_string(out, output->name);
        buf_printf(out, ",\"datatype\":\"%s\",\"shape\":", datatype_name(output->datatype));
        tensor_shape_append(out, output->shape, output->rank);
        append_data(out, output, is_binary[i]);
        buf_append_byte(out, '}');
        if (buf_status(out) == -EFBIG)
            return too_large(output, out->maximum, err);
    }
    buf_append_text(out, "]}");
    return buf_status(out) < 0 ? error_set(err, buf_status(out), "no room for the answer") : 0;
}

// Tensors of a type that requests can carry; the others are not part of the protocol.
static void append_specs(struct buf *out, const char *member, const struct tensor_spec *specs,
                         size_t count)
{
    bool is_first = true;
    buf_printf(out, ",\"%s\":[", member);
    for (size_t i = 0; i < count; i++) {
        if (specs[i].datatype == DATATYPE_NONE)
            continue;
        buf_append_text(out, is_first ? "{\"name\":" : ",{\"name\":");
        (void) json_append_string(out, str_of(specs[i].name));
        buf_printf(out, ",\"datatype\":\"%s\",\"shape\":", datatype_name(specs[i].datatype));
        tensor_shape_append(out, specs[i].shape, specs[i].rank);
        if (specs[i].is_optional)
            buf_append_text(out, ",\"parameters\":{\"optional\":true}");
        buf_append_byte(out, '}');
        is_first = false;
    }
    buf_append_byte(out, ']');
}

int oip_answer_metadata(struct buf *out, const struct oip_identity *identity,
                        const struct signature *signature, struct error *err)
{
    buf_append_text(out, "{\"name\":");
    (void) json_append_string(out, str_of(identity->name));
    buf_append_text(out, ",\"versions\":[");
    (void) json_append_string(out, str_of(identity->version));
    buf_append_text(out, "],\"platform\":");
    (void) json_append_string(out, str_of(identity->platform));
    append_specs(out, "inputs", signature->inputs, signature->input_count);
    append_specs(out, "outputs", signature->outputs, signature->output_count);
    buf_append_byte(out, '}');
    return buf_status(out) < 0 ? error_set(err, buf_status(out), "no room for the model's metadata")
                               : 0;
}
