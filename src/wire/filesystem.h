// SPDX-License-Identifier: MIT
//
// What laminad may ask lamina-spawn of the file systems that an administrator named
// (docs/filesystems-file.md, docs/wire-spawn.md). Part of wire/spawn.h, whose rules hold.
//
// lamina-spawn alone reads the file and opens what it names. laminad says which file system (its id), and
// beneath it a directory: a bounded relative path of normal components, the one path that crosses. It is
// opened with openat2, beneath the file system's root, without symlinks, within one mount.

#ifndef LAMINA_WIRE_FILESYSTEM_H
#define LAMINA_WIRE_FILESYSTEM_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    SPAWN_FILESYSTEM_ID_SIZE = 24,    // "fs-" or "fsap-" and 17 hexadecimal digits, NUL-padded
    SPAWN_FILESYSTEM_ROOT_SIZE = 104, // of an access point: at most 100 bytes, NUL-padded
    SPAWN_FILESYSTEM_LEVELS_MAX = 4,  // components of it
    SPAWN_FILESYSTEM_NAME_SIZE = 160, // of the mount point in /mnt: at most 155 bytes, NUL-padded
    SPAWN_FILESYSTEM_LABEL_SIZE = 64, // name= of the file
    SPAWN_FILE_PATH_SIZE = 1024,      // of a file beneath an access point, NUL-padded
    SPAWN_FILESYSTEMS_MAX = 64,       // in the file
    SPAWN_ACCESS_POINTS_MAX = 256,    // in the file
};

// No POSIX user: the file's uid= and gid= are taken.
#define SPAWN_FILESYSTEM_NO_USER UINT32_MAX

enum spawn_filesystem_flags {
    SPAWN_FILESYSTEM_RO =
        1u << 0, // a row: may only be read. A use: read-only, whatever the row says
    SPAWN_FILESYSTEM_IMMUTABLE = 1u << 1, // a row: files never change once they are there
    SPAWN_FILESYSTEM_CREATE = 1u << 2,    // a use: make what is missing of root, as create_* say
    // A row: it has no uid= and gid=. The mount's own identity counts (what sshfs logs in as); a use that asks for a user
    // is refused (EOPNOTSUPP).
    SPAWN_FILESYSTEM_OWN_IDENTITY = 1u << 3,
    SPAWN_FILESYSTEM_FOREIGN =
        1u << 4, // a row: mount=, over FUSE: stat is a hint, times may be whole seconds
};

// What an instance, or a look at a file, asks for. All zero: no file system.
//
// A uid or gid must be the row's, or within the row's uids= or gids=; else it is refused (EPERM). Never 0.
struct spawn_filesystem_use {
    char filesystem_id[SPAWN_FILESYSTEM_ID_SIZE]; // "fs-...", as the file names it
    char root
        [SPAWN_FILESYSTEM_ROOT_SIZE]; // "a/b/c/d", without leading slash; empty: the file system's root
    char name
        [SPAWN_FILESYSTEM_NAME_SIZE]; // [a-zA-Z0-9_.-]+, not "." or "..": it is at /mnt/<name>. A file's: empty
    uint32_t flags;                   // RO, CREATE
    uint32_t uid, gid;                // both SPAWN_FILESYSTEM_NO_USER, or neither
    uint32_t create_uid,
        create_gid;       // with CREATE, else 0: who owns each directory that is made; not 0
    uint32_t create_mode; // with CREATE, else 0: permission bits, at most 0777
};

// AWS's error for an errno of step FILESYSTEM, or of a file.
enum spawn_filesystem_failure {
    SPAWN_FILESYSTEM_WORKS = 0,
    SPAWN_FILESYSTEM_MOUNT_FAILURE =
        1, // EFSMountFailure: not there, not allowed, not what it must be
    SPAWN_FILESYSTEM_CONNECTIVITY =
        2, // EFSMountConnectivity: its server cannot be reached or has vanished
    SPAWN_FILESYSTEM_TIMEOUT = 3, // EFSMountTimeout: no answer in time
    SPAWN_FILESYSTEM_IO = 4,      // EFSIO: reading or writing failed
};

static inline enum spawn_filesystem_failure spawn_filesystem_failure(uint32_t error)
{
    switch (error) {
    case 0:
        return SPAWN_FILESYSTEM_WORKS;
    case ENOTCONN:
    case ECONNABORTED:
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETDOWN:
    case ENETUNREACH:
    case ESHUTDOWN:
        return SPAWN_FILESYSTEM_CONNECTIVITY;
    case ETIMEDOUT:
        return SPAWN_FILESYSTEM_TIMEOUT;
    case EIO:
    case EREMOTEIO:
    case ESTALE:
        return SPAWN_FILESYSTEM_IO;
    default:
        return SPAWN_FILESYSTEM_MOUNT_FAILURE;
    }
}

// The reason in words, for people: what of the access point or the file system is wrong.
static inline const char *spawn_filesystem_reason(uint32_t error)
{
    switch (error) {
    case ENOENT:
        return "there is no such file or directory in it";
    case ENOPKG:
        return "the program that mounts it, or FUSE, is not installed";
    case ECONNREFUSED:
        return "the program that mounts it ended: its server cannot be reached, or refuses it (the "
               "service's "
               "log has its words)";
    case ENODEV:
        return "no such file system is named in the service's file systems file";
    case ENOTDIR:
        return "its root, or a part of the path, is no directory";
    case EISDIR:
        return "it is a directory, not a file";
    case EINVAL:
        return "it is no regular file, or the file system's line lacks uid= and gid=";
    case ELOOP:
    case EXDEV:
        return "a symbolic link or another mount is in the way";
    case EPERM:
        return "it is not allowed: its POSIX user is none of those that the file system's line "
               "allows, or "
               "a symbolic link leads out";
    case EROFS:
        return "the file system is read-only: nothing can be made in it";
    case EACCES:
        return "its POSIX user may not go there";
    case EOPNOTSUPP:
        return "this file system cannot map users: it is used as whoever it was mounted by, "
               "and an access point of it can have no POSIX user";
    case ENOSPC:
    case EDQUOT:
        return "the file system is full";
    case ETIMEDOUT:
        return "it did not answer in time";
    case ENOTCONN:
    case ECONNABORTED:
        return "its server has gone or cannot be reached";
    case EIO:
        return "reading it failed";
    case EAGAIN:
        return "too much is asked of it at once";
    default:
        return strerror((int) error);
    }
}

_Static_assert(sizeof(struct spawn_filesystem_use) == 24 + 104 + 160 + 24, "no holes");

#endif
