// SPDX-License-Identifier: MIT

#include "store/layout.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/fs.h"
#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int tree_manifest(struct store *store, const struct digest *tree_id, struct manifest *ret_manifest,
                  struct error *err)
{
    char hex[DIGEST_HEX_SIZE];
    digest_hex(tree_id, hex);
    AUTO_BUF struct buf text = BUF_INIT(MANIFEST_BYTES_MAX);
    int r = fs_read_file(store->manifests, hex, &text);
    if (r == -ENOENT)
        return error_set(err, r, "tree '%s' is not in the store", hex);
    if (r < 0)
        return error_set_errno(err, r, "read manifest '%s'", hex);
    struct digest digest = digest_of(text.data, text.size);
    if (!digest_equal(&digest, tree_id))
        return error_set(err, -EUCLEAN, "manifest '%s' is damaged", hex);
    r = manifest_parse(buf_str(&text), ret_manifest, err);
    return r < 0 ? error_wrap(err, r, "manifest '%s'", hex) : 0;
}

int store_tree_check(struct store *store, const struct digest *tree_id, bool *ret_rebuilt,
                     struct error *err)
{
    AUTO_MANIFEST struct manifest manifest = {0};
    char hex[DIGEST_HEX_SIZE];
    int r = tree_manifest(store, tree_id, &manifest, err);
    if (r < 0)
        return r;
    digest_hex(tree_id, hex);
    pthread_rwlock_rdlock(&store->publication);
    int is_good = farm_is_good(store, &manifest, hex);
    bool is_rebuilt = is_good == 0;
    if (is_rebuilt) {
        r = farm_build(store, &manifest, hex, err);
        is_good = r < 0 ? r : farm_is_good(store, &manifest, hex);
    }
    pthread_rwlock_unlock(&store->publication);
    if (r < 0)
        return error_wrap(err, r, "tree '%s'", hex);
    if (is_good < 0)
        return error_set_errno(err, is_good, "look at tree '%s'", hex);
    if (is_good == 0)
        return error_set(err, -EUCLEAN, "tree '%s': an object's size or mode is not as recorded",
                         hex);
    *ret_rebuilt = is_rebuilt;
    return 0;
}

// ---- Walks over the objects of a tree, each once

struct walk {
    struct store *store;
    int (*visit)(struct walk *walk, const struct manifest_entry *entry, const char *name,
                 struct error *err);
    uint64_t bytes;
};

static int tree_walk(struct walk *walk, const struct digest *tree_id, struct error *err)
{
    AUTO_MANIFEST struct manifest manifest = {0};
    int r = tree_manifest(walk->store, tree_id, &manifest, err);
    if (r < 0)
        return r;
    struct map seen;
    map_init(&seen, STORE_ENTRIES_MAX);
    for (size_t i = 0; r == 0 && i < manifest.count; i++) {
        const struct manifest_entry *entry = &manifest.entries[i];
        if (entry->type != MANIFEST_FILE || entry->size == 0)
            continue;
        char name[OBJECT_NAME_SIZE];
        struct object_key key = object_key_of(entry);
        object_name(&key, name);
        r = map_put(&seen, str_of(name), &seen);
        if (r == -EEXIST)
            r = 0;
        else if (r == 0)
            r = walk->visit(walk, entry, name, err);
        else
            error_set(err, r, "no memory for the tree");
    }
    map_done(&seen, NULL);
    return r;
}

static int verify_visit(struct walk *walk, const struct manifest_entry *entry, const char *name,
                        struct error *err)
{
    int r = object_verify_at(walk->store->objects, name, entry->size, &entry->digest);
    if (r == -ENOENT)
        return error_set(err, -EUCLEAN, "object '%s' ('%.200s') is missing", name, entry->path);
    if (r == -EUCLEAN)
        return error_set(err, r, "object '%s' ('%.200s') is damaged", name, entry->path);
    return r < 0 ? error_set_errno(err, r, "read object '%s'", name) : 0;
}

int store_tree_verify(struct store *store, const struct digest *tree_id, struct error *err)
{
    struct walk walk = {.store = store, .visit = verify_visit};
    return tree_walk(&walk, tree_id, err);
}

static int bytes_visit(struct walk *walk, const struct manifest_entry *entry, const char *name,
                       struct error *err)
{
    walk->bytes += entry->size;
    return 0;
}

int store_tree_bytes(struct store *store, const struct digest *tree_id, uint64_t *ret_bytes,
                     struct error *err)
{
    struct walk walk = {.store = store, .visit = bytes_visit};
    int r = tree_walk(&walk, tree_id, err);
    if (r == 0)
        *ret_bytes = walk.bytes;
    return r;
}

static int drop_visit(struct walk *walk, const struct manifest_entry *entry, const char *name,
                      struct error *err)
{
    AUTO_FD int fd = openat(walk->store->objects, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return error_set_errno(err, -errno, "open object '%s'", name);
    int r = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return r ? error_set_errno(err, -r, "drop object '%s' from the page cache", name) : 0;
}

int store_blob_drop_cache(struct store *store, const struct digest *digest, struct error *err)
{
    AUTO_FD int fd = -1;
    uint64_t bytes;
    int r = store_blob_open(store, digest, &fd, &bytes);
    if (r == -ENOENT)
        return 0;
    if (r == 0)
        r = -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return r < 0 ? error_set_errno(err, r, "drop an object from the page cache") : 0;
}

int store_tree_drop_cache(struct store *store, const struct digest *tree_id, struct error *err)
{
    struct walk walk = {.store = store, .visit = drop_visit};
    return tree_walk(&walk, tree_id, err);
}
