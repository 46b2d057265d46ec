// SPDX-License-Identifier: MIT

#include "api/function_filesystem.h"

#include "api/member.h"
#include "api/rights.h"
#include "filesystem/filesystems.h"
#include "role/roles.h"

#include <errno.h>
#include <string.h>

#define ARN_PATTERN                                                                                \
    "arn:aws[a-zA-Z-]*:elasticfilesystem:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:"  \
    "access-point/fsap-[a-f0-9]{17}$|^arn:aws[-a-z]*:s3files:[0-9a-z-:]+:file-system/"             \
    "fs-[0-9a-f]{17,40}/access-point/fsap-[0-9a-f]{17,40}"
#define PATH_PATTERN "^/mnt/[a-zA-Z0-9-_.]+$"

_Static_assert(VERSION_FILESYSTEM_ARN_MAX + 1 == FILESYSTEM_ARN_SIZE, "one limit for ARNs");
_Static_assert(VERSION_FILESYSTEM_PATH_MAX == FILESYSTEM_MOUNT_MAX, "one limit for paths");

// ---- the request's form

static bool is_mount_path(struct str path)
{
    struct str name = str_skip(path, sizeof("/mnt/") - 1);
    if (!str_has_prefix(path, STR("/mnt/")) || name.size == 0)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool is_word = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (!is_word && c != '-' && c != '_' && c != '.')
            return false;
    }
    return true;
}

static int read_members(struct member_reader *reader, struct str *ret_arn, struct str *ret_path)
{
    struct filesystem_arn parts;
    int r = member_text(reader, "Arn", "fileSystemConfigs.1.member.arn", 0,
                        VERSION_FILESYSTEM_ARN_MAX, ret_arn);
    if (r == 0)
        r = member_text(reader, "LocalMountPath", "fileSystemConfigs.1.member.localMountPath", 0,
                        VERSION_FILESYSTEM_PATH_MAX, ret_path);
    if (r < 0)
        return r;
    if (!ret_arn->data)
        validation_add_null(&reader->validation, "fileSystemConfigs.1.member.arn");
    else if (filesystem_arn_parse(*ret_arn, &parts) < 0)
        validation_add(&reader->validation, *ret_arn, "fileSystemConfigs.1.member.arn",
                       "satisfy regular expression pattern: %s", ARN_PATTERN);
    if (!ret_path->data)
        validation_add_null(&reader->validation, "fileSystemConfigs.1.member.localMountPath");
    else if (!is_mount_path(*ret_path))
        validation_add(&reader->validation, *ret_path, "fileSystemConfigs.1.member.localMountPath",
                       "satisfy regular expression pattern: %s", PATH_PATTERN);
    return validation_finish(&reader->validation, AWS_VALIDATION, reader->error);
}

// The one config, or none of an empty list.
static int read_config(struct call *call, yyjson_val *array, struct str *ret_arn,
                       struct str *ret_path)
{
    yyjson_val *config = yyjson_arr_get_first(array);
    *ret_arn = *ret_path = (struct str){NULL, 0};
    if (!config)
        return 0;
    if (yyjson_arr_size(array) > 1)
        return aws_error_set(&call->error, AWS_VALIDATION,
                             "1 validation error detected: Value at 'fileSystemConfigs' failed to "
                             "satisfy constraint: Member must have length less than or equal to 1");
    if (!yyjson_is_obj(config))
        return member_wrong_type(&call->error, config, "an Object");
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(config, &call->error);
    int r = read_members(&reader, ret_arn, ret_path);
    if (r == 0 && (str_equal(*ret_path, STR("/mnt/.")) || str_equal(*ret_path, STR("/mnt/.."))))
        r = aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                          "The local mount path " STR_FORMAT " is not a directory in /mnt.",
                          STR_ARGUMENTS(*ret_path));
    return r;
}

// ---- what it names

