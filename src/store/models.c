// SPDX-License-Identifier: MIT

#include "store/models.h"

#include "base/fd.h"
#include "base/fs.h"
#include "base/mem.h"
#include "store/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// "<set hex>/<model hex>"
#define MODEL_DIR_SIZE ((size_t) 2 * DIGEST_HEX_SIZE)

// Sandboxes have other users, who must be able to look in whatever our umask is.
static int dir_open(int above, const char *name)
{
    AUTO_FD int fd = fs_make_dir_open(above, name, 0755);
    if (fd < 0)
        return fd;
    return fchmod(fd, 0755) < 0 ? -errno : TAKE_FD(fd);
}

static int set_open(struct store *store, const struct digest *set)
{
    char hex[DIGEST_HEX_SIZE];
    return dir_open(store->models, digest_hex(set, hex));
}

int store_models_make(struct store *store, const struct digest *set, struct error *err)
{
    AUTO_FD int fd = set_open(store, set);
    return fd < 0 ? error_set_errno(err, fd, "make a function's folder for models") : 0;
}

// ---- A whole model

static bool is_linked(struct store *store, int dir, const struct manifest_entry *entry)
{
    char name[OBJECT_NAME_SIZE];
    struct object_key key = {.digest = entry->digest};
    struct stat object, link;
    object_name(&key, name);
    return fstatat(dir, entry->path, &link, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstatat(store->objects, name, &object, AT_SYMLINK_NOFOLLOW) == 0 &&
           link.st_ino == object.st_ino && link.st_dev == object.st_dev;
}

static bool model_is_good(struct store *store, int dir, const struct manifest *manifest)
{
    for (size_t i = 0; i < manifest->count; i++) {
        const struct manifest_entry *entry = &manifest->entries[i];
        if (entry->type == MANIFEST_FILE && entry->size > 0 && !is_linked(store, dir, entry))
            return false;
    }
    return true;
}

static int entry_link(struct store *store, int dir, const struct manifest_entry *entry)
{
    struct object_key key = {.digest = entry->digest};
    if (entry->type == MANIFEST_DIRECTORY)
        return mkdirat(dir, entry->path, 0755) < 0 || fchmodat(dir, entry->path, 0755, 0) < 0
                   ? -errno
                   : 0;
    if (entry->type != MANIFEST_FILE)
        return 0; // object stores have no links
    if (entry->size > 0)
        return object_link(store, &key, dir, entry->path);
    AUTO_FD int fd = openat(dir, entry->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    return fd < 0 ? -errno : 0;
}

static int model_fill(struct store *store, int dir, const struct manifest *manifest,
                      struct error *err)
{
    for (size_t i = 0; i < manifest->count; i++) {
        int r = entry_link(store, dir, &manifest->entries[i]);
        if (r < 0)
            return error_set_errno(err, r, "link '%.200s' of the model", manifest->entries[i].path);
    }
    return 0;
}

// Prepared forms that lay in the old directory go with it: they are linked again by whoever starts
// the function.
static int model_replace(struct store *store, int set, const char *tmp_name, const char *hex)
{
    if (renameat2(store->tmp, tmp_name, set, hex, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EEXIST || renameat2(store->tmp, tmp_name, set, hex, RENAME_EXCHANGE) < 0)
        return -errno;
    return fs_remove_tree(store->tmp, tmp_name);
}

static int model_build(struct store *store, int set, const char *hex,
                       const struct manifest *manifest, struct error *err)
{
    char tmp_name[TMP_NAME_SIZE];
    store_tmp_name(store, "model", tmp_name);
    AUTO_FD int dir = dir_open(store->tmp, tmp_name);
    if (dir < 0)
        return error_set_errno(err, dir, "make the folder of a model");
    int r = model_fill(store, dir, manifest, err);
    if (r == 0) {
        r = model_replace(store, set, tmp_name, hex);
        if (r < 0)
            error_set_errno(err, r, "put model '%s'", hex);
    }
    if (r < 0)
        (void) !fs_remove_tree(store->tmp, tmp_name); // else the next start empties tmp/
    return r;
}

static int model_put(struct store *store, const struct digest *set, const struct digest *model,
                     const struct manifest *manifest, struct error *err)
{
    char hex[DIGEST_HEX_SIZE];
    AUTO_FD int set_fd = set_open(store, set);
    if (set_fd < 0)
        return error_set_errno(err, set_fd, "open a function's folder for models");
    digest_hex(model, hex);
    AUTO_FD int dir = openat(set_fd, hex, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir >= 0 && model_is_good(store, dir, manifest))
        return 0;
    return model_build(store, set_fd, hex, manifest, err);
}

int store_models_put(struct store *store, const struct digest *set, const struct digest *model,
                     const struct digest *tree_id, struct store_pin **ret_pin, struct error *err)
{
    AUTO_MANIFEST struct manifest manifest = {0};
    struct store_pin *pin = pin_new(store);
    if (!pin)
        return error_set(err, -ENOMEM, "no memory for a model");
    pin_models(pin, set);
    pin_tree(pin, tree_id);
    int r = tree_manifest(store, tree_id, &manifest, err);
    if (r == 0) {
        pthread_rwlock_rdlock(&store->publication);
        r = model_put(store, set, model, &manifest, err);
        pthread_rwlock_unlock(&store->publication);
    }
    if (r == 0 && ret_pin)
        *ret_pin = pin;
    else
        store_unpin(pin);
    return r;
}

struct store_pin *store_pin_tree(struct store *store, const struct digest *tree_id)
{
    struct store_pin *pin = pin_new(store);
    if (pin)
        pin_tree(pin, tree_id);
    return pin;
}

// ---- One file beside it

static int parents_make(int set, const char *path)
{
    char parent[STORE_PATH_MAX + 1];
    for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
        if ((size_t) (slash - path) >= sizeof(parent))
            return -ENAMETOOLONG;
        memcpy(parent, path, (size_t) (slash - path));
        parent[slash - path] = '\0';
        if (mkdirat(set, parent, 0755) == 0 ? fchmodat(set, parent, 0755, 0) < 0 : errno != EEXIST)
            return -errno;
    }
    return 0;
}

int store_models_link(struct store *store, const struct digest *set, const char *path,
                      const struct digest *object, struct error *err)
{
    struct object_key key = {.digest = *object};
    AUTO_FD int set_fd = -1;
    int r = manifest_path_check(str_of(path));
    if (r == 0) {
        pthread_rwlock_rdlock(&store->publication);
        set_fd = set_open(store, set);
        r = set_fd < 0 ? set_fd : parents_make(set_fd, path);
        if (r == 0)
            r = object_link(store, &key, set_fd, path);
        pthread_rwlock_unlock(&store->publication);
    }
    return r < 0 && r != -EEXIST ? error_set_errno(err, r, "link '%.200s' for a function", path)
                                 : 0;
}

// ---- Trees of what is here

int store_batch_known(struct store_batch *batch, struct str path, const struct digest *object,
                      uint64_t bytes, struct error *err)
{
    AUTO_FREE char *copy = str_copy_heap(path);
    if (!copy)
        return error_set(err, -ENOMEM, "no memory for the tree");
    const struct manifest_entry known = {.path = copy,
                                         .path_size = path.size,
                                         .type = MANIFEST_FILE,
                                         .size = bytes,
                                         .digest = *object};
    return batch_add_known(batch, &known, err);
}

int store_tree_only_file(struct store *store, const struct digest *tree_id,
                         struct store_only_file *ret_file, struct error *err)
{
    AUTO_MANIFEST struct manifest manifest = {0};
    const struct manifest_entry *only = NULL;
    size_t files = 0;
    int r = tree_manifest(store, tree_id, &manifest, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < manifest.count; i++) {
        if (manifest.entries[i].type != MANIFEST_FILE)
            continue;
        only = &manifest.entries[i];
        files++;
    }
    if (files != 1)
        return error_set(err, -ENOTUNIQ, "the tree has %zu files", files);
    r = str_copy(str_of_data(only->path, only->path_size), ret_file->path, sizeof(ret_file->path));
    if (r < 0)
        return error_set(err, r, "the file's path is too long");
    ret_file->digest = only->digest;
    ret_file->bytes = only->size;
    return 0;
}

int store_tree_each_file(struct store *store, const struct digest *tree_id,
                         int (*each)(void *arg, struct str path, const struct digest *digest,
                                     uint64_t bytes),
                         void *arg, struct error *err)
{
    AUTO_MANIFEST struct manifest manifest = {0};
    int r = tree_manifest(store, tree_id, &manifest, err);
    for (size_t i = 0; r == 0 && i < manifest.count; i++) {
        const struct manifest_entry *entry = &manifest.entries[i];
        if (entry->type == MANIFEST_FILE)
            r = each(arg, str_of_data(entry->path, entry->path_size), &entry->digest, entry->size);
    }
    return r;
}
