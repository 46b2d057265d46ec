// SPDX-License-Identifier: MIT

#include "model_runtime/onnx_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <unistd.h>

static const OrtApi *opened;
static const char *version = "";

typedef const OrtApiBase *(*get_api_base)(void);

// The folder of the running program, with its slash; "" if it cannot be told.
static void program_folder(char *out, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    out[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(out, '/');
    if (slash != NULL)
        slash[1] = '\0';
}

static int open_at(const char *path, const OrtApi **ret_api, struct error *err)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return error_set(err, -ELIBACC, "open ONNX Runtime: %s", dlerror());
    get_api_base base = (get_api_base) dlsym(library, "OrtGetApiBase");
    const OrtApi *api = base != NULL ? base()->GetApi(ONNX_API_VERSION) : NULL;
    if (api == NULL)
        return error_set(err, -ELIBACC, "%s is not ONNX Runtime 1.%d or later", path,
                         ONNX_API_VERSION);
    version = base()->GetVersionString();
    *ret_api = api;
    return 0;
}

static int search(const OrtApi **ret_api, struct error *err)
{
    static const char *const names[] = {"libonnxruntime.so", "libonnxruntime.so.1"};
    char folder[PATH_MAX], path[PATH_MAX + 64];
    program_folder(folder, sizeof folder);
    struct {
        const char *folder, *below;
    } places[] = {
        {folder, ""}, {folder, "lib/"}, {"/var/task/", "lib/"}, {"/opt/", "lib/"}, {"/opt/", ""}};

    for (size_t place = 0; place < sizeof places / sizeof places[0]; place++) {
        for (size_t name = 0; name < sizeof names / sizeof names[0]; name++) {
            (void) snprintf(path, sizeof path, "%s%s%s", places[place].folder, places[place].below,
                            names[name]);
            if (access(path, R_OK) == 0)
                return open_at(path, ret_api, err);
        }
    }
    return error_set(err, -ENOENT,
                     "libonnxruntime.so is not in %s, %slib, /var/task/lib, /opt/lib or /opt, and "
                     "LAMINA_ONNXRUNTIME "
                     "is not set ('lamina package' puts it into the zip)",
                     folder, folder);
}

int onnx_library_open(const OrtApi **ret_api, struct error *err)
{
    if (opened == NULL) {
        const char *path = getenv("LAMINA_ONNXRUNTIME");
        int r =
            path != NULL && path[0] != '\0' ? open_at(path, &opened, err) : search(&opened, err);
        if (r < 0)
            return r;
    }
    *ret_api = opened;
    return 0;
}

const char *onnx_library_version(void)
{
    return version;
}
