/* SPDX-License-Identifier: MIT */

#include "function/version_model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "function/runtime.h"
#include "function/version.h"

static const char *variable(const struct version *version, const char *name)
{
    for (size_t i = 0; i < version->n_environment; i++)
        if (strcmp(version->environment[i].name, name) == 0)
            return version->environment[i].value;
    return NULL;
}

const char *version_model_uri(const struct version *version)
{
    const char *uri = variable(version, "MODEL_URI");
    return uri && uri[0] ? uri : NULL;
}

uint32_t version_model_refresh_s(const struct version *version)
{
    const char *text = variable(version, "MODEL_REFRESH_S");
    uint64_t seconds = 0;
    if (!text || str_to_u64(str_of(text), VERSION_MODEL_REFRESH_MAX_S, &seconds) < 0)
        return 0;
    return (uint32_t) seconds;
}

/* What lamina-model loads, by its name. */
static bool is_model_name(const char *name)
{
    static const char *const endings[] = {".onnx", ".ort", ".tflite", ".ubj", ".json"};
    size_t size = strlen(name);
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
        size_t ending = strlen(endings[i]);
        if (size > ending && strcasecmp(name + size - ending, endings[i]) == 0)
            return true;
    }
    return false;
}

/* A program of another runtime reads the file itself, or makes it. */
const char *version_model_file(const struct version *version)
{
    const struct runtime *runtime = runtime_find(str_of(version->runtime ? version->runtime : ""));
    const char *named = variable(version, "MODEL_PATH");
    size_t mount = strlen(version->filesystem.path);
    if (!named || !named[0])
        named = version->handler ? version->handler : "";
    if (!runtime || runtime->kind != RUNTIME_PROVIDED || mount == 0 || version_model_uri(version))
        return NULL;
    bool is_beneath = strncmp(named, version->filesystem.path, mount) == 0 && named[mount] == '/';
    while (is_beneath && named[mount + 1] == '/')
        named++;
    return is_beneath && is_model_name(named) ? named + mount + 1 : NULL;
}

bool version_has_model_source(const struct version *version)
{
    return version_model_uri(version) || version_model_file(version);
}

static bool is_same_text(const char *left, const char *right)
{
    return left && right && strcmp(left, right) == 0;
}

bool version_is_same_model_source(const struct version *left, const struct version *right)
{
    return is_same_text(version_model_uri(left), version_model_uri(right)) ||
           (is_same_text(version_model_file(left), version_model_file(right)) &&
            strcmp(left->filesystem.arn, right->filesystem.arn) == 0);
}

bool version_model_is_missing(const struct version *version)
{
    return version_has_model_source(version) && !version->model.has_tree &&
           !version->model.is_in_place;
}

void version_model_path(const struct version_model *model, char path[VERSION_MODEL_PATH_SIZE])
{
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];
    memcpy(digest.bytes, model->digest, DIGEST_BYTES);
    (void) snprintf(path, VERSION_MODEL_PATH_SIZE, "%s/%s%s%s", VERSION_MODELS_ROOT,
                    digest_hex(&digest, hex), model->name[0] ? "/" : "", model->name);
}

struct digest version_models_set(const struct version *version)
{
    return digest_of(version->arn, strlen(version->arn));
}

static void append_digest(struct buf *out, const char *name, const uint8_t bytes[DIGEST_BYTES])
{
    char hex[DIGEST_HEX_SIZE];
    buf_printf(out, "\"%s\":\"%s\",", name, hex_encode(bytes, DIGEST_BYTES, hex));
}

void version_model_append(struct buf *out, const struct version_model *model)
{
    if (model->is_in_place) {
        buf_printf(out, "{\"InPlace\":true,\"Bytes\":%llu}", (unsigned long long) model->bytes);
        return;
    }
    buf_append_byte(out, '{');
    append_digest(out, "TreeId", model->tree_id);
    append_digest(out, "Sha256", model->digest);
    buf_printf(out, "\"Bytes\":%llu,\"Name\":", (unsigned long long) model->bytes);
    json_append_string(out, str_of(model->name));
    buf_append_text(out, ",\"Mark\":");
    json_append_string(out, str_of(model->mark));
    buf_printf(out, ",\"Signature\":\"%s\"}", model->signature);
}

static int read_text(yyjson_val *object, const char *name, char *to, size_t size)
{
    struct str text;
    if (json_member_str(object, name, &text) < 0 || str_copy(text, to, size) < 0)
        return -EBADMSG;
    return 0;
}

static int read_digest(yyjson_val *object, const char *name, uint8_t bytes[DIGEST_BYTES])
{
    struct str hex;
    struct digest digest;
    if (json_member_str(object, name, &hex) < 0 || digest_parse_hex(hex, &digest) < 0)
        return -EBADMSG;
    memcpy(bytes, digest.bytes, DIGEST_BYTES);
    return 0;
}

int version_model_read(yyjson_val *object, struct version_model *ret_model)
{
    struct version_model model = {.has_tree = true};
    struct digest ignored;
    int64_t bytes = 0;
    if (json_member(object, "InPlace")) {
        if (json_member_i64(object, "Bytes", 0, INT64_MAX, &bytes) < 0)
            return -EBADMSG;
        *ret_model = (struct version_model){.is_in_place = true, .bytes = (uint64_t) bytes};
        return 0;
    }
    if (read_digest(object, "TreeId", model.tree_id) < 0 ||
        read_digest(object, "Sha256", model.digest) < 0 ||
        json_member_i64(object, "Bytes", 0, INT64_MAX, &bytes) < 0 ||
        read_text(object, "Name", model.name, sizeof(model.name)) < 0 ||
        read_text(object, "Mark", model.mark, sizeof(model.mark)) < 0 ||
        read_text(object, "Signature", model.signature, sizeof(model.signature)) < 0)
        return -EBADMSG;
    if (model.signature[0] && digest_parse_hex(str_of(model.signature), &ignored) < 0)
        return -EBADMSG;
    model.bytes = (uint64_t) bytes;
    *ret_model = model;
    return 0;
}
