// SPDX-License-Identifier: MIT
//
// efs: the part of EFS's API (2015-02-01, REST JSON, signed for `elasticfilesystem`) that there is for file systems
// which an administrator named (docs/filesystems.md).
//
//   efs_file_system.c   file systems and mount targets: described; made and deleted on the machine only
//   efs_access_point.c  access points: made, described, deleted; they narrow what the file allows
//   efs_tags.c          tags of access points
//   efs_shape.c         how all of them look
//
// Errors have EFS's names and body: {"ErrorCode":...,"Message":...}. Functions' credentials never get here.
// Loop thread. Private to src/api.

#ifndef LAMINA_API_EFS_H
#define LAMINA_API_EFS_H

#include "api/call.h"
#include "filesystem/filesystems.h"

// Ids in EFS's API may be ARNs of this region and account. 0 and a view of the bare id; otherwise the error is set.
int efs_filesystem_id(struct call *call, struct str text, struct str *ret_id) MUST_CHECK;
int efs_point_id(struct call *call, struct str text, struct str *ret_id) MUST_CHECK;
// The same, found: FileSystemNotFound, AccessPointNotFound.
int efs_find(struct call *call, struct str text, const struct filesystem **ret) MUST_CHECK;
int efs_find_point(struct call *call, struct str text, const struct access_point **ret) MUST_CHECK;

// What the request is done to, for rights: the ARN of the file system or access point that it names, else "*".
void efs_name_resource(struct call *call, struct buf *arn);

// A page of 1 to 100 and the id to go on behind; `size_name` is MaxItems or MaxResults, `after_name` Marker or NextToken.
#define EFS_PAGE_MAX 100
int efs_paging(struct call *call, const char *size_name, const char *after_name, size_t *ret_size,
               char after[FILESYSTEM_ID_SIZE]) MUST_CHECK;

// Tags of a request, [{"Key","Value"}, ...], as text of one JSON object; NULL: there are none. malloc'ed.
int efs_read_tags(struct call *call, yyjson_val *list, char **ret_json) MUST_CHECK;
void efs_append_tags(struct buf *json, const char *tags_json); // ,"Tags":[...]

void efs_append_filesystem(struct buf *json, const struct call *call,
                           const struct filesystem *filesystem);
void efs_append_point(struct buf *json, const struct call *call, const struct access_point *point);
void efs_append_mount_target(struct buf *json, const struct call *call,
                             const struct filesystem *filesystem);

// Ends the call with its error, in EFS's form. `existing_id` (may be NULL) is AccessPointId of AccessPointAlreadyExists.
void efs_fail(struct call *call, const char *existing_id);
// What a change of the registry returned; the error is set.
int efs_not_done(struct call *call, int code, struct str id);

// Operations; see efs_routes.c.
void efs_create_access_point(struct call *call);
void efs_delete_access_point(struct call *call);
void efs_describe_access_points(struct call *call);
void efs_describe_file_systems(struct call *call);
void efs_describe_mount_targets(struct call *call);
void efs_describe_lifecycle(struct call *call);
void efs_describe_backup_policy(struct call *call);
void efs_describe_policy(struct call *call);
void efs_describe_replications(struct call *call);
void efs_describe_security_groups(struct call *call);
void efs_describe_account_preferences(struct call *call);
void efs_list_tags(struct call *call);
void efs_describe_tags(struct call *call);
void efs_tag(struct call *call);
void efs_untag(struct call *call);
void efs_refuse_file_system(struct call *call);
void efs_refuse_mount_target(struct call *call);
void efs_refuse_setting(struct call *call);

extern const struct route efs_routes[];

#endif
