// SPDX-License-Identifier: MIT

#include "model_runtime/onnx_library.h"

#include "model_runtime/engine_library.h"

#include <errno.h>

static const OrtApi *opened;
static const char *version = "";

typedef const OrtApiBase *(*get_api_base)(void);

static const struct engine_library library = {
    .title = "ONNX Runtime",
    .variable = "LAMINA_ONNXRUNTIME",
    .names = {"libonnxruntime.so", "libonnxruntime.so.1"},
};

static int open_first(struct error *err)
{
    void *handle, *function;
    char path[PATH_MAX];
    static const char *const names[] = {"OrtGetApiBase"};
    int r = engine_library_open(&library, &handle, path, err);
    if (r == 0)
        r = engine_library_functions(&library, path, handle, names, 1, &function, err);
    if (r < 0)
        return r;
    get_api_base base = (get_api_base) function;
    const OrtApi *api = base()->GetApi(ONNX_API_VERSION);
    if (api == NULL)
        return error_set(err, -ELIBACC, "%s is not ONNX Runtime 1.%d or later", path,
                         ONNX_API_VERSION);
    version = base()->GetVersionString();
    opened = api;
    return 0;
}

int onnx_library_open(const OrtApi **ret_api, struct error *err)
{
    int r = opened != NULL ? 0 : open_first(err);
    if (r == 0)
        *ret_api = opened;
    return r;
}

const char *onnx_library_version(void)
{
    return version;
}
