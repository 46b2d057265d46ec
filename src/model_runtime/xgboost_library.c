// SPDX-License-Identifier: MIT

#include "model_runtime/xgboost_library.h"

#include "base/compiler.h"
#include "model_runtime/engine_library.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static struct xgboost_api opened;
static bool is_opened;
static char version[40];

static const char *const names[] = {
#define XGBOOST_NAME(result, prefix, name, arguments) #prefix #name,
    XGBOOST_FUNCTIONS(XGBOOST_NAME)
#undef XGBOOST_NAME
};
_Static_assert(sizeof(struct xgboost_api) == sizeof(names), "a pointer for each name");

static const struct engine_library library = {
    .title = "XGBoost",
    .variable = "LAMINA_XGBOOST",
    .names = {"libxgboost.so", "libxgboost.so.0"},
    .needs = {"libgomp.so.1", "libdmlc.so.0"},
};

static int open_first(struct error *err)
{
    void *handle, *functions[ARRAY_SIZE(names)];
    char path[PATH_MAX];
    int major = 0, minor = 0, patch = 0;
    // OpenMP's library reads them when it is loaded.
    if (setenv("OMP_NUM_THREADS", "1", 1) < 0 || setenv("OMP_THREAD_LIMIT", "1", 1) < 0)
        return error_set(err, -ENOMEM, "no memory to open XGBoost");
    int r = engine_library_open(&library, &handle, path, err);
    if (r == 0)
        r = engine_library_functions(&library, path, handle, names, ARRAY_SIZE(names), functions,
                                     err);
    if (r < 0)
        return r;
    memcpy(&opened, functions, sizeof(opened)); // POSIX lets dlsym's answers be functions
    is_opened = true;
    opened.XGBoostVersion(&major, &minor, &patch);
    (void) snprintf(version, sizeof version, "%d.%d.%d", major, minor, patch);
    return 0;
}

int xgboost_library_open(const struct xgboost_api **ret_api, struct error *err)
{
    int r = is_opened ? 0 : open_first(err);
    if (r == 0)
        *ret_api = &opened;
    return r;
}

const char *xgboost_library_version(void)
{
    return version;
}
