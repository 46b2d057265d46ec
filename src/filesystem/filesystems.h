// SPDX-License-Identifier: MIT
//
// filesystems: which file systems and access points there are, and what a function gets of one. The front door of
// this folder.
//
//     lamina-spawn -- one message a line of its file --> filesystems_begin, _add..., _end --> the table
//     api/efs_*    -- filesystems_create, _delete, _tag --> registry (kind "access-point") --> the table
//     a start, a fetch -- filesystems_resolve(role, ARN) --> struct filesystem_use
//
// The table has the administrator's file systems and access points (they come at the start and after each SIGHUP) and
// the API's access points (rows of the registry). Those of a file system that is not in the file any more are kept and
// not shown; they are there again when it is.
//
// What a function gets is decided at each start, so that a right that was taken away counts from then on:
//   - its access point and the file system must be there, and the identity one that the file allows
//   - a role that somebody defined must allow elasticfilesystem:ClientMount on the file system's or the access point's
//     ARN; without elasticfilesystem:ClientWrite the mount is read-only. A role that nobody defined may use the file
//     system that its function names (role/roles.h: default rights)
//
// Loop thread only; filesystems_new before the loop runs.
// Limits: FILESYSTEMS_MAX, ACCESS_POINTS_MAX in all, ACCESS_POINTS_OF_ONE_MAX by the API on one file system.

#ifndef LAMINA_FILESYSTEM_FILESYSTEMS_H
#define LAMINA_FILESYSTEM_FILESYSTEMS_H

#include "filesystem/filesystem.h"
#include "wire/filesystem.h"

#define FILESYSTEMS_MAX 1000
#define ACCESS_POINTS_MAX 20000
#define ACCESS_POINTS_OF_ONE_MAX 1000

struct filesystems;
struct registry;
struct roles;

// `registry` and `roles` are borrowed. -EBADMSG with the row that cannot be read.
int filesystems_new(struct registry *registry, struct roles *roles, const char *region,
                    const char *account, struct filesystems **ret, struct error *err) MUST_CHECK;
void filesystems_free(struct filesystems *filesystems); // accepts NULL; no change may be under way

// ---- the administrator's file, anew

// What was there is used until `end`; what is wrong or too many is logged and left out. `_end` says how many changed,
// appeared or went.
void filesystems_begin(struct filesystems *filesystems);
void filesystems_add(struct filesystems *filesystems, const struct filesystem *filesystem);
void filesystems_add_point(struct filesystems *filesystems, const struct access_point *point);
void filesystems_end(struct filesystems *filesystems);
// True from the first `end` on: until then nobody knows what there is.
bool filesystems_are_known(const struct filesystems *filesystems);

// ---- looking; all borrowed until the next turn of the loop. NULL: none.

const struct filesystem *filesystems_find(const struct filesystems *filesystems, struct str id);
// Only points whose file system is there.
const struct access_point *filesystems_find_point(const struct filesystems *filesystems,
                                                  struct str id);
const struct access_point *filesystems_point_of_token(const struct filesystems *filesystems,
                                                      struct str token);
// In the order of ids, for paging: the first greater than `after` ("": of all). `filesystem_id` may be "": of all.
const struct filesystem *filesystems_next(const struct filesystems *filesystems, const char *after);
const struct access_point *filesystems_next_point(const struct filesystems *filesystems,
                                                  const char *filesystem_id, const char *after);

// The ARNs, as EFS writes them.
void filesystems_arn(const struct filesystems *filesystems, const char *filesystem_id,
                     char ret_arn[FILESYSTEM_ARN_SIZE]);
void filesystems_point_arn(const struct filesystems *filesystems, const char *point_id,
                           char ret_arn[FILESYSTEM_ARN_SIZE]);

// May the file system's points have this identity? Never 0.
bool filesystem_may_have_user(const struct filesystem *filesystem, uint32_t uid, uint32_t gid);

// ---- what a function gets

struct filesystem_use {
    char filesystem_id[FILESYSTEM_ID_SIZE];
    char root[ACCESS_POINT_ROOT_MAX + 1]; // as access_point's
    bool is_read_only;
    bool is_immutable;
    bool is_s3_files; // which of AWS's errors tells of trouble
    bool has_user;    // otherwise the file system's
    uint32_t uid, gid;
    bool has_creation; // the root may be made
    uint32_t owner_uid, owner_gid, mode;
};

// For a function with that role, of the ARN in its FileSystemConfigs. -ENOENT: no such access point (any more);
// -EPERM: an identity that the file does not allow; -EACCES: the role does not allow it. `err` is for people.
int filesystems_resolve(const struct filesystems *filesystems, const char *role, struct str arn,
                        struct filesystem_use *ret, struct error *err) MUST_CHECK;

// As lamina-spawn is asked for it, at /mnt/<name>; "": of a file in it.
void filesystem_use_to_wire(const struct filesystem_use *use, const char *name,
                            struct spawn_filesystem_use *ret);

// ---- access points by the API

// What was done, once it is on the disk; `point` is borrowed, NULL after a deletion or a failure.
typedef void (*filesystems_done)(void *arg, const struct access_point *point,
                                 const struct error *err);

// Each: 0, and one call of `done` later, never from inside; or an error and no call.
// create: gives the draft its id and takes it in any case. -ENOSPC: too many; -ENOMEM, -EAGAIN.
// delete: -ENOENT (also while its creation is under way), -EROFS: the administrator's.
// tag:    the tags as they will be, text of a JSON object, NULL: none; copied. As delete.
int filesystems_create(struct filesystems *filesystems, struct access_point *draft,
                       filesystems_done done, void *arg) MUST_CHECK;
int filesystems_delete(struct filesystems *filesystems, struct str id, filesystems_done done,
                       void *arg) MUST_CHECK;
int filesystems_tag(struct filesystems *filesystems, struct str id, const char *tags_json,
                    filesystems_done done, void *arg) MUST_CHECK;

#endif
