// SPDX-License-Identifier: MIT
//
// iam: the subset of IAM's API that roles need (query.h), each action once in the table of iam.c. What is
// left out (groups, managed policies of one's own, instance profiles, tags, boundaries) is refused by
// name: InvalidAction, or InvalidInput where ignoring a parameter would allow more than it says.
//
// Rights: "iam:" and the action's name, on the role's or user's ARN, "*" for lists. Functions have no
// IAM at all. Source of shapes and errors: botocore's model of iam 2010-05-08.
//
// Internal to api/. Loop thread.

#ifndef LAMINA_API_IAM_H
#define LAMINA_API_IAM_H

#include "api/call.h"
#include "role/role.h"

#define IAM_ARN_MAX (ROLE_PATH_MAX + ROLE_NAME_MAX + 64)

// A required parameter. Sets the error: ValidationError.
int iam_required(struct call *call, const char *name, struct str *ret_value) MUST_CHECK;
// The role that RoleName names, a reference; the right to `action` on it is checked first, so that who
// may not see it does not learn whether it exists. Sets the error: NoSuchEntity, AccessDenied, ...
int iam_find_role(struct call *call, const char *action, struct role **ret_role) MUST_CHECK;
void iam_role_arn(const struct call *call, const char *path, struct str name,
                  char ret_arn[IAM_ARN_MAX]);

// One page of a list: items after Marker, at most MaxItems.
struct iam_page {
    struct str marker; // empty: from the first
    size_t items_max;
};
int iam_page(struct call *call, struct iam_page *ret_page) MUST_CHECK;
// <IsTruncated> and, if `last` is not NULL, <Marker>.
void iam_append_page(struct buf *xml, const char *last);

// Puts a changed or new role (taken), or deletes the one of that name, and then answers `action`; `result`
// as query_answer's, taken.
void iam_commit_put(struct call *call, const char *action, struct role *role, bool is_new,
                    struct buf *result);
void iam_commit_delete(struct call *call, const char *action, struct str name);

// The actions: iam_role.c, iam_policy.c, iam_user.c. Each ends the call.
void iam_create_role(struct call *call);
void iam_get_role(struct call *call);
void iam_list_roles(struct call *call);
void iam_update_role(struct call *call);
void iam_update_trust(struct call *call);
void iam_delete_role(struct call *call);
void iam_list_instance_profiles(struct call *call);
void iam_list_role_tags(struct call *call);

void iam_put_role_policy(struct call *call);
void iam_get_role_policy(struct call *call);
void iam_list_role_policies(struct call *call);
void iam_delete_role_policy(struct call *call);
void iam_attach_role_policy(struct call *call);
void iam_detach_role_policy(struct call *call);
void iam_list_attached(struct call *call);

void iam_get_user(struct call *call);
void iam_list_users(struct call *call);

#endif
