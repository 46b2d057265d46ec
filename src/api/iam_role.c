// SPDX-License-Identifier: MIT
//
// Roles: CreateRole, GetRole, ListRoles, UpdateRole, UpdateAssumeRolePolicy, DeleteRole; and the two
// lists that tools ask for before they delete one.

#include "api/iam.h"
#include "api/query.h"
#include "api/rights.h"
#include "base/clock.h"
#include "base/percent.h"
#include "function/catalog.h"
#include "function/scheduler.h"
#include "role/roles.h"

#include <errno.h>

#define RESULT_MAX (4 * 1024 * 1024)

static void append_role(struct buf *xml, const struct call *call, const struct role *role,
                        const char *element)
{
    char arn[IAM_ARN_MAX], created[CLOCK_TEXT_MAX];
    iam_role_arn(call, role->path, str_of(role->name), arn);
    buf_printf(xml, "<%s>", element);
    query_append_element(xml, "Path", str_of(role->path));
    query_append_element(xml, "RoleName", str_of(role->name));
    query_append_element(xml, "RoleId", str_of(role->id));
    query_append_element(xml, "Arn", str_of(arn));
    query_append_element(xml, "CreateDate", str_of(clock_iso_z(role->created_ms, created)));
    if (role->trust) {
        buf_append_text(xml, "<AssumeRolePolicyDocument>");
        percent_append(xml, str_of(role->trust), false);
        buf_append_text(xml, "</AssumeRolePolicyDocument>");
    }
    if (role->description)
        query_append_element(xml, "Description", str_of(role->description));
    buf_printf(xml, "<MaxSessionDuration>%lld</MaxSessionDuration></%s>",
               (long long) role->session_s_max, element);
}

// ---- parameters

static int refuse_parameter(struct call *call, const char *name)
{
    struct str value;
    int r = query_value(call, name, &value);
    if (r == 0 && value.data)
        r = aws_error_set(&call->error, AWS_IAM_INVALID_INPUT, "Lamina has no %s of roles", name);
    return r;
}

static int read_path(struct call *call, struct str *ret_path)
{
    int r = query_value(call, "Path", ret_path);
    if (r == 0 && ret_path->size == 0)
        *ret_path = STR("/");
    if (r == 0 && !role_is_path(*ret_path))
        r = aws_error_set(&call->error, AWS_VALIDATION,
                          "The specified value for path is invalid. It must begin and end with / "
                          "and contain only alphanumeric characters and/or / characters.");
    return r;
}

static int read_duration(struct call *call, struct role *role)
{
    struct str text;
    int r = query_value(call, "MaxSessionDuration", &text);
    if (r == 0 && text.size > 0 && str_to_i64(text, 3600, 43200, &role->session_s_max) < 0)
        r = aws_error_set(&call->error, AWS_VALIDATION,
                          "MaxSessionDuration must be a number from 3600 to 43200");
    return r;
}

static int read_description(struct call *call, struct role *role)
{
    struct str text;
    int r = query_value(call, "Description", &text);
    if (r == 0 && text.size > (size_t) ROLE_DESCRIPTION_MAX)
        r = aws_error_set(&call->error, AWS_VALIDATION, "Description has more than %d bytes",
                          ROLE_DESCRIPTION_MAX);
    if (r == 0 && text.data && role_set_description(role, text) < 0)
        r = aws_error_set(&call->error, AWS_SERVICE, "No memory");
    return r;
}

static int read_trust(struct call *call, const char *name, struct role *role)
{
    struct str text;
    struct error err = {0};
    int r = iam_required(call, name, &text);
    if (r < 0)
        return r;
    r = role_set_trust(role, text, &err);
    if (r == -ENOMEM)
        return aws_error_set(&call->error, AWS_SERVICE, "No memory");
    if (r == -E2BIG)
        return aws_error_set(&call->error, AWS_IAM_LIMIT_EXCEEDED, "%s", err.text);
    return r < 0 ? aws_error_set(&call->error, AWS_IAM_MALFORMED_POLICY, "%s", err.text) : 0;
}

