// SPDX-License-Identifier: MIT

#include "model_runtime/inference.h"

#include "base/mem.h"
#include "model_runtime/oip_request.h"

#include <errno.h>

// The outputs of one answer: which, in which form, and the tensors.
struct answer {
    const struct tensor_spec **wanted;
    bool *is_binary;
    struct tensor *tensors;
    size_t count;
};

static void answer_done(struct answer *answer)
{
    free(answer->wanted);
    free(answer->is_binary);
    free(answer->tensors);
}

static int answer_allocate(struct answer *answer, size_t count, struct error *err)
{
    answer->wanted = calloc(count + 1, sizeof *answer->wanted);
    answer->is_binary = calloc(count + 1, sizeof *answer->is_binary);
    answer->tensors = calloc(count + 1, sizeof *answer->tensors);
    if (answer->wanted == NULL || answer->is_binary == NULL || answer->tensors == NULL)
        return error_set(err, -ENOMEM, "no memory for %zu outputs", count);
    return 0;
}

static int choose_named(const struct signature *signature, const struct oip_request *request,
                        struct answer *answer, struct error *err)
{
    for (size_t i = 0; i < request->output_count; i++) {
        int r = signature_check_output(signature, request->outputs[i].name, err);
        if (r < 0)
            return r;
        answer->wanted[i] = signature_output(signature, request->outputs[i].name);
        for (size_t before = 0; before < i; before++)
            if (answer->wanted[before] == answer->wanted[i])
                return error_set(err, -EINVAL, "output '%.80s' is asked for twice",
                                 answer->wanted[i]->name);
        answer->is_binary[i] = request->outputs[i].is_binary || request->is_binary;
    }
    answer->count = request->output_count;
    return 0;
}

static int choose_all(const struct signature *signature, const struct oip_request *request,
                      struct answer *answer, struct error *err)
{
    for (size_t i = 0; i < signature->output_count; i++) {
        if (signature->outputs[i].datatype == DATATYPE_NONE)
            continue;
        answer->is_binary[answer->count] = request->is_binary;
        answer->wanted[answer->count++] = &signature->outputs[i];
    }
    if (answer->count == 0)
        return error_set(err, -EINVAL,
                         "none of the model's outputs is a tensor: see docs/export-to-onnx.md");
    return 0;
}

static int choose_outputs(const struct signature *signature, const struct oip_request *request,
                          struct answer *answer, struct error *err)
{
    size_t count = request->output_count > 0 ? request->output_count : signature->output_count;
    int r = answer_allocate(answer, count, err);
    if (r < 0)
        return r;
    return request->output_count > 0 ? choose_named(signature, request, answer, err)
                                     : choose_all(signature, request, answer, err);
}

static int infer(struct model *model, const struct oip_identity *identity,
                 struct oip_request *request, struct answer *answer, struct buf *out,
                 struct error *err)
{
    int r = signature_check_inputs(&model->signature, request->inputs, request->input_count, err);
    if (r == 0)
        r = choose_outputs(&model->signature, request, answer, err);
    if (r == 0)
        r = oip_request_read_values(request, err);
    if (r == 0)
        r = model_run(model, request->inputs, request->input_count, answer->wanted, answer->count,
                      answer->tensors, err);
    if (r < 0)
        return r;
    r = oip_answer_infer(out, identity, request->id, answer->tensors, answer->is_binary,
                         answer->count, err);
    model_outputs_done(model, answer->tensors, answer->count);
    return r;
}

int inference_answer(struct model *model, const struct oip_identity *identity, struct str text,
                     struct buf *out, struct error *err)
{
    struct oip_request request;
    struct answer answer = {0};
    int r = oip_request_parse(text, &request, err);
    if (r < 0)
        return r;
    r = request.asks_metadata ? oip_answer_metadata(out, identity, &model->signature, err)
                              : infer(model, identity, &request, &answer, out, err);
    answer_done(&answer);
    oip_request_done(&request);
    return r;
}
