/* SPDX-License-Identifier: MIT
 *
 * UpdateFunctionCode.
 *
 *   read and check ─► function taken (change) ─► ZipFile: deploy ─► commit ─► 200 "InProgress"
 *                                            └─► LaminaPackage: commit ─► 200 ─► background
 *
 * Until the commit, calls run the old code. DryRun deploys (to see whether it could) and keeps nothing.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/background.h"
#include "api/code.h"
#include "api/function_settings.h"
#include "api/function_shape.h"
#include "api/model.h"
#include "api/operations.h"
#include "api/update.h"
#include "base/clock.h"
#include "base/mem.h"
#include "function/catalog.h"
#include "function/change.h"
#include "store/store.h"

struct code_update {
    struct function_name name;
    struct change *change;       /* owned until the commit; NULL for a dry run */
    struct version *draft;       /* owned until the commit */
    struct version *shown;       /* what the answer says; owned */
    struct store_pin *pin;       /* keeps the tree until the commit; owned */
    struct store_pin *model_pin; /* the same for the model of a version to be published; owned */
    struct code_source source;
    bool is_publishing;
    bool is_dry_run;
    bool is_qualified; /* the answer is about a published version */
};

static void update_done(struct call *call)
{
    struct code_update *update = call->work;
    call->work = NULL;
    change_abort(update->change);
    version_unref(update->draft);
    version_unref(update->shown);
    store_unpin(update->pin);
    store_unpin(update->model_pin);
    free(update);
}

static void fail(struct call *call)
{
    update_done(call);
    call_fail(call);
}

static void fail_memory(struct call *call)
{
    (void) aws_error_set(&call->error, AWS_SERVICE, "No memory");
    fail(call);
}

static void answer(struct call *call)
{
    struct code_update *update = call->work;
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    function_shape_append(&json, update->shown,
                          update->is_qualified ? update->shown->qualifier : NULL,
                          FUNCTION_SHAPE_WHOLE);
    update_done(call);
    call_answer_json(call, 200, &json);
}

static void committed(void *arg, const struct error *err)
{
    struct call *call = arg;
    struct code_update *update = call->work;
    struct api *api = call->api;
    if (err) {
        update_done(call);
        call_fail_internal(call, "api.update_code", err);
        return;
    }
    const struct function *function = catalog_function(api->config.catalog, update->name.name);
    bool is_background = function && background_is_wanted(function);
    deploy_collect_soon(api->config.deploy); /* the old code may have had its last reader */
    answer(call);
    if (is_background)
        background_start(api, function);
}

/* Publishing what was published last publishes nothing new. */
static int plan_publish(struct code_update *update, struct change_plan *plan)
{
    const struct function *function = change_function(update->change);
    struct version *newest = function_newest(function);
    update->is_qualified = true;
    version_unref(update->shown);
    if (newest && version_is_same_content(plan->latest, newest)) {
        update->shown = version_ref(newest);
        return 0;
    }
    plan->publish = version_copy_as(plan->latest, function->next_number);
    update->shown = plan->publish ? version_copy(plan->publish) : NULL;
    if (!update->shown)
        return -ENOMEM;
    code_set_in_progress(update->shown);
    return 0;
}

static void commit(struct call *call)
{
    struct code_update *update = call->work;
    struct change_plan plan = {
        .latest = TAKE_PTR(update->draft),
    };
    plan.is_serving = version_is_invocable(plan.latest);
    if (update->is_publishing && plan_publish(update, &plan) < 0) {
        version_unref(plan.latest);
        version_unref(plan.publish);
        fail_memory(call);
        return;
    }
    int r = change_commit(TAKE_PTR(update->change), &plan, committed, call);
    if (r < 0) {
        struct error err = {0};
        (void) error_set_errno(&err, r, "commit the code");
        update_done(call);
        call_fail_internal(call, "api.update_code", &err);
    }
}

/* The snapshot that the answer shows, taken before the draft goes on. */
static int show(struct code_update *update)
{
    update->shown = version_copy(update->draft);
    if (!update->shown)
        return -ENOMEM;
    code_set_in_progress(update->shown);
    return 0;
}

static void finish(struct call *call)
{
    struct code_update *update = call->work;
    code_set_active(update->draft);
    version_touch(update->draft, 0);
    commit(call);
}

