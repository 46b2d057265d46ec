// SPDX-License-Identifier: MIT

#include "api/iam.h"

#include "api/operations.h"
#include "api/query.h"
#include "api/rights.h"
#include "base/log.h"
#include "base/mem.h"
#include "role/roles.h"

#include <errno.h>

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000

static const struct {
    const char *name;
    void (*run)(struct call *call);
} actions[] = {
    {"CreateRole", iam_create_role},
    {"GetRole", iam_get_role},
    {"ListRoles", iam_list_roles},
    {"UpdateRole", iam_update_role},
    {"UpdateAssumeRolePolicy", iam_update_trust},
    {"DeleteRole", iam_delete_role},
    {"ListInstanceProfilesForRole", iam_list_instance_profiles},
    {"ListRoleTags", iam_list_role_tags},
    {"PutRolePolicy", iam_put_role_policy},
    {"GetRolePolicy", iam_get_role_policy},
    {"ListRolePolicies", iam_list_role_policies},
    {"DeleteRolePolicy", iam_delete_role_policy},
    {"AttachRolePolicy", iam_attach_role_policy},
    {"DetachRolePolicy", iam_detach_role_policy},
    {"ListAttachedRolePolicies", iam_list_attached},
    {"GetUser", iam_get_user},
    {"ListUsers", iam_list_users},
};

void iam(struct call *call)
{
    struct str action;
    if (query_value(call, "Action", &action) < 0) {
        call_fail(call);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
        if (str_equal_text(action, actions[i].name)) {
            actions[i].run(call);
            return;
        }
    }
    call_fail_with(call, AWS_INVALID_ACTION, "Lamina has no action '" STR_FORMAT "' of IAM",
                   STR_ARGUMENTS(str_part(action, 0, 64)));
}

// ---- what actions have in common

int iam_required(struct call *call, const char *name, struct str *ret_value)
{
    int r = query_value(call, name, ret_value);
    if (r == 0 && ret_value->size == 0)
        r = aws_error_set(&call->error, AWS_VALIDATION,
                          "1 validation error detected: Value null at '%s' failed to satisfy "
                          "constraint: Member must not be null",
                          name);
    return r;
}

void iam_role_arn(const struct call *call, const char *path, struct str name,
                  char ret_arn[IAM_ARN_MAX])
{
    (void) snprintf(ret_arn, IAM_ARN_MAX, "arn:aws:iam::%s:role%s" STR_FORMAT, call->api->account,
                    path, STR_ARGUMENTS(name));
}

static int read_role_name(struct call *call, struct str *ret_name)
{
    int r = iam_required(call, "RoleName", ret_name);
    if (r == 0 && !role_is_name(*ret_name, ROLE_NAME_MAX))
        r = aws_error_set(&call->error, AWS_VALIDATION,
                          "The specified value for roleName is invalid. It must contain only "
                          "alphanumeric characters and/or the following: +=,.@_- and have 1 to %d "
                          "characters",
                          ROLE_NAME_MAX);
    return r;
}

int iam_find_role(struct call *call, const char *action, struct role **ret_role)
{
    struct str name;
    char arn[IAM_ARN_MAX];
    int r = read_role_name(call, &name);
    if (r < 0)
        return r;
    struct role *role = roles_by_name(call->api->config.roles, name);
    iam_role_arn(call, role ? role->path : "/", name, arn);
    r = rights_may(call, action, str_of(arn));
    if (r == 0 && !role)
        r = aws_error_set(&call->error, AWS_IAM_NO_SUCH_ENTITY,
                          "The role with name " STR_FORMAT " cannot be found.",
                          STR_ARGUMENTS(name));
    if (r < 0) {
        role_unref(role);
        return r;
    }
    *ret_role = role;
    return 0;
}

int iam_page(struct call *call, struct iam_page *ret_page)
{
    struct str text;
    int64_t items = PAGE_DEFAULT;
    int r = query_value(call, "MaxItems", &text);
    if (r == 0 && text.size > 0 && str_to_i64(text, 1, PAGE_MAX, &items) < 0)
        r = aws_error_set(&call->error, AWS_VALIDATION, "MaxItems must be a number from 1 to %d",
                          PAGE_MAX);
    if (r == 0)
        r = query_value(call, "Marker", &ret_page->marker);
    ret_page->items_max = (size_t) items;
    return r;
}

void iam_append_page(struct buf *xml, const char *last)
{
    query_append_element(xml, "IsTruncated", str_of(last ? "true" : "false"));
    if (last)
        query_append_element(xml, "Marker", str_of(last));
}

// ---- changes

struct change {
    struct call *call;
    const char *action; // a literal
    struct buf result;
};

static void change_free(struct change *change)
{
    buf_done(&change->result);
    free(change);
}

static void committed(void *arg, const struct error *err)
{
    struct change *change = arg;
    struct call *call = change->call;
    if (!call->request)
        call_free(call);
    else if (err)
        call_fail_internal(call, "api.iam", err);
    else
        query_answer(call, change->action, &change->result);
    change_free(change);
}

static void fail_change(struct call *call, int code, const char *name)
{
    switch (code) {
    case -EEXIST:
        call_fail_with(call, AWS_IAM_ENTITY_ALREADY_EXISTS, "Role with name %s already exists.",
                       name);
        return;
    case -ENOENT:
        call_fail_with(call, AWS_IAM_NO_SUCH_ENTITY, "The role with name %s cannot be found.",
                       name);
        return;
    case -EBUSY:
        call_fail_with(call, AWS_IAM_CONCURRENT_MODIFICATION,
                       "Another change of the role %s is not done yet.", name);
        return;
    case -E2BIG:
        call_fail_with(call, AWS_IAM_LIMIT_EXCEEDED, "Cannot exceed quota for Roles: %d",
                       ROLES_MAX);
        return;
    default: {
        struct error err = {0};
        (void) error_set_errno(&err, code, "change a role");
        call_fail_internal(call, "api.iam", &err);
    }
    }
}

// NULL: the call was answered.
static struct change *change_new(struct call *call, const char *action, struct buf *result)
{
    struct change *change = mem_new(struct change);
    if (!change) {
        if (result)
            buf_done(result);
        fail_change(call, -ENOMEM, "");
        return NULL;
    }
    change->call = call;
    change->action = action;
    if (result)
        change->result = *result;
    return change;
}

void iam_commit_put(struct call *call, const char *action, struct role *role, bool is_new,
                    struct buf *result)
{
    char name[ROLE_NAME_MAX + 1];
    memcpy(name, role->name, sizeof(name));
    struct change *change = change_new(call, action, result);
    if (!change) {
        role_unref(role);
        return;
    }
    int r = roles_put(call->api->config.roles, role, is_new, committed, change);
    if (r < 0) {
        change_free(change);
        fail_change(call, r, name);
    }
}

void iam_commit_delete(struct call *call, const char *action, struct str name)
{
    char text[ROLE_NAME_MAX + 1];
    struct change *change = change_new(call, action, NULL);
    if (!change)
        return;
    (void) !str_copy(name, text, sizeof(text)); // a role's: it fits
    int r = roles_delete(call->api->config.roles, name, committed, change);
    if (r < 0) {
        change_free(change);
        fail_change(call, r, text);
    }
}
