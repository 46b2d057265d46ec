/* SPDX-License-Identifier: MIT
 *
 * PutFunctionEventInvokeConfig, UpdateFunctionEventInvokeConfig, GetFunctionEventInvokeConfig,
 * DeleteFunctionEventInvokeConfig, ListFunctionEventInvokeConfigs: how asynchronous calls are tried again,
 * how long they are kept, and which functions hear of their end.
 */

#include <string.h>

#include "api/attach.h"
#include "api/function_role.h"
#include "api/member.h"
#include "api/operations.h"
#include "api/rights.h"
#include "aws/arn.h"
#include "base/clock.h"

#define RETRIES_MAX 2
#define AGE_S_MIN 60
#define AGE_S_MAX 21600
#define DESTINATION_MAX 350

struct event_settings {
    int64_t retries;       /* -1: not said */
    int64_t age_s;         /* -1: not said */
    struct str on_success; /* data == NULL: not said; "" takes it away */
    struct str on_failure;
    bool is_any; /* the request says something */
};

static int read_number(struct member_reader *reader, const char *name, const char *path,
                       int64_t minimum, int64_t maximum, int64_t *value)
{
    uint32_t number = 0;
    if (!json_member(reader->object, name))
        return 0;
    int r = member_number(reader, name, path, minimum, maximum, &number);
    if (r == 0)
        *value = number;
    return r;
}

/* The service calls a destination for the function: so who names one must have the right to, and the function's
 * role as well. */
static int check_destination(struct call *call, const struct function *from, struct str arn)
{
    struct arn_function function;
    if (arn.size == 0)
        return 0;
    if (str_has_prefix(arn, STR("arn:")) && arn_parse_function(arn, &function) == 0 &&
        str_equal_text(function.account, call->api->account) &&
        str_equal_text(function.region, call->api->region)) {
        int r = rights_check_invoke(call, function.name, function.qualifier);
        return r < 0 ? r : function_role_check_destination(call, from->latest, arn);
    }
    return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                         "The destination ARN " STR_FORMAT
                         " is invalid: in this service it must be "
                         "the ARN of one of its functions.",
                         STR_ARGUMENTS(arn));
}

/* DestinationConfig.<side>.Destination */
static int read_destination(struct call *call, const struct function *from, yyjson_val *config,
                            const char *side, const char *path, struct str *destination)
{
    struct member_reader inner = MEMBER_READER_INIT(json_member(config, side), &call->error);
    struct str given;
    if (!inner.object)
        return 0;
    int r = member_text(&inner, "Destination", path, 0, DESTINATION_MAX, &given);
    if (r == 0)
        r = validation_finish(&inner.validation, AWS_VALIDATION, &call->error);
    validation_done(&inner.validation);
    *destination = given.data ? given : STR("");
    return r < 0 ? r : check_destination(call, from, *destination);
}

static int read_request(struct call *call, const struct function *from,
                        struct event_settings *settings)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    yyjson_val *config;
    settings->is_any = json_member(call->json, "MaximumRetryAttempts") ||
                       json_member(call->json, "MaximumEventAgeInSeconds") ||
                       json_member(call->json, "DestinationConfig");
    int r = read_number(&reader, "MaximumRetryAttempts", "maximumRetryAttempts", 0, RETRIES_MAX,
                        &settings->retries);
    if (r == 0)
        r = read_number(&reader, "MaximumEventAgeInSeconds", "maximumEventAgeInSeconds", AGE_S_MIN,
                        AGE_S_MAX, &settings->age_s);
    if (r == 0)
        r = validation_finish(&reader.validation, AWS_VALIDATION, &call->error);
    if (r == 0)
        r = member_object(&reader, "DestinationConfig", &config);
    if (r == 0)
        r = read_destination(call, from, config, "OnSuccess",
                             "destinationConfig.onSuccess.destination", &settings->on_success);
    if (r == 0)
        r = read_destination(call, from, config, "OnFailure",
                             "destinationConfig.onFailure.destination", &settings->on_failure);
    if (r == 0 && !settings->is_any)
        r = aws_error_set(
            &call->error, AWS_INVALID_PARAMETER_VALUE,
            "You must specify at least one of error handling or destination setting.");
    return r;
}

static void settings_of(const struct attachment *config, struct event_settings *settings)
{
    yyjson_val *root = attachment_root(config);
    struct str text;
    (void) !json_member_i64(root, "MaximumRetryAttempts", 0, RETRIES_MAX, &settings->retries);
    (void) !json_member_i64(root, "MaximumEventAgeInSeconds", AGE_S_MIN, AGE_S_MAX,
                            &settings->age_s); /* absent ones stay "not said" */
    if (json_member_str(root, "OnSuccess", &text) == 0)
        settings->on_success = text;
    if (json_member_str(root, "OnFailure", &text) == 0)
        settings->on_failure = text;
}

/* The stored form: the members that catalog_event_invoke reads, and when it was written. */
static void append_stored(struct buf *json, const struct event_settings *settings, int64_t now_ms)
{
    buf_printf(json, "{\"ModifiedMs\":%lld", (long long) now_ms);
    if (settings->retries >= 0)
        buf_printf(json, ",\"MaximumRetryAttempts\":%lld", (long long) settings->retries);
    if (settings->age_s >= 0)
        buf_printf(json, ",\"MaximumEventAgeInSeconds\":%lld", (long long) settings->age_s);
    if (settings->on_success.size > 0) {
        buf_append_text(json, ",\"OnSuccess\":");
        json_append_string(json, settings->on_success);
    }
    if (settings->on_failure.size > 0) {
        buf_append_text(json, ",\"OnFailure\":");
        json_append_string(json, settings->on_failure);
    }
    buf_append_byte(json, '}');
}

