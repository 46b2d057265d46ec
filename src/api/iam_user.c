// SPDX-License-Identifier: MIT
//
// GetUser and ListUsers: who there is. Users are made with `lamina user`, which gives the key as well.

#include "api/iam.h"
#include "api/query.h"
#include "api/rights.h"
#include "api/users.h"
#include "base/clock.h"

#define RESULT_MAX (1024 * 1024)

static void append_user(struct buf *xml, const struct call *call, const struct user *user,
                        const char *element)
{
    char arn[RIGHTS_ARN_BYTES], created[CLOCK_TEXT_MAX];
    (void) snprintf(arn, sizeof(arn), "arn:aws:iam::%s:user/%s", call->api->account, user->name);
    buf_printf(xml, "<%s>", element);
    query_append_element(xml, "Path", STR("/"));
    query_append_element(xml, "UserName", str_of(user->name));
    query_append_element(xml, "UserId", str_of(user->access_key));
    query_append_element(xml, "Arn", str_of(arn));
    query_append_element(xml, "CreateDate", str_of(clock_iso_z(user->created_ms, created)));
    buf_printf(xml, "</%s>", element);
}

// The service's own key is the account's, as AWS's root user: without a name, as old as the service.
static void append_root(struct buf *xml, const struct call *call)
{
    char arn[RIGHTS_ARN_BYTES], created[CLOCK_TEXT_MAX];
    (void) snprintf(arn, sizeof(arn), "arn:aws:iam::%s:root", call->api->account);
    buf_append_text(xml, "<User>");
    query_append_element(xml, "Path", STR("/"));
    query_append_element(xml, "UserName", str_of(call->api->account));
    query_append_element(xml, "UserId", str_of(call->api->account));
    query_append_element(xml, "Arn", str_of(arn));
    query_append_element(xml, "CreateDate", str_of(clock_iso_z(0, created)));
    buf_append_text(xml, "</User>");
}

static int find_user(struct call *call, const struct user **ret_user)
{
    struct str name;
    char arn[RIGHTS_ARN_BYTES];
    int r = query_value(call, "UserName", &name);
    if (r < 0)
        return r;
    const struct user *user = name.size > 0
                                  ? users_by_name(call->api->users, name)
                                  : users_by_key(call->api->users, call->ticket.claim.access_key);
    if (user)
        name = str_of(user->name);
    (void) snprintf(arn, sizeof(arn), "arn:aws:iam::%s:user/" STR_FORMAT, call->api->account,
                    STR_ARGUMENTS(str_part(name, 0, USER_NAME_MAX)));
    r = rights_may(call, "iam:GetUser", str_of(arn));
    if (r == 0 && !user && name.size > 0)
        r = aws_error_set(&call->error, AWS_IAM_NO_SUCH_ENTITY,
                          "The user with name " STR_FORMAT " cannot be found.",
                          STR_ARGUMENTS(str_part(name, 0, USER_NAME_MAX)));
    *ret_user = user;
    return r;
}

void iam_get_user(struct call *call)
{
    const struct user *user;
    if (find_user(call, &user) < 0) {
        call_fail(call);
        return;
    }
    struct buf result = BUF_INIT(RESULT_MAX);
    if (user)
        append_user(&result, call, user, "User");
    else
        append_root(&result, call);
    query_answer(call, "GetUser", &result);
}

void iam_list_users(struct call *call)
{
    struct iam_page page;
    int r = rights_may(call, "iam:ListUsers", STR("*"));
    if (r == 0)
        r = iam_page(call, &page);
    if (r < 0) {
        call_fail(call);
        return;
    }
    struct buf result = BUF_INIT(RESULT_MAX);
    const struct user *user;
    const char *last = NULL;
    size_t count = 0, i = 0;
    buf_append_text(&result, "<Users>");
    for (; (user = users_at(call->api->users, i)) && count < page.items_max; i++) {
        if (page.marker.size > 0 && str_compare(str_of(user->name), page.marker) <= 0)
            continue;
        append_user(&result, call, user, "member");
        last = user->name;
        count++;
    }
    buf_append_text(&result, "</Users>");
    iam_append_page(&result, user ? last : NULL);
    query_answer(call, "ListUsers", &result);
}
