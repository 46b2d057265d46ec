/* SPDX-License-Identifier: MIT */

#include "api/update.h"

#include <errno.h>
#include <string.h>

#include "api/member.h"
#include "function/catalog.h"

int update_name(struct call *call, struct function_name *ret_name)
{
    int r = call_function_name(call, FUNCTION_NAME_CHANGE, ret_name);
    if (r < 0)
        return r;
    if (ret_name->qualifier[0] && strcmp(ret_name->qualifier, VERSION_LATEST) != 0)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Only $LATEST can be changed; the version %s is published and stays "
                             "as it is.",
                             ret_name->qualifier);
    return 0;
}

int update_revision(struct call *call, struct str *ret_revision_id)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    return member_text(&reader, "RevisionId", "revisionId", 0, SIZE_MAX, ret_revision_id);
}

static int busy(struct call *call, const struct function *function)
{
    const struct version *latest = function->latest;
    if (latest->state == VERSION_PENDING)
        return aws_error_set(&call->error, AWS_RESOURCE_CONFLICT,
                             "The operation cannot be performed at this time. The function is "
                             "currently in the following state: Pending");
    return aws_error_set(&call->error, AWS_RESOURCE_CONFLICT,
                         "The operation cannot be performed at this time. An update is in "
                         "progress for resource: %s",
                         latest->arn);
}

int update_check(struct call *call, const struct function_name *name, struct str revision_id)
{
    const struct function *function = catalog_function(call->api->config.catalog, name->name);
    if (!function)
        return call_no_function(call, name);
    const struct version *latest = function->latest;
    if (function->change || latest->state == VERSION_PENDING ||
        latest->update == VERSION_UPDATE_IN_PROGRESS)
        return busy(call, function);
    if (revision_id.data && !str_equal_text(revision_id, latest->revision_id))
        return aws_error_set(&call->error, AWS_PRECONDITION_FAILED,
                             "The Revision Id provided does not match the latest Revision Id. Call "
                             "the GetFunction/GetAlias API to retrieve the latest Revision Id");
    return 0;
}

int update_begin(struct call *call, const struct function_name *name, struct str revision_id,
                 struct change **ret_change)
{
    int r = update_check(call, name, revision_id);
    if (r == 0 && change_begin(call->api->config.catalog, name->name, ret_change) < 0)
        r = aws_error_set(&call->error, AWS_SERVICE, "No memory");
    return r;
}
