/* SPDX-License-Identifier: MIT
 *
 * CreateAlias, GetAlias, UpdateAlias, DeleteAlias, ListAliases.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/attach.h"
#include "api/concurrency.h"
#include "api/member.h"
#include "api/operations.h"
#include "aws/arn.h"
#include "base/limits.h"
#include "base/uuid.h"

#define NAME_PATTERN "(?!^[0-9]+$)([a-zA-Z0-9-_]+)"
#define VERSION_PATTERN "(\\$LATEST|[0-9]+)"

/* What an alias says, as views: of the request, or of the alias that is being changed. */
struct alias_settings {
    struct str name;
    struct str version;
    struct str description;
    struct str extra; /* data == NULL: no second version */
    double weight;
};

static void append_alias(struct buf *json, const struct function *function,
                         const struct alias_settings *settings, const char *revision_id)
{
    buf_printf(json, "{\"AliasArn\":\"%s:" STR_FORMAT "\",\"Name\":\"" STR_FORMAT "\"",
               function->latest->arn, STR_ARGUMENTS(settings->name), STR_ARGUMENTS(settings->name));
    buf_printf(json, ",\"FunctionVersion\":\"" STR_FORMAT "\",\"Description\":",
               STR_ARGUMENTS(settings->version));
    json_append_string(json, settings->description);
    if (settings->extra.data)
        buf_printf(json,
                   ",\"RoutingConfig\":{\"AdditionalVersionWeights\":{\"" STR_FORMAT "\":%.17g}}",
                   STR_ARGUMENTS(settings->extra), settings->weight);
    buf_printf(json, ",\"RevisionId\":\"%s\"}", revision_id);
}

static int check_version(struct call *call, const struct function *function, struct str version)
{
    uint64_t number;
    struct function_name name = {0};
    if (str_equal(version, STR(VERSION_LATEST)))
        return 0;
    if (version.size > 0 && version.data[0] != '0' &&
        str_to_u64(version, UINT64_MAX, &number) == 0 && function_published(function, number))
        return 0;
    if (str_copy(str_of(function->name), name.name, sizeof(name.name)) < 0 ||
        str_copy(version, name.qualifier, sizeof(name.qualifier)) < 0)
        name.qualifier[0] = '\0';
    return call_no_function(call, &name);
}

static int read_weight(struct call *call, struct member_reader *reader,
                       const struct function *function, yyjson_val *weights,
                       struct alias_settings *settings)
{
    yyjson_obj_iter iter;
    yyjson_obj_iter_init(weights, &iter);
    yyjson_val *key = yyjson_obj_iter_next(&iter);
    yyjson_val *value = yyjson_obj_iter_get_val(key);
    settings->extra = json_str(key);
    if (!yyjson_is_num(value))
        return member_wrong_type(&call->error, value, "a Double");
    settings->weight = yyjson_get_num(value);
    if (settings->weight < 0 || settings->weight > 1)
        validation_add(&reader->validation, settings->extra,
                       "routingConfig.additionalVersionWeights",
                       "satisfy constraint: [Member must have value less than or equal to 1.0, "
                       "Member must have value greater than or equal to 0.0, Member must not be "
                       "null]");
    if (str_equal(settings->version, STR(VERSION_LATEST)) ||
        str_equal(settings->extra, STR(VERSION_LATEST)))
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "$LATEST is not supported for an alias pointing to more than 1 "
                             "version");
    if (str_equal(settings->extra, settings->version))
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Invalid function version " STR_FORMAT ". Function version " STR_FORMAT
                             " is already included in routing configuration.",
                             STR_ARGUMENTS(settings->extra), STR_ARGUMENTS(settings->extra));
    return check_version(call, function, settings->extra);
}

/* {} or an empty map takes the second version away; an absent member leaves it. */
static int read_routing(struct call *call, struct member_reader *reader,
                        const struct function *function, struct alias_settings *settings)
{
    yyjson_val *routing;
    int r = member_object(reader, "RoutingConfig", &routing);
    if (r < 0 || !routing)
        return r;
    yyjson_val *weights = json_member(routing, "AdditionalVersionWeights");
    settings->extra = (struct str){NULL, 0};
    if (weights && !yyjson_is_obj(weights))
        return member_wrong_type(&call->error, weights, "a Map");
    if (!weights || yyjson_obj_size(weights) == 0)
        return 0;
    if (yyjson_obj_size(weights) > 1)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Number of items in AdditionalVersionWeights cannot be greater than "
                             "1");
    return read_weight(call, reader, function, weights, settings);
}

