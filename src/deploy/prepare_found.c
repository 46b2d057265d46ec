// SPDX-License-Identifier: MIT

#include "deploy/prepare_found.h"

#include "base/str.h"
#include "store/look.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define PREPARE_FOUND_XGBOOST                                                                      \
    "XGBoost reads its trees into memory of its own: there is no form of it to be mapped"

struct search {
    const char *path; // "": any
    struct prepare_found found;
    size_t count;
    uint64_t bytes; // of all files
};

static bool ends_with(struct str path, const char *ending)
{
    size_t size = strlen(ending);
    return path.size > size &&
           str_equal_nocase(str_part(path, path.size - size, size), str_of(ending));
}

static bool is_model(struct str path)
{
    size_t depth = 1;
    for (size_t i = 0; i < path.size; i++)
        depth += path.data[i] == '/';
    // As lamina-model looks: not in hidden files and folders, three folders deep.
    bool is_hidden = path.size > 0 && path.data[0] == '.';
    for (size_t i = 1; i < path.size; i++)
        is_hidden = is_hidden || (path.data[i] == '.' && path.data[i - 1] == '/');
    return depth <= 3 && !is_hidden &&
           (ends_with(path, ".onnx") || ends_with(path, ".ort") || ends_with(path, ".tflite") ||
            ends_with(path, ".ubj"));
}

static int look(void *arg, const struct store_entry *entry)
{
    struct search *search = arg;
    search->bytes += entry->is_file ? entry->bytes : 0;
    bool is_it =
        search->path[0] ? str_equal_text(entry->path, search->path) : is_model(entry->path);
    if (!is_it || !entry->is_file || entry->path.size > PREPARE_PATH_MAX)
        return 0;
    search->count++;
    memcpy(search->found.path, entry->path.data, entry->path.size);
    search->found.path[entry->path.size] = '\0';
    search->found.digest = entry->digest;
    search->found.bytes = entry->bytes;
    return 0;
}

int prepare_find(struct store *store, const struct digest *tree_id, const char *path,
                 struct prepare_found *ret_found, struct error *err)
{
    struct search search = {.path = path};
    int r = store_tree_each(store, tree_id, look, &search, err);
    if (r < 0)
        return r;
    if (search.count != 1)
        return error_set(err, -ENOENT, "%s",
                         search.count == 0 ? "there is no model file" : "there are several models");
    search.found.beside_bytes = search.bytes - search.found.bytes;
    *ret_found = search.found;
    return 0;
}

const char *prepare_found_why_not(const struct prepare_found *found)
{
    static const struct {
        const char *ending, *reason;
    } known[] = {
        {".ort", "it is in the form that is used in place already"},
        {".tflite", "it is in the form that is used in place already"},
        {".ubj", PREPARE_FOUND_XGBOOST},
        {".json", PREPARE_FOUND_XGBOOST},
    };
    const char *dot = strrchr(found->path, '.');
    for (size_t i = 0; dot && i < ARRAY_SIZE(known); i++)
        if (strcasecmp(dot, known[i].ending) == 0)
            return known[i].reason;
    return NULL;
}