// ---- create

static int read_new_role(struct call *call, struct role **ret_role)
{
    struct str name, path;
    char arn[IAM_ARN_MAX];
    int r = iam_required(call, "RoleName", &name);
    if (r == 0 && !role_is_name(name, ROLE_NAME_MAX))
        r = aws_error_set(&call->error, AWS_VALIDATION,
                          "The specified value for roleName is invalid. It must contain only "
                          "alphanumeric characters and/or the following: +=,.@_- and have 1 to %d "
                          "characters",
                          ROLE_NAME_MAX);
    if (r == 0)
        r = read_path(call, &path);
    if (r < 0)
        return r;
    *ret_role = role_new(name, path);
    if (!*ret_role)
        return aws_error_set(&call->error, AWS_SERVICE, "No memory");
    iam_role_arn(call, (*ret_role)->path, name, arn);
    return rights_may(call, "iam:CreateRole", str_of(arn));
}

void iam_create_role(struct call *call)
{
    struct role *role = NULL;
    int r = read_new_role(call, &role);
    if (r == 0)
        r = refuse_parameter(call, "PermissionsBoundary");
    if (r == 0)
        r = refuse_parameter(call, "Tags.member.1.Key");
    if (r == 0)
        r = read_duration(call, role);
    if (r == 0)
        r = read_description(call, role);
    if (r == 0)
        r = read_trust(call, "AssumeRolePolicyDocument", role);
    if (r < 0) {
        role_unref(role);
        call_fail(call);
        return;
    }
    struct buf result = BUF_INIT(RESULT_MAX);
    append_role(&result, call, role, "Role");
    iam_commit_put(call, "CreateRole", role, true, &result);
}

// ---- get, list

void iam_get_role(struct call *call)
{
    struct role *role;
    if (iam_find_role(call, "iam:GetRole", &role) < 0) {
        call_fail(call);
        return;
    }
    struct buf result = BUF_INIT(RESULT_MAX);
    append_role(&result, call, role, "Role");
    role_unref(role);
    query_answer(call, "GetRole", &result);
}

static bool is_on_page(const struct role *role, struct str prefix, const struct iam_page *page)
{
    return str_has_prefix(str_of(role->path), prefix) &&
           (page->marker.size == 0 || str_compare(str_of(role->name), page->marker) > 0);
}

// Up to items_max of those that are there; the last one's name if there are more.
static bool append_roles(struct buf *xml, struct call *call, struct str prefix,
                         const struct iam_page *page, char last[ROLE_NAME_MAX + 1])
{
    struct role *role;
    size_t count = 0;
    bool is_more = false;
    for (size_t i = 0; !is_more && (role = roles_at(call->api->config.roles, i)); i++) {
        bool is_wanted = is_on_page(role, prefix, page);
        is_more = is_wanted && count == page->items_max;
        if (is_wanted && !is_more) {
            append_role(xml, call, role, "member");
            memcpy(last, role->name, ROLE_NAME_MAX + 1);
            count++;
        }
        role_unref(role);
    }
    return is_more;
}

void iam_list_roles(struct call *call)
{
    struct iam_page page;
    struct str prefix;
    char last[ROLE_NAME_MAX + 1];
    int r = rights_may(call, "iam:ListRoles", STR("*"));
    if (r == 0)
        r = iam_page(call, &page);
    if (r == 0)
        r = query_value(call, "PathPrefix", &prefix);
    if (r < 0) {
        call_fail(call);
        return;
    }
    struct buf result = BUF_INIT(RESULT_MAX);
    buf_append_text(&result, "<Roles>");
    bool is_more = append_roles(&result, call, prefix, &page, last);
    buf_append_text(&result, "</Roles>");
    iam_append_page(&result, is_more ? last : NULL);
    query_answer(call, "ListRoles", &result);
}