static int read_text(struct member_reader *reader, const char *name, const char *path, size_t most,
                     struct str *text)
{
    struct str given;
    int r = member_text(reader, name, path, 0, most, &given);
    if (r == 0 && given.data)
        *text = given;
    return r;
}

static int read_settings(struct call *call, const struct function *function,
                         struct alias_settings *settings)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    int r = read_text(&reader, "FunctionVersion", "functionVersion", 1024, &settings->version);
    if (r == 0)
        r = read_text(&reader, "Description", "description", LIMIT_DESCRIPTION_MAX,
                      &settings->description);
    if (r < 0)
        return r;
    if (!settings->version.data)
        validation_add_null(&reader.validation, "functionVersion");
    else if (!str_equal(settings->version, STR(VERSION_LATEST)) &&
             !arn_is_version(settings->version))
        validation_add(&reader.validation, settings->version, "functionVersion",
                       "satisfy regular expression pattern: %s", VERSION_PATTERN);
    r = validation_finish(&reader.validation, AWS_VALIDATION, &call->error);
    if (r == 0)
        r = check_version(call, function, settings->version);
    if (r == 0)
        r = read_routing(call, &reader, function, settings);
    if (r == 0)
        r = validation_finish(&reader.validation, AWS_VALIDATION, &call->error);
    return r;
}

static int read_new_name(struct call *call, struct str *ret_name)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    int r = member_text(&reader, "Name", "name", 1, LIMIT_QUALIFIER_MAX, ret_name);
    if (r < 0)
        return r;
    if (!ret_name->data)
        validation_add_null(&reader.validation, "name");
    else if (ret_name->size <= LIMIT_QUALIFIER_MAX && !arn_is_alias(*ret_name))
        validation_add(&reader.validation, *ret_name, "name",
                       "satisfy regular expression pattern: %s", NAME_PATTERN);
    return validation_finish(&reader.validation, AWS_VALIDATION, &call->error);
}

/* The settings of an alias that exists: views into its document. */
static void settings_of(const struct attachment *alias, struct alias_settings *ret_settings)
{
    yyjson_val *root = attachment_root(alias);
    yyjson_val *weights =
        json_member(json_member(root, "RoutingConfig"), "AdditionalVersionWeights");
    yyjson_obj_iter iter;
    *ret_settings = (struct alias_settings){
        .name = str_of(alias->qualifier),
        .version = json_str(json_member(root, "FunctionVersion")),
        .description = json_str(json_member(root, "Description")),
    };
    if (weights && yyjson_obj_size(weights) == 1) {
        yyjson_obj_iter_init(weights, &iter);
        ret_settings->extra = json_str(yyjson_obj_iter_next(&iter));
        ret_settings->weight = alias->route.extra_weight;
    }
}

static void commit_alias(struct call *call, const struct function *function,
                         const struct alias_settings *settings, unsigned status)
{
    char revision_id[UUID_SIZE];
    char name[LIMIT_QUALIFIER_MAX + 1];
    struct buf json = BUF_INIT(ATTACHMENT_JSON_MAX);
    struct buf answer = BUF_INIT(CALL_JSON_MAX);
    struct change_plan plan = {0};
    append_alias(&json, function, settings, uuid_new(revision_id));
    append_alias(&answer, function, settings, revision_id);
    int r = str_copy(settings->name, name, sizeof(name));
    if (r == 0)
        r = attach_make(call, ATTACHMENT_ALIAS, name, &json, &plan.attach);
    if (r < 0) {
        buf_done(&answer);
        call_fail(call);
        return;
    }
    attach_commit(call, function->name, &plan, status, &answer, provisioned_apply);
}

void lambda_create_alias(struct call *call)
{
    struct function_name name;
    struct function *function;
    struct alias_settings settings = {.description = STR("")};
    int r = attach_find(call, ATTACH_IGNORES_QUALIFIER, &name, &function);
    if (r == 0)
        r = read_new_name(call, &settings.name);
    if (r == 0)
        r = read_settings(call, function, &settings);
    if (r == 0) {
        char text[LIMIT_QUALIFIER_MAX + 1];
        (void) snprintf(text, sizeof(text), STR_FORMAT, STR_ARGUMENTS(settings.name));
        if (function_attachment(function, ATTACHMENT_ALIAS, text))
            r = aws_error_set(&call->error, AWS_RESOURCE_CONFLICT, "Alias already exists: %s:%s",
                              function->latest->arn, text);
    }
    if (r < 0)
        call_fail(call);
    else
        commit_alias(call, function, &settings, 201);
}

