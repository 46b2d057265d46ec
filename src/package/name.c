// SPDX-License-Identifier: MIT
#include "package/package.h"

#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define FUNCTION_NAME_MAX 64

int package_name(const char *path, char ret_name[65], struct error *err)
{
    static const char *const extensions[] = {".zip", ".onnx", ".ort", ".tflite", ".ubj", ".json"};
    struct str text = str_of(path);
    char name[FUNCTION_NAME_MAX + 1];
    size_t size = 0;

    while (str_has_suffix(text, STR("/")))
        text.size--;
    text = str_skip(text, (size_t) (str_find_last(text, '/') + 1));
    for (size_t i = 0; i < ARRAY_SIZE(extensions); i++) {
        struct str extension = str_of(extensions[i]);
        if (str_has_suffix(text, extension))
            text.size -= extension.size;
    }
    for (size_t i = 0; i < text.size && size < FUNCTION_NAME_MAX; i++) {
        unsigned char c = (unsigned char) text.data[i];
        name[size++] = isalnum(c) || c == '_' ? (char) c : '-';
    }
    name[size] = '\0';
    if (strspn(name, "-") == size)
        return error_set(err, -EINVAL, "no function name can be made of '%s': give --name", path);
    memcpy(ret_name, name, size + 1);
    return 0;
}
