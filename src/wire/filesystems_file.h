// SPDX-License-Identifier: MIT
//
// The file in which an administrator names the file systems that functions may use (docs/filesystems-file.md).
// lamina-spawn reads it, `lamina filesystem` edits it. Pure: text in, table out.

#ifndef LAMINA_WIRE_FILESYSTEMS_FILE_H
#define LAMINA_WIRE_FILESYSTEMS_FILE_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"
#include "wire/filesystem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILESYSTEMS_FILE_DEFAULT "/etc/lamina/filesystems.conf"

enum {
    FILESYSTEMS_FILE_BYTES_MAX = 256 * 1024,
    FILESYSTEMS_LINE_BYTES_MAX = 4096,
    FILESYSTEM_PATH_SIZE = 1024,    // path=, with its NUL
    FILESYSTEM_SOURCE_SIZE = 1024,  // SOURCE of mount=
    FILESYSTEM_OPTIONS_SIZE = 1024, // options of mount=, without the comma before them
    FILESYSTEM_TYPE_SIZE = 32,      // the NAME of fuse.NAME
};

struct filesystem_line {
    char id[SPAWN_FILESYSTEM_ID_SIZE];
    char name[SPAWN_FILESYSTEM_LABEL_SIZE]; // "" when none is given
    uint32_t flags;                         // SPAWN_FILESYSTEM_RO, IMMUTABLE, OWN_IDENTITY, FOREIGN
    uint32_t uid, gid;                      // SPAWN_FILESYSTEM_NO_USER: none
    uint32_t uid_first, uid_last, gid_first, gid_last; // last < first: none
    uint32_t as_uid,
        as_gid; // who the FUSE program runs as; SPAWN_FILESYSTEM_NO_USER: root without capabilities
    char path[FILESYSTEM_PATH_SIZE]; // of path=, else ""
    char type[FILESYSTEM_TYPE_SIZE]; // of mount=fuse.NAME:..., else ""
    char source[FILESYSTEM_SOURCE_SIZE];
    char options[FILESYSTEM_OPTIONS_SIZE];
};

struct access_point_line {
    char id[SPAWN_FILESYSTEM_ID_SIZE], filesystem_id[SPAWN_FILESYSTEM_ID_SIZE];
    char name[SPAWN_FILESYSTEM_LABEL_SIZE];
    char root[SPAWN_FILESYSTEM_ROOT_SIZE]; // without its leading slash
    uint32_t flags;                        // RO
    uint32_t uid, gid;                     // SPAWN_FILESYSTEM_NO_USER: the file system's
};

struct filesystems_file {
    uint32_t filesystem_count, access_point_count;
    struct filesystem_line filesystems[SPAWN_FILESYSTEMS_MAX];
    struct access_point_line access_points[SPAWN_ACCESS_POINTS_MAX];
};

// The whole file. -EINVAL with `line 3: ...`; *ret_file is untouched then. It is large (230 KiB): not for the stack.
int filesystems_file_parse(struct str text, struct filesystems_file *ret_file,
                           struct error *err) MUST_CHECK;

// Opens, checks (owned by root, writable by nobody else, a regular file, not too long) and parses. A file that is not
// there names no file system: 0. -EPERM, -EFBIG, -EINVAL with words that name the file. An absolute path begins at the
// directory `root_fd` (AT_FDCWD: at the root).
int filesystems_file_read(int root_fd, const char *path, struct filesystems_file *ret_file,
                          struct error *err) MUST_CHECK;

// NULL: there is none.
const struct filesystem_line *filesystems_file_find(const struct filesystems_file *file,
                                                    const char *id);

// "fs-" or "fsap-" and 17 hexadecimal digits (lower case).
bool filesystem_id_is_valid(struct str id, const char *prefix);

// Relative, of at most `levels_max` normal components (none is empty, "." or ".."), no control characters. "" is valid.
bool filesystem_path_is_valid(struct str path, size_t levels_max);

// Of what mounts below /mnt: [a-zA-Z0-9_.-]+, not "." or "..".
bool filesystem_name_is_valid(struct str name);

// Whether an access point of this file system may have that user: its own, or one within its ranges; never 0.
bool filesystem_allows_user(const struct filesystem_line *line, uint32_t uid, uint32_t gid);

#endif
