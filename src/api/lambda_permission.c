/* SPDX-License-Identifier: MIT
 *
 * AddPermission, RemovePermission, GetPolicy: the policy of a function, a version or an alias. Kept under its
 * qualifier as {"Statement":[...],"RevisionId":"..."}. Function URLs obey it (url_policy.h).
 */

#include <stdlib.h>
#include <string.h>

#include "api/attach.h"
#include "api/member.h"
#include "api/operations.h"
#include "aws/arn.h"
#include "base/uuid.h"

#define STATEMENT_ID_MAX 100
#define POLICY_MAX (20 * 1024)
#define NO_POLICY "The resource you requested does not exist."

struct permission {
    struct str id;
    struct str action;
    struct str principal;
    struct str source_arn;
    struct str source_account;
    struct str org_id;
    struct str token;
    struct str auth_type;
    bool is_via_url;
    bool has_via_url;
};

static bool is_word(struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '-' && c != '_')
            return false;
    }
    return text.size > 0;
}

/* (lambda:[*]|lambda:[a-zA-Z]+|[*]) */
static bool is_action(struct str text)
{
    if (str_equal(text, STR("*")) || str_equal(text, STR("lambda:*")))
        return true;
    if (!str_has_prefix(text, STR("lambda:")) || text.size == 7)
        return false;
    for (size_t i = 7; i < text.size; i++)
        if (!((text.data[i] | 0x20) >= 'a' && (text.data[i] | 0x20) <= 'z'))
            return false;
    return true;
}

static int read_required(struct member_reader *reader, const char *name, const char *path,
                         size_t most, struct str *text)
{
    int r = member_text(reader, name, path, 1, most, text);
    if (r == 0 && !text->data)
        validation_add_null(&reader->validation, path);
    return r;
}

static int read_permission(struct call *call, struct permission *permission)
{
    static const char *const auth_types[] = {"NONE", "AWS_IAM", NULL};
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    int r = read_required(&reader, "StatementId", "statementId", STATEMENT_ID_MAX, &permission->id);
    if (r == 0)
        r = read_required(&reader, "Action", "action", 256, &permission->action);
    if (r == 0)
        r = read_required(&reader, "Principal", "principal", 256, &permission->principal);
    if (r == 0)
        r = member_text(&reader, "SourceArn", "sourceArn", 0, 2048, &permission->source_arn);
    if (r == 0)
        r = member_text(&reader, "SourceAccount", "sourceAccount", 0, 12,
                        &permission->source_account);
    if (r == 0)
        r = member_text(&reader, "PrincipalOrgID", "principalOrgID", 0, 34, &permission->org_id);
    if (r == 0)
        r = member_text(&reader, "EventSourceToken", "eventSourceToken", 0, 256,
                        &permission->token);
    if (r == 0)
        r = member_choice(&reader, "FunctionUrlAuthType", "functionUrlAuthType", auth_types,
                          "[NONE, AWS_IAM]", &permission->auth_type);
    permission->has_via_url = json_member(call->json, "InvokedViaFunctionUrl") != NULL;
    if (r == 0)
        r = member_bool(&reader, "InvokedViaFunctionUrl", &permission->is_via_url);
    if (r < 0)
        return r;
    if (permission->id.data && !is_word(permission->id))
        validation_add(&reader.validation, permission->id, "statementId",
                       "satisfy regular expression pattern: ([a-zA-Z0-9-_]+)");
    if (permission->action.data && !is_action(permission->action))
        validation_add(&reader.validation, permission->action, "action",
                       "satisfy regular expression pattern: (lambda:[*]|lambda:[a-zA-Z]+|[*])");
    if (permission->source_account.size > 0 && !arn_is_account(permission->source_account))
        validation_add(&reader.validation, permission->source_account, "sourceAccount",
                       "satisfy regular expression pattern: \\d{12}");
    return validation_finish(&reader.validation, AWS_VALIDATION, &call->error);
}

