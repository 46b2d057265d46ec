/* SPDX-License-Identifier: MIT
 *
 * UpdateFunctionConfiguration. The answer shows LastUpdateStatus InProgress, as AWS's does; the update is
 * done before the client has read it.
 */

#include <stdlib.h>

#include "api/code.h"
#include "api/function_settings.h"
#include "api/function_shape.h"
#include "api/operations.h"
#include "api/update.h"
#include "base/clock.h"
#include "base/mem.h"
#include "function/catalog.h"
#include "function/change.h"

static void committed(void *arg, const struct error *err)
{
    struct call *call = arg;
    struct version *shown = TAKE_PTR(call->work);
    if (err) {
        call_fail_internal(call, "api.update_configuration", err);
    } else {
        struct buf json = BUF_INIT(CALL_JSON_MAX);
        function_shape_append(&json, shown, NULL, FUNCTION_SHAPE_WHOLE);
        call_answer_json(call, 200, &json);
    }
    version_unref(shown);
}

/* The new snapshot, and what the answer shows of it. */
static int make_draft(struct call *call, const struct version *latest, struct version **ret_draft)
{
    struct function_settings_context context = {.account = call->api->account};
    struct version *draft = version_copy(latest);
    if (!draft)
        return aws_error_set(&call->error, AWS_SERVICE, "No memory");
    int r = function_settings_read(call->json, &context, draft, &call->error);
    if (r < 0) {
        version_unref(draft);
        return r;
    }
    if (function_settings_need_instances(latest, draft))
        version_renew_execution(draft);
    version_touch(draft, clock_wall_ms());
    *ret_draft = draft;
    return 0;
}

static void commit(struct call *call, struct change *change, struct version *draft)
{
    bool is_alive = draft->state == VERSION_ACTIVE;
    struct version *shown = version_copy(draft);
    if (shown)
        code_set_in_progress(shown);
    if (is_alive)
        code_set_active(draft);
    version_touch(draft, 0);
    struct change_plan plan = {.latest = draft, .is_serving = version_is_invocable(draft)};
    call->work = shown;
    int r = change_commit(change, &plan, committed, call);
    if (r < 0) {
        struct error err = {0};
        (void) error_set_errno(&err, r, "commit the configuration");
        version_unref(shown);
        call_fail_internal(call, "api.update_configuration", &err);
    }
}

void lambda_update_configuration(struct call *call)
{
    struct function_name name;
    struct str revision_id;
    struct change *change;
    struct version *draft = NULL;
    int r = update_name(call, &name);
    if (r == 0)
        r = update_revision(call, &revision_id);
    if (r == 0)
        r = update_begin(call, &name, revision_id, &change);
    if (r < 0) {
        call_fail(call);
        return;
    }
    r = make_draft(call, change_function(change)->latest, &draft);
    if (r < 0 || !draft) {
        change_abort(change);
        call_fail(call);
        return;
    }
    commit(call, change, draft);
}
