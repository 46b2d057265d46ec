/* SPDX-License-Identifier: MIT
 *
 * The registry's form of a version, schema 1: one JSON object.
 *
 *   {"Schema":1, "Qualifier":"$LATEST", "Runtime":..., "Handler":..., "Role":..., "Description":...,
 *    "LatestDescription":...,                       of a published version
 *    "MemorySize":128, "Timeout":3, "TmpSize":512,
 *    "Environment":{"NAME":"value"},                absent if it was never set
 *    "Passive":{...},                               settings that are only kept and shown
 *    "ZipSha256":"<hex>", "ZipBytes":n, "TreeId":"<hex>" (absent until deployed), "TreeBytes":n,
 *    "Layers":[{"Name":..., "Number":n, "ZipBytes":n, "TreeBytes":n, "TreeId":"<hex>"}, ...],
 *    "OptTreeId":"<hex>", "HasExtensions":true,     absent without layers; the last also without extensions
 *    "FileSystem":{"Arn":..., "Path":"/mnt/..."},   absent without FileSystemConfigs
 *    "Model":{...}, "PreviousModel":{...}, "RefusedMark":..., absent if there is none (version_model.h),
 *    "Prepared":{...}, absent until it was looked for (version_prepared.h),
 *    "Forking":"none|able|always",                  absent: nobody has looked
 *    "SnapStart":"On|Off",                          OptimizationStatus; absent without SnapStart
 *    "State":"Active", "StateReason":..., "StateReasonCode":...,
 *    "LastUpdateStatus":"Successful", "LastUpdateStatusReason":..., "LastUpdateStatusReasonCode":...,
 *    "RevisionId":"<uuid>", "ModifiedMs":n}
 *
 * The name is the row's key; ARNs follow from name, region and account, so that a data directory may
 * be served under another region.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/mem.h"
#include "function/version.h"

#define SCHEMA 1
/* A version is at most 4 KB of environment, escaped, and short texts. */
#define JSON_MAX (1 << 20)

static const char *const forking_names[] = {
    [VERSION_FORKING_UNKNOWN] = NULL,
    [VERSION_FORKING_NONE] = "none",
    [VERSION_FORKING_ABLE] = "able",
    [VERSION_FORKING_ALWAYS] = "always",
};

static void append_member(struct buf *out, const char *name, const char *text)
{
    if (!text)
        return;
    buf_printf(out, ",\"%s\":", name);
    json_append_string(out, str_of(text));
}

static void append_number(struct buf *out, const char *name, uint64_t value)
{
    buf_printf(out, ",\"%s\":%llu", name, (unsigned long long) value);
}

static void append_digest(struct buf *out, const char *name, const uint8_t bytes[DIGEST_BYTES])
{
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];
    memcpy(digest.bytes, bytes, DIGEST_BYTES);
    append_member(out, name, digest_hex(&digest, hex));
}

static void append_environment(struct buf *out, const struct version *version)
{
    if (!version->has_environment)
        return;
    buf_append_text(out, ",\"Environment\":{");
    for (size_t i = 0; i < version->n_environment; i++) {
        if (i)
            buf_append_byte(out, ',');
        json_append_string(out, str_of(version->environment[i].name));
        buf_append_byte(out, ':');
        json_append_string(out, str_of(version->environment[i].value));
    }
    buf_append_byte(out, '}');
}

static void append_layers(struct buf *out, const struct version *version)
{
    if (version->n_layers == 0)
        return;
    for (size_t i = 0; i < version->n_layers; i++) {
        const struct version_layer *layer = &version->layers[i];
        buf_printf(out, "%s{\"Name\":\"%s\"", i ? "," : ",\"Layers\":[", layer->name);
        append_number(out, "Number", layer->number);
        append_number(out, "ZipBytes", layer->zip_bytes);
        append_number(out, "TreeBytes", layer->tree_bytes);
        append_digest(out, "TreeId", layer->tree_id);
        if (layer->refused_first) {
            append_number(out, "RefusedFirst", layer->refused_first);
            append_number(out, "RefusedLast", layer->refused_last);
        }
        buf_append_byte(out, '}');
    }
    buf_append_byte(out, ']');
    append_digest(out, "OptTreeId", version->opt_tree_id);
    if (version->has_extensions)
        buf_append_text(out, ",\"HasExtensions\":true");
}