static int append_principal(struct call *call, struct buf *json, struct str principal)
{
    buf_append_text(json, ",\"Principal\":");
    if (str_equal(principal, STR("*")))
        return buf_append_text(json, "\"*\"");
    if (arn_is_account(principal))
        return buf_printf(json, "{\"AWS\":\"arn:aws:iam::" STR_FORMAT ":root\"}",
                          STR_ARGUMENTS(principal));
    bool is_service = str_has_suffix(principal, STR(".amazonaws.com"));
    if (!is_service && !str_has_prefix(principal, STR("arn:aws:iam:")) &&
        !str_has_prefix(principal, STR("arn:aws:sts:")))
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "The provided principal was invalid. Please check the principal and "
                             "try again.");
    buf_printf(json, "{\"%s\":", is_service ? "Service" : "AWS");
    json_append_string(json, principal);
    return buf_append_byte(json, '}');
}

struct condition {
    const char *operator;
    const char *key;
    struct str value;
};

/* AWS groups conditions by operator. */
static void append_conditions(struct buf *json, const struct condition *conditions, size_t n)
{
    const char *open = NULL;
    bool has_any = false;
    for (size_t i = 0; i < n; i++) {
        if (conditions[i].value.size == 0)
            continue;
        bool is_same = open && strcmp(open, conditions[i].operator) == 0;
        if (is_same)
            buf_append_byte(json, ',');
        else
            buf_printf(json, "%s\"%s\":{", open ? "}," : ",\"Condition\":{",
                       conditions[i].operator);
        buf_printf(json, "\"%s\":", conditions[i].key);
        json_append_string(json, conditions[i].value);
        open = conditions[i].operator;
        has_any = true;
    }
    if (has_any)
        buf_append_text(json, "}}");
}

static int append_statement(struct call *call, struct buf *json, const struct function *function,
                            const char *qualifier, const struct permission *permission)
{
    const struct condition conditions[] = {
        {"StringEquals", "lambda:FunctionUrlAuthType", permission->auth_type},
        {"StringEquals", "aws:PrincipalOrgID", permission->org_id},
        {"StringEquals", "AWS:SourceAccount", permission->source_account},
        {"StringEquals", "lambda:EventSourceToken", permission->token},
        {"ArnLike", "AWS:SourceArn", permission->source_arn},
        {"Bool", "lambda:InvokedViaFunctionUrl",
         permission->has_via_url ? (permission->is_via_url ? STR("true") : STR("false")) : STR("")},
    };
    buf_append_text(json, "{\"Sid\":");
    json_append_string(json, permission->id);
    buf_append_text(json, ",\"Effect\":\"Allow\"");
    int r = append_principal(call, json, permission->principal);
    if (r < 0)
        return r;
    buf_append_text(json, ",\"Action\":");
    json_append_string(json, permission->action);
    buf_append_text(json, ",\"Resource\":");
    attach_append_arn(json, function, qualifier);
    append_conditions(json, conditions, ARRAY_SIZE(conditions));
    return buf_append_byte(json, '}');
}

static yyjson_val *statements(const struct attachment *policy)
{
    return policy ? json_member(attachment_root(policy), "Statement") : NULL;
}

static bool has_id(yyjson_val *statement, struct str id)
{
    return str_equal(json_str(json_member(statement, "Sid")), id);
}

/* The statements that are there, but for the one with `except`, as "a,b,c". */
static void append_statements(struct buf *json, const struct attachment *policy, struct str except)
{
    yyjson_arr_iter iter;
    yyjson_val *statement;
    size_t n = 0;
    yyjson_arr_iter_init(statements(policy), &iter);
    while ((statement = yyjson_arr_iter_next(&iter)) != NULL) {
        if (except.data && has_id(statement, except))
            continue;
        char *text = yyjson_val_write(statement, YYJSON_WRITE_NOFLAG, NULL);
        buf_printf(json, "%s%s", n++ ? "," : "", text ? text : "null");
        free(text);
    }
}

