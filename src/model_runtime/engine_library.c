// SPDX-License-Identifier: MIT

#include "model_runtime/engine_library.h"

#include "base/compiler.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The folder of a path, with its slash; "" for none.
static void cut_to_folder(char *path)
{
    char *slash = strrchr(path, '/');
    path[slash != NULL ? slash - path + 1 : 0] = '\0';
}

static void program_folder(char *out, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    out[n > 0 ? n : 0] = '\0'; // if it cannot be told: ""
    cut_to_folder(out);
}

static int search(const struct engine_library *library, char ret_path[PATH_MAX], struct error *err)
{
    char folder[PATH_MAX], path[PATH_MAX];
    program_folder(folder, sizeof folder);
    const struct {
        const char *folder, *below;
    } places[] = {{folder, ""},           {folder, "lib/"},  {"/opt/lamina/", "lib/"},
                  {"/var/task/", "lib/"}, {"/opt/", "lib/"}, {"/opt/", ""}};
    for (size_t place = 0; place < ARRAY_SIZE(places); place++) {
        for (size_t name = 0; name < ENGINE_LIBRARY_NAMES_MAX && library->names[name]; name++) {
            int size = snprintf(path, sizeof path, "%s%s%s", places[place].folder,
                                places[place].below, library->names[name]);
            if (size < PATH_MAX && access(path, R_OK) == 0) {
                memcpy(ret_path, path, sizeof path);
                return 0;
            }
        }
    }
    return error_set(err, -ENOENT,
                     "%s is not in %.100s, %.100slib, /opt/lamina/lib, /var/task/lib, /opt/lib or "
                     "/opt, and %s is not set ('lamina package' puts it into the zip)",
                     library->names[0], folder, folder, library->variable);
}

static void open_needs(const struct engine_library *library, const char *path)
{
    char folder[PATH_MAX], need[PATH_MAX];
    (void) snprintf(folder, sizeof folder, "%s", path);
    cut_to_folder(folder);
    for (size_t i = 0; i < ENGINE_LIBRARY_NEEDS_MAX && library->needs[i]; i++) {
        int size = snprintf(need, sizeof need, "%s%s", folder, library->needs[i]);
        if (folder[0] != '\0' && size < PATH_MAX && access(need, R_OK) == 0)
            (void) !dlopen(need, RTLD_NOW | RTLD_LOCAL); // what is wrong with it, the library tells
    }
}

int engine_library_open(const struct engine_library *library, void **ret_handle,
                        char ret_path[PATH_MAX], struct error *err)
{
    const char *named = getenv(library->variable);
    bool is_named = named != NULL && named[0] != '\0';
    char path[PATH_MAX];
    if (is_named && snprintf(path, sizeof path, "%s", named) >= PATH_MAX)
        return error_set(err, -ENOENT, "%s is too long a path", library->variable);
    int r = is_named ? 0 : search(library, path, err);
    if (r < 0)
        return r;
    open_needs(library, path);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return error_set(err, -ELIBACC, "open %s: %s", library->title, dlerror());
    *ret_handle = handle;
    memcpy(ret_path, path, sizeof path);
    return 0;
}

int engine_library_functions(const struct engine_library *library, const char *path, void *handle,
                             const char *const *names, size_t count, void **ret_functions,
                             struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        ret_functions[i] = dlsym(handle, names[i]);
        if (ret_functions[i] == NULL)
            return error_set(err, -ELIBACC, "%s has no %s: it is not %s", path, names[i],
                             library->title);
    }
    return 0;
}
