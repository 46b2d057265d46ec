/* SPDX-License-Identifier: MIT
 *
 * AddLayerVersionPermission, GetLayerVersionPolicy, RemoveLayerVersionPermission: who else may use a layer
 * version. Kept with the version as the array of its statements. This service has one account, whose own
 * keys need no statement, so nothing obeys a policy yet: it is kept and shown.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/layer_name.h"
#include "api/member.h"
#include "api/operations.h"
#include "aws/arn.h"
#include "base/mem.h"

#define STATEMENT_ID_MAX 100
#define POLICY_MAX (20 * 1024)
#define LAYER_ACTION "lambda:GetLayerVersion"

struct grant {
    struct str id;
    struct str action;
    struct str principal;
    struct str organization;
};

/* What the answer of a change needs when it is on the disk. */
struct granting {
    char *statement; /* owned; NULL: of RemoveLayerVersionPermission */
};

static int find(struct call *call, const struct layer_version **ret_version)
{
    struct str name;
    uint64_t number;
    int r = layer_labels(call, &name, &number);
    if (r < 0)
        return r;
    *ret_version = layers_find_version(call->api->config.layers, name, number);
    if (*ret_version)
        return 0;
    return aws_error_set(
        &call->error, AWS_RESOURCE_NOT_FOUND,
        "Layer version arn:aws:lambda:%s:%s:layer:" STR_FORMAT ":%llu does not exist.",
        call->api->region, call->api->account, STR_ARGUMENTS(name), (unsigned long long) number);
}

static bool is_word(struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        bool is_letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (!is_letter && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return text.size > 0;
}

static int read_required(struct member_reader *reader, const char *name, const char *path,
                         size_t most, struct str *text)
{
    int r = member_text(reader, name, path, 1, most, text);
    if (r == 0 && !text->data)
        validation_add_null(&reader->validation, path);
    return r;
}

/* o-a1b2c3d4e5: "o-" and 10 to 32 small letters or digits. */
static bool is_organization(struct str text)
{
    if (!str_has_prefix(text, STR("o-")) || text.size < 12 || text.size > 34)
        return false;
    for (size_t i = 2; i < text.size; i++)
        if (!(text.data[i] >= 'a' && text.data[i] <= 'z') &&
            !(text.data[i] >= '0' && text.data[i] <= '9'))
            return false;
    return true;
}

static bool is_principal(struct str text)
{
    struct str account;
    struct arn arn;
    if (str_equal(text, STR("*")) || arn_is_account(text) || arn_is_role(text, &account))
        return true;
    return arn_parse(text, &arn) == 0 && str_equal(arn.service, STR("iam")) &&
           arn_is_account(arn.account);
}

static int read_grant(struct call *call, struct grant *grant)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    int r = read_required(&reader, "StatementId", "statementId", STATEMENT_ID_MAX, &grant->id);
    if (r == 0)
        r = read_required(&reader, "Action", "action", 256, &grant->action);
    if (r == 0)
        r = read_required(&reader, "Principal", "principal", 256, &grant->principal);
    if (r == 0)
        r = member_text(&reader, "OrganizationId", "organizationId", 0, 34, &grant->organization);
    if (r < 0)
        return r;
    if (grant->id.data && !is_word(grant->id))
        validation_add(&reader.validation, grant->id, "statementId",
                       "satisfy regular expression pattern: ([a-zA-Z0-9-_]+)");
    if (grant->action.data && !str_equal(grant->action, STR(LAYER_ACTION)))
        validation_add(&reader.validation, grant->action, "action",
                       "satisfy regular expression pattern: " LAYER_ACTION);
    if (grant->principal.data && !is_principal(grant->principal))
        validation_add(&reader.validation, grant->principal, "principal",
                       "satisfy regular expression pattern: "
                       "\\d{12}|\\*|arn:(aws[a-zA-Z-]*):iam::\\d{12}:root");
    if (grant->organization.size > 0 && !is_organization(grant->organization))
        validation_add(&reader.validation, grant->organization, "organizationId",
                       "satisfy regular expression pattern: o-[a-z0-9]{10,32}");
    return validation_finish(&reader.validation, AWS_VALIDATION, &call->error);
}

