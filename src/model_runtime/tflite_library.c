// SPDX-License-Identifier: MIT

#include "model_runtime/tflite_library.h"

#include "base/compiler.h"
#include "model_runtime/engine_library.h"

#include <stdbool.h>
#include <string.h>

static struct tflite_api opened;
static bool is_opened;

static const char *const names[] = {
#define TFLITE_NAME(result, name, arguments) "TfLite" #name,
    TFLITE_FUNCTIONS(TFLITE_NAME)
#undef TFLITE_NAME
};
_Static_assert(sizeof(struct tflite_api) == sizeof(names), "a pointer for each name");

static const struct engine_library library = {
    .title = "TensorFlow Lite's C library",
    .variable = "LAMINA_TFLITE",
    .names = {"libtensorflowlite_c.so"},
};

int tflite_library_open(const struct tflite_api **ret_api, struct error *err)
{
    void *handle, *functions[ARRAY_SIZE(names)];
    char path[PATH_MAX];
    int r = is_opened ? 0 : engine_library_open(&library, &handle, path, err);
    if (r == 0 && !is_opened) {
        r = engine_library_functions(&library, path, handle, names, ARRAY_SIZE(names), functions,
                                     err);
        if (r == 0)
            memcpy(&opened, functions, sizeof(opened)); // POSIX lets dlsym's answers be functions
        is_opened = r == 0;
    }
    if (r == 0)
        *ret_api = &opened;
    return r;
}

const char *tflite_library_version(void)
{
    return is_opened ? opened.Version() : "";
}
