// SPDX-License-Identifier: MIT
//
// File systems and their mount targets: what there is. Making and changing them is the administrator's, on the
// machine: no key opens a directory of it over the network.

#include "api/efs.h"

#include <errno.h>
#include <string.h>

static void fail(struct call *call)
{
    efs_fail(call, NULL);
}

static void answer_text(struct call *call, const char *text)
{
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    buf_append_text(&json, text);
    call_answer_json(call, 200, &json);
}

// ---- described

static void append_next(struct buf *json, const char *name, const char *last)
{
    if (last)
        buf_printf(json, ",\"%s\":\"%s\"", name, last);
}

static void list_file_systems(struct call *call, size_t size, const char *after)
{
    const struct filesystems *filesystems = call->api->config.filesystems;
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    const struct filesystem *each = filesystems_next(filesystems, after);
    const char *last = NULL;
    buf_append_text(&json, "{\"FileSystems\":[");
    for (size_t n = 0; each && n < size; n++) {
        if (n > 0)
            buf_append_byte(&json, ',');
        efs_append_filesystem(&json, call, each);
        last = each->id;
        each = filesystems_next(filesystems, last);
    }
    buf_append_byte(&json, ']');
    append_next(&json, "NextMarker", each ? last : NULL);
    buf_append_byte(&json, '}');
    call_answer_json(call, 200, &json);
}

static void show_file_system(struct call *call, const struct filesystem *filesystem)
{
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    buf_append_text(&json, "{\"FileSystems\":[");
    if (filesystem)
        efs_append_filesystem(&json, call, filesystem);
    buf_append_text(&json, "]}");
    call_answer_json(call, 200, &json);
}

void efs_describe_file_systems(struct call *call)
{
    const struct filesystem *filesystem = NULL;
    char after[FILESYSTEM_ID_SIZE];
    struct str id;
    struct str token;
    size_t size = 0;
    int r = call_query(call, "FileSystemId", &id);
    if (r == 0)
        r = call_query(call, "CreationToken", &token);
    if (r == 0)
        r = efs_paging(call, "MaxItems", "Marker", &size, after);
    if (r == 0 && id.size > 0 && token.size > 0)
        r = aws_error_set(&call->error, AWS_EFS_BAD_REQUEST,
                          "FileSystemId and CreationToken cannot be given together.");
    if (r == 0 && id.size > 0)
        r = efs_find(call, id, &filesystem);
    if (r < 0)
        fail(call);
    else if (token.size > 0)
        show_file_system(call, filesystems_find(call->api->config.filesystems, token));
    else if (id.size > 0)
        show_file_system(call, filesystem);
    else
        list_file_systems(call, size, after);
}

// A mount target's digits are its file system's.
static int find_by_target(struct call *call, struct str target, const struct filesystem **ret)
{
    char id[FILESYSTEM_ID_SIZE] = "fs-";
    *ret = NULL;
    if (str_has_prefix(target, STR("fsmt-")) &&
        str_copy(str_skip(target, 5), id + 3, sizeof(id) - 3) == 0)
        *ret = filesystems_find(call->api->config.filesystems, str_of(id));
    return *ret ? 0
                : aws_error_set(&call->error, AWS_EFS_MOUNT_TARGET_NOT_FOUND,
                                "Mount target '" STR_FORMAT "' does not exist.",
                                STR_ARGUMENTS(str_part(target, 0, 128)));
}

static int find_of_target(struct call *call, const struct filesystem **ret)
{
    const struct access_point *point = NULL;
    struct str system, target, access;
    int r = call_query(call, "FileSystemId", &system);
    if (r == 0)
        r = call_query(call, "MountTargetId", &target);
    if (r == 0)
        r = call_query(call, "AccessPointId", &access);
    if (r < 0)
        return r;
    if ((system.size > 0) + (target.size > 0) + (access.size > 0) != 1)
        return aws_error_set(&call->error, AWS_EFS_BAD_REQUEST,
                             "One of FileSystemId, MountTargetId and AccessPointId must be given.");
    if (system.size > 0)
        return efs_find(call, system, ret);
    if (target.size > 0)
        return find_by_target(call, target, ret);
    r = efs_find_point(call, access, &point);
    if (r == 0)
        *ret = filesystems_find(call->api->config.filesystems, str_of(point->filesystem_id));
    return r;
}

