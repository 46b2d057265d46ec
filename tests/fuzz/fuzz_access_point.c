// SPDX-License-Identifier: MIT
//
// Any bytes as an access point's row, a root and an ARN: refused, or what is written and read again as the same. No root
// that is accepted climbs.

#include "filesystem/filesystem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_names(struct str text)
{
    struct filesystem_arn arn;
    if (access_point_check_root(text, NULL) == 0 &&
        (text.size > ACCESS_POINT_ROOT_MAX || memmem(text.data, text.size, "/../", 4) ||
         str_has_suffix(text, STR("/..")) || memchr(text.data, 0, text.size)))
        abort();
    if (filesystem_arn_parse(text, &arn) == 0 && !arn.is_s3_files &&
        !access_point_is_id(arn.access_point))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct access_point *point = access_point_new();
    struct access_point *again = access_point_new();
    struct error err = {0};
    AUTO_BUF struct buf one = BUF_INIT(1 << 20), two = BUF_INIT(1 << 20);
    check_names(str_of_data(data, size));
    if (point && again && access_point_read(str_of_data(data, size), point, &err) == 0 &&
        (access_point_write(point, &one) < 0 || access_point_read(buf_str(&one), again, &err) < 0 ||
         access_point_write(again, &two) < 0 || !str_equal(buf_str(&one), buf_str(&two))))
        abort();
    access_point_free(point);
    access_point_free(again);
    return 0;
}