static int check_place(struct call *call, const struct filesystem_arn *parts, struct str arn)
{
    if (!str_equal_text(parts->region, call->api->region))
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "The access point " STR_FORMAT " is not in the region of the "
                             "function. Access points are expected to be in region %s.",
                             STR_ARGUMENTS(arn), call->api->region);
    if (!str_equal_text(parts->account, call->api->account))
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "The access point " STR_FORMAT " is not of the function's account %s.",
                             STR_ARGUMENTS(arn), call->api->account);
    return 0;
}

static int find_point(struct call *call, struct str arn, const struct access_point **ret)
{
    const struct filesystems *filesystems = call->api->config.filesystems;
    struct filesystem_arn parts;
    int r = filesystem_arn_parse(arn, &parts);
    if (r == 0)
        r = check_place(call, &parts, arn);
    if (r < 0)
        return r;
    const struct access_point *point = filesystems_find_point(filesystems, parts.access_point);
    if (point && parts.is_s3_files && !str_equal_text(parts.filesystem, point->filesystem_id))
        point = NULL;
    if (!point)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "The access point " STR_FORMAT " does not exist.", STR_ARGUMENTS(arn));
    *ret = point;
    return 0;
}

static int may_give(struct call *call, const struct access_point *point)
{
    const struct filesystems *filesystems = call->api->config.filesystems;
    const struct filesystem *filesystem =
        filesystems_find(filesystems, str_of(point->filesystem_id));
    char arn[FILESYSTEM_ARN_SIZE];
    filesystems_arn(filesystems, point->filesystem_id, arn);
    int r = rights_may(call, "elasticfilesystem:ClientMount", str_of(arn));
    if (r == 0 && !filesystem->is_read_only && !point->is_read_only)
        r = rights_may(call, "elasticfilesystem:ClientWrite", str_of(arn));
    return r;
}

// What the function will be allowed at its starts, said now.
static int check_role(struct call *call, const struct version *draft,
                      const struct access_point *point)
{
    struct filesystem_use use;
    struct error err = {0};
    struct role *role = roles_find(call->api->config.roles, str_of(draft->role));
    bool is_defined = role != NULL;
    role_unref(role);
    if (!is_defined && !rights_are_all(call))
        return may_give(call, point);
    int r = filesystems_resolve(call->api->config.filesystems, draft->role,
                                str_of(draft->filesystem.arn), &use, &err);
    if (r == -EACCES)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "The function's execution role does not have permissions to call "
                             "ClientMount on %s",
                             draft->filesystem.arn);
    if (r < 0)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE, "%s: %s",
                             draft->filesystem.arn, err.text);
    return 0;
}

static int check(struct call *call, const struct version *draft)
{
    const struct access_point *point = NULL;
    int r = find_point(call, str_of(draft->filesystem.arn), &point);
    return r < 0 ? r : check_role(call, draft, point);
}

int function_filesystem_read(struct call *call, struct version *draft)
{
    AUTO_MEMBER_READER struct member_reader reader = MEMBER_READER_INIT(call->json, &call->error);
    struct version_filesystem *filesystem = &draft->filesystem;
    struct str arn;
    struct str path;
    yyjson_val *array;
    int r = member_array(&reader, "FileSystemConfigs", &array);
    if (r == 0 && array)
        r = read_config(call, array, &arn, &path);
    if (r < 0)
        return r;
    if (array && (str_copy(arn, filesystem->arn, sizeof(filesystem->arn)) < 0 ||
                  str_copy(path, filesystem->path, sizeof(filesystem->path)) < 0))
        return aws_error_set(&call->error, AWS_SERIALIZATION, "FileSystemConfigs holds a NUL");
    if (!version_has_filesystem(draft))
        return 0;
    if (draft->has_snap_start)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "FileSystemConfigs is not supported for SnapStart enabled functions.");
    return array || json_member(call->json, "Role") ? check(call, draft) : 0;
}
