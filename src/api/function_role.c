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

// A function that is named without a qualifier is named with every one.
static int may_invoke(struct call *call, const struct role_named *named)
{
    return named->qualifier.size > 0 ? rights_check_invoke(call, named->name, named->qualifier)
                                     : rights_check_invoke_all(call, named->name);
}

// Whose bucket it is reads all of it, earlier versions and the list too (role/named.h).
static int may_read(struct call *call, struct str bucket)
{
    static const char *const of_objects[] = {"s3:GetObject", "s3:GetObjectVersion"};
    static const char *const of_buckets[] = {"s3:ListBucket", "s3:ListBucketVersions"};
    char arn[ARN_BYTES];
    int r = 0;
    (void) snprintf(arn, sizeof(arn), "arn:aws:s3:::" STR_FORMAT "/", STR_ARGUMENTS(bucket));
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(of_objects); i++)
        r = rights_may_all(call, of_objects[i], str_of(arn));
    arn[strlen(arn) - 1] = '\0';
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(of_buckets); i++)
        r = rights_may(call, of_buckets[i], str_of(arn));
    return r;
}

static int may_name(struct call *call, const struct role_named *named)
{
    char arn[ARN_BYTES];
    switch (named->thing) {
    case ROLE_FUNCTION:
        return may_invoke(call, named);
    case ROLE_BUCKET:
        return may_read(call, named->name);
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

bool function_role_is_defined(const struct call *call, const struct version *draft)
{
    struct role *role = roles_find(call->api->config.roles, str_of(draft->role));
    bool is_defined = role != NULL;
    role_unref(role);
    return is_defined;
}

int function_role_check_again(struct call *call, const struct version *draft, bool was_defined)
{
    if (!was_defined || function_role_is_defined(call, draft))
        return 0;
    return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                         "The role defined for the function was deleted meanwhile.");
}

int function_role_check_destination(struct call *call, const struct version *version,
                                    struct str destination_arn)
{
    if (roles_may_deliver(call->api->config.roles, version->role, destination_arn))
        return 0;
    return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                         "The function's execution role does not have permissions to call "
                         "InvokeFunction on " STR_FORMAT,
                         STR_ARGUMENTS(str_part(destination_arn, 0, 300)));
}
