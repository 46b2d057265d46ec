/* SPDX-License-Identifier: MIT */

#include "function/version_prepared.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "function/runtime.h"
#include "function/version.h"

#define TASK_ROOT "/var/task"
#define LAYER_ROOT "/opt"

static struct digest this_platform;
static struct version_prepared_holder this_holder;

/* ---- where the model is */

static const char *variable(const struct version *version, const char *name)
{
    for (size_t i = 0; i < version->n_environment; i++)
        if (strcmp(version->environment[i].name, name) == 0)
            return version->environment[i].value;
    return "";
}

static bool is_model_name(const char *name)
{
    static const char *const endings[] = {".onnx", ".ort", ".tflite", ".ubj", ".json"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && dot > name && i < ARRAY_SIZE(endings); i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

static bool place_at(struct version_prepared_place *place, const uint8_t *tree_id, const char *root,
                     const char *path)
{
    while (*path == '/')
        path++;
    place->tree_id = tree_id;
    place->path = path;
    return (size_t) snprintf(place->root, sizeof(place->root), "%s", root) < sizeof(place->root);
}

/* "/opt/a/b.onnx" beneath "/opt": the rest, or NULL. */
static const char *beneath(const char *path, const char *root)
{
    size_t size = strlen(root);
    return strncmp(path, root, size) == 0 && path[size] == '/' ? path + size + 1 : NULL;
}

/* MODEL_PATH beats everything, as lamina-model has it. */
static bool find_named(const struct version *version, const char *path,
                       struct version_prepared_place *place)
{
    const char *in_task = beneath(path, TASK_ROOT), *in_layers = beneath(path, LAYER_ROOT);
    if (!is_model_name(path))
        return false;
    if (in_task)
        return place_at(place, version->code.tree_id, TASK_ROOT, in_task);
    if (in_layers && version->has_opt_tree)
        return place_at(place, version->opt_tree_id, LAYER_ROOT, in_layers);
    return false;
}

static bool find_fetched(const struct version *version, struct version_prepared_place *place)
{
    const struct version_model *model = &version->model;
    char path[VERSION_MODEL_PATH_SIZE];
    if (!is_model_name(model->name))
        return false;
    version_model_path(model, path);
    path[strlen(path) - strlen(model->name) - 1] = '\0';
    return place_at(place, model->tree_id, path, model->name);
}

bool version_prepared_find(const struct version *version, struct version_prepared_place *ret_place)
{
    const struct runtime *runtime = runtime_find(str_of(version->runtime ? version->runtime : ""));
    const char *handler = version->handler ? version->handler : "";
    const char *named = variable(version, "MODEL_PATH");
    if (!runtime || runtime->kind != RUNTIME_PROVIDED || !version->code.has_tree)
        return false;
    if (version->model.has_tree)
        return find_fetched(version, ret_place);
    if (named[0])
        return find_named(version, named, ret_place);
    if (handler[0] == '/' && is_model_name(handler)) /* in a layer: /opt/model/NAME */
        return find_named(version, handler, ret_place);
    bool is_handler = is_model_name(handler);
    return place_at(ret_place, version->code.tree_id, TASK_ROOT, is_handler ? handler : "");
}

const char *version_prepared_packing(const struct version *version)
{
    const char *text = variable(version, "LAMINA_PREPACK");
    return strcmp(text, "on") == 0 ? "on" : strcmp(text, "off") == 0 ? "off" : "auto";
}

/* ---- what a decision is for */

static void update_text(struct digest_stream *stream, const char *text)
{
    digest_update(stream, text, strlen(text) + 1);
}

struct digest version_prepared_wish(const struct version *version)
{
    AUTO_DIGEST struct digest_stream stream;
    struct version_prepared_place place;
    digest_stream_init(&stream);
    digest_update(&stream, &this_platform, sizeof(this_platform));
    if (version_prepared_find(version, &place)) {
        digest_update(&stream, place.tree_id, DIGEST_BYTES);
        update_text(&stream, place.path);
        update_text(&stream, place.root);
        update_text(&stream, version_prepared_packing(version));
        digest_update(&stream, &version->memory_mb, sizeof(version->memory_mb));
    }
    return digest_finish(&stream);
}

bool version_prepared_is_wanted(const struct version *version)
{
    struct version_prepared_place place;
    if (!version_prepared_find(version, &place))
        return false;
    struct digest wish = version_prepared_wish(version);
    return !version->prepared.is_looked ||
           memcmp(&wish, &version->prepared.wish, sizeof(wish)) != 0;
}

void version_prepared_set_platform(const struct digest *platform)
{
    this_platform = *platform;
}

bool version_prepared_is_chosen(const struct version *version)
{
    const struct version_prepared *prepared = &version->prepared;
    return prepared->is_looked && prepared->is_measured &&
           memcmp(&prepared->platform, &this_platform, sizeof(this_platform)) == 0;
}

bool version_prepared_is_usable(const struct version *version)
{
    return version->prepared.has_form && version_prepared_is_chosen(version);
}

void version_prepared_set_holder(const struct version_prepared_holder *holder)
{
    this_holder = *holder;
}

int version_prepared_fd(const struct version *version)
{
    return this_holder.held ? this_holder.held(this_holder.arg, &version->prepared) : 0;
}

bool version_has_own_engine(const struct version *version)
{
    return variable(version, "LAMINA_ONNXRUNTIME")[0] != '\0';
}

/* ---- text */

static void append_digest(struct buf *out, const char *name, const struct digest *digest)
{
    char hex[DIGEST_HEX_SIZE];
    buf_printf(out, ",\"%s\":\"%s\"", name, digest_hex(digest, hex));
}

void version_prepared_append(struct buf *out, const struct version_prepared *prepared)
{
    buf_append_text(out, "{\"Reason\":");
    json_append_string(out, str_of(prepared->reason));
    append_digest(out, "Wish", &prepared->wish);
    append_digest(out, "Platform", &prepared->platform);
    if (prepared->has_model) {
        buf_append_text(out, ",\"Path\":");
        json_append_string(out, str_of(prepared->path));
        append_digest(out, "Model", &prepared->model);
        buf_printf(out, ",\"ModelBytes\":%" PRIu64 "%s", prepared->model_bytes,
                   prepared->is_in_place ? ",\"IsInPlace\":true" : "");
    }
    if (prepared->has_form) {
        append_digest(out, "Key", &prepared->key);
        append_digest(out, "Form", &prepared->form);
        buf_printf(out, ",\"FormBytes\":%" PRIu64, prepared->form_bytes);
    }
    if (prepared->is_measured)
        buf_printf(out,
                   ",\"IsPacked\":%s,\"ColdUs\":%" PRIu64 ",\"WarmUs\":%" PRIu64
                   ",\"PrivateBytes\":%" PRIu64 ",\"SharedBytes\":%" PRIu64,
                   prepared->is_packed ? "true" : "false", prepared->cold_us, prepared->warm_us,
                   prepared->private_bytes, prepared->shared_bytes);
    buf_append_byte(out, '}');
}

static int read_text(yyjson_val *object, const char *name, char *to, size_t size)
{
    struct str text;
    if (json_member_str(object, name, &text) < 0 || str_copy(text, to, size) < 0)
        return -EBADMSG;
    return 0;
}

static int read_digest(yyjson_val *object, const char *name, struct digest *ret_digest)
{
    struct str hex;
    if (json_member_str(object, name, &hex) < 0 || digest_parse_hex(hex, ret_digest) < 0)
        return -EBADMSG;
    return 0;
}

static int read_number(yyjson_val *object, const char *name, uint64_t *ret_number)
{
    int64_t number;
    if (json_member_i64(object, name, 0, INT64_MAX, &number) < 0)
        return -EBADMSG;
    *ret_number = (uint64_t) number;
    return 0;
}

static int read_form(yyjson_val *object, struct version_prepared *prepared)
{
    prepared->has_form = true;
    if (read_digest(object, "Key", &prepared->key) < 0 ||
        read_digest(object, "Form", &prepared->form) < 0 ||
        read_number(object, "FormBytes", &prepared->form_bytes) < 0)
        return -EBADMSG;
    return 0;
}

static int read_measured(yyjson_val *object, struct version_prepared *prepared)
{
    prepared->is_measured = true;
    prepared->shared_bytes = prepared->form_bytes;
    if (json_member_bool(object, "IsPacked", &prepared->is_packed) < 0 ||
        read_number(object, "ColdUs", &prepared->cold_us) < 0 ||
        read_number(object, "WarmUs", &prepared->warm_us) < 0 ||
        read_number(object, "PrivateBytes", &prepared->private_bytes) < 0 ||
        (json_member(object, "SharedBytes") && /* not in what 0.1.0 wrote first */
         read_number(object, "SharedBytes", &prepared->shared_bytes) < 0))
        return -EBADMSG;
    return 0;
}

int version_prepared_read(yyjson_val *object, struct version_prepared *ret_prepared)
{
    struct version_prepared prepared = {.is_looked = true};
    if (read_text(object, "Reason", prepared.reason, sizeof(prepared.reason)) < 0 ||
        read_digest(object, "Wish", &prepared.wish) < 0 ||
        read_digest(object, "Platform", &prepared.platform) < 0)
        return -EBADMSG;
    prepared.has_model = json_member(object, "Path") != NULL;
    if (prepared.has_model &&
        (read_text(object, "Path", prepared.path, sizeof(prepared.path)) < 0 ||
         read_digest(object, "Model", &prepared.model) < 0 ||
         read_number(object, "ModelBytes", &prepared.model_bytes) < 0))
        return -EBADMSG;
    prepared.is_in_place = prepared.has_model && json_member(object, "IsInPlace");
    if (json_member(object, "Form") && read_form(object, &prepared) < 0)
        return -EBADMSG;
    if ((prepared.has_form || json_member(object, "IsPacked")) &&
        read_measured(object, &prepared) < 0)
        return -EBADMSG;
    if (prepared.is_measured && !prepared.has_model)
        return -EBADMSG;
    *ret_prepared = prepared;
    return 0;
}