// ---- update

// A copy of the role, to be changed.
static int copy_of(struct call *call, const char *action, struct role **ret_copy)
{
    struct role *role;
    int r = iam_find_role(call, action, &role);
    if (r < 0)
        return r;
    *ret_copy = role_copy(role);
    role_unref(role);
    return *ret_copy ? 0 : aws_error_set(&call->error, AWS_SERVICE, "No memory");
}

void iam_update_role(struct call *call)
{
    struct role *role = NULL;
    int r = copy_of(call, "iam:UpdateRole", &role);
    if (r == 0)
        r = read_duration(call, role);
    if (r == 0)
        r = read_description(call, role);
    if (r < 0) {
        role_unref(role);
        call_fail(call);
        return;
    }
    struct buf result = BUF_INIT(64);
    buf_append_byte(&result, '\n'); // this action has a result, of nothing
    iam_commit_put(call, "UpdateRole", role, false, &result);
}

void iam_update_trust(struct call *call)
{
    struct role *role = NULL;
    int r = copy_of(call, "iam:UpdateAssumeRolePolicy", &role);
    if (r == 0)
        r = read_trust(call, "PolicyDocument", role);
    if (r < 0) {
        role_unref(role);
        call_fail(call);
        return;
    }
    iam_commit_put(call, "UpdateAssumeRolePolicy", role, false, NULL);
}

// ---- delete

struct search {
    const char *arn;
    const struct version *found;
};

static void look_at(void *arg, const struct version *version)
{
    struct search *search = arg;
    if (version->role && strcmp(version->role, search->arn) == 0)
        search->found = version;
}

// A role that is no longer there would be one that nobody defined: deleting it must not give its functions
// the default rights. So they go first.
static int check_unused(struct call *call, const struct role *role)
{
    char arn[IAM_ARN_MAX];
    iam_role_arn(call, role->path, str_of(role->name), arn);
    struct search search = {arn, NULL};
    catalog_each_version(call->api->config.catalog, look_at, &search);
    if (!search.found) // of a function that was deleted something may still run
        scheduler_each_version(call->api->config.scheduler, look_at, &search);
    if (!search.found)
        return 0;
    return aws_error_set(&call->error, AWS_IAM_DELETE_CONFLICT,
                         "Cannot delete entity, the function %s uses the role.",
                         search.found->qualified_arn);
}

static int check_empty(struct call *call, const struct role *role)
{
    if (role->policy_count > 0)
        return aws_error_set(&call->error, AWS_IAM_DELETE_CONFLICT,
                             "Cannot delete entity, must delete policies first.");
    if (role->attached_count > 0)
        return aws_error_set(&call->error, AWS_IAM_DELETE_CONFLICT,
                             "Cannot delete entity, must detach all policies first.");
    return check_unused(call, role);
}

void iam_delete_role(struct call *call)
{
    struct role *role = NULL;
    int r = iam_find_role(call, "iam:DeleteRole", &role);
    if (r == 0)
        r = check_empty(call, role);
    if (r < 0)
        call_fail(call);
    else
        iam_commit_delete(call, "DeleteRole", str_of(role->name));
    role_unref(role);
}

// ---- what a role has none of

static void answer_none(struct call *call, const char *action, const char *right,
                        const char *element)
{
    struct role *role;
    if (iam_find_role(call, right, &role) < 0) {
        call_fail(call);
        return;
    }
    role_unref(role);
    struct buf result = BUF_INIT(256);
    buf_printf(&result, "<%s/>", element);
    iam_append_page(&result, NULL);
    query_answer(call, action, &result);
}

void iam_list_instance_profiles(struct call *call)
{
    answer_none(call, "ListInstanceProfilesForRole", "iam:ListInstanceProfilesForRole",
                "InstanceProfiles");
}

void iam_list_role_tags(struct call *call)
{
    answer_none(call, "ListRoleTags", "iam:ListRoleTags", "Tags");
}
