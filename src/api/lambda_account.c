/* SPDX-License-Identifier: MIT
 *
 * GetAccountSettings, and GetFunctionCodeSigningConfig, which Terraform asks for at every read.
 */

#include "api/attach.h"
#include "api/concurrency.h"
#include "api/operations.h"
#include "base/limits.h"
#include "function/layer.h"

uint64_t concurrency_reserved(const struct api *api, const struct function *except)
{
    const struct catalog *catalog = api->config.catalog;
    uint64_t total = 0;
    for (const struct function *function = catalog_next(catalog, NULL); function;
         function = catalog_next(catalog, function->name)) {
        const struct attachment *reserved = function_attachment(function, ATTACHMENT_RESERVED, "");
        if (reserved && function != except)
            total += reserved->number;
    }
    return total;
}

static void add_code(void *arg, const struct version *version)
{
    uint64_t *total = arg;
    *total += version->code.zip_bytes;
}

static void add_layer(void *arg, const struct layer_version *version)
{
    uint64_t *total = arg;
    *total += version->zip_bytes;
}

void lambda_account_settings(struct call *call)
{
    const struct api *api = call->api;
    uint64_t total = 0;
    uint64_t reserved = concurrency_reserved(api, NULL);
    uint64_t account = api->config.concurrency;
    struct buf json = BUF_INIT(4096);
    catalog_each_version(api->config.catalog, add_code, &total);
    layers_each_version(api->config.layers, add_layer, &total);
    buf_printf(&json,
               "{\"AccountLimit\":{\"TotalCodeSize\":%lld,\"CodeSizeUnzipped\":%lld,"
               "\"CodeSizeZipped\":%lld,\"ConcurrentExecutions\":%llu,"
               "\"UnreservedConcurrentExecutions\":%llu},\"AccountUsage\":{\"TotalCodeSize\":%llu,"
               "\"FunctionCount\":%zu}}",
               (long long) LIMIT_GIB(300), (long long) LIMIT_ZIP_UNPACKED_MAX,
               (long long) LIMIT_ZIP_DIRECT_MAX, (unsigned long long) account,
               (unsigned long long) (account > reserved ? account - reserved : 0),
               (unsigned long long) total, catalog_count(api->config.catalog));
    call_answer_json(call, 200, &json);
}

void lambda_get_code_signing(struct call *call)
{
    struct function_name name;
    struct function *function;
    if (attach_find(call, ATTACH_IGNORES_QUALIFIER, &name, &function) < 0) {
        call_fail(call);
        return;
    }
    struct buf json = BUF_INIT(1024);
    buf_append_text(&json, "{}");
    call_answer_json(call, 200, &json);
}