static void append_filesystem(struct buf *out, const struct version *version)
{
    if (!version_has_filesystem(version))
        return;
    buf_append_text(out, ",\"FileSystem\":{\"Arn\":");
    json_append_string(out, str_of(version->filesystem.arn));
    append_member(out, "Path", version->filesystem.path);
    buf_append_byte(out, '}');
}

static void append_model(struct buf *out, const char *name, const struct version_model *model)
{
    if (!model->has_tree && !model->is_in_place)
        return;
    buf_printf(out, ",\"%s\":", name);
    version_model_append(out, model);
}

char *version_to_json(const struct version *version, size_t *ret_length)
{
    AUTO_BUF struct buf out = BUF_INIT(JSON_MAX);
    buf_printf(&out, "{\"Schema\":%d", SCHEMA);
    append_member(&out, "Qualifier", version->qualifier);
    append_member(&out, "Runtime", version->runtime);
    append_member(&out, "Handler", version->handler);
    append_member(&out, "Role", version->role);
    append_member(&out, "Description", version->description);
    append_member(&out, "LatestDescription", version->latest_description);
    append_number(&out, "MemorySize", version->memory_mb);
    append_number(&out, "Timeout", version->timeout_s);
    append_number(&out, "TmpSize", version->tmp_mb);
    append_environment(&out, version);
    if (version->passive_json) {
        buf_append_text(&out, ",\"Passive\":");
        buf_append_text(&out, version->passive_json);
    }
    append_digest(&out, "ZipSha256", version->code.zip_sha256);
    append_number(&out, "ZipBytes", version->code.zip_bytes);
    if (version->code.has_tree) {
        append_digest(&out, "TreeId", version->code.tree_id);
        append_number(&out, "TreeBytes", version->code.tree_bytes);
    }
    append_member(&out, "Forking", forking_names[version->code.forking]);
    if (version->has_snap_start)
        append_member(&out, "SnapStart", version->is_optimized ? "On" : "Off");
    append_layers(&out, version);
    append_filesystem(&out, version);
    append_model(&out, "Model", &version->model);
    append_model(&out, "PreviousModel", &version->previous_model);
    if (version->refused_mark[0])
        append_member(&out, "RefusedMark", version->refused_mark);
    if (version->prepared.is_looked) {
        buf_append_text(&out, ",\"Prepared\":");
        version_prepared_append(&out, &version->prepared);
    }
    append_member(&out, "State", version_state_name(version->state));
    append_member(&out, "StateReason", version->state_reason);
    append_member(&out, "StateReasonCode", version->state_reason_code);
    append_member(&out, "LastUpdateStatus", version_update_name(version->update));
    append_member(&out, "LastUpdateStatusReason", version->update_reason);
    append_member(&out, "LastUpdateStatusReasonCode", version->update_reason_code);
    append_member(&out, "RevisionId", version->revision_id);
    append_number(&out, "ModifiedMs", (uint64_t) version->modified_ms);
    buf_append_byte(&out, '}');
    if (buf_status(&out) < 0)
        return NULL;
    return buf_take(&out, ret_length);
}

/* Reading. Each function names the member it stumbled over. */

struct reader {
    yyjson_val *root;
    struct version *version;
    struct error *err;
};

static int bad_member(struct reader *reader, const char *name)
{
    return error_set(reader->err, -EBADMSG, "member '%s' is missing or wrong", name);
}

/* `is_needed` false: absent is fine and leaves NULL. */
static int read_text(struct reader *reader, const char *name, char **member, bool is_needed)
{
    struct str value;
    int r = json_member_str(reader->root, name, &value);
    if (r == -ENOENT && !is_needed)
        return 0;
    if (r < 0 || memchr(value.data ? value.data : "", '\0', value.size))
        return bad_member(reader, name);
    AUTO_FREE char *text = str_copy_heap(value);
    if (!text)
        return -ENOMEM;
    version_set(reader->version, member, text);
    return 0;
}

