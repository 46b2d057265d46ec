// SPDX-License-Identifier: MIT

#include "api/rights.h"

#include "api/users.h"
#include "aws/arn.h"
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

// What an operation is done to.
struct resource {
    struct buf arn;       // as the request names it; "*" when it is not one function
    size_t function_size; // how much of the ARN is the function's, without a qualifier; 0: "*"
};

static void name_function(struct resource *resource, const struct call *call, struct str name,
                          struct str qualifier)
{
    buf_printf(&resource->arn, "arn:aws:lambda:%s:%s:function:" STR_FORMAT, call->api->region,
               call->api->account, STR_ARGUMENTS(name));
    resource->function_size = resource->arn.size;
    if (qualifier.size > 0) {
        buf_append_byte(&resource->arn, ':');
        buf_append_str(&resource->arn, qualifier);
    }
}

// The function of a name or an ARN, however it is spelled, without its qualifier.
static int name_bare_function(struct resource *resource, struct call *call, struct str text,
                              enum function_name_rule rule)
{
    struct function_name name;
    int r = function_name_parse(text, (struct str){0}, rule, call->api->region, call->api->account,
                                &name, &call->error);
    if (r == 0)
        name_function(resource, call, str_of(name.name), STR(""));
    return r;
}

static int name_resource(struct resource *resource, struct call *call)
{
    const char *path = call->route->path;
    struct function_name name;
    struct arn_function arn;
    struct str text;
    if (strstr(path, "{FunctionName}")) {
        int r = call_function_name(call, FUNCTION_NAME_NAMESPACED, &name);
        // A qualifier that the operation would ignore must not decide whether it is allowed.
        if (r == 0)
            name_function(resource, call, str_of(name.name),
                          str_of(call->route->is_qualified ? name.qualifier : ""));
        return r;
    }
    if (strcmp(call->route->operation, "CreateFunction") == 0 &&
        json_member_str(call->json, "FunctionName", &text) == 0)
        return name_bare_function(resource, call, text, FUNCTION_NAME_NEW);
    // What is no function's ARN is refused by the operation, in its own words.
    if (strstr(path, "/tags/{") && arn_parse_function(call->labels[0], &arn) == 0)
        return name_bare_function(resource, call, call->labels[0], FUNCTION_NAME_NAMESPACED);
    buf_append_text(&resource->arn, "*");
    return 0;
}

static int deny(struct call *call, const char *action, struct str resource, bool is_explicit)
{
    char arn[RIGHTS_ARN_BYTES], user_id[RIGHTS_ARN_BYTES];
    rights_identity(call, arn, user_id);
    return aws_error_set(&call->error, AWS_ACCESS_DENIED,
                         "User: %s is not authorized to perform: %s on resource: " STR_FORMAT " %s",
                         arn, action, STR_ARGUMENTS(str_part(resource, 0, 300)),
                         is_explicit ? "with an explicit deny in an identity-based policy"
                                     : "because no identity-based policy allows the action");
}

static int check(struct call *call, const char *action, const struct resource *resource)
{
    // A key without a user (removed a moment ago) has no rights, and a resource that does not fit is
    // nobody's.
    const struct user *user = caller(call);
    struct str arn = buf_str(&resource->arn);
    enum policy_effect effect = POLICY_SILENT;
    if (user && buf_status(&resource->arn) == 0)
        effect = policy_evaluate(user->policy, str_of(action), arn);
    // Who is kept from a function is kept from its versions and aliases: otherwise `f:$LATEST` would
    // be a way around a Deny on `f`.
    if (effect == POLICY_ALLOWS && resource->function_size > 0 &&
        resource->function_size < arn.size &&
        policy_evaluate(user->policy, str_of(action), str_part(arn, 0, resource->function_size)) ==
            POLICY_DENIES)
        effect = POLICY_DENIES;
    return effect == POLICY_ALLOWS ? 0 : deny(call, action, arn, effect == POLICY_DENIES);
}

static bool may_everything(const struct call *call)
{
    return auth_is_own_key(call->api->config.auth, call->ticket.claim.access_key);
}

static struct resource resource_new(void)
{
    return (struct resource){.arn = BUF_INIT(RESOURCE_BYTES_MAX)};
}

int rights_check(struct call *call)
{
    if (may_everything(call) || call->ticket.service == AUTH_SERVICE_STS)
        return 0;
    char action[ACTION_BYTES];
    struct resource resource = resource_new();
    action_of(call, action);
    int r = name_resource(&resource, call);
    if (r == 0)
        r = check(call, action, &resource);
    buf_done(&resource.arn);
    return r;
}

int rights_check_head(struct call *call)
{
    bool is_in_body = strcmp(call->route->operation, "CreateFunction") == 0;
    return call->ticket.is_proven && !is_in_body ? rights_check(call) : 0;
}

int rights_check_invoke(struct call *call, struct str name, struct str qualifier)
{
    if (may_everything(call))
        return 0;
    struct resource resource = resource_new();
    name_function(&resource, call, name, qualifier);
    int r = check(call, "lambda:InvokeFunction", &resource);
    buf_done(&resource.arn);
    return r;
}
