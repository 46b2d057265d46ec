// SPDX-License-Identifier: MIT

#include "store/layout.h"

#include "base/fd.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Directory descriptors of the farm are plain: nobody but us writes beneath trees/ and tmp/, and a
// manifest has no link where a directory must be.

// An empty file is made, not linked: __init__.py alone would use up an inode's links.
static int empty_make(int root, const struct manifest_entry *entry)
{
    AUTO_FD int fd = openat(root, entry->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    struct object_key key = object_key_of(entry);
    return object_prepare(fd, &key);
}

static int entry_make(struct store *store, int root, const struct manifest_entry *entry)
{
    if (entry->type == MANIFEST_DIRECTORY)
        return mkdirat(root, entry->path, 0755) < 0 ? -errno : 0;
    if (entry->type == MANIFEST_LINK)
        return symlinkat(entry->target, root, entry->path) < 0 ? -errno : 0;
    if (entry->size == 0)
        return empty_make(root, entry);
    struct object_key key = object_key_of(entry);
    return object_link(store, &key, root, entry->path);
}

static int entries_make(struct store *store, int root, const struct manifest *manifest,
                        struct error *err)
{
    for (size_t i = 0; i < manifest->count; i++) {
        const struct manifest_entry *entry = &manifest->entries[i];
        int r = entry_make(store, root, entry);
        if (r == -ENOENT && entry->type == MANIFEST_FILE && entry->size > 0) {
            char name[OBJECT_NAME_SIZE];
            struct object_key key = object_key_of(entry);
            object_name(&key, name);
            return error_set(err, -EUCLEAN, "object '%s' is missing", name);
        }
        if (r < 0)
            return error_set_errno(err, r, "make '%.200s' of the tree", entry->path);
    }
    for (size_t i = manifest->count; i-- > 0;) {
        const struct manifest_entry *entry = &manifest->entries[i];
        if (entry->type == MANIFEST_DIRECTORY && fchmodat(root, entry->path, 0555, 0) < 0)
            return error_set_errno(err, -errno, "close '%.200s' of the tree", entry->path);
    }
    return 0;
}

// A directory is renamed while it is writable (its ".." changes), and closed afterwards.
static int farm_put(struct store *store, const char *tmp_name, const char *hex, int root)
{
    if (renameat2(store->tmp, tmp_name, store->trees, hex, RENAME_NOREPLACE) < 0) {
        if (errno != EEXIST || fchmodat(store->trees, hex, 0755, 0) < 0 ||
            renameat2(store->tmp, tmp_name, store->trees, hex, RENAME_EXCHANGE) < 0)
            return -errno;
        int r = fs_remove_tree(store->tmp, tmp_name);
        if (r < 0)
            return r;
    }
    return fchmod(root, 0555) < 0 ? -errno : 0;
}

int farm_build(struct store *store, const struct manifest *manifest, const char *hex,
               struct error *err)
{
    char tmp_name[TMP_NAME_SIZE];
    store_tmp_name(store, "farm", tmp_name);
    AUTO_FD int root = fs_make_dir_open(store->tmp, tmp_name, 0755);
    if (root < 0)
        return error_set_errno(err, root, "make the folder of a tree");
    int r = entries_make(store, root, manifest, err);
    if (r == 0) {
        r = farm_put(store, tmp_name, hex, root);
        if (r < 0)
            error_set_errno(err, r, "put tree '%s'", hex);
    }
    if (r < 0)
        (void) !fs_remove_tree(store->tmp, tmp_name); // else the next start empties tmp/
    return r;
}

// ---- Comparing

// Everybody may look into it: a farm whose making was interrupted before its last step is not yet so.
static bool directory_is_good(const struct stat *stat)
{
    return S_ISDIR(stat->st_mode) && (stat->st_mode & 07777) == 0555;
}

static bool mode_is_good(const struct manifest_entry *entry, const struct stat *stat)
{
    if (entry->type == MANIFEST_DIRECTORY)
        return directory_is_good(stat);
    if (entry->type == MANIFEST_LINK)
        return S_ISLNK(stat->st_mode) && (size_t) stat->st_size == strlen(entry->target);
    return S_ISREG(stat->st_mode) && (uint64_t) stat->st_size == entry->size &&
           (stat->st_mode & 07777) == (entry->is_executable ? 0555 : 0444);
}

// The object must be there, and be the farm's own inode: if it was replaced (damage, too many links)
// the farm is made again with the new one. An object that was lost lives on in the farm: linked back.
static int object_is_good(struct store *store, int root, const struct manifest_entry *entry,
                          const struct stat *linked)
{
    char name[OBJECT_NAME_SIZE];
    struct object_key key = object_key_of(entry);
    object_name(&key, name);
    struct stat stat;
    if (fstatat(store->objects, name, &stat, AT_SYMLINK_NOFOLLOW) == 0)
        return stat.st_ino == linked->st_ino && stat.st_dev == linked->st_dev;
    if (errno != ENOENT)
        return -errno;
    if (object_verify_at(root, entry->path, entry->size, &entry->digest) < 0)
        return 0;
    return linkat(root, entry->path, store->objects, name, 0) < 0 ? -errno : 1;
}

int farm_is_good(struct store *store, const struct manifest *manifest, const char *hex)
{
    AUTO_FD int root = openat(store->trees, hex, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (root < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -errno;
    struct stat own;
    if (fstat(root, &own) < 0)
        return -errno;
    if (!directory_is_good(&own))
        return 0;
    for (size_t i = 0; i < manifest->count; i++) {
        const struct manifest_entry *entry = &manifest->entries[i];
        struct stat stat;
        if (fstatat(root, entry->path, &stat, AT_SYMLINK_NOFOLLOW) < 0)
            return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
        if (!mode_is_good(entry, &stat))
            return 0;
        if (entry->type == MANIFEST_FILE && entry->size > 0) {
            int r = object_is_good(store, root, entry, &stat);
            if (r <= 0)
                return r;
        }
    }
    return 1;
}