static int check_revision(struct call *call, const struct layer_version *version)
{
    struct str revision;
    int r = call_query(call, "RevisionId", &revision);
    if (r < 0 || !revision.data || str_equal_text(revision, version->revision_id))
        return r;
    return aws_error_set(&call->error, AWS_PRECONDITION_FAILED,
                         "The Revision Id provided does not match the latest Revision Id. Call the "
                         "GetLayerPolicy API to retrieve the latest Revision Id");
}

static void append_statement(struct buf *json, const struct api *api,
                             const struct layer_version *version, const struct grant *grant)
{
    buf_printf(json, "{\"Sid\":\"" STR_FORMAT "\",\"Effect\":\"Allow\",\"Principal\":",
               STR_ARGUMENTS(grant->id));
    if (str_equal(grant->principal, STR("*"))) {
        buf_append_text(json, "\"*\"");
    } else if (arn_is_account(grant->principal)) {
        buf_printf(json, "{\"AWS\":\"arn:aws:iam::" STR_FORMAT ":root\"}",
                   STR_ARGUMENTS(grant->principal));
    } else {
        buf_append_text(json, "{\"AWS\":");
        json_append_string(json, grant->principal);
        buf_append_byte(json, '}');
    }
    buf_append_text(json, ",\"Action\":\"" LAYER_ACTION "\",\"Resource\":\"");
    layer_arn_append(json, api, version->name, version->number);
    buf_append_byte(json, '"');
    if (grant->organization.size > 0)
        buf_printf(json,
                   ",\"Condition\":{\"StringEquals\":{\"aws:PrincipalOrgID\":\"" STR_FORMAT "\"}}",
                   STR_ARGUMENTS(grant->organization));
    buf_append_byte(json, '}');
}

/* Appends the statements but the one with this id, each behind a comma if there is one before. */
static int append_others(struct call *call, struct buf *json, const char *policy_json,
                         struct str id, bool *ret_is_there)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    *ret_is_there = false;
    if (!policy_json)
        return 0;
    if (json_parse(str_of(policy_json), CALL_JSON_MAX, &doc, NULL) < 0)
        return aws_error_set(&call->error, AWS_SERVICE, "The stored policy is damaged");
    yyjson_arr_iter iter;
    yyjson_arr_iter_init(yyjson_doc_get_root(doc), &iter);
    yyjson_val *item;
    while ((item = yyjson_arr_iter_next(&iter)) != NULL) {
        if (str_equal(json_str(json_member(item, "Sid")), id)) {
            *ret_is_there = true;
            continue;
        }
        AUTO_FREE char *text = yyjson_val_write(item, YYJSON_WRITE_NOFLAG, NULL);
        if (!text)
            return aws_error_set(&call->error, AWS_SERVICE, "No memory");
        buf_append_text(json, json->size > 1 ? "," : "");
        buf_append_text(json, text);
    }
    return 0;
}

static void changed(void *arg, const struct layer_version *version, const struct error *err)
{
    struct call *call = arg;
    struct granting *granting = TAKE_PTR(call->work);
    AUTO_FREE char *statement = granting->statement;
    free(granting);
    if (err && err->code == -ESTALE) {
        call_fail_with(call, AWS_RESOURCE_CONFLICT,
                       "The layer version was changed at the same time. Please try again.");
    } else if (err) {
        call_fail_internal(call, "api.layer_policy", err);
    } else if (!statement) {
        call_answer_empty(call, 204);
    } else {
        struct buf json = BUF_INIT(CALL_JSON_MAX);
        buf_append_text(&json, "{\"Statement\":");
        json_append_string(&json, str_of(statement));
        buf_printf(&json, ",\"RevisionId\":\"%s\"}", version ? version->revision_id : "");
        call_answer_json(call, 201, &json);
    }
}

/* `statement` and `policy` are malloc'ed and taken. */
static void commit(struct call *call, const struct layer_version *version, char *statement,
                   const char *policy)
{
    struct error err = {0};
    struct granting *granting = mem_new(struct granting);
    int r = -ENOMEM;
    if (granting) {
        granting->statement = statement;
        call->work = granting;
        r = layers_set_policy(call->api->config.layers, str_of(version->name), version->number,
                              policy, changed, call);
    }
    if (r == 0)
        return;
    call->work = NULL;
    free(granting);
    free(statement);
    (void) error_set_errno(&err, r, "commit a layer's policy");
    call_fail_internal(call, "api.layer_policy", &err);
}