static int read_number(struct reader *reader, const char *name, int64_t maximum, int64_t *ret)
{
    return json_member_i64(reader->root, name, 0, maximum, ret) < 0 ? bad_member(reader, name) : 0;
}

static int read_u32(struct reader *reader, const char *name, uint32_t *ret)
{
    int64_t value;
    int r = read_number(reader, name, UINT32_MAX, &value);
    if (r == 0)
        *ret = (uint32_t) value;
    return r;
}

static int read_u64(struct reader *reader, const char *name, uint64_t *ret)
{
    int64_t value;
    int r = read_number(reader, name, INT64_MAX, &value);
    if (r == 0)
        *ret = (uint64_t) value;
    return r;
}

static int read_digest(struct reader *reader, const char *name, uint8_t bytes[DIGEST_BYTES])
{
    struct str hex;
    struct digest digest;
    if (json_member_str(reader->root, name, &hex) < 0 || digest_parse_hex(hex, &digest) < 0)
        return bad_member(reader, name);
    memcpy(bytes, digest.bytes, DIGEST_BYTES);
    return 0;
}

static void variables_free(struct version_variable *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(pairs[i].name);
        free(pairs[i].value);
    }
    free(pairs);
}

static int read_environment(struct reader *reader)
{
    yyjson_val *object;
    int r = json_member_object(reader->root, "Environment", &object);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return bad_member(reader, "Environment");
    size_t n = 0;
    struct version_variable *pairs = calloc(yyjson_obj_size(object) + 1, sizeof(*pairs));
    if (!pairs)
        return -ENOMEM;
    yyjson_obj_iter iter;
    yyjson_obj_iter_init(object, &iter);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        pairs[n].name = str_copy_heap(json_str(key));
        pairs[n].value = str_copy_heap(json_str(value));
        n++;
        if (!yyjson_is_str(value) || !pairs[n - 1].name || !pairs[n - 1].value) {
            variables_free(pairs, n);
            return bad_member(reader, "Environment");
        }
    }
    version_set_environment(reader->version, pairs, n);
    variables_free(pairs, n);
    return 0;
}

static int read_passive(struct reader *reader)
{
    yyjson_val *object;
    int r = json_member_object(reader->root, "Passive", &object);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return bad_member(reader, "Passive");
    char *text = yyjson_val_write(object, YYJSON_WRITE_NOFLAG, NULL);
    if (!text)
        return -ENOMEM;
    version_set(reader->version, &reader->version->passive_json, text);
    free(text);
    return 0;
}

static int read_code(struct reader *reader)
{
    struct version_code *code = &reader->version->code;
    int r = read_digest(reader, "ZipSha256", code->zip_sha256);
    if (r < 0)
        return r;
    r = read_u64(reader, "ZipBytes", &code->zip_bytes);
    if (r < 0 || !json_member(reader->root, "TreeId"))
        return r;
    r = read_digest(reader, "TreeId", code->tree_id);
    if (r < 0)
        return r;
    code->has_tree = true;
    return read_u64(reader, "TreeBytes", &code->tree_bytes);
}

/* Both may be absent. */
static int read_forking(struct reader *reader)
{
    struct version *version = reader->version;
    struct str text = {0};
    int r = json_member_str(reader->root, "Forking", &text);
    if (r < 0 && r != -ENOENT)
        return bad_member(reader, "Forking");
    for (size_t i = VERSION_FORKING_NONE; r == 0 && i < ARRAY_SIZE(forking_names); i++)
        if (str_equal_text(text, forking_names[i]))
            version->code.forking = (enum version_forking) i;
    if (r == 0 && version->code.forking == VERSION_FORKING_UNKNOWN)
        return bad_member(reader, "Forking");
    r = json_member_str(reader->root, "SnapStart", &text);
    if (r == -ENOENT)
        return 0;
    version->has_snap_start = true;
    version->is_optimized = r == 0 && str_equal_text(text, "On");
    return r == 0 && (version->is_optimized || str_equal_text(text, "Off"))
               ? 0
               : bad_member(reader, "SnapStart");
}