/* The model that an earlier change could not fetch is tried again, in the background. */
static void leave_open(struct call *call)
{
    struct code_update *update = call->work;
    if (update->draft->state == VERSION_ACTIVE)
        code_set_in_progress(update->draft);
    else
        code_set_pending(update->draft);
    version_touch(update->draft, 0);
    commit(call);
}

static void fetched(struct call *call, struct fetch_result *result)
{
    struct code_update *update = call->work;
    if (code_model_refused(call, result) < 0) {
        fail(call);
        return;
    }
    update->model_pin = TAKE_PTR(result->pin);
    model_fill(update->draft, result);
    finish(call);
}

static void deployed(struct call *call, struct deploy_result *result)
{
    struct code_update *update = call->work;
    if (code_refused(call, result) < 0) {
        fail(call);
        return;
    }
    update->pin = result->pin;
    result->pin = NULL;
    code_fill(update->draft, result);
    code_warn(call->api, update->name.name, result);
    if (code_check_layers(call, update->draft) < 0) {
        fail(call);
        return;
    }
    if (update->is_dry_run) {
        update->shown = TAKE_PTR(update->draft);
        deploy_collect_soon(call->api->config.deploy);
        answer(call);
        return;
    }
    if (show(update) < 0)
        fail_memory(call);
    else if (!version_model_is_missing(update->draft))
        finish(call);
    else if (!update->is_publishing)
        leave_open(call);
    else if (code_fetch_model(call, update->draft, fetched) < 0)
        fail(call);
}

static void measured(struct call *call, int status, uint64_t bytes)
{
    struct code_update *update = call->work;
    struct version_code *code = &update->draft->code;
    if (status < 0) {
        (void) aws_error_set(&call->error,
                             status == -ENOENT ? AWS_INVALID_PARAMETER_VALUE : AWS_SERVICE,
                             "There is no package of this SHA-256: PUT it first.");
        fail(call);
        return;
    }
    memset(code, 0, sizeof(*code));
    memcpy(code->zip_sha256, update->source.package.bytes, DIGEST_BYTES);
    code->zip_bytes = bytes;
    if (update->draft->state == VERSION_ACTIVE)
        code_set_in_progress(update->draft);
    else
        code_set_pending(update->draft);
    if (show(update) < 0)
        fail_memory(call);
    else
        commit(call);
}

static int read_flags(struct call *call, struct code_update *update)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    int r = member_bool(&reader, "Publish", &update->is_publishing);
    if (r == 0)
        r = member_bool(&reader, "DryRun", &update->is_dry_run);
    if (r == 0)
        r = architectures_check(&reader);
    if (r == 0)
        r = validation_finish(&reader.validation, AWS_VALIDATION, &call->error);
    if (r == 0)
        r = code_source_read(call, call->json, &update->source);
    return r;
}

static int begin(struct call *call, struct code_update *update)
{
    struct str revision_id;
    int r = update_revision(call, &revision_id);
    if (r == 0 && update->is_dry_run)
        r = update_check(call, &update->name, revision_id);
    else if (r == 0)
        r = update_begin(call, &update->name, revision_id, &update->change);
    if (r < 0)
        return r;
    const struct function *function =
        catalog_function(call->api->config.catalog, update->name.name);
    update->draft = version_copy(function->latest);
    if (!update->draft)
        return aws_error_set(&call->error, AWS_SERVICE, "No memory");
    version_renew_execution(update->draft);
    version_touch(update->draft, clock_wall_ms());
    return 0;
}

void lambda_update_code(struct call *call)
{
    struct code_update *update = mem_new(struct code_update);
    if (!update) {
        call_fail_with(call, AWS_SERVICE, "No memory");
        return;
    }
    call->work = update;
    int r = update_name(call, &update->name);
    if (r == 0)
        r = read_flags(call, update);
    if (r == 0)
        r = begin(call, update);
    bool is_now = update->is_publishing || update->is_dry_run;
    bool is_later = update->source.is_package && !is_now;
    if (r == 0 && is_later)
        r = code_measure(call, &update->source.package, measured);
    update->source.version = update->draft;
    if (r == 0 && !is_later)
        r = code_deploy(call, &update->source, deployed);
    if (r < 0)
        fail(call);
}
