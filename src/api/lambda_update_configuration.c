/* SPDX-License-Identifier: MIT
 *
 * UpdateFunctionConfiguration. The answer shows LastUpdateStatus InProgress, as AWS's does; the update is
 * done before the client has read it.
 *
 *   read and check ─► function taken (change) ─► other layers: merged ─► commit ─► 200
 */

#include <stdlib.h>

#include "api/background.h"
#include "api/code.h"
#include "api/function_filesystem.h"
#include "api/function_layers.h"
#include "api/function_role.h"
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

struct configuring {
    struct change *change; /* owned until the commit */
    struct version *draft; /* owned until the commit */
    struct version *shown; /* what the answer says; owned */
    struct store_pin *pin; /* keeps the layers' tree until the commit; owned */
    bool has_role;         /* somebody defined its role */
};

static void configuring_done(struct call *call)
{
    struct configuring *configuring = call->work;
    call->work = NULL;
    change_abort(configuring->change);
    version_unref(configuring->draft);
    version_unref(configuring->shown);
    store_unpin(configuring->pin);
    free(configuring);
}

static void fail(struct call *call)
{
    configuring_done(call);
    call_fail(call);
}

static void committed(void *arg, const struct error *err)
{
    struct call *call = arg;
    struct configuring *configuring = call->work;
    struct version *shown = TAKE_PTR(configuring->shown);
    configuring_done(call);
    if (err) {
        call_fail_internal(call, "api.update_configuration", err);
    } else {
        struct buf json = BUF_INIT(CALL_JSON_MAX);
        function_shape_append(&json, shown, NULL, FUNCTION_SHAPE_WHOLE);
        deploy_collect_soon(
            call->api->config.deploy); /* other layers' trees may have been dropped */
        const struct function *function = catalog_function(call->api->config.catalog, shown->name);
        if (function && background_is_wanted(function))
            background_start(call->api, function);
        call_answer_json(call, 200, &json);
    }
    version_unref(shown);
}

/* The new snapshot, as far as the request says it. */
static int make_draft(struct call *call, struct configuring *configuring)
{
    struct function_settings_context context = {.account = call->api->account};
    const struct version *latest = change_function(configuring->change)->latest;
    struct version *draft = configuring->draft = version_copy(latest);
    if (!draft)
        return aws_error_set(&call->error, AWS_SERVICE, "No memory");
    int r = function_settings_read(call->json, &context, draft, &call->error);
    if (r == 0)
        r = function_layers_read(call, draft);
    if (r == 0)
        r = function_filesystem_read(call, draft);
    if (r == 0)
        r = function_role_check(call, draft);
    if (r == 0)
        configuring->has_role = function_role_is_defined(call, draft);
    if (r < 0)
        return r;
    model_forget_other(draft, latest);
    if (function_settings_need_instances(latest, draft))
        version_renew_execution(draft);
    version_touch(draft, clock_wall_ms());
    return 0;
}

static void commit(struct call *call)
{
    struct configuring *configuring = call->work;
    if (function_role_check_again(call, configuring->draft, configuring->has_role) < 0) {
        fail(call);
        return;
    }
    struct version *draft = TAKE_PTR(configuring->draft);
    bool is_alive = draft->state == VERSION_ACTIVE;
    configuring->shown = version_copy(draft);
    if (!configuring->shown) {
        version_unref(draft);
        (void) aws_error_set(&call->error, AWS_SERVICE, "No memory");
        fail(call);
        return;
    }
    code_set_in_progress(configuring->shown);
    if (is_alive && version_model_is_missing(draft))
        code_set_in_progress(draft); /* the old model serves until the new one is here */
    else if (is_alive)
        code_set_active(draft);
    else if (version_model_is_missing(draft) && draft->code.has_tree)
        code_set_pending(draft); /* it had failed for its model: tried again */
    version_touch(draft, 0);
    struct change_plan plan = {.latest = draft, .is_serving = version_is_invocable(draft)};
    int r = change_commit(TAKE_PTR(configuring->change), &plan, committed, call);
    if (r < 0) {
        struct error err = {0};
        (void) error_set_errno(&err, r, "commit the configuration");
        configuring_done(call);
        call_fail_internal(call, "api.update_configuration", &err);
    }
}

static void merged(struct call *call, struct deploy_result *result)
{
    struct configuring *configuring = call->work;
    if (code_refused(call, result) < 0) {
        fail(call);
        return;
    }
    configuring->pin = result->pin;
    result->pin = NULL;
    function_layers_fill(configuring->draft, result);
    commit(call);
}

void lambda_update_configuration(struct call *call)
{
    struct configuring *configuring = mem_new(struct configuring);
    struct function_name name;
    struct str revision_id;
    if (!configuring) {
        call_fail_with(call, AWS_SERVICE, "No memory");
        return;
    }
    call->work = configuring;
    int r = update_name(call, &name);
    if (r == 0)
        r = update_revision(call, &revision_id);
    if (r == 0)
        r = update_begin(call, &name, revision_id, &configuring->change);
    if (r == 0)
        r = make_draft(call, configuring);
    if (r == 0 && function_layers_are_open(configuring->draft))
        r = function_layers_merge(call, configuring->draft, merged);
    else if (r == 0) {
        commit(call);
        return;
    }
    if (r < 0)
        fail(call);
}
