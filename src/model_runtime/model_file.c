// SPDX-License-Identifier: MIT

#include "model_runtime/model_file.h"

#include "model_runtime/xgboost_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define DEPTH_MAX 3
#define ENTRIES_MAX 20000 // looked at in all
#define OURS                                                                                       \
    "/opt/lamina" // in no layer: the runtime itself, and models that were brought otherwise
#define PAGE ". See docs/export-to-onnx.md"

#define PYTORCH                                                                                    \
    "PyTorch's format, which runs code when it is loaded. Export it to ONNX: "                     \
    "torch.onnx.export(model, (example_input,), \"model.onnx\", dynamo=True)" PAGE
#define PICKLE                                                                                     \
    "a Python pickle, which runs code when it is loaded. Export the estimator in it to ONNX: "     \
    "skl2onnx.to_onnx(model, X[:1], options={\"zipmap\": False}).SerializeToString()" PAGE
#define SAFETENSORS                                                                                \
    "weights without the network that uses them. Export the model to ONNX: "                       \
    "optimum-cli export onnx --model FOLDER_OR_NAME out/" PAGE
#define SAVED_MODEL                                                                                \
    "a TensorFlow SavedModel. Export it to ONNX: "                                                 \
    "python -m tf2onnx.convert --saved-model FOLDER --output model.onnx" PAGE
#define KERAS "a Keras model. Export it to ONNX: model.export(\"model.onnx\", format=\"onnx\")" PAGE
#define GGUF                                                                                       \
    "llama.cpp's format, quantised for that program alone. Export the model it was made from to "  \
    "ONNX: "                                                                                       \
    "optimum-cli export onnx --model FOLDER_OR_NAME out/" PAGE
#define XGBOOST                                                                                    \
    "an XGBoost model in its older binary form, which is read unchecked. Save it again: "          \
    "booster.save_model(\"model.ubj\")" PAGE

static const struct {
    const char *ending;
    const char *text;
} refusals[] = {
    {"pytorch_model.bin", PYTORCH},
    {"saved_model.pb", SAVED_MODEL},
    {".pt", PYTORCH},
    {".pth", PYTORCH},
    {".pt2", PYTORCH},
    {".ckpt", PYTORCH},
    {".pkl", PICKLE},
    {".pickle", PICKLE},
    {".joblib", PICKLE},
    {".safetensors", SAFETENSORS},
    {".keras", KERAS},
    {".h5", KERAS},
    {".hdf5", KERAS},
    {".gguf", GGUF},
    {".ggml", GGUF},
    {".bst", XGBOOST},
};