static bool has_statement(const struct attachment *policy, struct str id)
{
    yyjson_arr_iter iter;
    yyjson_val *statement;
    yyjson_arr_iter_init(statements(policy), &iter);
    while ((statement = yyjson_arr_iter_next(&iter)) != NULL)
        if (has_id(statement, id))
            return true;
    return false;
}

static int check_revision(struct call *call, const struct attachment *policy, struct str wanted)
{
    struct str now = policy ? json_str(json_member(attachment_root(policy), "RevisionId"))
                            : (struct str){NULL, 0};
    if (!wanted.data || str_equal(wanted, now))
        return 0;
    return aws_error_set(&call->error, AWS_PRECONDITION_FAILED,
                         "The RevisionId provided does not match the latest RevisionId. Call the "
                         "GetFunction/GetAlias/GetPolicy API to retrieve the latest RevisionId");
}

/* A change of the function's own policy is a transition of the function. */
static int touch(struct call *call, const struct function *function, const char *qualifier,
                 struct change_plan *plan)
{
    if (qualifier[0])
        return 0;
    plan->latest = version_copy(function->latest);
    if (!plan->latest)
        return aws_error_set(&call->error, AWS_SERVICE, "No memory");
    version_touch(plan->latest, 0);
    plan->is_serving = version_is_invocable(plan->latest);
    return 0;
}

static void append_end(struct buf *json)
{
    char revision_id[UUID_SIZE];
    buf_printf(json, "],\"RevisionId\":\"%s\"}", uuid_new(revision_id));
}

static int check_room(struct call *call, const struct attachment *policy, struct str id,
                      const struct buf *json)
{
    if (has_statement(policy, id))
        return aws_error_set(&call->error, AWS_RESOURCE_CONFLICT,
                             "The statement id (" STR_FORMAT ") provided already exists. Please "
                             "provide a new statement id, or remove the existing statement.",
                             STR_ARGUMENTS(id));
    if (json->size > POLICY_MAX)
        return aws_error_set(&call->error, AWS_POLICY_LENGTH_EXCEEDED,
                             "The final policy size (%zu) is bigger than the limit (%d).",
                             json->size, POLICY_MAX);
    return 0;
}

void lambda_add_permission(struct call *call)
{
    struct function_name name;
    struct function *function;
    struct permission permission = {0};
    struct change_plan plan = {0};
    struct str revision_id;
    struct buf json = BUF_INIT(ATTACHMENT_JSON_MAX);
    struct buf answer = BUF_INIT(ATTACHMENT_JSON_MAX);
    AUTO_BUF struct buf statement = BUF_INIT(ATTACHMENT_JSON_MAX);
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    int r = attach_find(call, ATTACH_ANY_QUALIFIER, &name, &function);
    if (r == 0)
        r = read_permission(call, &permission);
    if (r == 0)
        r = member_text(&reader, "RevisionId", "revisionId", 0, SIZE_MAX, &revision_id);
    if (r == 0)
        r = append_statement(call, &statement, function, name.qualifier, &permission);
    if (r == 0) {
        const struct attachment *policy =
            function_attachment(function, ATTACHMENT_POLICY, name.qualifier);
        buf_append_text(&json, "{\"Statement\":[");
        append_statements(&json, policy, (struct str){NULL, 0});
        if (yyjson_arr_size(statements(policy)) > 0)
            buf_append_byte(&json, ',');
        buf_append_str(&json, buf_str(&statement));
        append_end(&json);
        r = check_revision(call, policy, revision_id);
        if (r == 0)
            r = check_room(call, policy, permission.id, &json);
    }
    if (r == 0)
        r = attach_make(call, ATTACHMENT_POLICY, name.qualifier, &json, &plan.attach);
    if (r == 0)
        r = touch(call, function, name.qualifier, &plan);
    buf_done(&json);
    if (r < 0) {
        attachment_free(plan.attach);
        call_fail(call);
        return;
    }
    buf_append_text(&answer, "{\"Statement\":");
    json_append_string(&answer, buf_str(&statement));
    buf_append_byte(&answer, '}');
    attach_commit(call, function->name, &plan, 201, &answer, NULL);
}

