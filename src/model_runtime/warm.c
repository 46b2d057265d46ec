// SPDX-License-Identifier: MIT

#include "model_runtime/warm.h"

#include "base/fd.h"
#include "base/mem.h"
#include "lamina.h"
#include "model_runtime/inference.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

// ---- with a request of the model's owner

// -ENOENT: there is no such file beside the model.
static int read_request(const char *model_path, char **ret_text, size_t *ret_size,
                        struct error *err)
{
    char path[PATH_MAX];
    struct stat status;
    const char *slash = strrchr(model_path, '/');
    int folder = slash != NULL ? (int) (slash - model_path) + 1 : 0;
    if (snprintf(path, sizeof path, "%.*s" WARM_FILE_NAME, folder, model_path) >= (int) sizeof path)
        return -ENOENT;
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -ENOENT;
    if (fstat(fd, &status) < 0 || status.st_size > LAMINA_PAYLOAD_BYTES_MAX)
        return error_set(err, -EINVAL, WARM_FILE_NAME " is larger than a payload");
    AUTO_FREE char *text = malloc((size_t) status.st_size + 1);
    if (text == NULL)
        return error_set(err, -ENOMEM, "no memory for " WARM_FILE_NAME);
    ssize_t n = fd_read_all(fd, text, (size_t) status.st_size);
    if (n < 0)
        return error_set_errno(err, (int) n, "read " WARM_FILE_NAME);
    *ret_text = TAKE_PTR(text);
    *ret_size = (size_t) n;
    return 0;
}

static int run_request(struct model *model, struct str text, struct error *err)
{
    static const struct oip_identity identity = {"", "", ""};
    AUTO_BUF struct buf out = BUF_INIT(LAMINA_PAYLOAD_BYTES_MAX);
    int r = inference_answer(model, &identity, text, &out, err);
    return r < 0 ? error_wrap(err, r, WARM_FILE_NAME) : 0;
}

// ---- with zeros

static int make_zeros(const struct tensor_spec *spec, struct tensor *tensor, size_t *bytes_left,
                      struct error *err)
{
    tensor->name = str_of(spec->name);
    tensor->datatype = spec->datatype;
    tensor->rank = spec->rank;
    for (size_t i = 0; i < spec->rank; i++)
        tensor->shape[i] = spec->shape[i] < 0 ? 1 : spec->shape[i];
    int r = tensor_count(tensor->shape, tensor->rank, &tensor->count);
    size_t bytes = spec->datatype == DATATYPE_BYTES ? sizeof(struct str) : 0;
    if (r == 0)
        bytes = bytes > 0 ? bytes * tensor->count : datatype_bytes(spec->datatype, tensor->count);
    if (r < 0 || spec->datatype == DATATYPE_NONE || bytes > *bytes_left)
        return error_set(err, -ENOTSUP, "input '%.80s' is not one to try with zeros", spec->name);
    *bytes_left -= bytes;
    void *zeros = calloc(1, bytes + 1);
    if (zeros == NULL)
        return error_set(err, -ENOMEM, "no memory for zeros");
    tensor->size = bytes;
    if (spec->datatype == DATATYPE_BYTES)
        tensor->strings = zeros;
    else
        tensor->data = zeros;
    return 0;
}

// Runs for all outputs that are tensors.
static int run_tensors(struct model *model, const struct tensor *inputs, size_t input_count,
                       struct error *err)
{
    const struct signature *signature = &model->signature;
    AUTO_FREE const struct tensor_spec **wanted =
        calloc(signature->output_count + 1, sizeof *wanted);
    AUTO_FREE struct tensor *outputs = calloc(signature->output_count + 1, sizeof *outputs);
    size_t count = 0;
    if (wanted == NULL || outputs == NULL)
        return error_set(err, -ENOMEM, "no memory for outputs");
    for (size_t i = 0; i < signature->output_count; i++)
        if (signature->outputs[i].datatype != DATATYPE_NONE)
            wanted[count++] = &signature->outputs[i];
    if (count == 0)
        return error_set(err, -ENOTSUP, "no output is a tensor");
    int r = model_run(model, inputs, input_count, wanted, count, outputs, err);
    if (r == 0)
        model_outputs_done(model, outputs, count);
    return r;
}

static int run_zeros(struct model *model, struct error *err)
{
    const struct signature *signature = &model->signature;
    AUTO_FREE struct tensor *inputs = calloc(signature->input_count + 1, sizeof *inputs);
    size_t count = 0, bytes_left = WARM_BYTES_MAX;
    int r = inputs == NULL ? error_set(err, -ENOMEM, "no memory for inputs") : 0;

    for (size_t i = 0; r == 0 && i < signature->input_count; i++)
        if (!signature->inputs[i].is_optional)
            r = make_zeros(&signature->inputs[i], &inputs[count++], &bytes_left, err);
    if (r == 0)
        r = run_tensors(model, inputs, count, err);
    for (size_t i = 0; i < count; i++) {
        free(inputs[i].data);
        free(inputs[i].strings);
    }
    return r;
}

int warm_run(struct model *model, const char *model_path, struct error *err)
{
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    int r = read_request(model_path, &text, &size, err);
    if (r == -ENOENT)
        return run_zeros(model, err);
    return r < 0 ? r : run_request(model, str_of_data(text, size), err);
}
