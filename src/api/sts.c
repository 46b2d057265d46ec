/* SPDX-License-Identifier: MIT
 *
 * sts: GetCallerIdentity, the one action of STS that there is (query.h). Functions have their credentials without asking
 * for them, and people have keys that last: there is nothing to assume a role for.
 */

#include "api/call.h"
#include "api/operations.h"
#include "api/query.h"
#include "api/rights.h"

#define RESULT_MAX 4096

static void answer_identity(struct call *call)
{
    struct buf result = BUF_INIT(RESULT_MAX);
    char arn[RIGHTS_ARN_BYTES], user_id[RIGHTS_ARN_BYTES];
    rights_identity(call, arn, user_id);
    query_append_element(&result, "Arn", str_of(arn));
    query_append_element(&result, "UserId", str_of(user_id));
    query_append_element(&result, "Account", str_of(call->api->account));
    query_answer(call, "GetCallerIdentity", &result);
}

void sts(struct call *call)
{
    struct str action;
    if (query_value(call, "Action", &action) < 0)
        call_fail(call);
    else if (str_equal(action, STR("GetCallerIdentity")))
        answer_identity(call);
    else
        call_fail_with(call, AWS_INVALID_ACTION,
                       "GetCallerIdentity is the one action of STS that this service has.");
}
