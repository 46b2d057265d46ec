// SPDX-License-Identifier: MIT
//
// file_job: one file of a file system, looked at or read, by a process of lamina-spawn's (SPAWN_FILE). laminad itself
// never opens, stats or maps anything of a foreign mount: what hangs there hangs elsewhere.
//
// Every wait has a deadline: FILE_JOB_STALL_S without a word from lamina-spawn, whose own is shorter. Closing kills the
// job. Blocks: a job thread.
//
// Errors: -ENOENT, -EISDIR, -EINVAL (no regular file: FIFO, device, socket), -EACCES, -ELOOP and -EXDEV (a link that
// leads out), -ENOTCONN (its server has gone), -ETIMEDOUT, -EIO, -EAGAIN (too many at once), -ECANCELED; what
// spawn_filesystem_failure() knows (wire/filesystem.h).

#ifndef LAMINA_FETCH_FILE_JOB_H
#define LAMINA_FETCH_FILE_JOB_H

#include "base/compiler.h"
#include "base/error.h"
#include "wire/filesystem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILE_JOB_STALL_S 20

// Which file: of a file system, beneath an access point's root.
struct file_place {
    struct spawn_filesystem_use use; // name is empty
    char path[SPAWN_FILE_PATH_SIZE]; // relative, of normal components
};

// What tells one content from the next, as far as a stat can.
struct file_stat {
    uint64_t size, inode, device;
    int64_t mtime_ns, ctime_ns; // since 1970
    bool is_foreign;   // over FUSE: times may be whole seconds, and a change time may be none
    bool is_immutable; // its file system never changes files that are there
};

struct file_channel {
    int fd;                       // borrowed: SPAWN_FD_WORK
    const atomic_bool *is_ending; // borrowed; NULL: never
};

int file_look(const struct file_channel *channel, const struct file_place *place,
              struct file_stat *ret_stat, struct error *err) MUST_CHECK;

// The content, piece by piece. *ret_stat: of the open file before the first byte. *ret_is_whole: size and times were the
// same after the last one, and so many bytes came; else somebody wrote to it meanwhile. A negative answer of `take` (which
// sets err) ends it.
int file_read(const struct file_channel *channel, const struct file_place *place,
              int (*take)(void *arg, const void *data, size_t size, struct error *err), void *arg,
              struct file_stat *ret_stat, bool *ret_is_whole, struct error *err) MUST_CHECK;

#endif