static int read_layer(struct reader *reader, yyjson_val *object, struct version_layer *layer)
{
    struct reader inner = {.root = object, .version = reader->version, .err = reader->err};
    struct str name;
    if (json_member_str(object, "Name", &name) < 0 || name.size == 0 ||
        str_copy(name, layer->name, sizeof(layer->name)) < 0)
        return bad_member(reader, "Layers");
    int r = read_u64(&inner, "Number", &layer->number);
    if (r == 0)
        r = read_u64(&inner, "ZipBytes", &layer->zip_bytes);
    if (r == 0)
        r = read_u64(&inner, "TreeBytes", &layer->tree_bytes);
    if (r == 0 && json_member(object, "RefusedFirst"))
        r = read_u64(&inner, "RefusedFirst", &layer->refused_first);
    if (r == 0 && layer->refused_first)
        r = read_u64(&inner, "RefusedLast", &layer->refused_last);
    return r < 0 ? r : read_digest(&inner, "TreeId", layer->tree_id);
}

static int read_layers(struct reader *reader)
{
    struct version *version = reader->version;
    yyjson_val *array;
    int r = json_member_array(reader->root, "Layers", &array);
    if (r == -ENOENT)
        return 0;
    size_t n = r < 0 ? 0 : yyjson_arr_size(array);
    if (n == 0 || n > VERSION_LAYERS_MAX)
        return bad_member(reader, "Layers");
    for (size_t i = 0; i < n; i++) {
        r = read_layer(reader, yyjson_arr_get(array, i), &version->layers[i]);
        if (r < 0)
            return r;
    }
    version->n_layers = n;
    version->has_opt_tree = true;
    (void) !json_member_bool(reader->root, "HasExtensions",
                             &version->has_extensions); /* absent: none */
    return read_digest(reader, "OptTreeId", version->opt_tree_id);
}

static int read_filesystem(struct reader *reader)
{
    struct version_filesystem *filesystem = &reader->version->filesystem;
    struct str arn;
    struct str path;
    yyjson_val *object;
    int r = json_member_object(reader->root, "FileSystem", &object);
    if (r == -ENOENT)
        return 0;
    if (r < 0 || json_member_str(object, "Arn", &arn) < 0 || arn.size == 0 ||
        json_member_str(object, "Path", &path) < 0 || !str_has_prefix(path, STR("/mnt/")) ||
        str_copy(arn, filesystem->arn, sizeof(filesystem->arn)) < 0 ||
        str_copy(path, filesystem->path, sizeof(filesystem->path)) < 0)
        return bad_member(reader, "FileSystem");
    return 0;
}

static int read_model(struct reader *reader, const char *name, struct version_model *model)
{
    yyjson_val *object = json_member(reader->root, name);
    return object && version_model_read(object, model) < 0 ? bad_member(reader, name) : 0;
}

static int read_models(struct reader *reader)
{
    struct version *version = reader->version;
    struct str mark;
    int r = read_model(reader, "Model", &version->model);
    if (r == 0)
        r = read_model(reader, "PreviousModel", &version->previous_model);
    if (r == 0 && json_member_str(reader->root, "RefusedMark", &mark) == 0 &&
        str_copy(mark, version->refused_mark, sizeof(version->refused_mark)) < 0)
        r = bad_member(reader, "RefusedMark");
    return r;
}

static int read_prepared(struct reader *reader)
{
    yyjson_val *object = json_member(reader->root, "Prepared");
    return object && version_prepared_read(object, &reader->version->prepared) < 0
               ? bad_member(reader, "Prepared")
               : 0;
}

static int read_state(struct reader *reader)
{
    struct version *version = reader->version;
    struct str state = json_str(json_member(reader->root, "State"));
    struct str update = json_str(json_member(reader->root, "LastUpdateStatus"));
    bool is_known = false;
    for (int i = VERSION_PENDING; i <= VERSION_FAILED; i++) {
        if (str_equal_text(state, version_state_name((enum version_state) i))) {
            version->state = (enum version_state) i;
            is_known = true;
        }
    }
    if (!is_known)
        return bad_member(reader, "State");
    is_known = update.size == 0;
    for (int i = VERSION_UPDATE_SUCCESSFUL; i <= VERSION_UPDATE_FAILED; i++) {
        if (str_equal_text(update, version_update_name((enum version_update) i))) {
            version->update = (enum version_update) i;
            is_known = true;
        }
    }
    if (!is_known)
        return bad_member(reader, "LastUpdateStatus");
    /* Only a version whose next code is still being deployed is active without a tree. */
    bool has_code = version->code.has_tree || version->update == VERSION_UPDATE_IN_PROGRESS;
    return version->state != VERSION_ACTIVE || has_code ? 0 : bad_member(reader, "TreeId");
}

