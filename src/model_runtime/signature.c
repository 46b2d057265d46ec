// SPDX-License-Identifier: MIT

#include "model_runtime/signature.h"

#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>

#define MESSAGE_BYTES_MAX 400
#define NAME_BYTES_MAX 80 // of a name in a message

// Names in messages come from callers and model files: cut, so that the rest of the text stays.
static struct str short_name(struct str name)
{
    return str_part(name, 0, NAME_BYTES_MAX);
}

static void specs_done(struct tensor_spec *specs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(specs[i].name);
        for (size_t dim = 0; dim < TENSOR_RANK_MAX; dim++)
            free(specs[i].dim_names[dim]);
    }
    free(specs);
}

void signature_done(struct signature *signature)
{
    specs_done(signature->inputs, signature->input_count);
    specs_done(signature->outputs, signature->output_count);
    *signature = (struct signature){0};
}

static const struct tensor_spec *find(const struct tensor_spec *specs, size_t count,
                                      struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal_text(name, specs[i].name))
            return &specs[i];
    return NULL;
}

const struct tensor_spec *signature_input(const struct signature *signature, struct str name)
{
    return find(signature->inputs, signature->input_count, name);
}

const struct tensor_spec *signature_output(const struct signature *signature, struct str name)
{
    return find(signature->outputs, signature->output_count, name);
}

// Numbers are hashed at a fixed width and names with their NUL, so that no two inputs read alike.
static void hash_number(struct sha256 *sha256, int64_t number)
{
    sha256_update(sha256, &number, sizeof number);
}

void signature_input_digest(const struct signature *signature, char ret_hex[SHA256_HEX_BYTES])
{
    unsigned char digest[SHA256_BYTES];
    struct sha256 sha256;
    sha256_init(&sha256);
    for (size_t i = 0; i < signature->input_count; i++) {
        const struct tensor_spec *spec = &signature->inputs[i];
        sha256_update(&sha256, spec->name, strlen(spec->name) + 1);
        hash_number(&sha256, spec->datatype);
        hash_number(&sha256, spec->is_optional);
        hash_number(&sha256, spec->has_shape ? (int64_t) spec->rank : -1);
        for (size_t dim = 0; spec->has_shape && dim < spec->rank; dim++)
            hash_number(&sha256, spec->shape[dim]);
    }
    sha256_final(&sha256, digest);
    sha256_hex(digest, ret_hex);
}

void tensor_spec_append(struct buf *buf, const struct tensor_spec *spec)
{
    if (spec->datatype == DATATYPE_NONE) {
        buf_append_text(buf, spec->kind);
        return;
    }
    buf_printf(buf, "%s ", datatype_name(spec->datatype));
    buf_append_byte(buf, '[');
    for (size_t i = 0; i < spec->rank; i++) {
        buf_append_text(buf, i > 0 ? "," : "");
        if (spec->dim_names[i] != NULL)
            buf_append_str(buf, short_name(str_of(spec->dim_names[i])));
        else
            buf_printf(buf, "%" PRId64, spec->shape[i]);
    }
    buf_append_byte(buf, ']');
}

// What there is, for the message about what there is not. The buffer's own limit ends the list.
static void append_names(struct buf *buf, const struct tensor_spec *specs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_append_text(buf, i > 0 ? ", '" : "'");
        buf_append_str(buf, short_name(str_of(specs[i].name)));
        buf_append_text(buf, "'");
    }
}

static int unknown(struct str name, const char *what, const struct tensor_spec *specs, size_t count,
                   struct error *err)
{
    AUTO_BUF struct buf names = BUF_INIT(MESSAGE_BYTES_MAX);
    struct str shown = short_name(name);
    append_names(&names, specs, count);
    return error_set(err, -EINVAL, "the model has no %s '" STR_FORMAT "': its %ss are " STR_FORMAT,
                     what, STR_ARGUMENTS(shown), what, STR_ARGUMENTS(buf_str(&names)));
}

static bool shape_fits(const struct tensor_spec *spec, const struct tensor *tensor)
{
    if (!spec->has_shape)
        return true;
    if (spec->rank != tensor->rank)
        return false;
    for (size_t i = 0; i < spec->rank; i++)
        if (spec->shape[i] >= 0 && spec->shape[i] != tensor->shape[i])
            return false;
    return true;
}

static int check_input(const struct tensor_spec *spec, const struct tensor *tensor,
                       struct error *err)
{
    if (spec->datatype == DATATYPE_NONE)
        return error_set(err, -EINVAL, "input '%.80s' is a %s, which JSON tensors cannot give",
                         spec->name, spec->kind);
    if (spec->datatype == tensor->datatype && shape_fits(spec, tensor))
        return 0;
    AUTO_BUF struct buf expected = BUF_INIT(MESSAGE_BYTES_MAX), given = BUF_INIT(MESSAGE_BYTES_MAX);
    tensor_spec_append(&expected, spec);
    tensor_shape_append(&given, tensor->shape, tensor->rank);
    return error_set(err, -EINVAL, "input '%.80s': expected " STR_FORMAT ", given %s " STR_FORMAT,
                     spec->name, STR_ARGUMENTS(buf_str(&expected)), datatype_name(tensor->datatype),
                     STR_ARGUMENTS(buf_str(&given)));
}

static int check_present(const struct tensor_spec *spec, const struct tensor *inputs, size_t count,
                         struct error *err)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += str_equal_text(inputs[i].name, spec->name);
    if (found > 1)
        return error_set(err, -EINVAL, "input '%.80s' is given %zu times", spec->name, found);
    if (found == 1 || spec->is_optional)
        return 0;
    AUTO_BUF struct buf expected = BUF_INIT(MESSAGE_BYTES_MAX);
    tensor_spec_append(&expected, spec);
    return error_set(err, -EINVAL, "input '%.80s' is missing: expected " STR_FORMAT, spec->name,
                     STR_ARGUMENTS(buf_str(&expected)));
}

int signature_check_inputs(const struct signature *signature, const struct tensor *inputs,
                           size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct tensor_spec *spec = signature_input(signature, inputs[i].name);
        int r = spec == NULL ? unknown(inputs[i].name, "input", signature->inputs,
                                       signature->input_count, err)
                             : check_input(spec, &inputs[i], err);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < signature->input_count; i++) {
        int r = check_present(&signature->inputs[i], inputs, count, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int signature_check_output(const struct signature *signature, struct str name, struct error *err)
{
    const struct tensor_spec *spec = signature_output(signature, name);
    if (spec == NULL)
        return unknown(name, "output", signature->outputs, signature->output_count, err);
    if (spec->datatype == DATATYPE_NONE)
        return error_set(err, -EINVAL,
                         "output '%.80s' is a %s, not a tensor: see docs/export-to-onnx.md on it",
                         spec->name, spec->kind);
    return 0;
}
