/* SPDX-License-Identifier: MIT
 *
 * PutProvisionedConcurrencyConfig, GetProvisionedConcurrencyConfig, DeleteProvisionedConcurrencyConfig,
 * ListProvisionedConcurrencyConfigs: instances of a version or an alias that are started ahead and kept. What there
 * is of them is the scheduler's to say; an alias that moves takes its number along.
 */

#include <string.h>

#include "api/attach.h"
#include "api/concurrency.h"
#include "api/member.h"
#include "api/mount_error.h"
#include "api/operations.h"
#include "base/clock.h"
#include "function/scheduler.h"

/* The version that an attachment's qualifier leads to, or NULL. */
static struct version *target(const struct function *function, const char *qualifier)
{
    const struct attachment *alias = function_attachment(function, ATTACHMENT_ALIAS, qualifier);
    uint64_t number = 0;
    if (alias)
        return alias->route.number ? function_published(function, alias->route.number) : NULL;
    if (str_to_u64(str_of(qualifier), UINT64_MAX, &number) < 0)
        return NULL;
    return function_published(function, number);
}

static uint32_t wanted(const struct function *function, const struct version *version)
{
    uint32_t number = 0;
    for (const struct attachment *each =
             function_attachment_next(function, ATTACHMENT_PROVISIONED, NULL);
         each; each = function_attachment_next(function, ATTACHMENT_PROVISIONED, each->qualifier))
        if (target(function, each->qualifier) == version)
            number += each->number;
    return number;
}

void provisioned_apply(struct api *api, const char *name)
{
    struct scheduler *scheduler = api->config.scheduler;
    const struct function *function = catalog_function(api->config.catalog, name);
    for (size_t i = 0; function && i < function->n_published; i++) {
        struct scheduler_provisioned now = {0};
        uint32_t number = wanted(function, function->published[i]);
        scheduler_provisioned(scheduler, function->published[i], &now);
        if (now.requested != number)
            scheduler_set_provisioned(scheduler, function->published[i], number);
    }
}

void provisioned_apply_all(struct api *api)
{
    const struct catalog *catalog = api->config.catalog;
    for (const struct function *function = catalog_next(catalog, NULL); function;
         function = catalog_next(catalog, function->name))
        if (function_attachment_next(function, ATTACHMENT_PROVISIONED, NULL))
            provisioned_apply(api, function->name);
}

uint64_t provisioned_total(const struct function *function, const char *except)
{
    uint64_t total = 0;
    for (const struct attachment *each =
             function_attachment_next(function, ATTACHMENT_PROVISIONED, NULL);
         each; each = function_attachment_next(function, ATTACHMENT_PROVISIONED, each->qualifier))
        if (!except || strcmp(each->qualifier, except) != 0)
            total += each->number;
    return total;
}

static int find(struct call *call, struct function_name *ret_name, struct function **ret_function)
{
    struct str qualifier;
    int r = call_query(call, "Qualifier", &qualifier);
    if (r == 0 && !qualifier.data) {
        AUTO_VALIDATION struct validation validation = VALIDATION_INIT;
        validation_add_null(&validation, "qualifier");
        r = validation_finish(&validation, AWS_VALIDATION, &call->error);
    }
    return r < 0 ? r : attach_find(call, ATTACH_PUBLISHED, ret_name, ret_function);
}

/* `failure` (may be NULL): why `ready` will not grow. */
static void append_counts(struct buf *json, uint32_t requested, uint32_t ready, const char *failure,
                          struct str modified)
{
    const char *status = "IN_PROGRESS";
    if (ready >= requested)
        status = "READY";
    else if (failure)
        status = "FAILED";
    buf_printf(json,
               "\"RequestedProvisionedConcurrentExecutions\":%u,"
               "\"AvailableProvisionedConcurrentExecutions\":%u,"
               "\"AllocatedProvisionedConcurrentExecutions\":%u,\"Status\":\"%s\"",
               requested, ready, ready, status);
    if (ready < requested && failure)
        buf_printf(json, ",\"StatusReason\":\"%s\"", failure);
    buf_append_text(json, ",\"LastModified\":");
    json_append_string(json, modified);
}

static const char *failure_of(const struct scheduler_provisioned *now)
{
    if (!now->has_failed)
        return NULL;
    return now->mount_failure ? mount_error_reason(now->mount_failure)
                              : "FUNCTION_ERROR_INIT_FAILURE";
}

/* Of a version that two configurations lead to, each has its part of what is ready. */
static void append_config(struct call *call, struct buf *json, const struct attachment *config)
{
    struct scheduler_provisioned now = {0};
    const struct version *version = target(config->function, config->qualifier);
    if (version)
        scheduler_provisioned(call->api->config.scheduler, version, &now);
    uint32_t ready = now.ready < config->number ? now.ready : config->number;
    append_counts(json, config->number, ready, failure_of(&now),
                  json_str(json_member(attachment_root(config), "LastModified")));
}

static void append_listed(struct call *call, struct buf *json, const struct attachment *config)
{
    buf_append_text(json, "{\"FunctionArn\":");
    attach_append_arn(json, config->function, config->qualifier);
    buf_append_byte(json, ',');
    append_config(call, json, config);
    buf_append_byte(json, '}');
}

