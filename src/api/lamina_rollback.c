/* SPDX-License-Identifier: MIT
 *
 * POST /lamina/v1/functions/NAME/rollback: the function's earlier model serves again (function/switch.h: without a failed
 * call), and the one that it replaces is not taken again by a look for a new one. Twice is there and back.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/code.h"
#include "api/function_shape.h"
#include "api/operations.h"
#include "api/update.h"
#include "base/clock.h"
#include "base/mem.h"
#include "function/catalog.h"
#include "function/switch.h"

static void answer(struct call *call)
{
    AUTO_FREE char *name = TAKE_PTR(call->work);
    const struct function *function = catalog_function(call->api->config.catalog, name);
    if (!function) {
        call_fail_with(call, AWS_RESOURCE_NOT_FOUND, "Function not found: %s", name);
        return;
    }
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    function_shape_append(&json, function->latest, NULL, FUNCTION_SHAPE_WHOLE);
    call_answer_json(call, 200, &json);
}

static void switched(void *arg, const struct switch_result *result)
{
    struct call *call = arg;
    if (result->code == 0) {
        answer(call);
        return;
    }
    free(call->work);
    call->work = NULL;
    if (result->code == -ECANCELED)
        call_fail_with(call, AWS_RESOURCE_CONFLICT, "The function was changed meanwhile.");
    else
        call_fail_with(call, AWS_INVALID_PARAMETER_VALUE, "%s", result->err.text);
}

static struct version *earlier(const struct version *latest)
{
    struct version *draft = version_copy(latest);
    if (!draft)
        return NULL;
    draft->model = latest->previous_model;
    draft->previous_model = latest->model;
    memcpy(draft->refused_mark, latest->model.mark, sizeof(draft->refused_mark));
    version_renew_execution(draft);
    code_set_active(draft);
    version_touch(draft, clock_wall_ms());
    return draft;
}

static int begin(struct call *call, const struct function_name *name)
{
    int r = update_check(call, name, (struct str){0});
    if (r < 0)
        return r;
    const struct function *function = catalog_function(call->api->config.catalog, name->name);
    if (!function->latest->previous_model.has_tree)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "There is no earlier model of %s to go back to.", name->name);
    call->work = mem_copy_text(name->name);
    struct version *draft = call->work ? earlier(function->latest) : NULL;
    r = draft ? switch_start(call->api->config.switcher, draft, switched, call) : -ENOMEM;
    if (r == 0)
        return 0;
    version_unref(draft);
    free(call->work);
    call->work = NULL;
    if (r == -EBUSY)
        return aws_error_set(&call->error, AWS_RESOURCE_CONFLICT,
                             "Another model is being taken up at this moment.");
    return aws_error_set(&call->error, AWS_SERVICE, "No memory");
}

void lamina_rollback(struct call *call)
{
    struct function_name name;
    int r = call_function_name(call, FUNCTION_NAME_NAMESPACED, &name);
    if (r == 0)
        r = begin(call, &name);
    if (r < 0)
        call_fail(call);
}
