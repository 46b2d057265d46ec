// SPDX-License-Identifier: MIT

#include "store/layout.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/fs.h"
#include "base/map.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// A staged file and the object that it will be. Of files with one content only the first is staged.
struct staged {
    struct store_file *file; // owned
    struct object_key key;
};

struct store_batch {
    struct store *store; // borrowed
    struct manifest manifest;
    struct map paths;    // path -> mark of its type
    struct map contents; // names of the objects that are staged
    struct staged *staged;
    size_t staged_count, staged_capacity;
    struct store_pin *pin; // owned until commit hands it over
    uint64_t bytes;
    char manifest_name[TMP_NAME_SIZE]; // in tmp/; "" while not written
};

// Values of `paths`: which kind of entry has the path.
static char mark_directory, mark_other;

struct store_batch *store_batch_new(struct store *store)
{
    struct store_batch *batch = mem_new(struct store_batch);
    if (!batch)
        return NULL;
    batch->store = store;
    map_init(&batch->paths, STORE_ENTRIES_MAX);
    map_init(&batch->contents, STORE_ENTRIES_MAX + 1);
    batch->pin = pin_new(store);
    if (!batch->pin) {
        store_batch_free(batch);
        return NULL;
    }
    return batch;
}

void store_batch_free(struct store_batch *batch)
{
    if (!batch)
        return;
    for (size_t i = 0; i < batch->staged_count; i++)
        store_file_free(batch->staged[i].file);
    if (batch->manifest_name[0])
        (void) !unlinkat(batch->store->tmp, batch->manifest_name, 0); // else the next start does
    free(batch->staged);
    manifest_done(&batch->manifest);
    map_done(&batch->paths, NULL);
    map_done(&batch->contents, NULL);
    store_unpin(batch->pin);
    free(batch);
}

uint64_t store_batch_bytes(const struct store_batch *batch)
{
    return batch->bytes;
}

size_t store_batch_entries(const struct store_batch *batch)
{
    return batch->manifest.count;
}

// ---- Adding

static int batch_put(struct store_batch *batch, struct str path, uint8_t type,
                     struct manifest_entry **ret_entry, struct error *err)
{
    void *mark = type == MANIFEST_DIRECTORY ? &mark_directory : &mark_other;
    void *present = map_get(&batch->paths, path);
    if (present == mark && type == MANIFEST_DIRECTORY)
        return *ret_entry = NULL, 0;
    if (present)
        return error_set(err, -EEXIST, "'" STR_FORMAT "' is there twice", STR_ARGUMENTS(path));
    if (batch->manifest.count == STORE_ENTRIES_MAX)
        return error_set(err, -E2BIG, "the tree has more than %d entries", STORE_ENTRIES_MAX);
    int r = map_put(&batch->paths, path, mark);
    if (r < 0)
        return error_set(err, r, "no memory for the tree");
    AUTO_FREE char *copy = str_copy_heap(path);
    struct manifest_entry *entry = copy ? manifest_add(&batch->manifest) : NULL;
    if (!entry)
        return error_set(err, -ENOMEM, "no memory for the tree");
    entry->path = TAKE_PTR(copy);
    entry->path_size = path.size;
    entry->type = type;
    *ret_entry = entry;
    return 0;
}

