// SPDX-License-Identifier: MIT
//
// Opening beneath what an administrator named, and making a mount of it: for a mounter's hands.

#ifndef LAMINA_SPAWN_HAND_OPEN_H
#define LAMINA_SPAWN_HAND_OPEN_H

#include "base/compiler.h"
#include "wire/filesystems_file.h"

#include <stdint.h>

// The file system's root (O_PATH), asked of its server anew over FUSE. -errno.
int hand_open_filesystem(const struct filesystem_line *line) MUST_CHECK;

// The access point's root beneath it (O_PATH): made as `use` says if it may be.
int hand_open_root(int filesystem_fd, const struct spawn_filesystem_use *use) MUST_CHECK;

// A mount of `root_fd` that is nowhere yet: nosuid, nodev, private, read-only as asked, and the access point's user is
// `sandbox_uid` in it. -EOPNOTSUPP: users cannot be mapped there. -EINVAL: they could, and the line names none.
int hand_mount(const struct filesystem_line *line, const struct spawn_filesystem_use *use,
               int root_fd, uint32_t sandbox_uid) MUST_CHECK;

// A regular file beneath `root_fd`, for reading, opened as whoever the calling process acts as. What is no regular file is
// not opened: -EISDIR, -EINVAL.
int hand_open_file(int root_fd, const char *path) MUST_CHECK;

// Acts as the access point's user in all that files are asked for, until hand_act_as_root().
int hand_act_as_user(const struct filesystem_line *line,
                     const struct spawn_filesystem_use *use) MUST_CHECK;
void hand_act_as_root(void);

#endif
