// SPDX-License-Identifier: MIT
//
// Any bytes as a role's row: refused, or a role that is written and read again as the same.

#include "role/role.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct role *role, *again;
    struct error err = {0};
    if (role_read(STR("r"), str_of_data(data, size), &role, &err) < 0)
        return 0;
    AUTO_BUF struct buf one = BUF_INIT(1 << 20), two = BUF_INIT(1 << 20);
    if (role_write(role, &one) < 0 || role_read(STR("r"), buf_str(&one), &again, &err) < 0 ||
        role_write(again, &two) < 0 || !str_equal(buf_str(&one), buf_str(&two)) ||
        role->is_for_lambda != again->is_for_lambda)
        abort();
    (void) !role_evaluate(role, STR("s3:GetObject"), STR("arn:aws:s3:::b/k"));
    role_unref(role);
    role_unref(again);
    return 0;
}