static int find_policy(struct call *call, struct function_name *ret_name,
                       struct function **ret_function, struct attachment **ret_policy)
{
    int r = attach_find(call, ATTACH_ANY_QUALIFIER, ret_name, ret_function);
    if (r < 0)
        return r;
    *ret_policy = function_attachment(*ret_function, ATTACHMENT_POLICY, ret_name->qualifier);
    return *ret_policy ? 0 : aws_error_set(&call->error, AWS_RESOURCE_NOT_FOUND, NO_POLICY);
}

void lambda_get_policy(struct call *call)
{
    struct function_name name;
    struct function *function;
    struct attachment *policy;
    if (find_policy(call, &name, &function, &policy) < 0) {
        call_fail(call);
        return;
    }
    AUTO_BUF struct buf text = BUF_INIT(ATTACHMENT_JSON_MAX);
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    buf_append_text(&text, "{\"Version\":\"2012-10-17\",\"Id\":\"default\",\"Statement\":[");
    append_statements(&text, policy, (struct str){NULL, 0});
    buf_append_text(&text, "]}");
    buf_append_text(&json, "{\"Policy\":");
    json_append_string(&json, buf_str(&text));
    buf_append_text(&json, ",\"RevisionId\":");
    json_append_string(&json, json_str(json_member(attachment_root(policy), "RevisionId")));
    buf_append_byte(&json, '}');
    call_answer_json(call, 200, &json);
}

/* The last statement takes the policy along. */
static int plan_removal(struct call *call, const struct function_name *name,
                        const struct attachment *policy, struct change_plan *plan)
{
    if (yyjson_arr_size(statements(policy)) <= 1) {
        plan->is_detaching = true;
        plan->detach_kind = ATTACHMENT_POLICY;
        plan->detach_qualifier = name->qualifier;
        return 0;
    }
    struct buf json = BUF_INIT(ATTACHMENT_JSON_MAX);
    buf_append_text(&json, "{\"Statement\":[");
    append_statements(&json, policy, call->labels[1]);
    append_end(&json);
    return attach_make(call, ATTACHMENT_POLICY, name->qualifier, &json, &plan->attach);
}

void lambda_remove_permission(struct call *call)
{
    struct function_name name;
    struct function *function;
    struct attachment *policy;
    struct str revision_id;
    struct change_plan plan = {0};
    int r = attach_find(call, ATTACH_ANY_QUALIFIER, &name, &function);
    if (r == 0) {
        policy = function_attachment(function, ATTACHMENT_POLICY, name.qualifier);
        if (!policy)
            r = aws_error_set(&call->error, AWS_RESOURCE_NOT_FOUND,
                              "No policy is associated with the given resource.");
        else if (!has_statement(policy, call->labels[1]))
            r = aws_error_set(&call->error, AWS_RESOURCE_NOT_FOUND,
                              "Statement " STR_FORMAT " is not found in resource policy.",
                              STR_ARGUMENTS(call->labels[1]));
    }
    if (r == 0)
        r = call_query(call, "RevisionId", &revision_id);
    if (r == 0)
        r = check_revision(call, policy, revision_id);
    if (r == 0)
        r = plan_removal(call, &name, policy, &plan);
    if (r == 0)
        r = touch(call, function, name.qualifier, &plan);
    if (r < 0) {
        attachment_free(plan.attach);
        call_fail(call);
        return;
    }
    attach_commit(call, function->name, &plan, 204, NULL, NULL);
}