static void append_side(struct buf *json, const char *side, struct str destination)
{
    buf_printf(json, "\"%s\":{", side);
    if (destination.size > 0) {
        buf_append_text(json, "\"Destination\":");
        json_append_string(json, destination);
    }
    buf_append_byte(json, '}');
}

/* AWS's shape; the ARN is always qualified. */
static void append_shown(struct buf *json, const struct function *function, const char *qualifier,
                         const struct event_settings *settings, int64_t modified_ms)
{
    buf_printf(json,
               "{\"LastModified\":%lld.%03d,\"FunctionArn\":", (long long) (modified_ms / 1000),
               (int) (modified_ms % 1000));
    attach_append_arn(json, function, qualifier[0] ? qualifier : VERSION_LATEST);
    if (settings->retries >= 0)
        buf_printf(json, ",\"MaximumRetryAttempts\":%lld", (long long) settings->retries);
    if (settings->age_s >= 0)
        buf_printf(json, ",\"MaximumEventAgeInSeconds\":%lld", (long long) settings->age_s);
    buf_append_text(json, ",\"DestinationConfig\":{");
    append_side(json, "OnSuccess", settings->on_success);
    buf_append_byte(json, ',');
    append_side(json, "OnFailure", settings->on_failure);
    buf_append_text(json, "}}");
}

static void append_attachment(struct buf *json, const struct function *function,
                              const struct attachment *config)
{
    struct event_settings settings = {.retries = -1, .age_s = -1};
    int64_t modified_ms = 0;
    settings_of(config, &settings);
    (void) !json_member_i64(attachment_root(config), "ModifiedMs", 0, INT64_MAX, &modified_ms);
    append_shown(json, function, config->qualifier, &settings, modified_ms);
}

static int no_config(struct call *call, const struct function *function, const char *qualifier)
{
    return aws_error_set(&call->error, AWS_RESOURCE_NOT_FOUND,
                         "The function %s:%s doesn't have an EventInvokeConfig",
                         function->latest->arn, qualifier[0] ? qualifier : VERSION_LATEST);
}

/* PUT replaces what was there, POST changes the members that it names. */
static void write_config(struct call *call, bool is_merging)
{
    struct function_name name;
    struct function *function;
    struct event_settings settings = {.retries = -1, .age_s = -1};
    struct change_plan plan = {0};
    struct buf json = BUF_INIT(ATTACHMENT_JSON_MAX);
    struct buf answer = BUF_INIT(ATTACHMENT_JSON_MAX);
    int64_t now_ms = clock_wall_ms();
    int r = attach_find(call, ATTACH_ANY_QUALIFIER, &name, &function);
    if (r == 0 && is_merging) {
        const struct attachment *old =
            function_attachment(function, ATTACHMENT_EVENT_INVOKE, name.qualifier);
        if (old)
            settings_of(old, &settings);
        else
            r = no_config(call, function, name.qualifier);
    }
    if (r == 0)
        r = read_request(call, function, &settings);
    if (r == 0) {
        append_stored(&json, &settings, now_ms);
        append_shown(&answer, function, name.qualifier, &settings, now_ms);
        r = attach_make(call, ATTACHMENT_EVENT_INVOKE, name.qualifier, &json, &plan.attach);
    }
    if (r < 0) {
        buf_done(&answer);
        call_fail(call);
        return;
    }
    attach_commit(call, function->name, &plan, 200, &answer, NULL);
}

void lambda_put_event_invoke(struct call *call)
{
    write_config(call, false);
}

void lambda_update_event_invoke(struct call *call)
{
    write_config(call, true);
}

static int find_config(struct call *call, struct function **ret_function,
                       struct function_name *ret_name, const struct attachment **ret_config)
{
    int r = attach_find(call, ATTACH_ANY_QUALIFIER, ret_name, ret_function);
    if (r < 0)
        return r;
    *ret_config = function_attachment(*ret_function, ATTACHMENT_EVENT_INVOKE, ret_name->qualifier);
    return *ret_config ? 0 : no_config(call, *ret_function, ret_name->qualifier);
}

void lambda_get_event_invoke(struct call *call)
{
    struct function_name name;
    struct function *function;
    const struct attachment *config;
    if (find_config(call, &function, &name, &config) < 0) {
        call_fail(call);
        return;
    }
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    append_attachment(&json, function, config);
    call_answer_json(call, 200, &json);
}

void lambda_delete_event_invoke(struct call *call)
{
    struct function_name name;
    struct function *function;
    const struct attachment *config;
    if (find_config(call, &function, &name, &config) < 0) {
        call_fail(call);
        return;
    }
    struct change_plan plan = {.is_detaching = true,
                               .detach_kind = ATTACHMENT_EVENT_INVOKE,
                               .detach_qualifier = name.qualifier};
    attach_commit(call, function->name, &plan, 204, NULL, NULL);
}

static void append_invoke(struct call *call, struct buf *json, const struct attachment *config)
{
    append_attachment(json, config->function, config);
}

void lambda_list_event_invoke(struct call *call)
{
    attach_list(call, ATTACHMENT_EVENT_INVOKE, "FunctionEventInvokeConfigs", append_invoke);
}
