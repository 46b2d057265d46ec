// SPDX-License-Identifier: MIT
//
// ARNs and function names: every part of what is accepted lies inside the text and keeps its rule.

#include "aws/arn.h"

#include <assert.h>
#include <stdint.h>

static void inside(struct str part, struct str text)
{
    assert(part.size == 0 ||
           (part.data >= text.data && part.data + part.size <= text.data + text.size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *) data, size};
    struct arn arn;
    struct arn_function function;
    struct str account;
    if (arn_parse(text, &arn) == 0) {
        inside(arn.partition, text);
        inside(arn.resource, text);
        assert(arn.partition.size && arn.service.size && arn.resource.size);
    }
    if (arn_parse_function(text, &function) == 0) {
        inside(function.name, text);
        inside(function.qualifier, text);
        assert(arn_is_function_name(function.name));
        assert(function.qualifier.size == 0 || arn_is_qualifier(function.qualifier));
        assert(function.account.size == 0 || arn_is_account(function.account));
        assert(function.region.size == 0 || arn_is_region(function.region));
    }
    if (arn_is_role(text, &account)) {
        inside(account, text);
        assert(arn_is_account(account));
    }
    return 0;
}
