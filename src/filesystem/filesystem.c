// SPDX-License-Identifier: MIT

#include "filesystem/filesystem.h"

#include "aws/arn.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FS_PREFIX STR("fs-")
#define POINT_PREFIX STR("fsap-")

struct access_point *access_point_new(void)
{
    return mem_new(struct access_point);
}

void access_point_free(struct access_point *point)
{
    if (!point)
        return;
    free(point->tags_json);
    free(point);
}

// ---- ids

static bool is_hex(struct str text, size_t size_max)
{
    for (size_t i = 0; i < text.size; i++)
        if (!(text.data[i] >= '0' && text.data[i] <= '9') &&
            !(text.data[i] >= 'a' && text.data[i] <= 'f'))
            return false;
    return text.size >= FILESYSTEM_HEX && text.size <= size_max;
}

static bool is_id(struct str text, struct str prefix)
{
    return str_has_prefix(text, prefix) && is_hex(str_skip(text, prefix.size), FILESYSTEM_HEX);
}

bool filesystem_is_id(struct str text)
{
    return is_id(text, FS_PREFIX);
}

bool access_point_is_id(struct str text)
{
    return is_id(text, POINT_PREFIX);
}

void filesystem_make_id(const char *prefix, char ret_id[FILESYSTEM_ID_SIZE])
{
    unsigned char bytes[(FILESYSTEM_HEX + 1) / 2];
    char hex[sizeof(bytes) * 2 + 1];
    mem_random(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        (void) snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    (void) snprintf(ret_id, FILESYSTEM_ID_SIZE, "%s%.*s", prefix, FILESYSTEM_HEX, hex);
}

// ---- roots

static int check_component(struct str part, struct error *err)
{
    if (part.size == 0)
        return error_set(err, -EINVAL, "an empty name");
    if (str_equal(part, STR(".")) || str_equal(part, STR("..")))
        return error_set(err, -EINVAL, "'" STR_FORMAT "'", STR_ARGUMENTS(part));
    for (size_t i = 0; i < part.size; i++)
        if ((unsigned char) part.data[i] < ' ' || part.data[i] == 0x7f ||
            strchr("$#<>;`|&?{}^*\\", part.data[i]))
            return error_set(err, -EINVAL, "a character that is not allowed in it");
    return 0;
}

int access_point_check_root(struct str root, struct error *err)
{
    struct str part;
    size_t levels = 0;
    if (root.size == 0 || root.data[0] != '/')
        return error_set(err, -EINVAL, "it does not begin with '/'");
    if (root.size > ACCESS_POINT_ROOT_MAX)
        return error_set(err, -EINVAL, "it is longer than %d bytes", ACCESS_POINT_ROOT_MAX);
    if (root.size == 1)
        return 0;
    root = str_skip(root, 1);
    for (bool is_more = true; is_more; levels++) {
        is_more = str_cut(root, '/', &part, &root);
        int r = check_component(part, err);
        if (r < 0)
            return r;
    }
    if (levels > ACCESS_POINT_LEVELS_MAX)
        return error_set(err, -EINVAL, "it has more than %d levels", ACCESS_POINT_LEVELS_MAX);
    return 0;
}

// ---- ARNs

// Takes "prefix" and a hex id off the front; an S3 Files id may be longer.
static bool take_id(struct str *text, struct str kind, struct str prefix, size_t hex_max,
                    struct str *ret_id)
{
    struct str id;
    if (!str_has_prefix(*text, kind))
        return false;
    (void) str_cut(str_skip(*text, kind.size), '/', &id, text);
    *ret_id = id;
    return str_has_prefix(id, prefix) && is_hex(str_skip(id, prefix.size), hex_max);
}

int filesystem_arn_parse(struct str text, struct filesystem_arn *ret_arn)
{
    struct arn arn;
    struct str point;
    struct str system = {NULL, 0};
    if (text.size >= FILESYSTEM_ARN_SIZE || arn_parse(text, &arn) < 0 ||
        !str_has_prefix(arn.partition, STR("aws")) || !arn_is_account(arn.account) ||
        arn.region.size == 0)
        return -EINVAL;
    bool is_s3_files = str_equal(arn.service, STR("s3files"));
    size_t hex_max = is_s3_files ? 40 : FILESYSTEM_HEX;
    if (!is_s3_files && !str_equal(arn.service, STR("elasticfilesystem")))
        return -EINVAL;
    if (is_s3_files && !take_id(&arn.resource, STR("file-system/"), FS_PREFIX, hex_max, &system))
        return -EINVAL;
    if (str_has_suffix(arn.resource, STR("/")) ||
        !take_id(&arn.resource, STR("access-point/"), POINT_PREFIX, hex_max, &point) ||
        arn.resource.size > 0)
        return -EINVAL;
    *ret_arn = (struct filesystem_arn){arn.region, arn.account, point, system, is_s3_files};
    return 0;
}
