// SPDX-License-Identifier: MIT

#include "api/rights.h"

#include "api/efs.h"
#include "api/layer_name.h"
#include "api/users.h"
#include "aws/arn.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/mem.h"
#include "instance/identity.h"
#include "instance/instance.h"
#include "role/roles.h"

#include <errno.h>

#define ACTION_BYTES 128
#define RESOURCE_BYTES_MAX 1024

// NULL: not a person's key.
static const struct user *person(const struct call *call)
{
    return call->identity ? NULL : users_by_key(call->api->users, call->ticket.claim.access_key);
}

// The last part of arn:aws:iam::<account>:role/<path>/<name>.
static struct str role_name_of(const char *arn)
{
    struct str text = str_of(arn);
    return str_skip(text, (size_t) (str_find_last(text, '/') + 1));
}

// An undefined role has an id, too: made of its name, so that it is always the same.
static void role_id_of(const struct call *call, const char *arn, char id[ROLE_ID_SIZE])
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    struct role *role = roles_find(call->api->config.roles, str_of(arn));
    struct digest digest = digest_of(arn, strlen(arn));
    memcpy(id, "AROA", 4);
    for (size_t i = 4; i < ROLE_ID_SIZE - 1; i++)
        id[i] = alphabet[digest.bytes[i] % 32];
    id[ROLE_ID_SIZE - 1] = '\0';
    if (role)
        memcpy(id, role->id, ROLE_ID_SIZE);
    role_unref(role);
}

// As on AWS: the function assumes its role, in a session of the function's name.
static void sandbox_identity(const struct call *call, char ret_arn[RIGHTS_ARN_BYTES],
                             char ret_user_id[RIGHTS_ARN_BYTES])
{
    const struct instance_identity *identity = call->identity;
    struct str role = role_name_of(identity->role);
    char id[ROLE_ID_SIZE];
    role_id_of(call, identity->role, id);
    (void) snprintf(ret_arn, RIGHTS_ARN_BYTES, "arn:aws:sts::%s:assumed-role/" STR_FORMAT "/%s",
                    call->api->account, STR_ARGUMENTS(role), identity->function);
    (void) snprintf(ret_user_id, RIGHTS_ARN_BYTES, "%s:%s", id, identity->function);
}