/* The alias in the path's second label, or 404. */
static int find_alias(struct call *call, struct function **ret_function,
                      struct attachment **ret_alias)
{
    struct function_name name;
    char text[LIMIT_QUALIFIER_MAX + 1];
    int r = attach_find(call, ATTACH_IGNORES_QUALIFIER, &name, ret_function);
    if (r < 0)
        return r;
    *ret_alias = NULL;
    if (str_copy(call->labels[1], text, sizeof(text)) == 0)
        *ret_alias = function_attachment(*ret_function, ATTACHMENT_ALIAS, text);
    if (*ret_alias)
        return 0;
    return aws_error_set(&call->error, AWS_RESOURCE_NOT_FOUND, "Alias not found: %s:" STR_FORMAT,
                         (*ret_function)->latest->arn, STR_ARGUMENTS(call->labels[1]));
}

void lambda_get_alias(struct call *call)
{
    struct function *function;
    struct attachment *alias;
    if (find_alias(call, &function, &alias) < 0) {
        call_fail(call);
        return;
    }
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    buf_append_text(&json, alias->json);
    call_answer_json(call, 200, &json);
}

static int check_revision(struct call *call, const struct attachment *alias)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    struct str wanted;
    int r = member_text(&reader, "RevisionId", "revisionId", 0, SIZE_MAX, &wanted);
    if (r < 0 || !wanted.data)
        return r;
    if (str_equal(wanted, json_str(json_member(attachment_root(alias), "RevisionId"))))
        return 0;
    return aws_error_set(&call->error, AWS_PRECONDITION_FAILED,
                         "The Revision Id provided does not match the latest Revision Id. Call the "
                         "GetFunction/GetAlias API to retrieve the latest Revision Id");
}

void lambda_update_alias(struct call *call)
{
    struct function *function;
    struct attachment *alias;
    struct alias_settings settings;
    int r = find_alias(call, &function, &alias);
    if (r == 0)
        r = check_revision(call, alias);
    if (r == 0) {
        settings_of(alias, &settings);
        r = read_settings(call, function, &settings);
    }
    if (r < 0)
        call_fail(call);
    else
        commit_alias(call, function, &settings, 200);
}

/* Deleting what is not there is fine, as with AWS. */
void lambda_delete_alias(struct call *call)
{
    struct function_name name;
    struct function *function;
    char text[LIMIT_QUALIFIER_MAX + 1];
    int r = attach_find(call, ATTACH_IGNORES_QUALIFIER, &name, &function);
    if (r < 0) {
        call_fail(call);
        return;
    }
    if (str_copy(call->labels[1], text, sizeof(text)) < 0 ||
        !function_attachment(function, ATTACHMENT_ALIAS, text)) {
        call_answer_empty(call, 204);
        return;
    }
    struct change_plan plan = {
        .is_detaching = true, .detach_kind = ATTACHMENT_ALIAS, .detach_qualifier = text};
    attach_commit(call, function->name, &plan, 204, NULL, provisioned_apply);
}

static bool is_wanted(const struct attachment *alias, struct str version)
{
    const struct alias_route *route = &alias->route;
    uint64_t number = 0;
    if (!version.data)
        return true;
    if (!str_equal(version, STR(VERSION_LATEST)) && str_to_u64(version, UINT64_MAX, &number) < 0)
        return false;
    return route->number == number || (number && route->extra_number == number);
}

void lambda_list_aliases(struct call *call)
{
    struct function_name name;
    struct function *function;
    struct str version;
    char marker[LIMIT_QUALIFIER_MAX + 1];
    size_t page;
    size_t n = 0;
    int r = attach_find(call, ATTACH_IGNORES_QUALIFIER, &name, &function);
    if (r == 0)
        r = call_query(call, "FunctionVersion", &version);
    if (r == 0)
        r = call_paging(call, &page, marker, sizeof(marker));
    if (r < 0) {
        call_fail(call);
        return;
    }
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    const char *last = marker;
    const char *more = NULL;
    buf_append_text(&json, "{\"Aliases\":[");
    for (const struct attachment *alias =
             function_attachment_next(function, ATTACHMENT_ALIAS, marker[0] ? marker : NULL);
         alias && !more;
         alias = function_attachment_next(function, ATTACHMENT_ALIAS, alias->qualifier)) {
        if (!is_wanted(alias, version))
            continue;
        if (n == page) {
            more = last;
            break;
        }
        buf_printf(&json, "%s%s", n++ ? "," : "", alias->json);
        last = alias->qualifier;
    }
    buf_append_byte(&json, ']');
    if (more)
        call_append_marker(&json, more);
    buf_append_byte(&json, '}');
    call_answer_json(call, 200, &json);
}