static int read_number(struct call *call, uint32_t *ret_number)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    int r = member_number(&reader, "ProvisionedConcurrentExecutions",
                          "provisionedConcurrentExecutions", 1, INT32_MAX, ret_number);
    if (r == 0 && !json_member(call->json, "ProvisionedConcurrentExecutions"))
        validation_add_null(&reader.validation, "provisionedConcurrentExecutions");
    return r < 0 ? r : validation_finish(&reader.validation, AWS_VALIDATION, &call->error);
}

static int check_room(struct call *call, const struct function *function, const char *qualifier,
                      uint32_t number)
{
    const struct attachment *reserved = function_attachment(function, ATTACHMENT_RESERVED, "");
    uint64_t total = provisioned_total(function, qualifier) + number;
    uint64_t account = call->api->config.concurrency;
    uint64_t taken = concurrency_reserved(call->api, NULL);
    if (reserved && total > reserved->number)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Requested Provisioned Concurrency should not be greater than the "
                             "reservedConcurrentExecution for function");
    if (!reserved && total + taken > account)
        return aws_error_set(
            &call->error, AWS_INVALID_PARAMETER_VALUE,
            "Specified ConcurrentExecutions for function is greater than account's "
            "unreserved concurrency [%llu].",
            (unsigned long long) (account > taken ? account - taken : 0));
    return 0;
}

/* An alias and the version it leads to cannot both have one. */
static int check_pair(struct call *call, const struct function *function, const char *qualifier)
{
    const struct version *version = target(function, qualifier);
    bool is_alias = function_attachment(function, ATTACHMENT_ALIAS, qualifier) != NULL;
    if (!version)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Provisioned Concurrency Configs cannot be applied to unpublished "
                             "function versions.");
    if (version_is_snap_start(version))
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Provisioned Concurrency is not supported for SnapStart enabled "
                             "functions.");
    for (const struct attachment *each =
             function_attachment_next(function, ATTACHMENT_PROVISIONED, NULL);
         each; each = function_attachment_next(function, ATTACHMENT_PROVISIONED, each->qualifier)) {
        if (strcmp(each->qualifier, qualifier) == 0 || target(function, each->qualifier) != version)
            continue;
        return aws_error_set(&call->error, AWS_RESOURCE_CONFLICT, "%s",
                             is_alias ? "Alias can't be used for Provisioned Concurrency "
                                        "configuration on an already Provisioned version"
                                      : "Version is pointed by a Provisioned Concurrency alias");
    }
    return 0;
}

void lambda_put_provisioned(struct call *call)
{
    struct function_name name;
    struct function *function;
    struct change_plan plan = {0};
    struct buf json = BUF_INIT(1024);
    struct buf answer = BUF_INIT(4096);
    char now[CLOCK_TEXT_MAX];
    uint32_t number = 0;
    int r = find(call, &name, &function);
    if (r == 0)
        r = read_number(call, &number);
    if (r == 0)
        r = check_pair(call, function, name.qualifier);
    if (r == 0)
        r = check_room(call, function, name.qualifier, number);
    if (r == 0) {
        (void) clock_iso_lambda(clock_wall_ms(), now);
        buf_printf(&json, "{\"ProvisionedConcurrentExecutions\":%u,\"LastModified\":\"%s\"}",
                   number, now);
        buf_append_byte(&answer, '{');
        append_counts(&answer, number, 0, NULL, str_of(now));
        buf_append_byte(&answer, '}');
        r = attach_make(call, ATTACHMENT_PROVISIONED, name.qualifier, &json, &plan.attach);
    }
    if (r < 0) {
        buf_done(&answer);
        call_fail(call);
        return;
    }
    attach_commit(call, function->name, &plan, 202, &answer, provisioned_apply);
}

void lambda_get_provisioned(struct call *call)
{
    struct function_name name;
    struct function *function;
    const struct attachment *config = NULL;
    int r = find(call, &name, &function);
    if (r == 0) {
        config = function_attachment(function, ATTACHMENT_PROVISIONED, name.qualifier);
        if (!config)
            r = aws_error_set(&call->error, AWS_PROVISIONED_CONCURRENCY_CONFIG_NOT_FOUND,
                              "No Provisioned Concurrency Config found for this function");
    }
    if (r < 0) {
        call_fail(call);
        return;
    }
    struct buf json = BUF_INIT(4096);
    buf_append_byte(&json, '{');
    append_config(call, &json, config);
    buf_append_byte(&json, '}');
    call_answer_json(call, 200, &json);
}

void lambda_delete_provisioned(struct call *call)
{
    struct function_name name;
    struct function *function;
    if (find(call, &name, &function) < 0) {
        call_fail(call);
        return;
    }
    struct change_plan plan = {.is_detaching = true,
                               .detach_kind = ATTACHMENT_PROVISIONED,
                               .detach_qualifier = name.qualifier};
    attach_commit(call, function->name, &plan, 204, NULL, provisioned_apply);
}

void lambda_list_provisioned(struct call *call)
{
    attach_list(call, ATTACHMENT_PROVISIONED, "ProvisionedConcurrencyConfigs", append_listed);
}