void rights_identity(const struct call *call, char ret_arn[RIGHTS_ARN_BYTES],
                     char ret_user_id[RIGHTS_ARN_BYTES])
{
    const struct user *user = person(call);
    const char *account = call->api->account;
    if (call->identity) {
        sandbox_identity(call, ret_arn, ret_user_id);
    } else if (user) {
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
    if (call->ticket.service == AUTH_SERVICE_EFS)
        (void) snprintf(action, ACTION_BYTES, "elasticfilesystem:%s", operation);
    else if (strcmp(operation, "Invoke") == 0 || strcmp(operation, "InvokeWithResponseStream") == 0)
        (void) snprintf(action, ACTION_BYTES, "lambda:InvokeFunction");
    else if (strcmp(operation, "GetLayerVersionByArn") ==
             0) // one right for both ways to say it, as in IAM
        (void) snprintf(action, ACTION_BYTES, "lambda:GetLayerVersion");
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

// IAM's ARN of a layer, or of a version of it, in one spelling. What names none is refused by the
// operation, in its own words.
static void name_layer(struct resource *resource, struct call *call)
{
    struct layer_arn layer = {.number = 0};
    struct str text;
    bool is_version = strstr(call->route->path, "{VersionNumber}") != NULL;
    int r;
    if (strcmp(call->route->operation, "GetLayerVersionByArn") == 0) {
        r = call_query(call, "Arn", &text);
        if (r == 0)
            r = layer_arn_parse(text, &layer);
    } else {
        r = is_version ? layer_labels(call, &layer.name, &layer.number)
                       : layer_label(call, &layer.name);
    }
    if (r < 0) {
        buf_append_text(&resource->arn, "*");
        return;
    }
    buf_printf(&resource->arn, "arn:aws:lambda:%s:%s:layer:" STR_FORMAT, call->api->region,
               call->api->account, STR_ARGUMENTS(layer.name));
    if (layer.number)
        buf_printf(&resource->arn, ":%llu", (unsigned long long) layer.number);
}

static int name_resource(struct resource *resource, struct call *call)
{
    const char *path = call->route->path;
    struct function_name name;
    struct arn_function arn;
    struct str text;
    if (call->ticket.service == AUTH_SERVICE_EFS) {
        efs_name_resource(call, &resource->arn);
        return 0;
    }
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
    if (strstr(path, "/layers/{LayerName}") ||
        strcmp(call->route->operation, "GetLayerVersionByArn") == 0) {
        name_layer(resource, call);
        return 0;
    }
    // What is no function's ARN is refused by the operation, in its own words.
    if (strstr(path, "/tags/{") && arn_parse_function(call->labels[0], &arn) == 0)
        return name_bare_function(resource, call, call->labels[0], FUNCTION_NAME_NAMESPACED);
    buf_append_text(&resource->arn, "*");
    return 0;
}

// ---- decisions

static const char *reason_of(enum role_answer answer, bool is_sandbox)
{
    switch (answer) {
    case ROLE_DENIED:
        return "with an explicit deny in an identity-based policy";
    case ROLE_IMPOSSIBLE:
        return "because functions have no access to the control plane";
    default:
        return is_sandbox ? "because the function's role does not allow the action"
                          : "because no identity-based policy allows the action";
    }
}

static int deny(struct call *call, const char *action, struct str resource, enum role_answer answer)
{
    char arn[RIGHTS_ARN_BYTES], user_id[RIGHTS_ARN_BYTES];
    rights_identity(call, arn, user_id);
    return aws_error_set(&call->error, AWS_ACCESS_DENIED,
                         "User: %s is not authorized to perform: %s on resource: " STR_FORMAT " %s",
                         arn, action, STR_ARGUMENTS(str_part(resource, 0, 300)),
                         reason_of(answer, call->identity != NULL));
}

static enum role_answer ask_sandbox(const struct call *call, const char *action,
                                    struct str resource)
{
    const struct instance_identity *identity = call->identity;
    if (identity->is_ended)
        return ROLE_NOT_ALLOWED;
    AUTO_FREE struct role_variable *variables =
        calloc(identity->variable_count + 1, sizeof(*variables));
    for (size_t i = 0; variables && i < identity->variable_count; i++)
        variables[i] = (struct role_variable){str_of(identity->variables[i].name),
                                              str_of(identity->variables[i].value)};
    const struct role_asker asker = {identity->role, variables,
                                     variables ? identity->variable_count : 0};
    return roles_ask(call->api->config.roles, &asker, str_of(action), resource);
}

static enum role_answer ask_person(const struct call *call, const char *action, struct str arn,
                                   size_t function_size)
{
    // A key without a user (removed a moment ago) has no rights.
    const struct user *user = person(call);
    enum policy_effect effect = POLICY_SILENT;
    if (user)
        effect = policy_evaluate(user->policy, str_of(action), arn);
    // Who is kept from a function is kept from its versions and aliases: otherwise `f:$LATEST` would
    // be a way around a Deny on `f`.
    if (effect == POLICY_ALLOWS && function_size > 0 && function_size < arn.size &&
        policy_evaluate(user->policy, str_of(action), str_part(arn, 0, function_size)) ==
            POLICY_DENIES)
        effect = POLICY_DENIES;
    if (effect == POLICY_DENIES)
        return ROLE_DENIED;
    return effect == POLICY_ALLOWS ? ROLE_ALLOWED : ROLE_NOT_ALLOWED;
}

static int check(struct call *call, const char *action, const struct resource *resource)
{
    struct str arn = buf_str(&resource->arn);
    enum role_answer answer = ROLE_NOT_ALLOWED; // a resource that does not fit is nobody's
    if (buf_status(&resource->arn) == 0)
        answer = call->identity ? ask_sandbox(call, action, arn)
                                : ask_person(call, action, arn, resource->function_size);
    return answer == ROLE_ALLOWED ? 0 : deny(call, action, arn, answer);
}

bool rights_are_all(const struct call *call)
{
    return !call->identity &&
           auth_is_own_key(call->api->config.auth, call->ticket.claim.access_key);
}

static struct resource resource_new(void)
{
    return (struct resource){.arn = BUF_INIT(RESOURCE_BYTES_MAX)};
}

// STS needs no right, IAM knows what its actions are done to.
static bool asks_by_itself(const struct call *call)
{
    return call->ticket.service == AUTH_SERVICE_STS || call->ticket.service == AUTH_SERVICE_IAM;
}

int rights_check(struct call *call)
{
    if (rights_are_all(call) || asks_by_itself(call))
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
    char action[ACTION_BYTES];
    bool is_in_body = strcmp(call->route->operation, "CreateFunction") == 0;
    if (asks_by_itself(call))
        return 0;
    action_of(call, action);
    if (call->identity && !roles_is_possible(str_of(action)))
        return deny(call, action, STR("*"), ROLE_IMPOSSIBLE);
    return call->ticket.is_proven && !is_in_body ? rights_check(call) : 0;
}

int rights_may(struct call *call, const char *action, struct str resource)
{
    if (rights_are_all(call))
        return 0;
    enum role_answer answer = call->identity ? ask_sandbox(call, action, resource)
                                             : ask_person(call, action, resource, 0);
    return answer == ROLE_ALLOWED ? 0 : deny(call, action, resource, answer);
}

int rights_may_all(struct call *call, const char *action, struct str prefix)
{
    if (rights_are_all(call))
        return 0;
    const struct user *user = person(call);
    enum policy_effect effect =
        user ? policy_evaluate_all(user->policy, str_of(action), prefix) : POLICY_SILENT;
    if (effect == POLICY_ALLOWS)
        return 0;
    AUTO_BUF struct buf all = BUF_INIT(RESOURCE_BYTES_MAX);
    buf_append_str(&all, prefix);
    buf_append_byte(&all, '*');
    return deny(call, action, buf_str(&all),
                effect == POLICY_DENIES ? ROLE_DENIED : ROLE_NOT_ALLOWED);
}

static int check_function(struct call *call, const char *action, struct str name,
                          struct str qualifier)
{
    if (rights_are_all(call))
        return 0;
    struct resource resource = resource_new();
    name_function(&resource, call, name, qualifier);
    int r = check(call, action, &resource);
    buf_done(&resource.arn);
    return r;
}

int rights_check_invoke(struct call *call, struct str name, struct str qualifier)
{
    return check_function(call, "lambda:InvokeFunction", name, qualifier);
}

int rights_check_invoke_all(struct call *call, struct str name)
{
    struct resource resource = resource_new();
    int r = rights_check_invoke(call, name, STR(""));
    name_function(&resource, call, name, STR(""));
    buf_append_byte(&resource.arn, ':');
    if (r == 0)
        r = rights_may_all(call, "lambda:InvokeFunction", buf_str(&resource.arn));
    buf_done(&resource.arn);
    return r;
}

int rights_check_url(struct call *call, struct str name, struct str qualifier)
{
    return check_function(call, "lambda:InvokeFunctionUrl", name, qualifier);
}

int rights_check_code(struct call *call, struct str name)
{
    return check_function(call, "lambda:GetFunction", name, STR(""));
}

int rights_check_layer(struct call *call, const char *name, uint64_t number)
{
    if (rights_are_all(call))
        return 0;
    struct resource resource = resource_new();
    layer_arn_append(&resource.arn, call->api, name, number);
    int r = check(call, "lambda:GetLayerVersion", &resource);
    buf_done(&resource.arn);
    return r;
}
