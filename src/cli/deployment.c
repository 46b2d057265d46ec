// SPDX-License-Identifier: MIT
#include "cli/deployment.h"

#include "cli/install.h"

#include <unistd.h>

static int find(const char *name, struct buf *path, const char **ret, struct error *err)
{
    int r = install_path(name, path, err);

    if (r < 0)
        return r;
    *ret = access(path->data, R_OK) == 0 ? path->data : NULL;
    return 0;
}

int deployment_find_runtime(enum deployment_place place, struct deployment_runtime *ret,
                            struct error *err)
{
    *ret = (struct deployment_runtime){0};
    buf_init(&ret->bootstrap, INSTALL_PATH_BYTES_MAX);
    buf_init(&ret->libraries, INSTALL_PATH_BYTES_MAX);
    // The stripped one, a quarter of the size: what goes into every model's zip.
    int r = find("runtime/bin/lamina-model", &ret->bootstrap, &ret->options.bootstrap, err);
    if (r == 0 && ret->options.bootstrap == NULL) {
        buf_clear(&ret->bootstrap);
        r = find("lamina-model", &ret->bootstrap, &ret->options.bootstrap, err);
    }
    if (r == 0 && place == DEPLOYMENT_FOR_AWS)
        r = find("runtime/lib", &ret->libraries, &ret->options.libraries, err);
    return r;
}

void deployment_runtime_done(struct deployment_runtime *runtime)
{
    buf_done(&runtime->bootstrap);
    buf_done(&runtime->libraries);
}

struct strategy_size deployment_size(const struct package *package)
{
    return (struct strategy_size){
        .zip_bytes = package->zip_bytes,
        .unzipped_bytes = package->unzipped_bytes,
        .model_bytes = package->model_bytes,
    };
}