static bool ends_with(const char *text, const char *ending)
{
    size_t size = strlen(text), ending_size = strlen(ending);
    return size > ending_size && strcasecmp(text + size - ending_size, ending) == 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

bool model_file_is_model(const char *name)
{
    return ends_with(name, ".onnx") || ends_with(name, ".ort") || ends_with(name, ".tflite") ||
           ends_with(name, ".ubj");
}

bool model_file_is_xgboost(const char *name)
{
    return ends_with(name, ".ubj") || ends_with(name, ".json");
}

bool model_file_holds_model(int dir, const char *path)
{
    return model_file_is_xgboost(path) ? xgboost_file_is_model(dir, path)
                                       : model_file_is_model(path);
}

const char *model_file_refusal(const char *path)
{
    const char *name = base_name(path);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        if (ends_with(name, refusals[i].ending) || strcmp(name, refusals[i].ending) == 0)
            return refusals[i].text;
    return NULL;
}

// ---- one named file

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static bool is_file(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

static int refuse(const char *path, const char *text, struct error *err)
{
    return error_set(err, -ENOTSUP, "'%.120s' is %s", base_name(path), text);
}

static int use_named(const char *path, const char *where, char ret_path[PATH_MAX],
                     struct error *err)
{
    char inner[PATH_MAX];
    const char *refusal = model_file_refusal(path);
    if (refusal != NULL)
        return refuse(path, refusal, err);
    if (snprintf(inner, sizeof inner, "%s/saved_model.pb", path) < PATH_MAX && is_file(inner))
        return refuse(path, SAVED_MODEL, err);
    if (is_directory(path))
        return error_set(err, -ENOENT, "%s names '%.200s', which is a folder, not a model file",
                         where, path);
    if (!is_file(path))
        return error_set(err, -ENOENT, "%s names '%.200s', which is not there", where, path);
    if (snprintf(ret_path, PATH_MAX, "%s", path) >= PATH_MAX)
        return error_set(err, -ENOENT, "%s is too long a path", where);
    return 0;
}

// ---- the only one in the task

struct search {
    char found[PATH_MAX];     // the first model
    char other[NAME_MAX + 1]; // the second's name
    char refused[PATH_MAX];   // the first file in a format to export
    size_t count;             // of models
    size_t entries;
};

static void search_entry(struct search *search, const char *path)
{
    if (model_file_holds_model(AT_FDCWD, path)) {
        if (search->count++ == 0)
            (void) snprintf(search->found, sizeof search->found, "%s", path);
        else
            (void) snprintf(search->other, sizeof search->other, "%.*s", NAME_MAX, base_name(path));
    } else if (search->refused[0] == '\0' && model_file_refusal(path) != NULL) {
        (void) snprintf(search->refused, sizeof search->refused, "%s", path);
    }
}

static void search_folder(struct search *search, const char *folder, int depth)
{
    char path[PATH_MAX];
    struct dirent *entry;
    DIR *directory = opendir(folder);
    if (directory == NULL)
        return; // not readable: then not the place of a model either
    while ((entry = readdir(directory)) != NULL && search->entries++ < ENTRIES_MAX) {
        if (entry->d_name[0] == '.' ||
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= (int) sizeof path)
            continue;
        if (is_file(path))
            search_entry(search, path);
        else if (depth < DEPTH_MAX && strcmp(path, OURS) != 0 && is_directory(path))
            search_folder(search, path, depth + 1);
    }
    closedir(directory);
}

// In the task, or else in its layers.
static int use_only(const char *root, const char *layers, char ret_path[PATH_MAX],
                    struct error *err)
{
    struct search search = {0};
    search_folder(&search, root, 1);
    if (search.count == 0 && layers != NULL)
        search_folder(&search, layers, 1);
    if (search.count > 1)
        return error_set(err, -ENOENT,
                         "there are %zu model files ('%.100s', '%.100s', ...): name one as the "
                         "handler or in MODEL_PATH",
                         search.count, base_name(search.found), search.other);
    if (search.count == 1) {
        memcpy(ret_path, search.found, sizeof search.found);
        return 0;
    }
    if (search.refused[0] != '\0')
        return refuse(search.refused, model_file_refusal(search.refused), err);
    return error_set(
        err, -ENOENT,
        "there is no model: %s holds no .onnx, .ort, .tflite or .ubj file and no XGBoost model in "
        "JSON, and MODEL_PATH is not set",
        root);
}

int model_file_find(const struct model_place *place, char ret_path[PATH_MAX], struct error *err)
{
    char path[PATH_MAX];
    const char *root =
        place->task_root != NULL && place->task_root[0] != '\0' ? place->task_root : ".";

    if (place->model_path != NULL && place->model_path[0] != '\0')
        return use_named(place->model_path, "MODEL_PATH", ret_path, err);
    const char *handler = place->handler != NULL ? place->handler : "";
    if (handler[0] != '\0') {
        bool is_absolute = handler[0] == '/';
        bool fits = snprintf(path, sizeof path, "%s%s%s", is_absolute ? "" : root,
                             is_absolute ? "" : "/", handler) < (int) sizeof path;
        // Any other handler ("bootstrap", "app.handler") says nothing about the model.
        if (fits && (model_file_is_model(handler) || model_file_is_xgboost(handler) ||
                     model_file_refusal(handler) != NULL))
            return use_named(path, "the handler", ret_path, err);
    }
    return use_only(root, place->layers_root, ret_path, err);
}
