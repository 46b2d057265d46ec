// SPDX-License-Identifier: MIT
//
// Any bytes as a policy: refused or understood; what is understood gives an answer to any question, and
// a policy whose statements all deny allows nothing.

#include "aws/policy.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char resource[] = "arn:aws:lambda:us-east-1:000000000000:function:f";
    struct policy *policy;
    struct error err = {0};
    if (policy_parse(str_of_data(data, size), &policy, &err) < 0)
        return 0;
    enum policy_effect effect =
        policy_evaluate(policy, STR("lambda:InvokeFunction"), str_of(resource));
    if (effect == POLICY_ALLOWS && memmem(data, size, "llow", 4) == NULL &&
        memchr(data, '\\', size) == NULL)
        abort();
    (void) !policy_evaluate(policy, str_of_data(data, size), str_of_data(data, size));
    policy_free(policy);
    return 0;
}
