// SPDX-License-Identifier: MIT
//
// Any bytes as the XML of CompleteMultipartUpload, Delete and CreateBucketConfiguration: refused,
// or values within their limits.

#include "api/s3_bodies.h"

#include <errno.h>
#include <stdlib.h>

#define MAX 50

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_code(int r)
{
    if (r != 0 && r != -EINVAL && r != -ENOMEM)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct s3_named_part parts[MAX];
    static struct objects_deletion items[MAX];
    AUTO_ARENA struct arena arena;
    struct str body = str_of_data(data, size), text;
    size_t count = 0;
    bool is_quiet;
    arena_init(&arena, 1 << 20);
    int r = s3_body_complete(body, &arena, parts, MAX, &count);
    check_code(r);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (!parts[i].etag.data || parts[i].number > INT32_MAX || parts[i].etag.size > size)
            abort();
    r = s3_body_delete(body, &arena, items, MAX, &count, &is_quiet);
    check_code(r);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (items[i].key.size == 0 || items[i].key.size > OBJECTS_KEY_MAX ||
            items[i].name.size >= OBJECTS_VERSION_SIZE)
            abort();
    check_code(
        s3_body_single(body, &arena, "CreateBucketConfiguration", "LocationConstraint", &text));
    return 0;
}
