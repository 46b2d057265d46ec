/* SPDX-License-Identifier: MIT
 *
 * CreateFunction.
 *
 *   read and check ─► name taken (change) ─► layers merged ─► ZipFile: deploy ─► commit Active ─► 201 "Pending"
 *                                                         └─► LaminaPackage: commit Pending ─► 201 ─► background
 *
 * The answer shows State Pending in both cases, as AWS's does; with ZipFile the function is Active before
 * the client has read it.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/background.h"
#include "api/code.h"
#include "api/model.h"
#include "api/function_filesystem.h"
#include "api/function_layers.h"
#include "api/function_role.h"
#include "api/function_settings.h"
#include "api/function_shape.h"
#include "api/layer_follow.h"
#include "api/operations.h"
#include "base/mem.h"
#include "function/catalog.h"
#include "function/change.h"
#include "store/store.h"

struct creation {
    struct change *change;        /* owned until the commit */
    struct version *draft;        /* owned until the commit */
    struct version *shown;        /* what the answer says; owned */
    struct store_pin *pin;        /* keeps the tree until the commit; owned */
    struct store_pin *model_pin;  /* the same for the model of a version to be published; owned */
    struct store_pin *layers_pin; /* the layers' tree; owned */
    struct code_source source;
    char *tags; /* owned, or NULL */
    bool is_publishing;
    bool has_role; /* somebody defined its role */
};

/* Ends the call's creation, whatever was begun of it. */
static void creation_done(struct call *call)
{
    struct creation *creation = call->work;
    call->work = NULL;
    if (!creation)
        return;
    change_abort(creation->change);
    version_unref(creation->draft);
    version_unref(creation->shown);
    store_unpin(creation->pin);
    store_unpin(creation->model_pin);
    store_unpin(creation->layers_pin);
    free(creation->tags);
    free(creation);
}

static void fail(struct call *call)
{
    creation_done(call);
    call_fail(call);
}

static int read_name(struct call *call, struct function_name *ret_name)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    struct str label;
    struct str none = {NULL, 0};
    int r = member_text(&reader, "FunctionName", "functionName", 0, SIZE_MAX, &label);
    if (r < 0)
        return r;
    if (!label.data) {
        validation_add_null(&reader.validation, "functionName");
        return validation_finish(&reader.validation, AWS_VALIDATION, &call->error);
    }
    return function_name_parse(label, none, FUNCTION_NAME_NEW, call->api->region,
                               call->api->account, ret_name, &call->error);
}

static int read_code(struct call *call, struct creation *creation)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    yyjson_val *code;
    int r = member_object(&reader, "Code", &code);
    if (r < 0)
        return r;
    if (!code) {
        validation_add_null(&reader.validation, "code");
        return validation_finish(&reader.validation, AWS_VALIDATION, &call->error);
    }
    r = member_bool(&reader, "Publish", &creation->is_publishing);
    if (r < 0)
        return r;
    return code_source_read(call, code, &creation->source);
}

static int read_request(struct call *call, struct creation *creation,
                        struct function_name *ret_name)
{
    struct function_settings_context context = {.account = call->api->account, .is_new = true};
    int r = read_name(call, ret_name);
    if (r < 0)
        return r;
    creation->draft = version_new(ret_name->name, call->api->region, call->api->account);
    if (!creation->draft)
        return aws_error_set(&call->error, AWS_SERVICE, "No memory");
    r = function_settings_read(call->json, &context, creation->draft, &call->error);
    if (r == 0)
        r = function_layers_read(call, creation->draft);
    if (r == 0)
        r = function_filesystem_read(call, creation->draft);
    if (r == 0)
        r = function_role_check(call, creation->draft);
    if (r == 0)
        creation->has_role = function_role_is_defined(call, creation->draft);
    if (r == 0)
        r = function_settings_tags(call->json, &creation->tags, &call->error);
    if (r == 0)
        r = read_code(call, creation);
    return r;
}

static int take_name(struct call *call, struct creation *creation, const char *name)
{
    int r = change_begin_create(call->api->config.catalog, name, &creation->change);
    if (r == -EEXIST)
        return aws_error_set(&call->error, AWS_RESOURCE_CONFLICT, "Function already exist: %s",
                             name);
    if (r == -ENOSPC)
        return aws_error_set(&call->error, AWS_CODE_STORAGE_EXCEEDED,
                             "This service holds its maximum of %d functions.",
                             CATALOG_FUNCTIONS_MAX);
    return r < 0 ? aws_error_set(&call->error, AWS_SERVICE, "No memory") : 0;
}

static void answer(struct call *call, const struct version *shown)
{
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    function_shape_append(&json, shown, NULL, FUNCTION_SHAPE_WHOLE);
    call_answer_json(call, 201, &json);
}

