// SPDX-License-Identifier: MIT
//
// A role's policies: inline ones, and AWS's own that can be attached (role/role.h).

#include "api/iam.h"
#include "api/query.h"
#include "base/percent.h"

#include <errno.h>

#define RESULT_MAX (256 * 1024)

static int read_policy_name(struct call *call, struct str *ret_name)
{
    int r = iam_required(call, "PolicyName", ret_name);
    if (r == 0 && !role_is_name(*ret_name, ROLE_POLICY_NAME_MAX))
        r = aws_error_set(&call->error, AWS_VALIDATION,
                          "The specified value for policyName is invalid. It must contain only "
                          "alphanumeric characters and/or the following: +=,.@_- and have 1 to %d "
                          "characters",
                          ROLE_POLICY_NAME_MAX);
    return r;
}

static int no_such_policy(struct call *call, struct str name)
{
    return aws_error_set(&call->error, AWS_IAM_NO_SUCH_ENTITY,
                         "The role policy with name " STR_FORMAT " cannot be found.",
                         STR_ARGUMENTS(name));
}

// Does to a copy of the role what `alter` does, and puts it in its place.
static void change_role(struct call *call, const char *action, const char *right,
                        int (*alter)(struct call *call, struct role *role))
{
    struct role *role = NULL, *copy = NULL;
    int r = iam_find_role(call, right, &role);
    if (r == 0 && !(copy = role_copy(role)))
        r = aws_error_set(&call->error, AWS_SERVICE, "No memory");
    role_unref(role);
    if (r == 0)
        r = alter(call, copy);
    if (r < 0) {
        role_unref(copy);
        call_fail(call);
        return;
    }
    iam_commit_put(call, action, copy, false, NULL);
}

// ---- inline policies

static int alter_put(struct call *call, struct role *role)
{
    struct str name, text;
    struct error err = {0};
    int r = read_policy_name(call, &name);
    if (r == 0)
        r = iam_required(call, "PolicyDocument", &text);
    if (r < 0)
        return r;
    switch (role_put_policy(role, name, text, &err)) {
    case 0:
        return 0;
    case -E2BIG:
        return aws_error_set(&call->error, AWS_IAM_LIMIT_EXCEEDED, "%s", err.text);
    case -ENOMEM:
        return aws_error_set(&call->error, AWS_SERVICE, "No memory");
    default:
        return aws_error_set(&call->error, AWS_IAM_MALFORMED_POLICY, "%s", err.text);
    }
}

void iam_put_role_policy(struct call *call)
{
    change_role(call, "PutRolePolicy", "iam:PutRolePolicy", alter_put);
}

static int alter_delete(struct call *call, struct role *role)
{
    struct str name;
    int r = read_policy_name(call, &name);
    if (r == 0 && role_delete_policy(role, name) < 0)
        r = no_such_policy(call, name);
    return r;
}

void iam_delete_role_policy(struct call *call)
{
    change_role(call, "DeleteRolePolicy", "iam:DeleteRolePolicy", alter_delete);
}

static void answer_policy(struct call *call, const struct role *role,
                          const struct role_policy *policy)
{
    struct buf result = BUF_INIT(RESULT_MAX);
    query_append_element(&result, "RoleName", str_of(role->name));
    query_append_element(&result, "PolicyName", str_of(policy->name));
    buf_append_text(&result, "<PolicyDocument>");
    percent_append(&result, str_of(policy->text), false);
    buf_append_text(&result, "</PolicyDocument>");
    query_answer(call, "GetRolePolicy", &result);
}

void iam_get_role_policy(struct call *call)
{
    struct role *role = NULL;
    struct str name;
    const struct role_policy *policy = NULL;
    int r = iam_find_role(call, "iam:GetRolePolicy", &role);
    if (r == 0)
        r = read_policy_name(call, &name);
    if (r == 0 && !(policy = role_policy(role, name)))
        r = no_such_policy(call, name);
    if (r < 0)
        call_fail(call);
    else
        answer_policy(call, role, policy);
    role_unref(role);
}

void iam_list_role_policies(struct call *call)
{
    struct role *role = NULL;
    struct iam_page page;
    int r = iam_find_role(call, "iam:ListRolePolicies", &role);
    if (r == 0)
        r = iam_page(call, &page);
    if (r < 0) {
        role_unref(role);
        call_fail(call);
        return;
    }
    struct buf result = BUF_INIT(RESULT_MAX);
    const char *last = NULL;
    size_t count = 0, i = 0;
    buf_append_text(&result, "<PolicyNames>");
    for (; i < role->policy_count && count < page.items_max; i++) {
        struct str name = str_of(role->policies[i].name);
        if (page.marker.size > 0 && str_compare(name, page.marker) <= 0)
            continue;
        query_append_element(&result, "member", name);
        last = role->policies[i].name;
        count++;
    }
    buf_append_text(&result, "</PolicyNames>");
    iam_append_page(&result, i < role->policy_count ? last : NULL);
    role_unref(role);
    query_answer(call, "ListRolePolicies", &result);
}

// ---- attached policies

static int read_managed(struct call *call, const struct role_managed **ret_managed)
{
    struct str arn;
    int r = iam_required(call, "PolicyArn", &arn);
    if (r < 0)
        return r;
    *ret_managed = role_managed_find(arn);
    if (*ret_managed)
        return 0;
    return aws_error_set(&call->error, AWS_IAM_NO_SUCH_ENTITY,
                         "Policy " STR_FORMAT " does not exist or is not attachable: Lamina knows "
                         "a few of AWS's own policies; write the rights as an inline policy "
                         "(PutRolePolicy).",
                         STR_ARGUMENTS(str_part(arn, 0, 256)));
}

static int alter_attach(struct call *call, struct role *role)
{
    const struct role_managed *managed;
    int r = read_managed(call, &managed);
    if (r == 0 && role_attach(role, managed) < 0)
        r = aws_error_set(&call->error, AWS_IAM_LIMIT_EXCEEDED,
                          "Cannot exceed quota for PoliciesPerRole: %d", ROLE_ATTACHED_MAX);
    return r;
}

void iam_attach_role_policy(struct call *call)
{
    change_role(call, "AttachRolePolicy", "iam:AttachRolePolicy", alter_attach);
}

static int alter_detach(struct call *call, struct role *role)
{
    const struct role_managed *managed;
    int r = read_managed(call, &managed);
    if (r == 0 && role_detach(role, managed) < 0)
        r = aws_error_set(&call->error, AWS_IAM_NO_SUCH_ENTITY, "Policy %s was not found.",
                          managed->arn);
    return r;
}

void iam_detach_role_policy(struct call *call)
{
    change_role(call, "DetachRolePolicy", "iam:DetachRolePolicy", alter_detach);
}

void iam_list_attached(struct call *call)
{
    struct role *role;
    if (iam_find_role(call, "iam:ListAttachedRolePolicies", &role) < 0) {
        call_fail(call);
        return;
    }
    struct buf result = BUF_INIT(RESULT_MAX);
    buf_append_text(&result, "<AttachedPolicies>");
    for (size_t i = 0; i < role->attached_count; i++) {
        buf_append_text(&result, "<member>");
        query_append_element(&result, "PolicyName", str_of(role->attached[i]->name));
        query_append_element(&result, "PolicyArn", str_of(role->attached[i]->arn));
        buf_append_text(&result, "</member>");
    }
    buf_append_text(&result, "</AttachedPolicies>");
    iam_append_page(&result, NULL);
    role_unref(role);
    query_answer(call, "ListAttachedRolePolicies", &result);
}
