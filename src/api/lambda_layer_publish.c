/* SPDX-License-Identifier: MIT
 *
 * PublishLayerVersion.
 *
 *   read and check ─► deploy (as a function's package: code.h) ─► commit, numbered ─► 201
 *
 * The tree is in the store before the number is given, so a version that can be seen can be used.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/code.h"
#include "api/function_settings.h"
#include "api/layer_follow.h"
#include "api/layer_name.h"
#include "api/layer_shape.h"
#include "api/member.h"
#include "api/operations.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "function/runtime.h"
#include "store/store.h"

#define RUNTIMES_MAX 15
#define ARCHITECTURES_MAX 2
#define LICENSE_MAX 512

struct publishing {
    struct layer_version *draft; /* owned until the commit */
    struct store_pin *pin;       /* keeps tree and package until the commit; owned */
    struct code_source source;
};

static void publishing_done(struct call *call)
{
    struct publishing *publishing = call->work;
    call->work = NULL;
    layer_version_free(publishing->draft);
    store_unpin(publishing->pin);
    free(publishing);
}

static void fail(struct call *call)
{
    publishing_done(call);
    call_fail(call);
}

static int no_memory(struct call *call)
{
    return aws_error_set(&call->error, AWS_SERVICE, "No memory");
}

static int set_text(struct call *call, struct str text, char **member)
{
    if (!text.data)
        return 0;
    *member = str_copy_heap(text);
    return *member ? 0 : no_memory(call);
}

/* The whole list, as AWS shows it in its messages: "[a, b]". */
static void list_text(yyjson_val *array, struct buf *out)
{
    yyjson_arr_iter iter;
    yyjson_arr_iter_init(array, &iter);
    yyjson_val *item;
    buf_append_byte(out, '[');
    while ((item = yyjson_arr_iter_next(&iter)) != NULL) {
        buf_append_text(out, iter.idx > 1 ? ", " : "");
        buf_append_str(out, json_str(item));
    }
    buf_append_byte(out, ']');
}

struct choices {
    const char *name;
    const char *path;
    size_t most;
    bool (*is_known)(struct str text);
    const char *constraint;
};

static bool is_architecture(struct str text)
{
    return str_equal(text, STR("x86_64")) || str_equal(text, STR("arm64"));
}

static int read_choices(struct member_reader *reader, const struct choices *choices, char **ret)
{
    AUTO_BUF struct buf text = BUF_INIT(VALIDATION_TEXT_MAX);
    yyjson_val *array;
    bool is_known = true;
    int r = member_array(reader, choices->name, &array);
    if (r < 0 || !array)
        return r;
    yyjson_arr_iter iter;
    yyjson_arr_iter_init(array, &iter);
    yyjson_val *item;
    while ((item = yyjson_arr_iter_next(&iter)) != NULL) {
        if (!yyjson_is_str(item))
            return member_wrong_type(reader->error, item, "a String");
        is_known = is_known && choices->is_known(json_str(item));
    }
    list_text(array, &text);
    if (yyjson_arr_size(array) > choices->most)
        validation_add(&reader->validation, buf_str(&text), choices->path,
                       "have length less than or equal to %zu", choices->most);
    else if (!is_known)
        validation_add(&reader->validation, buf_str(&text), choices->path, "%s",
                       choices->constraint);
    if (yyjson_arr_size(array) == 0)
        return 0;
    *ret = yyjson_val_write(array, YYJSON_WRITE_NOFLAG, NULL);
    return *ret ? 0 : aws_error_set(reader->error, AWS_SERVICE, "No memory");
}

