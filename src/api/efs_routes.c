// SPDX-License-Identifier: MIT
//
// EFS's operations. Source: AWS's service model (botocore 1.29's elasticfilesystem, 2015-02-01).

#include "api/efs.h"
#include "api/route.h"

#define ROOT "/2015-02-01/"

// A table reads by its rows.
// clang-format off
const struct route efs_routes[] = {
    {HTTP_METHOD_GET, ROOT "access-points", NULL, "DescribeAccessPoints", ROUTE_BODY_NONE, NULL, efs_describe_access_points, false},
    {HTTP_METHOD_POST, ROOT "access-points", NULL, "CreateAccessPoint", ROUTE_BODY_JSON, NULL, efs_create_access_point, false},
    {HTTP_METHOD_DELETE, ROOT "access-points/{AccessPointId}", NULL, "DeleteAccessPoint", ROUTE_BODY_NONE, NULL, efs_delete_access_point, false},
    {HTTP_METHOD_GET, ROOT "file-systems", NULL, "DescribeFileSystems", ROUTE_BODY_NONE, NULL, efs_describe_file_systems, false},
    {HTTP_METHOD_GET, ROOT "mount-targets", NULL, "DescribeMountTargets", ROUTE_BODY_NONE, NULL, efs_describe_mount_targets, false},
    {HTTP_METHOD_GET, ROOT "mount-targets/{MountTargetId}/security-groups", NULL, "DescribeMountTargetSecurityGroups", ROUTE_BODY_NONE, NULL, efs_describe_security_groups, false},
    {HTTP_METHOD_GET, ROOT "file-systems/{FileSystemId}/lifecycle-configuration", NULL, "DescribeLifecycleConfiguration", ROUTE_BODY_NONE, NULL, efs_describe_lifecycle, false},
    {HTTP_METHOD_GET, ROOT "file-systems/{FileSystemId}/backup-policy", NULL, "DescribeBackupPolicy", ROUTE_BODY_NONE, NULL, efs_describe_backup_policy, false},
    {HTTP_METHOD_GET, ROOT "file-systems/{FileSystemId}/policy", NULL, "DescribeFileSystemPolicy", ROUTE_BODY_NONE, NULL, efs_describe_policy, false},
    {HTTP_METHOD_GET, ROOT "file-systems/replication-configurations", NULL, "DescribeReplicationConfigurations", ROUTE_BODY_NONE, NULL, efs_describe_replications, false},
    {HTTP_METHOD_GET, ROOT "account-preferences", NULL, "DescribeAccountPreferences", ROUTE_BODY_NONE, NULL, efs_describe_account_preferences, false},
    {HTTP_METHOD_GET, ROOT "resource-tags/{ResourceId}", NULL, "ListTagsForResource", ROUTE_BODY_NONE, NULL, efs_list_tags, false},
    {HTTP_METHOD_POST, ROOT "resource-tags/{ResourceId}", NULL, "TagResource", ROUTE_BODY_JSON, NULL, efs_tag, false},
    {HTTP_METHOD_DELETE, ROOT "resource-tags/{ResourceId}", NULL, "UntagResource", ROUTE_BODY_NONE, NULL, efs_untag, false},
    {HTTP_METHOD_GET, ROOT "tags/{FileSystemId}", NULL, "DescribeTags", ROUTE_BODY_NONE, NULL, efs_describe_tags, false},
    // What is the administrator's, on the machine: refused in words.
    {HTTP_METHOD_POST, ROOT "file-systems", NULL, "CreateFileSystem", ROUTE_BODY_JSON, NULL, efs_refuse_file_system, false},
    {HTTP_METHOD_PUT, ROOT "file-systems/{FileSystemId}", NULL, "UpdateFileSystem", ROUTE_BODY_JSON, NULL, efs_refuse_setting, false},
    {HTTP_METHOD_DELETE, ROOT "file-systems/{FileSystemId}", NULL, "DeleteFileSystem", ROUTE_BODY_NONE, NULL, efs_refuse_file_system, false},
    {HTTP_METHOD_POST, ROOT "mount-targets", NULL, "CreateMountTarget", ROUTE_BODY_JSON, NULL, efs_refuse_mount_target, false},
    {HTTP_METHOD_DELETE, ROOT "mount-targets/{MountTargetId}", NULL, "DeleteMountTarget", ROUTE_BODY_NONE, NULL, efs_refuse_mount_target, false},
    {HTTP_METHOD_PUT, ROOT "mount-targets/{MountTargetId}/security-groups", NULL, "ModifyMountTargetSecurityGroups", ROUTE_BODY_JSON, NULL, efs_refuse_mount_target, false},
    {HTTP_METHOD_PUT, ROOT "file-systems/{FileSystemId}/lifecycle-configuration", NULL, "PutLifecycleConfiguration", ROUTE_BODY_JSON, NULL, efs_refuse_setting, false},
    {HTTP_METHOD_PUT, ROOT "file-systems/{FileSystemId}/backup-policy", NULL, "PutBackupPolicy", ROUTE_BODY_JSON, NULL, efs_refuse_setting, false},
    {HTTP_METHOD_PUT, ROOT "file-systems/{FileSystemId}/policy", NULL, "PutFileSystemPolicy", ROUTE_BODY_JSON, NULL, efs_refuse_setting, false},
    {HTTP_METHOD_DELETE, ROOT "file-systems/{FileSystemId}/policy", NULL, "DeleteFileSystemPolicy", ROUTE_BODY_NONE, NULL, efs_refuse_setting, false},
    {HTTP_METHOD_POST, ROOT "file-systems/{FileSystemId}/replication-configuration", NULL, "CreateReplicationConfiguration", ROUTE_BODY_JSON, NULL, efs_refuse_setting, false},
    {HTTP_METHOD_DELETE, ROOT "file-systems/{FileSystemId}/replication-configuration", NULL, "DeleteReplicationConfiguration", ROUTE_BODY_NONE, NULL, efs_refuse_setting, false},
    {HTTP_METHOD_PUT, ROOT "account-preferences", NULL, "PutAccountPreferences", ROUTE_BODY_JSON, NULL, efs_refuse_setting, false},
    {HTTP_METHOD_POST, ROOT "create-tags/{FileSystemId}", NULL, "CreateTags", ROUTE_BODY_JSON, NULL, efs_refuse_setting, false},
    {HTTP_METHOD_POST, ROOT "delete-tags/{FileSystemId}", NULL, "DeleteTags", ROUTE_BODY_JSON, NULL, efs_refuse_setting, false},
    {HTTP_METHOD_OTHER, NULL, NULL, NULL, ROUTE_BODY_NONE, NULL, NULL, false},
};
