// SPDX-License-Identifier: MIT

#include "model_runtime/tflite_library.h"

#include "base/compiler.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "libtensorflowlite_c.so"

static struct tflite_api opened;
static bool is_opened;

static const char *const names[] = {
#define TFLITE_NAME(result, name, arguments) "TfLite" #name,
    TFLITE_FUNCTIONS(TFLITE_NAME)
#undef TFLITE_NAME
};
_Static_assert(sizeof(struct tflite_api) == sizeof(names), "a pointer for each name");

static int open_at(const char *path, struct error *err)
{
    void *functions[ARRAY_SIZE(names)];
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return error_set(err, -ELIBACC, "open TensorFlow Lite: %s", dlerror());
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        functions[i] = dlsym(library, names[i]);
        if (functions[i] == NULL)
            return error_set(err, -ELIBACC, "%s has no %s: it is not TensorFlow Lite's C library",
                             path, names[i]);
    }
    memcpy(&opened, functions, sizeof(opened)); // POSIX lets dlsym's answers be functions
    is_opened = true;
    return 0;
}

// The folder of the running program, with its slash; "" if it cannot be told.
static void program_folder(char *out, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    out[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(out, '/');
    if (slash != NULL)
        slash[1] = '\0';
}

static int search(struct error *err)
{
    char folder[PATH_MAX], path[PATH_MAX + 64];
    program_folder(folder, sizeof folder);
    const struct {
        const char *folder, *below;
    } places[] = {{folder, ""},
                  {folder, "lib/"},
                  {"/opt/lamina/", "lib/"},
                  {"/var/task/", "lib/"},
                  {"/opt/", "lib/"}};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        (void) snprintf(path, sizeof path, "%s%s" NAME, places[i].folder, places[i].below);
        if (access(path, R_OK) == 0)
            return open_at(path, err);
    }
    return error_set(err, -ENOENT,
                     NAME " is not in %s, %slib, /opt/lamina/lib, /var/task/lib or /opt/lib, and "
                          "LAMINA_TFLITE is not set ('lamina package' puts it into the zip)",
                     folder, folder);
}

int tflite_library_open(const struct tflite_api **ret_api, struct error *err)
{
    const char *path = getenv("LAMINA_TFLITE");
    int r = is_opened ? 0 : path != NULL && path[0] != '\0' ? open_at(path, err) : search(err);
    if (r == 0)
        *ret_api = &opened;
    return r;
}

const char *tflite_library_version(void)
{
    return is_opened ? opened.Version() : "";
}
