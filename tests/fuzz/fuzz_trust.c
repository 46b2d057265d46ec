// SPDX-License-Identifier: MIT
//
// Any bytes as an assume-role policy: refused or understood; Lambda may assume only what names it (or everybody).

#include "role/trust.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool is_for_lambda = false;
    struct error err = {0};
    if (trust_parse(str_of_data(data, size), &is_for_lambda, &err) < 0)
        return 0;
    bool is_escaped = memchr(data, '\\', size) != NULL;
    if (is_for_lambda && !is_escaped && !memmem(data, size, "lambda.amazonaws.com", 20) &&
        !memmem(data, size, "\"*\"", 3))
        abort();
    return 0;
}