static void committed(void *arg, const struct error *err)
{
    struct call *call = arg;
    struct creation *creation = call->work;
    struct version *shown = TAKE_PTR(creation->shown);
    struct api *api = call->api;
    creation_done(call);
    if (err) {
        call_fail_internal(call, "api.create", err);
    } else {
        const struct function *function = catalog_function(api->config.catalog, shown->name);
        bool is_background = function && background_is_wanted(function);
        answer(call, shown);
        if (is_background)
            background_start(api, function);
        layer_follow_look(api->follow, shown->name);
    }
    version_unref(shown);
}

/* `shown` is Pending; the draft may be further already. */
static void commit(struct call *call)
{
    struct creation *creation = call->work;
    if (function_role_check_again(call, creation->draft, creation->has_role) < 0) {
        fail(call);
        return;
    }
    struct change_plan plan = {
        .tags_json = creation->tags,
        .is_serving = version_is_invocable(creation->draft),
    };
    if (creation->is_publishing)
        plan.publish = version_copy_as(creation->draft, 1);
    plan.latest = TAKE_PTR(creation->draft);
    if (plan.publish)
        version_set(creation->shown, &creation->shown->qualifier, plan.publish->qualifier);
    if (creation->is_publishing && !plan.publish) {
        version_unref(plan.latest);
        (void) aws_error_set(&call->error, AWS_SERVICE, "No memory");
        fail(call);
        return;
    }
    int r = change_commit(TAKE_PTR(creation->change), &plan, committed, call);
    if (r < 0) {
        struct error err = {0};
        (void) error_set_errno(&err, r, "commit the new function");
        creation_done(call);
        call_fail_internal(call, "api.create", &err);
    }
}

/* The snapshot that the answer shows, taken before the draft goes on. */
static int show(struct call *call, struct creation *creation)
{
    code_set_pending(creation->draft);
    creation->shown = version_copy(creation->draft);
    if (!creation->shown)
        return aws_error_set(&call->error, AWS_SERVICE, "No memory");
    return 0;
}

static void finish(struct call *call, bool is_active)
{
    struct creation *creation = call->work;
    if (is_active)
        code_set_active(creation->draft);
    version_touch(creation->draft, 0);
    commit(call); /* without its model: Pending, and the background goes on */
}

static void fetched(struct call *call, struct fetch_result *result)
{
    struct creation *creation = call->work;
    if (code_model_refused(call, result) < 0) {
        fail(call);
        return;
    }
    creation->model_pin = TAKE_PTR(result->pin);
    model_fill(creation->draft, result);
    finish(call, true);
}

static void deployed(struct call *call, struct deploy_result *result)
{
    struct creation *creation = call->work;
    int r = code_refused(call, result);
    if (r == 0) {
        creation->pin = result->pin;
        result->pin = NULL;
        code_fill(creation->draft, result);
        code_warn(call->api, creation->draft->name, result);
        r = code_check_layers(call, creation->draft);
    }
    if (r == 0)
        r = show(call, creation);
    if (r < 0) {
        fail(call);
        return;
    }
    bool needs_model = version_model_is_missing(creation->draft);
    if (needs_model && creation->is_publishing)
        r = code_fetch_model(call, creation->draft, fetched);
    else
        finish(call, !needs_model);
    if (r < 0)
        fail(call);
}

static void measured(struct call *call, int status, uint64_t bytes)
{
    struct creation *creation = call->work;
    int r = 0;
    if (status < 0)
        r = aws_error_set(&call->error,
                          status == -ENOENT ? AWS_INVALID_PARAMETER_VALUE : AWS_SERVICE,
                          "There is no package of this SHA-256: PUT it first.");
    if (r == 0) {
        memcpy(creation->draft->code.zip_sha256, creation->source.package.bytes, DIGEST_BYTES);
        creation->draft->code.zip_bytes = bytes;
        r = show(call, creation);
    }
    if (r < 0)
        fail(call);
    else
        commit(call);
}

static int begin_code(struct call *call)
{
    struct creation *creation = call->work;
    if (creation->source.is_package && !creation->is_publishing)
        return code_measure(call, &creation->source.package, measured);
    creation->source.version = creation->draft;
    return code_deploy(call, &creation->source, deployed);
}

static void merged(struct call *call, struct deploy_result *result)
{
    struct creation *creation = call->work;
    int r = code_refused(call, result);
    if (r == 0) {
        creation->layers_pin = result->pin;
        result->pin = NULL;
        function_layers_fill(creation->draft, result);
        r = begin_code(call);
    }
    if (r < 0)
        fail(call);
}

void lambda_create(struct call *call)
{
    struct function_name name;
    struct creation *creation = mem_new(struct creation);
    if (!creation) {
        call_fail_with(call, AWS_SERVICE, "No memory");
        return;
    }
    call->work = creation;
    int r = read_request(call, creation, &name);
    if (r == 0)
        r = take_name(call, creation, name.name);
    if (r == 0 && function_layers_are_open(creation->draft))
        r = function_layers_merge(call, creation->draft, merged);
    else if (r == 0)
        r = begin_code(call);
    if (r < 0)
        fail(call);
}
