// SPDX-License-Identifier: MIT

#include "api/function_role.h"

#include "api/rights.h"
#include "role/roles.h"

#include <errno.h>

#define ARN_BYTES 512

static int check_defined(struct call *call, const struct role *role)
{
    if (role->is_for_lambda)
        return 0;
    return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                         "The role defined for the function cannot be assumed by Lambda.");
}

static int may_invoke(struct call *call, const struct role_named *named)
{
    struct str any = STR("*"); // a function named without a qualifier is named with every one
    int r = rights_check_invoke(call, named->name, named->qualifier);
    if (r == 0 && named->qualifier.size == 0)
        r = rights_check_invoke(call, named->name, any);
    return r;
}

static int may_name(struct call *call, const struct role_named *named)
{
    char arn[ARN_BYTES];
    switch (named->thing) {
    case ROLE_FUNCTION:
        return may_invoke(call, named);
    case ROLE_BUCKET:
        (void) snprintf(arn, sizeof(arn), "arn:aws:s3:::" STR_FORMAT "/*",
                        STR_ARGUMENTS(named->name));
        return rights_may(call, "s3:GetObject", str_of(arn));
    case ROLE_ENDPOINT:
        (void) snprintf(arn, sizeof(arn), "arn:aws:sagemaker:%s:%s:endpoint/" STR_FORMAT,
                        call->api->region, call->api->account, STR_ARGUMENTS(named->name));
        return rights_may(call, "sagemaker:InvokeEndpoint", str_of(arn));
    case ROLE_NOTHING:
        break;
    }
    return 0;
}

static int check_names(struct call *call, const struct version *draft)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < draft->n_environment; i++) {
        const struct role_variable variable = {str_of(draft->environment[i].name),
                                               str_of(draft->environment[i].value)};
        struct role_named named = role_named(&variable, call->api->region, call->api->account);
        r = may_name(call, &named);
    }
    return r;
}

int function_role_check(struct call *call, const struct version *draft)
{
    bool is_given = json_member(call->json, "Role") != NULL;
    bool is_naming = is_given || json_member(call->json, "Environment") != NULL;
    struct role *role = roles_find(call->api->config.roles, str_of(draft->role));
    int r = role && is_given ? check_defined(call, role) : 0;
    if (r == 0 && is_given)
        r = rights_may(call, "iam:PassRole", str_of(draft->role));
    if (r == 0 && !role && is_naming && !rights_are_all(call))
        r = check_names(call, draft);
    role_unref(role);
    return r;
}

int function_role_check_destination(struct call *call, const struct version *version,
                                    struct str destination_arn)
{
    const struct role_asker asker = {.role = version->role};
    struct role *role = roles_find(call->api->config.roles, str_of(version->role));
    bool may = !role || roles_ask(call->api->config.roles, &asker, STR("lambda:InvokeFunction"),
                                  destination_arn) == ROLE_ALLOWED;
    role_unref(role);
    if (may)
        return 0;
    return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                         "The function's execution role does not have permissions to call "
                         "InvokeFunction on " STR_FORMAT,
                         STR_ARGUMENTS(str_part(destination_arn, 0, 300)));
}