// The directories on the way, from the top.
static int batch_put_parents(struct store_batch *batch, struct str path, struct error *err)
{
    for (size_t i = 0; i < path.size; i++) {
        struct manifest_entry *entry;
        if (path.data[i] != '/')
            continue;
        int r = batch_put(batch, str_part(path, 0, i), MANIFEST_DIRECTORY, &entry, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int batch_add(struct store_batch *batch, struct str path, uint8_t type,
                     struct manifest_entry **ret_entry, struct error *err)
{
    int r = manifest_path_check(path);
    if (r < 0)
        return error_set(err, r, "'%.*s' is not a path that a tree may have",
                         (int) (path.size < 200 ? path.size : 200), path.data);
    r = batch_put_parents(batch, path, err);
    return r < 0 ? r : batch_put(batch, path, type, ret_entry, err);
}

int store_batch_directory(struct store_batch *batch, struct str path, struct error *err)
{
    struct manifest_entry *entry;
    return batch_add(batch, path, MANIFEST_DIRECTORY, &entry, err);
}

int store_batch_link(struct store_batch *batch, struct str path, struct str target,
                     struct error *err)
{
    struct manifest_entry *entry;
    int r = manifest_path_check(path) < 0 ? 0 : manifest_target_check(path, target);
    if (r < 0)
        return error_set(err, r, "the link '" STR_FORMAT "' leads out of the tree",
                         STR_ARGUMENTS(path));
    r = batch_add(batch, path, MANIFEST_LINK, &entry, err);
    if (r < 0)
        return r;
    entry->target = str_copy_heap(target);
    return entry->target ? 0 : error_set(err, -ENOMEM, "no memory for the tree");
}

int batch_add_known(struct store_batch *batch, const struct manifest_entry *known,
                    struct error *err)
{
    struct manifest_entry *entry;
    int r = batch_add(batch, str_of_data(known->path, known->path_size), known->type, &entry, err);
    if (r < 0 || !entry)
        return r;
    entry->is_executable = known->is_executable;
    entry->has_mtime = known->has_mtime;
    entry->mtime = known->mtime;
    entry->size = known->size;
    entry->digest = known->digest;
    batch->bytes += known->size;
    if (!known->target)
        return 0;
    entry->target = mem_copy_text(known->target);
    return entry->target ? 0 : error_set(err, -ENOMEM, "no memory for the tree");
}

static int batch_stage(struct store_batch *batch, struct store_file *file,
                       const struct object_key *key)
{
    if (batch->staged_count == batch->staged_capacity) {
        size_t capacity = batch->staged_capacity ? 2 * batch->staged_capacity : 16;
        struct staged *staged = reallocarray(batch->staged, capacity, sizeof(staged[0]));
        if (!staged)
            return -ENOMEM;
        batch->staged = staged;
        batch->staged_capacity = capacity;
    }
    batch->staged[batch->staged_count++] = (struct staged){file, *key};
    return 0;
}

// 0: the file is taken; 1: its content is staged already; -errno.
static int batch_prepare(struct store_batch *batch, struct store_file *file,
                         const struct object_key *key, struct error *err)
{
    char name[OBJECT_NAME_SIZE];
    object_name(key, name);
    int r = map_put(&batch->contents, str_of(name), &mark_other);
    if (r == -EEXIST)
        return 1;
    if (r < 0)
        return error_set(err, r, "no memory for the tree");
    AUTO_FD int fd = store_file_open(file);
    r = fd < 0 ? fd : object_prepare(fd, key);
    if (r < 0)
        return error_set_errno(err, r, "prepare a staged file");
    r = batch_stage(batch, file, key);
    return r < 0 ? error_set(err, r, "no memory for the tree") : 0;
}

static int batch_add_file(struct store_batch *batch, struct str path, struct store_file *file,
                          bool is_executable, int64_t mtime, struct error *err)
{
    struct manifest_entry *entry;
    int r = batch_add(batch, path, MANIFEST_FILE, &entry, err);
    if (r < 0)
        return r;
    entry->is_executable = is_executable;
    entry->has_mtime = manifest_keeps_mtime(path);
    // What ext4 can store; a zip cannot say less than 1901.
    entry->mtime = !entry->has_mtime    ? 0
                   : mtime < INT32_MIN  ? INT32_MIN
                   : mtime > UINT32_MAX ? UINT32_MAX
                                        : mtime;
    entry->size = store_file_bytes(file);
    batch->bytes += entry->size;
    if (entry->size == 0)
        return 1;
    entry->digest = store_file_digest(file);
    struct object_key key = object_key_of(entry);
    return batch_prepare(batch, file, &key, err);
}

int store_batch_file(struct store_batch *batch, struct str path, struct store_file *file,
                     bool is_executable, int64_t mtime, struct error *err)
{
    int r = batch_add_file(batch, path, file, is_executable, mtime, err);
    if (r != 0)
        store_file_free(file); // refused; empty: made, not linked; or there already
    return r < 0 ? r : 0;
}

int store_batch_blob(struct store_batch *batch, struct store_file *file, struct error *err)
{
    struct digest digest = store_file_digest(file);
    pin_blob(batch->pin, &digest);
    int r = batch_prepare(batch, file, &(struct object_key){.digest = digest}, err);
    if (r != 0)
        store_file_free(file);
    return r < 0 ? r : 0;
}

// Pinned first: from here on it cannot be collected. A package becomes an object by a second link.
int store_batch_blob_known(struct store_batch *batch, const struct digest *digest,
                           struct error *err)
{
    char name[OBJECT_NAME_SIZE], hex[DIGEST_HEX_SIZE];
    pin_blob(batch->pin, digest);
    object_name(&(struct object_key){.digest = *digest}, name);
    digest_hex(digest, hex);
    struct stat stat;
    int r = 0;
    pthread_rwlock_rdlock(&batch->store->publication);
    if (fstatat(batch->store->objects, name, &stat, AT_SYMLINK_NOFOLLOW) < 0 &&
        linkat(batch->store->packages, hex, batch->store->objects, name, 0) < 0)
        r = -errno;
    pthread_rwlock_unlock(&batch->store->publication);
    if (r == -EEXIST)
        return 0; // another deployment of the same package was quicker
    if (r == -ENOENT)
        return error_set(err, r, "package '%s' is not in the store", hex);
    return r < 0 ? error_set_errno(err, r, "take package '%s'", hex) : 0;
}

// ---- Commit

static int batch_write_manifest(struct store_batch *batch, struct digest *ret_tree_id,
                                struct error *err)
{
    AUTO_BUF struct buf text = BUF_INIT(MANIFEST_BYTES_MAX);
    manifest_sort(&batch->manifest);
    int r = manifest_write(&batch->manifest, &text);
    if (r < 0)
        return error_set(err, r == -EFBIG ? -E2BIG : r, "the tree's names are too long together");
    *ret_tree_id = digest_of(text.data, text.size);
    store_tmp_name(batch->store, "tree", batch->manifest_name);
    AUTO_FD int fd = openat(batch->store->tmp, batch->manifest_name,
                            O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    r = fd < 0 ? -errno : fd_write_all(fd, text.data, text.size);
    if (r == 0 && fchmod(fd, 0444) < 0)
        r = -errno;
    return r < 0 ? error_set_errno(err, r, "write a manifest") : 0;
}

static int batch_publish_objects(struct store_batch *batch, struct error *err)
{
    for (size_t i = 0; i < batch->staged_count; i++) {
        struct store_file *file = batch->staged[i].file;
        int r = object_publish(batch->store, batch->store->tmp, store_file_tmp_name(file),
                               &batch->staged[i].key, store_file_bytes(file), err);
        if (r < 0)
            return r;
        store_file_disown(file);
    }
    return 0;
}

static int batch_publish(struct store_batch *batch, const char *hex, struct error *err)
{
    struct store *store = batch->store;
    int r = batch_publish_objects(batch, err);
    if (r < 0)
        return r;
    // Over an equal one, or over a damaged one: the content is what the name promises.
    if (renameat(store->tmp, batch->manifest_name, store->manifests, hex) < 0)
        return error_set_errno(err, -errno, "put manifest '%s'", hex);
    batch->manifest_name[0] = 0;
    r = farm_is_good(store, &batch->manifest, hex);
    if (r == 0)
        r = farm_build(store, &batch->manifest, hex, err);
    else if (r < 0)
        error_set_errno(err, r, "look at tree '%s'", hex);
    return r < 0 ? r : 0;
}

int store_batch_commit(struct store_batch *batch, struct digest *ret_tree_id,
                       struct store_pin **ret_pin, struct error *err)
{
    struct store *store = batch->store;
    char hex[DIGEST_HEX_SIZE];
    struct digest tree_id;
    int r = batch_write_manifest(batch, &tree_id, err);
    if (r < 0)
        return error_wrap(err, r, "store a tree");
    pin_tree(batch->pin, &tree_id);
    // Contents first: a name must never be on the disk before what it names.
    r = fs_sync_all(store->tmp);
    if (r < 0)
        return error_set_errno(err, r, "sync the store");
    pthread_rwlock_rdlock(&store->publication);
    r = batch_publish(batch, digest_hex(&tree_id, hex), err);
    pthread_rwlock_unlock(&store->publication);
    if (r < 0)
        return error_wrap(err, r, "store a tree");
    // Names second (objects, manifest and farm at once, instead of an fsync for each directory):
    // after this the registry may name the tree.
    r = fs_sync_all(store->tmp);
    if (r < 0)
        return error_set_errno(err, r, "sync the store");
    *ret_tree_id = tree_id;
    *ret_pin = TAKE_PTR(batch->pin);
    return 0;
}

// ---- Packages ahead of their call

int store_package_put(struct store *store, struct store_file *file, struct error *err)
{
    struct digest digest = store_file_digest(file);
    char hex[DIGEST_HEX_SIZE];
    digest_hex(&digest, hex);
    AUTO_FD int fd = store_file_open(file);
    int r = fd < 0 ? fd : object_prepare(fd, &(struct object_key){.digest = digest});
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && renameat(store->tmp, store_file_tmp_name(file), store->packages, hex) < 0)
        r = -errno;
    if (r == 0) {
        store_file_disown(file);
        if (fsync(store->packages) < 0)
            r = -errno;
    }
    store_file_free(file);
    return r < 0 ? error_set_errno(err, r, "store package '%s'", hex) : 0;
}
