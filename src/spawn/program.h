// SPDX-License-Identifier: MIT
//
// The FUSE program of a `mount=` line. The mount is made by us, before the program runs, and it gets the open /dev/fuse: so
// it needs no right at all.

#ifndef LAMINA_SPAWN_PROGRAM_H
#define LAMINA_SPAWN_PROGRAM_H

#include "base/compiler.h"
#include "wire/filesystems_file.h"

#include <stdbool.h>
#include <sys/types.h>

bool program_is_there(const struct filesystem_line *line) MUST_CHECK;

// Mounts at HAND_MOUNT and starts the program; what it has to say goes to our stderr. The mount may be looked at at once:
// that waits for the program. -ENOPKG: there is no such program, or no FUSE.
int program_start(const struct filesystem_line *line, pid_t *ret_pid) MUST_CHECK;

// Kills it, if there is one, and takes the mount away: every call that hangs in it fails, here and in instances.
void program_abort(pid_t pid);

#endif