static int add(struct call *call, const struct layer_version *version, const struct grant *grant,
               struct buf *statement, struct buf *policy)
{
    bool is_there;
    append_statement(statement, call->api, version, grant);
    buf_append_byte(policy, '[');
    int r = append_others(call, policy, version->policy_json, grant->id, &is_there);
    if (r < 0)
        return r;
    if (is_there)
        return aws_error_set(&call->error, AWS_RESOURCE_CONFLICT,
                             "The statement id (" STR_FORMAT
                             ") provided already exists. Please provide a new statement id, or "
                             "remove the existing statement.",
                             STR_ARGUMENTS(grant->id));
    buf_append_text(policy, policy->size > 1 ? "," : "");
    buf_append_str(policy, buf_str(statement));
    buf_append_byte(policy, ']');
    if (policy->size > POLICY_MAX)
        return aws_error_set(&call->error, AWS_POLICY_LENGTH_EXCEEDED,
                             "The final policy size (%zu) is bigger than the limit (%d).",
                             policy->size, POLICY_MAX);
    if (buf_status(policy) < 0 || buf_status(statement) < 0)
        return aws_error_set(&call->error, AWS_SERVICE, "No memory");
    return 0;
}

void lambda_add_layer_permission(struct call *call)
{
    AUTO_BUF struct buf statement = BUF_INIT(CALL_JSON_MAX);
    AUTO_BUF struct buf policy = BUF_INIT(CALL_JSON_MAX);
    const struct layer_version *version = NULL;
    struct grant grant = {.organization = {NULL, 0}};
    int r = find(call, &version);
    if (r == 0)
        r = read_grant(call, &grant);
    if (r == 0)
        r = check_revision(call, version);
    if (r == 0)
        r = add(call, version, &grant, &statement, &policy);
    if (r < 0) {
        call_fail(call);
        return;
    }
    commit(call, version, buf_take(&statement, NULL), policy.data);
}

void lambda_get_layer_policy(struct call *call)
{
    const struct layer_version *version = NULL;
    if (find(call, &version) < 0) {
        call_fail(call);
        return;
    }
    if (!version->policy_json) {
        call_fail_with(call, AWS_RESOURCE_NOT_FOUND,
                       "No policy is associated with the given resource.");
        return;
    }
    AUTO_BUF struct buf policy = BUF_INIT(CALL_JSON_MAX);
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    buf_printf(&policy, "{\"Version\":\"2012-10-17\",\"Id\":\"default\",\"Statement\":%s}",
               version->policy_json);
    buf_append_text(&json, "{\"Policy\":");
    json_append_string(&json, buf_str(&policy));
    buf_printf(&json, ",\"RevisionId\":\"%s\"}", version->revision_id);
    call_answer_json(call, 200, &json);
}

void lambda_remove_layer_permission(struct call *call)
{
    AUTO_BUF struct buf policy = BUF_INIT(CALL_JSON_MAX);
    const struct layer_version *version = NULL;
    struct str id = call->labels[2];
    bool is_there = false;
    int r = find(call, &version);
    if (r == 0)
        r = check_revision(call, version);
    buf_append_byte(&policy, '[');
    if (r == 0)
        r = append_others(call, &policy, version->policy_json, id, &is_there);
    if (r == 0 && !is_there)
        r = aws_error_set(&call->error, AWS_RESOURCE_NOT_FOUND,
                          "Statement " STR_FORMAT " is not found in resource policy.",
                          STR_ARGUMENTS(str_part(id, 0, STATEMENT_ID_MAX)));
    bool is_empty = policy.size == 1;
    buf_append_byte(&policy, ']');
    if (r == 0 && buf_status(&policy) < 0)
        r = aws_error_set(&call->error, AWS_SERVICE, "No memory");
    if (r < 0)
        call_fail(call);
    else
        commit(call, version, NULL, is_empty ? NULL : policy.data);
}
