// SPDX-License-Identifier: MIT
//
// filesystem: file systems that functions may mount, and access points on them: their names and their shape.
//
// A *file system* is a directory of the host, or a mount that the host makes, which an administrator named in the
// root-owned file (docs/filesystems-file.md). laminad knows its id and what the file allows, never its path.
// An *access point* is a way into one: a directory beneath its root, an identity, maybe read-only. The file has
// some; those made by the API (docs/filesystems.md) only narrow what the file allows.
//
// Any thread.

#ifndef LAMINA_FILESYSTEM_FILESYSTEM_H
#define LAMINA_FILESYSTEM_FILESYSTEM_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILESYSTEM_HEX 17     // digits of an id
#define FILESYSTEM_ID_SIZE 24 // "fs-" or "fsap-", digits, NUL
#define FILESYSTEM_NAME_MAX 63
#define FILESYSTEM_ARN_SIZE 200
#define FILESYSTEM_MOUNT_MAX 160 // LocalMountPath: "/mnt/<name>"
#define ACCESS_POINT_ROOT_MAX 100
#define ACCESS_POINT_LEVELS_MAX 4
#define ACCESS_POINT_TOKEN_MAX 64

struct filesystem {
    char id[FILESYSTEM_ID_SIZE];
    char name[FILESYSTEM_NAME_MAX + 1]; // may be empty
    bool is_read_only;
    bool is_immutable; // its files never change once they are there
    int64_t known_ms;  // since when the service knows it
    // It has no uid and gid: the mount's own identity counts (sshfs's login), and access points can have no user.
    bool has_own_identity;
    uint32_t uid, gid; // of access points without a user
    uint32_t uid_first, uid_last, gid_first,
        gid_last; // others that they may have; last < first: none
};

struct access_point {
    char id[FILESYSTEM_ID_SIZE];
    char filesystem_id[FILESYSTEM_ID_SIZE];
    char root[ACCESS_POINT_ROOT_MAX + 1]; // "/", or "/a/b": beneath the file system's root
    bool is_read_only;
    bool has_user; // otherwise the file system's default
    uint32_t uid, gid;
    bool has_creation; // the root is made when it is missing
    uint32_t owner_uid, owner_gid, mode;
    // Of those made by the API.
    char token[ACCESS_POINT_TOKEN_MAX + 1];
    char *tags_json; // owned: text of a JSON object of texts, or NULL
    int64_t created_ms;
    bool is_from_file; // the administrator's: the API cannot change it
    bool is_pending;   // on its way to the disk: nobody sees it yet
    int64_t revision;  // of its row
};

struct access_point *access_point_new(void);        // NULL without memory
void access_point_free(struct access_point *point); // accepts NULL

bool filesystem_is_id(struct str text);   // fs-<17 hex>
bool access_point_is_id(struct str text); // fsap-<17 hex>
// A new id with that prefix ("fs-", "fsap-").
void filesystem_make_id(const char *prefix, char ret_id[FILESYSTEM_ID_SIZE]);

// A root: "/" or up to four components, none of them empty, "." or "..", no control characters; 100 bytes.
// -EINVAL with the reason.
int access_point_check_root(struct str root, struct error *err) MUST_CHECK;

// What FileSystemConfigs names, in either spelling:
//     arn:aws:elasticfilesystem:REGION:ACCOUNT:access-point/fsap-...
//     arn:aws:s3files:REGION:ACCOUNT:file-system/fs-.../access-point/fsap-...
// All views into the text.
struct filesystem_arn {
    struct str region, account;
    struct str access_point;
    struct str filesystem; // of S3 Files; empty
    bool is_s3_files;
};
// -EINVAL: none of the two.
int filesystem_arn_parse(struct str text, struct filesystem_arn *ret_arn) MUST_CHECK;

// The registry's form of an access point, and back: -EBADMSG with the member's name. The id is the row's key.
int access_point_write(const struct access_point *point, struct buf *row) MUST_CHECK;
int access_point_read(struct str row, struct access_point *point, struct error *err) MUST_CHECK;

#endif
