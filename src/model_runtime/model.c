// SPDX-License-Identifier: MIT

#include "model_runtime/model.h"

#include "model_runtime/xgboost_file.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>

// By the name where it says it: neither ONNX nor TensorFlow Lite has a beginning that the other could not have.
static const struct engine *engine_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    const char *ending = dot != NULL ? dot : "";
    if (strcasecmp(ending, ".tflite") == 0)
        return &engine_tflite;
    if (strcasecmp(ending, ".onnx") == 0 || strcasecmp(ending, ".ort") == 0)
        return &engine_onnx;
    bool is_xgboost = strcasecmp(ending, ".ubj") == 0 || strcasecmp(ending, ".json") == 0 ||
                      xgboost_file_is_model(AT_FDCWD, path);
    return is_xgboost ? &engine_xgboost : &engine_onnx;
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
