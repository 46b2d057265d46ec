/* SPDX-License-Identifier: MIT
 *
 * PUT /lamina/v1/packages/SHA256: a package of any size, ahead of the CreateFunction or UpdateFunctionCode
 * that names it as LaminaPackage. One that nobody names within a day is removed.
 */

#include <stdlib.h>

#include "api/call.h"
#include "api/operations.h"
#include "base/mem.h"
#include "store/store.h"

struct putting {
    struct call *call;
    struct store *store;
    struct store_file *file; /* taken by store_package_put */
    struct digest digest;
    uint64_t bytes;
    int result;
    struct error err;
};

static void put(void *arg)
{
    struct putting *putting = arg;
    putting->result = store_package_put(putting->store, TAKE_PTR(putting->file), &putting->err);
}

static void answer(struct call *call, const struct putting *putting)
{
    char hex[DIGEST_HEX_SIZE];
    struct buf json = BUF_INIT(1024);
    buf_printf(&json, "{\"LaminaPackage\":\"%s\",\"Bytes\":%llu}",
               digest_hex(&putting->digest, hex), (unsigned long long) putting->bytes);
    call_answer_json(call, 201, &json);
}

static void put_done(void *arg, int status)
{
    AUTO_FREE struct putting *putting = arg;
    struct call *call = putting->call;
    if (status < 0) {
        store_file_free(putting->file);
        call_fail_with(call, AWS_SERVICE_UNAVAILABLE, "The service is ending");
    } else if (putting->result < 0) {
        call_fail_internal(call, "api.package", &putting->err);
    } else {
        answer(call, putting);
    }
}

void lamina_package(struct call *call)
{
    struct putting *putting = mem_new(struct putting);
    if (!putting) {
        call_fail_with(call, AWS_SERVICE, "No memory");
        return;
    }
    putting->call = call;
    putting->store = call->api->config.store;
    putting->file = call->zip;
    putting->digest = store_file_digest(call->zip);
    putting->bytes = store_file_bytes(call->zip);
    if (job_submit(call->api->jobs, put, put_done, putting) < 0) {
        free(putting);
        (void) aws_error_set_reason(&call->error, AWS_TOO_MANY_REQUESTS, "CallerRateLimitExceeded",
                                    "Rate Exceeded.");
        call_fail(call);
        return;
    }
    call->zip = NULL; /* the job's now */
}
