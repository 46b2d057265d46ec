// SPDX-License-Identifier: MIT

#include "model_runtime/onnx_prepare.h"

#include "base/compiler.h"
#include "model_runtime/onnx_library.h"
#include "model_runtime/onnx_signature.h"

#include <errno.h>
#include <stdlib.h>

static int set_options(const OrtApi *api, OrtSessionOptions *options, const char *out_path,
                       struct error *err)
{
    static const struct {
        const char *name, *value;
    } entries[] = {
        {"session.save_model_format", "ORT"},
        // Packed weights are not what is written, and would only be memory.
        {"session.disable_prepacking", "1"},
    };
    OrtStatus *status = api->SetOptimizedModelFilePath(options, out_path);
    if (status == NULL)
        status = api->SetSessionGraphOptimizationLevel(options, ORT_ENABLE_ALL);
    if (status == NULL)
        status = api->SetIntraOpNumThreads(options, 1);
    if (status == NULL)
        status = api->SetInterOpNumThreads(options, 1);
    for (size_t i = 0; status == NULL && i < ARRAY_SIZE(entries); i++)
        status = api->AddSessionConfigEntry(options, entries[i].name, entries[i].value);
    return onnx_status(api, status, err);
}

static int write_form(const OrtApi *api, OrtEnv *env, const char *path, const char *out_path,
                      struct error *err)
{
    OrtSessionOptions *options;
    OrtSession *session = NULL;
    int r = onnx_status(api, api->CreateSessionOptions(&options), err);
    if (r < 0)
        return r;
    r = set_options(api, options, out_path, err);
    if (r == 0) // writes it before it returns
        r = onnx_status(api, api->CreateSession(env, path, options, &session), err);
    api->ReleaseSession(session);
    api->ReleaseSessionOptions(options);
    return r;
}

int onnx_prepare(const char *path, const char *out_path, struct error *err)
{
    const OrtApi *api;
    OrtEnv *env = NULL;
    if (setenv("ORT_DISABLE_TELEMETRY", "1", 1) < 0)
        return error_set(err, -ENOMEM, "no memory for the environment");
    int r = onnx_library_open(&api, err);
    if (r < 0)
        return r;
    r = onnx_status(api, api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "lamina", &env), err);
    if (r == 0)
        r = write_form(api, env, path, out_path, err);
    api->ReleaseEnv(env);
    return r;
}
