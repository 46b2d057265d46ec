/* SPDX-License-Identifier: MIT
 *
 * DeleteFunction: all of it, or with a qualifier one published version. 204 without a body.
 */

#include <errno.h>
#include <string.h>

#include "api/call.h"
#include "api/operations.h"
#include "async/async.h"
#include "base/mem.h"
#include "base/str.h"
#include "deploy/deploy.h"
#include "function/catalog.h"
#include "function/change.h"
#include "function/stats.h"
#include "instance/log_writer.h"

/* What belongs to a deleted function elsewhere. */
static void forget(struct api *api, const char *name)
{
    function_stats_forget(api->config.scheduler, str_of(name));
    log_writer_forget(api->config.logs, name);
    async_forget(api->config.async, str_of(name));
}

static void committed(void *arg, const struct error *err)
{
    struct call *call = arg;
    AUTO_FREE char *deleted = TAKE_PTR(call->work);
    if (err) {
        call_fail_internal(call, "api.delete", err);
        return;
    }
    if (deleted)
        forget(call->api, deleted);
    deploy_collect_soon(call->api->config.deploy);
    call_answer_empty(call, 204);
}

static int begin(struct call *call, const struct function_name *name, struct change **ret_change)
{
    int r = change_begin(call->api->config.catalog, name->name, ret_change);
    if (r == -ENOENT)
        return call_no_function(call, name);
    if (r == -EBUSY)
        return aws_error_set(&call->error, AWS_RESOURCE_CONFLICT,
                             "The operation cannot be performed at this time. An update is in "
                             "progress for resource: arn:aws:lambda:%s:%s:function:%s",
                             call->api->region, call->api->account, name->name);
    return r < 0 ? aws_error_set(&call->error, AWS_SERVICE, "No memory") : 0;
}

/* An alias that leads to the version, or NULL. */
static const struct attachment *alias_of(const struct function *function, uint64_t number)
{
    const struct attachment *alias = function_attachment_next(function, ATTACHMENT_ALIAS, NULL);
    while (alias && alias->route.number != number && alias->route.extra_number != number)
        alias = function_attachment_next(function, ATTACHMENT_ALIAS, alias->qualifier);
    return alias;
}

static int plan(struct call *call, const struct function_name *name,
                const struct function *function, struct change_plan *ret_plan)
{
    uint64_t number;
    if (name->qualifier[0] == '\0') {
        ret_plan->drop_function = true;
        call->work = mem_copy_text(name->name);
        return call->work ? 0 : aws_error_set(&call->error, AWS_SERVICE, "No memory");
    }
    if (strcmp(name->qualifier, VERSION_LATEST) == 0)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "$LATEST version cannot be deleted without deleting the function.");
    if (name->qualifier[0] == '0' || str_to_u64(str_of(name->qualifier), UINT64_MAX, &number) < 0 ||
        !function_published(function, number))
        return call_no_function(call, name);
    const struct attachment *alias = alias_of(function, number);
    if (alias)
        return aws_error_set(&call->error, AWS_RESOURCE_CONFLICT,
                             "Version %s is referenced by the alias %s: update or delete that "
                             "first.",
                             name->qualifier, alias->qualifier);
    ret_plan->drop_number = number;
    return 0;
}

void lambda_delete(struct call *call)
{
    struct function_name name;
    struct change *change = NULL;
    struct change_plan drop = {0};
    int r = call_function_name(call, FUNCTION_NAME_NAMESPACED, &name);
    if (r == 0)
        r = begin(call, &name, &change);
    if (r == 0)
        r = plan(call, &name, change_function(change), &drop);
    if (r < 0) {
        change_abort(change);
        call_fail(call);
        return;
    }
    r = change_commit(change, &drop, committed, call);
    if (r < 0) {
        struct error err = {0};
        free(TAKE_PTR(call->work));
        (void) error_set_errno(&err, r, "delete");
        call_fail_internal(call, "api.delete", &err);
    }
}