static int read_identity(struct reader *reader, const char *region_arn)
{
    struct version *version = reader->version;
    struct str revision;
    uint64_t modified = 0;
    int r = read_u64(reader, "ModifiedMs", &modified);
    if (r < 0)
        return r;
    version->modified_ms = (int64_t) modified;
    if (json_member_str(reader->root, "RevisionId", &revision) < 0 ||
        revision.size != sizeof(version->revision_id) - 1 ||
        str_copy(revision, version->revision_id, sizeof(version->revision_id)) < 0)
        return bad_member(reader, "RevisionId");
    r = read_text(reader, "Qualifier", &version->qualifier, true);
    if (r < 0)
        return r;
    if (!version_is_latest(version) && version_number(version) == 0)
        return bad_member(reader, "Qualifier");
    char arn[VERSION_ARN_MAX];
    (void) snprintf(arn, sizeof(arn), "%s:%s", region_arn, version->qualifier);
    version_set(version, &version->qualified_arn, arn);
    return 0;
}

static int read_texts(struct reader *reader)
{
    struct version *version = reader->version;
    const struct {
        const char *name;
        char **member;
        bool is_needed;
    } texts[] = {
        {"Runtime", &version->runtime, true},
        {"Handler", &version->handler, true},
        {"Role", &version->role, true},
        {"Description", &version->description, true},
        {"LatestDescription", &version->latest_description, false},
        {"StateReason", &version->state_reason, false},
        {"StateReasonCode", &version->state_reason_code, false},
        {"LastUpdateStatusReason", &version->update_reason, false},
        {"LastUpdateStatusReasonCode", &version->update_reason_code, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        int r = read_text(reader, texts[i].name, texts[i].member, texts[i].is_needed);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_all(struct reader *reader)
{
    struct version *version = reader->version;
    int64_t schema;
    int r = read_number(reader, "Schema", INT32_MAX, &schema);
    if (r < 0)
        return r;
    if (schema != SCHEMA)
        return error_set(reader->err, -EBADMSG, "schema %lld is not known", (long long) schema);
    r = read_texts(reader);
    if (r == 0)
        r = read_u32(reader, "MemorySize", &version->memory_mb);
    if (r == 0)
        r = read_u32(reader, "Timeout", &version->timeout_s);
    if (r == 0)
        r = read_u32(reader, "TmpSize", &version->tmp_mb);
    if (r == 0)
        r = read_environment(reader);
    if (r == 0)
        r = read_passive(reader);
    if (r == 0)
        r = read_code(reader);
    if (r == 0)
        r = read_forking(reader);
    if (r == 0)
        r = read_layers(reader);
    if (r == 0)
        r = read_filesystem(reader);
    if (r == 0)
        r = read_models(reader);
    if (r == 0)
        r = read_prepared(reader);
    if (r == 0)
        r = read_state(reader);
    if (r == 0)
        r = read_identity(reader, version->arn);
    if (r == 0 && version->is_incomplete)
        r = -ENOMEM;
    return r;
}

int version_from_json(const char *json, size_t length, const char *name, const char *region,
                      const char *account, struct version **ret_version, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    int r = json_parse(str_of_data(json, length), JSON_MAX, &doc, err);
    if (r < 0)
        return error_wrap(err, -EBADMSG, "version of function '%s'", name);
    struct version *version = version_new(name, region, account);
    if (!version)
        return error_set(err, -ENOMEM, "no memory for a version of function '%s'", name);
    struct reader reader = {.root = yyjson_doc_get_root(doc), .version = version, .err = err};
    r = read_all(&reader);
    if (r < 0) {
        version_unref(version);
        return error_wrap(err, r, "version of function '%s'", name);
    }
    *ret_version = version;
    return 0;
}
