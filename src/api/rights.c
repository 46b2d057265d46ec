// SPDX-License-Identifier: MIT

#include "api/rights.h"

#include "api/users.h"
#include "base/json.h"

#include <errno.h>

#define ACTION_BYTES 128
#define RESOURCE_BYTES_MAX 1024

static const struct user *caller(const struct call *call)
{
    return users_by_key(call->api->users, call->ticket.claim.access_key);
}

void rights_identity(const struct call *call, char ret_arn[RIGHTS_ARN_BYTES],
                     char ret_user_id[RIGHTS_ARN_BYTES])
{
    const struct user *user = caller(call);
    const char *account = call->api->account;
    if (user) {
        (void) snprintf(ret_arn, RIGHTS_ARN_BYTES, "arn:aws:iam::%s:user/%s", account, user->name);
        (void) snprintf(ret_user_id, RIGHTS_ARN_BYTES, "%s", user->access_key);
    } else {
        (void) snprintf(ret_arn, RIGHTS_ARN_BYTES, "arn:aws:iam::%s:root", account);
        (void) snprintf(ret_user_id, RIGHTS_ARN_BYTES, "%s", account);
    }
}

static void action_of(const struct call *call, char action[ACTION_BYTES])
{
    const char *operation = call->route->operation;
    if (strcmp(operation, "Invoke") == 0 || strcmp(operation, "InvokeWithResponseStream") == 0)
        (void) snprintf(action, ACTION_BYTES, "lambda:InvokeFunction");
    else if (strncmp(operation, "Lamina", 6) == 0)
        (void) snprintf(action, ACTION_BYTES, "lamina:%s", operation + 6);
    else
        (void) snprintf(action, ACTION_BYTES, "lambda:%s", operation);
}

static void append_function(struct buf *resource, const struct call *call, struct str name,
                            const char *qualifier)
{
    buf_printf(resource, "arn:aws:lambda:%s:%s:function:" STR_FORMAT "%s%s", call->api->region,
               call->api->account, STR_ARGUMENTS(name), qualifier[0] ? ":" : "", qualifier);
}

// What the operation is done to, as an ARN; "*" when it is not one function.
static int append_resource(struct buf *resource, struct call *call)
{
    const char *path = call->route->path;
    struct function_name name;
    struct str text;
    if (strstr(path, "{FunctionName}")) {
        int r = call_function_name(call, FUNCTION_NAME_NAMESPACED, &name);
        if (r == 0)
            append_function(resource, call, str_of(name.name), name.qualifier);
        return r;
    }
    if (strcmp(call->route->operation, "CreateFunction") == 0 &&
        json_member_str(call->json, "FunctionName", &text) == 0) {
        int r = function_name_parse(text, (struct str){0}, FUNCTION_NAME_NEW, call->api->region,
                                    call->api->account, &name, &call->error);
        if (r == 0)
            append_function(resource, call, str_of(name.name), "");
        return r;
    }
    if (strstr(path, "/tags/{"))
        buf_append_str(resource, call->labels[0]);
    else
        buf_append_text(resource, "*");
    return 0;
}

static int deny(struct call *call, const char *action, const struct buf *resource, bool is_explicit)
{
    char arn[RIGHTS_ARN_BYTES], user_id[RIGHTS_ARN_BYTES];
    rights_identity(call, arn, user_id);
    return aws_error_set(&call->error, AWS_ACCESS_DENIED,
                         "User: %s is not authorized to perform: %s on resource: " STR_FORMAT " %s",
                         arn, action, STR_ARGUMENTS(str_part(buf_str(resource), 0, 300)),
                         is_explicit ? "with an explicit deny in an identity-based policy"
                                     : "because no identity-based policy allows the action");
}

int rights_check(struct call *call)
{
    if (auth_is_own_key(call->api->config.auth, call->ticket.claim.access_key) ||
        call->ticket.service == AUTH_SERVICE_STS)
        return 0;
    char action[ACTION_BYTES];
    AUTO_BUF struct buf resource = BUF_INIT(RESOURCE_BYTES_MAX);
    action_of(call, action);
    int r = append_resource(&resource, call);
    if (r < 0)
        return r;
    // A key without a user (removed a moment ago) has no rights, and a resource that does not fit is
    // nobody's.
    const struct user *user = caller(call);
    enum policy_effect effect = POLICY_SILENT;
    if (user && buf_status(&resource) == 0)
        effect = policy_evaluate(user->policy, str_of(action), buf_str(&resource));
    return effect == POLICY_ALLOWS ? 0 : deny(call, action, &resource, effect == POLICY_DENIES);
}
