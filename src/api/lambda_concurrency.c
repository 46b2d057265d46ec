/* SPDX-License-Identifier: MIT
 *
 * PutFunctionConcurrency, GetFunctionConcurrency, DeleteFunctionConcurrency: reserved concurrency.
 */

#include "api/attach.h"
#include "api/concurrency.h"
#include "api/member.h"
#include "api/operations.h"
#include "function/scheduler.h"

/* What must stay for the functions that reserve nothing. */
#define UNRESERVED_MIN 100

void concurrency_apply(struct api *api, const char *name)
{
    const struct function *function = catalog_function(api->config.catalog, name);
    const struct attachment *reserved =
        function ? function_attachment(function, ATTACHMENT_RESERVED, "") : NULL;
    scheduler_set_reserved(api->config.scheduler, str_of(name),
                           reserved ? (int64_t) reserved->number : -1);
}

void concurrency_apply_all(struct api *api)
{
    const struct catalog *catalog = api->config.catalog;
    for (const struct function *function = catalog_next(catalog, NULL); function;
         function = catalog_next(catalog, function->name))
        if (function_attachment(function, ATTACHMENT_RESERVED, ""))
            concurrency_apply(api, function->name);
}

static int read_reserved(struct call *call, uint32_t *ret_number)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    int r = member_number(&reader, "ReservedConcurrentExecutions", "reservedConcurrentExecutions",
                          0, INT32_MAX, ret_number);
    if (r == 0 && !json_member(call->json, "ReservedConcurrentExecutions"))
        validation_add_null(&reader.validation, "reservedConcurrentExecutions");
    return r < 0 ? r : validation_finish(&reader.validation, AWS_VALIDATION, &call->error);
}

static int check_unreserved(struct call *call, const struct function *function, uint32_t number)
{
    uint64_t account = call->api->config.concurrency;
    uint64_t provisioned = provisioned_total(function, NULL);
    if (number < provisioned)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "ReservedConcurrentExecutions %u should not be lower than function's "
                             "total provisioned concurrency [%llu].",
                             number, (unsigned long long) provisioned);
    uint64_t minimum = account > UNRESERVED_MIN ? UNRESERVED_MIN : 0;
    if (concurrency_reserved(call->api, function) + number + minimum <= account)
        return 0;
    return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                         "Specified ReservedConcurrentExecutions for function decreases account's "
                         "UnreservedConcurrentExecution below its minimum value of [%llu].",
                         (unsigned long long) minimum);
}

void lambda_put_concurrency(struct call *call)
{
    struct function_name name;
    struct function *function;
    struct change_plan plan = {0};
    struct buf json = BUF_INIT(1024);
    struct buf answer = BUF_INIT(1024);
    uint32_t number = 0;
    int r = attach_find(call, ATTACH_IGNORES_QUALIFIER, &name, &function);
    if (r == 0)
        r = read_reserved(call, &number);
    if (r == 0)
        r = check_unreserved(call, function, number);
    if (r == 0) {
        buf_printf(&json, "{\"ReservedConcurrentExecutions\":%u}", number);
        buf_append_str(&answer, buf_str(&json));
        r = attach_make(call, ATTACHMENT_RESERVED, "", &json, &plan.attach);
    }
    if (r < 0) {
        buf_done(&answer);
        call_fail(call);
        return;
    }
    attach_commit(call, function->name, &plan, 200, &answer, concurrency_apply);
}

void lambda_get_concurrency(struct call *call)
{
    struct function_name name;
    struct function *function;
    if (attach_find(call, ATTACH_IGNORES_QUALIFIER, &name, &function) < 0) {
        call_fail(call);
        return;
    }
    const struct attachment *reserved = function_attachment(function, ATTACHMENT_RESERVED, "");
    struct buf json = BUF_INIT(1024);
    buf_append_text(&json, reserved ? reserved->json : "{}");
    call_answer_json(call, 200, &json);
}

void lambda_delete_concurrency(struct call *call)
{
    struct function_name name;
    struct function *function;
    if (attach_find(call, ATTACH_IGNORES_QUALIFIER, &name, &function) < 0) {
        call_fail(call);
        return;
    }
    struct change_plan plan = {
        .is_detaching = true, .detach_kind = ATTACHMENT_RESERVED, .detach_qualifier = ""};
    attach_commit(call, function->name, &plan, 204, NULL, concurrency_apply);
}