static int read_members(struct call *call, struct layer_version *draft)
{
    static const struct choices runtimes = {"CompatibleRuntimes", "compatibleRuntimes",
                                            RUNTIMES_MAX, function_settings_is_runtime,
                                            "satisfy enum value set of Lambda's runtimes"};
    static const struct choices architectures = {
        "CompatibleArchitectures", "compatibleArchitectures", ARCHITECTURES_MAX, is_architecture,
        "satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64]]"};
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    struct str description;
    struct str license = {NULL, 0};
    int r =
        member_text(&reader, "Description", "description", 0, LIMIT_DESCRIPTION_MAX, &description);
    if (r == 0)
        r = member_text(&reader, "LicenseInfo", "licenseInfo", 0, LICENSE_MAX, &license);
    if (r == 0)
        r = read_choices(&reader, &runtimes, &draft->runtimes_json);
    if (r == 0)
        r = read_choices(&reader, &architectures, &draft->architectures_json);
    if (r == 0)
        r = validation_finish(&reader.validation, AWS_VALIDATION, &call->error);
    if (r == 0)
        r = set_text(call, description, &draft->description);
    if (r == 0)
        r = set_text(call, license, &draft->license);
    return r;
}

static int read_content(struct call *call, struct publishing *publishing)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    yyjson_val *content;
    int r = member_object(&reader, "Content", &content);
    if (r < 0)
        return r;
    if (content)
        return code_source_read(call, content, &publishing->source);
    validation_add_null(&reader.validation, "content");
    return validation_finish(&reader.validation, AWS_VALIDATION, &call->error);
}

static int read_request(struct call *call, struct publishing *publishing)
{
    struct layer_version *draft = publishing->draft;
    struct str name;
    int r = layer_label(call, &name);
    if (r == 0 && str_copy(name, draft->name, sizeof(draft->name)) < 0)
        r = no_memory(call); /* the label was checked: it fits */
    if (r == 0)
        r = read_members(call, draft);
    if (r == 0)
        r = read_content(call, publishing);
    return r;
}

static void committed(void *arg, const struct layer_version *version, const struct error *err)
{
    struct call *call = arg;
    publishing_done(call);
    if (err) {
        call_fail_internal(call, "api.publish_layer", err);
        return;
    }
    log_info("layer.publish", "layer=%s version=%llu bytes=%llu", version->name,
             (unsigned long long) version->number, (unsigned long long) version->tree_bytes);
    layer_follow_published(call->api->follow, version->name);
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    if (layer_shape_append(call, &json, version) < 0)
        json.failure = json.failure ? json.failure : -ENOMEM;
    call_answer_json(call, 201, &json);
}

static void fill(struct layer_version *draft, const struct deploy_result *result)
{
    draft->created_ms = clock_wall_ms();
    memcpy(draft->tree_id, result->tree_id.bytes, DIGEST_BYTES);
    memcpy(draft->zip_sha256, result->zip_sha256.bytes, DIGEST_BYTES);
    draft->zip_bytes = result->zip_bytes;
    draft->tree_bytes = result->tree_bytes;
}

static void deployed(struct call *call, struct deploy_result *result)
{
    struct publishing *publishing = call->work;
    struct error err = {0};
    if (code_refused(call, result) < 0) {
        fail(call);
        return;
    }
    publishing->pin = result->pin;
    result->pin = NULL;
    fill(publishing->draft, result);
    code_warn(call->api, publishing->draft->name, result);
    int r = layers_publish(call->api->config.layers, TAKE_PTR(publishing->draft), committed, call);
    if (r == -ENOSPC) {
        (void) aws_error_set(&call->error, AWS_CODE_STORAGE_EXCEEDED,
                             "This service holds its maximum of %d layers or %d layer versions.",
                             LAYERS_MAX, LAYER_VERSIONS_MAX);
        fail(call);
    } else if (r < 0) {
        (void) error_set_errno(&err, r, "commit a layer version");
        publishing_done(call);
        call_fail_internal(call, "api.publish_layer", &err);
    }
}

void lambda_publish_layer(struct call *call)
{
    struct publishing *publishing = mem_new(struct publishing);
    struct layer_version *draft = layer_version_new();
    if (!publishing || !draft) {
        free(publishing);
        layer_version_free(draft);
        call_fail_with(call, AWS_SERVICE, "No memory");
        return;
    }
    publishing->draft = draft;
    call->work = publishing;
    int r = read_request(call, publishing);
    if (r == 0)
        r = code_deploy(call, &publishing->source, deployed);
    if (r < 0)
        fail(call);
}
