// SPDX-License-Identifier: MIT
//
// The root-owned file of file systems (docs/filesystems-file.md), as the command line edits it.
//
//     filesystems_edit_begin   the lock of its directory, its text
//     filesystems_add, _remove lines at its end, lines out of it; what is there otherwise stays, comments too
//     filesystems_edit_commit  checked as the service will check it, written beside it, synced, renamed
//     filesystems_edit_end     the lock is let go
//
// Two edits at once wait for each other; a crash leaves the old file or the new one. Only root can.
#ifndef LAMINA_CLI_FILESYSTEMS_H
#define LAMINA_CLI_FILESYSTEMS_H

#include "base/buf.h"
#include "base/error.h"
#include "client/target.h"
#include "wire/filesystems_file.h"

#include <stdbool.h>

struct filesystems_edit {
    char path[FILESYSTEM_PATH_SIZE]; // of the file
    int directory;                   // locked
    struct buf text;
    struct filesystems_file *file; // the text, parsed
};

// What `create` is told. Texts are borrowed.
struct filesystems_new {
    const char *path;        // of the host: absolute or not, symbolic links are followed now
    const char *mount;       // or fuse.NAME:SOURCE[,OPTIONS]
    const char *name;        // NULL: none
    const char *uids, *gids; // FIRST-LAST that access points may have; NULL: none
    const char *as;       // of a mount: whom its program runs as; NULL: root without capabilities
    const char *data_dir; // of the service: never inside a file system, nor around it
    uint32_t uid,
        gid; // SPAWN_FILESYSTEM_NO_USER: the directory's owner; of a mount: its own identity
    bool is_read_only, is_immutable;
};

// Where the file is: the one that was named, else the running service's of data_dir, else LAMINA_FILESYSTEMS_FILE, else
// the default.
void filesystems_find_file(const char *named, const char *data_dir,
                           char ret_path[FILESYSTEM_PATH_SIZE]);

// Reads it without editing it; ret_file is large and the caller's. Anybody who may read it.
MUST_CHECK int filesystems_read(const char *path, struct filesystems_file *ret_file,
                                struct error *err);

// -EPERM: not root, or the file is not root's alone.
MUST_CHECK int filesystems_edit_begin(struct filesystems_edit *edit, const char *path,
                                      struct error *err);
// A file system and its default access point; -EINVAL says what is wrong with the directory, -EEXIST: it is there.
MUST_CHECK int filesystems_add(struct filesystems_edit *edit, const struct filesystems_new *new,
                               char ret_id[SPAWN_FILESYSTEM_ID_SIZE],
                               char ret_point_id[SPAWN_FILESYSTEM_ID_SIZE], struct error *err);
// By id or name, with its access points. -ENOENT.
MUST_CHECK int filesystems_remove(struct filesystems_edit *edit, const char *which,
                                  char ret_id[SPAWN_FILESYSTEM_ID_SIZE], struct error *err);
MUST_CHECK int filesystems_edit_commit(struct filesystems_edit *edit, struct error *err);
void filesystems_edit_end(struct filesystems_edit *edit); // also of one that did not begin

// Tells the running service of data_dir to read its file again. -ENOENT: none runs.
MUST_CHECK int filesystems_tell(const char *data_dir, struct error *err);

// The same, and waits until it knows the access point (or no more of it). One that does not run is only told of, unless
// the access point is wanted at once.
struct filesystems_told {
    const struct target_options *target;
    const char *data_dir, *file_path;
    bool is_quiet, is_used_at_once;
};
MUST_CHECK int filesystems_take_effect(const struct filesystems_told *told, const char *point_id,
                                       bool is_wanted, struct error *err);

// The file system whose directory holds this absolute path, the deepest of them; NULL: none.
const struct filesystem_line *filesystems_around(const struct filesystems_file *file,
                                                 const char *path);
// A default access point of it, at its root and with its own user; NULL: none.
const struct access_point_line *filesystems_default_point(const struct filesystems_file *file,
                                                          const char *id);

// May functions have this directory? It is given without symbolic links. -EINVAL with the reason.
MUST_CHECK int filesystems_check_directory(const char *path, const char *data_dir,
                                           const char *file_path, uint32_t uid, struct error *err);

#endif
