// SPDX-License-Identifier: MIT
//
// What is in a directory, in an order that does not depend on the file system.
//
// Paths are relative with '/', sorted by bytes. Directories are listed only when they are empty
// (a zip implies the others). Symbolic links are listed as such when they stay inside the
// directory; one that is absolute or climbs out is refused, and so are sockets, pipes, devices,
// names that are not UTF-8 or hold control characters or backslashes: other machines would read
// them differently, or a terminal would. Nothing outside is ever followed. One thread.
#ifndef LAMINA_PACKAGE_FILE_LIST_H
#define LAMINA_PACKAGE_FILE_LIST_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILE_LIST_ENTRIES_MAX 100000
#define FILE_LIST_DEPTH_MAX 64

enum file_kind {
    FILE_REGULAR,
    FILE_DIRECTORY, // empty
    FILE_SYMLINK,
};

struct file_entry {
    char *path;   // owned by the list
    char *target; // of a symbolic link; owned by the list
    uint64_t size;
    enum file_kind kind;
    bool is_executable; // for its owner
};

struct file_list {
    struct file_entry *entries;
    size_t count;
    size_t capacity;
    uint64_t bytes; // of all regular files and link targets
};

// Lists what is below the directory dir (borrowed). name is what errors call it. ret is written
// only on success; file_list_done frees it.
// Errors: -EINVAL (an entry of the kinds above), -E2BIG (more than FILE_LIST_ENTRIES_MAX or deeper
// than FILE_LIST_DEPTH_MAX), and those of open, read and stat.
MUST_CHECK int file_list_read(int dir, const char *name, struct file_list *ret, struct error *err);

// Appends one file; for lists made by hand, which are then in the order of these calls.
MUST_CHECK int file_list_add(struct file_list *list, const char *path, uint64_t size,
                             struct error *err);
void file_list_done(struct file_list *list);

// Removes what is_kept denies.
void file_list_keep(struct file_list *list, bool (*is_kept)(const void *arg, const char *path),
                    const void *arg);

// Removes from list every path that other holds as well.
void file_list_subtract(struct file_list *list, const struct file_list *other);

// NULL when there is none.
const struct file_entry *file_list_find(const struct file_list *list, const char *path);

#endif
