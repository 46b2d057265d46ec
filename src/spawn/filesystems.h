// SPDX-License-Identifier: MIT
//
// The file systems that instances may have: the table (docs/filesystems-file.md), and the mounters of those that are used
// (mounter.h). Part of the monitor: nothing here waits for a file system.

#ifndef LAMINA_SPAWN_FILESYSTEMS_H
#define LAMINA_SPAWN_FILESYSTEMS_H

#include "base/compiler.h"
#include "base/error.h"
#include "spawn/mounter.h"

#include <stdbool.h>

struct monitor;
struct sandbox;

struct filesystems {
    struct mounter_place place;
    const char *path; // of the file, absolute
    uint64_t ticket;  // the last one given
    struct filesystems_file *file;
    struct {
        int fd; // -1: none runs
        char id[SPAWN_FILESYSTEM_ID_SIZE];
    } mounters[SPAWN_FILESYSTEMS_MAX];
};

// Reads the file, before there is anything else: a bad one is an error, and its line is named.
int filesystems_open(struct filesystems *filesystems, const char *path, int mounts_fd, int root_fd,
                     struct error *err) MUST_CHECK;

// Tells laminad the table.
void filesystems_tell(struct monitor *monitor);

// Reads it again. Bad: it is logged, and all stays as it is. Mounters whose line is another now, or none, end; instances
// keep what they have.
void filesystems_reload(struct monitor *monitor);

// 0, or the errno of a START or FILE that may not have it.
int filesystems_check(const struct monitor *monitor,
                      const struct spawn_filesystem_use *use) MUST_CHECK;

// Whether a mount of it may be made ahead.
bool filesystems_may_wait(const struct monitor *monitor, const struct spawn_filesystem_use *use);

// Asks for the mount of a sandbox that waits for its root; it gets both when the answer comes, and the START (NULL: a
// waiter has none yet) after them. An error has failed it as a late one would.
int filesystems_order_mount(struct monitor *monitor, struct sandbox *sandbox,
                            const struct spawn_start *start, int model_fd) MUST_CHECK;

// Takes the descriptors.
void filesystems_order_file(struct monitor *monitor, const struct spawn_file *file, int fds[2]);

// An instance with a file system is to end, and may hang in it.
void filesystems_check_server(struct monitor *monitor, const struct sandbox *sandbox);

// Ends all mounters: what hangs in a FUSE program's file system can end then.
void filesystems_end(struct monitor *monitor);

// Ends a mounter. Over mount= all mounts of it are dead then, and laminad is told.
void filesystems_drop(struct monitor *monitor, uint32_t mounter);

// A mounter's answer, or its end.
void filesystems_read(struct monitor *monitor, uint32_t mounter);

// What is kept of a START, NULL included.
struct parked_start {
    int model_fd;
    struct spawn_start start;
};
void parked_start_free(struct parked_start *parked);

#endif
