// SPDX-License-Identifier: MIT
//
// filesystem_target: into which file system of functions a model of this machine goes. For `lamina deploy --strategy
// filesystem` and `lamina compare`.
//
//     --filesystem NAME|ID|ARN|DIR, else the one called `models`; one that is not there yet (DIR, or the default,
//     FILESYSTEM_TARGET_DIRECTORY) is made by root: filesystem_target_make
//
// A directory that was made belongs to the user `lamina`, or to nobody (65534): functions are that user in it.
#ifndef LAMINA_CLI_FILESYSTEM_TARGET_H
#define LAMINA_CLI_FILESYSTEM_TARGET_H

#include "cli/command.h"
#include "cli/filesystems.h"

#define FILESYSTEM_TARGET_DIRECTORY "/srv/lamina-models"

struct filesystem_target {
    const struct cli *cli; // its options `filesystem` and `filesystems-file`
    char file_path[FILESYSTEM_PATH_SIZE], data_dir[TARGET_URL_BYTES_MAX];
    char id[SPAWN_FILESYSTEM_ID_SIZE];
    char point_id[SPAWN_FILESYSTEM_ID_SIZE]; // of the access point at its root
    char root[FILESYSTEM_PATH_SIZE];         // its directory on this machine
    uint32_t uid, gid;                       // SPAWN_FILESYSTEM_NO_USER: none
    bool is_new;
};

// Where the file is, and what is in it; ret_file is large and the caller's.
MUST_CHECK int filesystem_target_read(struct filesystem_target *target, const struct cli *cli,
                                      struct filesystems_file *ret_file, struct error *err);
// This file system of it. -ENOENT: it has no access point at its root.
MUST_CHECK int filesystem_target_take(struct filesystem_target *target,
                                      const struct filesystems_file *file,
                                      const struct filesystem_line *line, struct error *err);
// The one that was named, or is the default. -EPERM: only root may put a file there; -ENOTSUP: it is a mount of the
// service's; -ENOENT: there is none of that name.
MUST_CHECK int filesystem_target_find(struct filesystem_target *target,
                                      const struct filesystems_file *file, struct error *err);
// Registers a new one, and waits until the service knows it. A name of the default's only with `has_name`.
MUST_CHECK int filesystem_target_make(struct filesystem_target *target, bool has_name,
                                      struct error *err);
// The other way round, for one that was only needed for a while; its directory goes if it is empty.
MUST_CHECK int filesystem_target_unmake(struct filesystem_target *target, struct error *err);

#endif
