// SPDX-License-Identifier: MIT
//
// Files beneath a directory descriptor. No function follows a symlink out of `dir`: paths are
// resolved by openat2 with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS. `dir` may
// be AT_FDCWD only for paths of our own configuration, which are then resolved plainly.
// All block: not for the loop thread (except at start). Descriptors returned are CLOEXEC.

#ifndef LAMINA_BASE_FS_H
#define LAMINA_BASE_FS_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// A descriptor, or -errno: -EXDEV for a path that leaves `dir`, -ELOOP for a symlink.
int fs_open_beneath(int dir, const char *path, int flags, mode_t mode) MUST_CHECK;

// Opens the directory, making it (one level) if it is not there.
int fs_make_dir_open(int dir, const char *path, mode_t mode) MUST_CHECK;

// Makes each missing directory on the way, as `mkdir -p`; existing ones are fine.
int fs_make_dirs(int dir, const char *path, mode_t mode) MUST_CHECK;

// Appends the whole file to `buf`. -EFBIG when it is longer than the buffer may hold.
int fs_read_file(int dir, const char *path, struct buf *buf) MUST_CHECK;

// Replaces `path` with the content, or leaves it as it was: temporary file beside it, fsync,
// rename, fsync of the directory. After success a power cut does not undo it. The temporary name is
// `.tmp.` and 16 hex digits; leftovers of a crash may be removed by whoever owns the directory.
int fs_write_atomically(int dir, const char *path, const void *data, size_t size, mode_t mode,
                        struct error *err) MUST_CHECK;

// Everything written to the file system of `fd` is on the disk afterwards.
int fs_sync_all(int fd) MUST_CHECK;
// The directory's entries (creations, renames, removals) are on the disk afterwards.
int fs_sync_dir(int dir, const char *path) MUST_CHECK;

// Deepest tree that fs_remove_tree walks into.
#define FS_DEPTH_MAX 256

// Removes the file or the whole tree; not there is success. Does not follow symlinks, does not
// cross into other file systems (-EXDEV), makes unwritable directories writable first. -ELOOP for a
// tree deeper than FS_DEPTH_MAX.
int fs_remove_tree(int dir, const char *path) MUST_CHECK;

// Bytes free for us on the file system of `fd`.
int fs_bytes_free(int fd, uint64_t *ret_bytes) MUST_CHECK;

#endif
