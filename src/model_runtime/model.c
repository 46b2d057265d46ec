// SPDX-License-Identifier: MIT

#include "model_runtime/model.h"

#include <string.h>
#include <strings.h>

// By the name: neither format has a beginning that the other could not have.
static const struct engine *engine_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot != NULL && strcasecmp(dot, ".tflite") == 0 ? &engine_tflite : &engine_onnx;
}

int model_load(const char *path, const struct model_options *options, struct model **ret_model,
               struct error *err)
{
    return engine_of(path)->load(path, options, ret_model, err);
}

int model_run(struct model *model, const struct tensor *inputs, size_t input_count,
              const struct tensor_spec *const *wanted, size_t wanted_count,
              struct tensor *ret_outputs, struct error *err)
{
    return model->engine->run(model, inputs, input_count, wanted, wanted_count, ret_outputs, err);
}

void model_outputs_done(struct model *model, struct tensor *outputs, size_t count)
{
    model->engine->outputs_done(model, outputs, count);
}

void model_free(struct model *model)
{
    if (model != NULL)
        model->engine->done(model);
}