void efs_describe_mount_targets(struct call *call)
{
    const struct filesystem *filesystem = NULL;
    struct buf json = BUF_INIT(CALL_JSON_MAX);
    if (find_of_target(call, &filesystem) < 0) {
        fail(call);
        return;
    }
    buf_append_text(&json, "{\"MountTargets\":[");
    efs_append_mount_target(&json, call, filesystem);
    buf_append_text(&json, "]}");
    call_answer_json(call, 200, &json);
}

void efs_describe_security_groups(struct call *call)
{
    const struct filesystem *filesystem = NULL;
    if (find_by_target(call, call->labels[0], &filesystem) < 0)
        fail(call);
    else
        answer_text(call, "{\"SecurityGroups\":[]}");
}

// ---- what there is none of

// Of the label's file system; its error is set if there is none.
static bool is_there(struct call *call)
{
    const struct filesystem *filesystem = NULL;
    if (efs_find(call, call->labels[0], &filesystem) == 0)
        return true;
    fail(call);
    return false;
}

void efs_describe_lifecycle(struct call *call)
{
    if (is_there(call))
        answer_text(call, "{\"LifecyclePolicies\":[]}");
}

void efs_describe_backup_policy(struct call *call)
{
    if (is_there(call))
        answer_text(call, "{\"BackupPolicy\":{\"Status\":\"DISABLED\"}}");
}

void efs_describe_policy(struct call *call)
{
    if (!is_there(call))
        return;
    (void) aws_error_set(&call->error, AWS_EFS_POLICY_NOT_FOUND,
                         "File system '" STR_FORMAT "' has no policy of its own.",
                         STR_ARGUMENTS(str_part(call->labels[0], 0, 128)));
    fail(call);
}

void efs_describe_replications(struct call *call)
{
    struct str id;
    if (call_query(call, "FileSystemId", &id) < 0) {
        fail(call);
    } else if (id.size == 0) {
        answer_text(call, "{\"Replications\":[]}");
    } else {
        (void) aws_error_set(&call->error, AWS_EFS_REPLICATION_NOT_FOUND,
                             "There is no replication of '" STR_FORMAT "'.",
                             STR_ARGUMENTS(str_part(id, 0, 128)));
        fail(call);
    }
}

void efs_describe_account_preferences(struct call *call)
{
    answer_text(call, "{\"ResourceIdPreference\":{\"ResourceIdType\":\"LONG_ID\",\"Resources\":["
                      "\"FILE_SYSTEM\",\"MOUNT_TARGET\"]}}");
}

// ---- refused

void efs_refuse_file_system(struct call *call)
{
    (void) aws_error_set(&call->error, AWS_EFS_BAD_REQUEST,
                         "File systems of this service are directories and mounts of its machine; "
                         "its administrator makes and deletes them there, as root: lamina "
                         "filesystem create --path DIR.");
    fail(call);
}

void efs_refuse_mount_target(struct call *call)
{
    bool is_creation = strcmp(call->route->operation, "CreateMountTarget") == 0;
    (void) aws_error_set(&call->error,
                         is_creation ? AWS_EFS_MOUNT_TARGET_CONFLICT : AWS_EFS_BAD_REQUEST,
                         "Each file system of this service has one mount target, which is always "
                         "there: functions need no network to reach it.");
    fail(call);
}

void efs_refuse_setting(struct call *call)
{
    (void) aws_error_set(&call->error, AWS_EFS_BAD_REQUEST,
                         "%s is not available in this service: what a file system is, its "
                         "administrator says on the machine (lamina filesystem).",
                         call->route->operation);
    fail(call);
}
