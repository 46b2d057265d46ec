// SPDX-License-Identifier: MIT
//
// The store: every file that a package brought, once (docs/store-format.md).
//
//     DIR/objects/ab/<sha256>[.x][.m<mtime>]   file contents, 0444 or 0555, never written again
//     DIR/manifests/<tree id>                  what a tree is made of: the truth
//     DIR/trees/<tree id>/                     the same as directories and hard links: rebuildable,
//                                              what lamina-spawn mounts at /var/task
//     DIR/models/<set>/<sha256>/               hard links again, for one function's sandboxes
//                                              (store/models.h): rebuildable
//     DIR/partial/<key>                        what is coming from elsewhere (store/partial.h)
//     DIR/packages/<sha256>                    uploaded ahead of the call that will name them
//     DIR/tmp/                                 what is being written; emptied at every start
//     DIR/uploads/                             parts of uploads to buckets (store/stage.h)
//
// Writing is a batch: files are staged in tmp/ while their digest is computed, then
// store_batch_commit() makes all of them durable and visible in this order:
//
//     staged files, manifest -> sync -> rename to objects/, manifests/ -> farm -> sync -> (caller)
//
// A process killed at any point leaves staged files (removed at the next start) or objects that no
// manifest names, or a tree that no version names (removed by store_collect); never a manifest
// whose objects are not on the disk, never a half-made file under a final name.
//
// Threads: store_open and store_close on one thread; everything else on any thread, each batch and
// each file on one thread at a time. All block: jobs, not the loop thread. Two stores on one
// directory: refused by the lock that lamina-spawn holds, and by the store's own (-EBUSY).
//
// Errors: -ENOSPC, -EDQUOT (disk full; nothing of the batch remains visible or staged after
// store_batch_free), -EUCLEAN (content differs from its name), -ENOENT, other -errno.

#ifndef LAMINA_STORE_STORE_H
#define LAMINA_STORE_STORE_H

#include "base/compiler.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

// Opens DIR's store, makes the folders that are missing, takes the lock and empties tmp/. -EBUSY
// with the holder's pid in the text when another process has it.
int store_open(const char *data_dir, struct store **ret_store, struct error *err) MUST_CHECK;
void store_close(struct store *store); // accepts NULL; no batch, file or pin may be left

// Bytes that may still be written: free space less a reserve kept for the registry and the logs.
int store_bytes_free(const struct store *store, uint64_t *ret_bytes) MUST_CHECK;

// ---- A staged file: written once, digested as it is written, then given to a batch or dropped.

struct store_file;

int store_file_new(struct store *store, struct store_file **ret_file, struct error *err) MUST_CHECK;
int store_file_write(struct store_file *file, const void *data, size_t size,
                     struct error *err) MUST_CHECK;
// No more writes. The file's descriptor is closed: any number of finished files costs none.
int store_file_finish(struct store_file *file, struct error *err) MUST_CHECK;
// Removes it. Accepts NULL.
void store_file_free(struct store_file *file);

uint64_t store_file_bytes(const struct store_file *file);       // written so far
struct digest store_file_digest(const struct store_file *file); // of a finished file
// A finished file's content, read-only. A descriptor or -errno.
int store_file_open(const struct store_file *file) MUST_CHECK;

// ---- Reading whole objects (package zips): from objects/, else packages/.

// A read-only descriptor and the size. -ENOENT. Content is as it was named when it was written;
// store_blob_verify reads it again.
int store_blob_open(struct store *store, const struct digest *digest, int *ret_fd,
                    uint64_t *ret_bytes) MUST_CHECK;
// -EUCLEAN when the bytes do not have this digest.
int store_blob_verify(struct store *store, const struct digest *digest,
                      struct error *err) MUST_CHECK;

// Puts a finished file at packages/<its digest>, durable on return, for a later batch. Takes `file`
// whatever happens. Fine if it is there already. Packages that no call has named within a day are
// removed by store_collect.
int store_package_put(struct store *store, struct store_file *file, struct error *err) MUST_CHECK;

// ---- A batch: one tree, and the package it came from.

struct store_batch;
struct store_pin;

#define STORE_PATH_MAX 4000      // bytes of a path in a tree
#define STORE_NAME_MAX 255       // bytes of one name in it
#define STORE_DEPTH_MAX 128      // names in a path
#define STORE_ENTRIES_MAX 200000 // of a tree; directories that only a path implies count too
#define STORE_LINK_MAX 4000      // bytes of a symlink's target

struct store_batch *store_batch_new(struct store *store); // NULL without memory
void store_batch_free(struct store_batch *batch);         // accepts NULL; drops what was staged

// Each adds one entry at `path`: relative, '/' between names, no empty, "." or ".." name, UTF-8,
// within the limits above; -EINVAL, -ENAMETOOLONG, -E2BIG (too many) otherwise. Parent directories
// come by themselves. -EEXIST: the path is there already (a directory may be named again), or a
// file or link is where a directory has to be.
int store_batch_directory(struct store_batch *batch, struct str path, struct error *err) MUST_CHECK;
// Takes `file` (finished) whatever happens. `mtime` (seconds since 1970) is kept for *.py only.
int store_batch_file(struct store_batch *batch, struct str path, struct store_file *file,
                     bool is_executable, int64_t mtime, struct error *err) MUST_CHECK;
// The target must stay inside the tree: relative, ".." only in front and no more of them than the
// link is deep. -EXDEV otherwise.
int store_batch_link(struct store_batch *batch, struct str path, struct str target,
                     struct error *err) MUST_CHECK;
// The package itself becomes an object too, so that GetFunction can hand it out. Takes `file`.
int store_batch_blob(struct store_batch *batch, struct store_file *file,
                     struct error *err) MUST_CHECK;
// The same for a package that is in the store (objects/ or packages/).
int store_batch_blob_known(struct store_batch *batch, const struct digest *digest,
                           struct error *err) MUST_CHECK;

// Makes it durable. On success *ret_tree_id names the tree, and *ret_pin keeps tree and blob from
// store_collect until store_unpin: hold it until the registry has committed a version that names
// them. On failure nothing new is visible. The batch can only be freed afterwards.
int store_batch_commit(struct store_batch *batch, struct digest *ret_tree_id,
                       struct store_pin **ret_pin, struct error *err) MUST_CHECK;
void store_unpin(struct store_pin *pin); // any thread; accepts NULL

// Sum of the sizes of the files added, and their number with links and directories.
uint64_t store_batch_bytes(const struct store_batch *batch);
size_t store_batch_entries(const struct store_batch *batch);

// ---- Trees

// Makes sure that trees/<id> is what the manifest says, at start: compares names, kinds and sizes,
// and rebuilds the farm if it is missing or differs. *ret_rebuilt tells. -ENOENT: no such manifest;
// -EUCLEAN: the manifest or an object is missing or damaged; the text names it.
int store_tree_check(struct store *store, const struct digest *tree_id, bool *ret_rebuilt,
                     struct error *err) MUST_CHECK;

// Reads every object of the tree and compares digests. -EUCLEAN names the first bad one.
int store_tree_verify(struct store *store, const struct digest *tree_id,
                      struct error *err) MUST_CHECK;

// Bytes of the tree's files, each object counted once.
int store_tree_bytes(struct store *store, const struct digest *tree_id, uint64_t *ret_bytes,
                     struct error *err) MUST_CHECK;

// Drops the tree's pages from the page cache (for cold-start measurements), its files one by one.
int store_tree_drop_cache(struct store *store, const struct digest *tree_id,
                          struct error *err) MUST_CHECK;

// The same of one object; one that is gone has no pages.
int store_blob_drop_cache(struct store *store, const struct digest *digest,
                          struct error *err) MUST_CHECK;

// ---- Garbage collection
//
//     store_collect_begin -> the caller notes what is live -> store_garbage_trees (whose waiters must
//     go first) -> store_collect -> store_collect_end
//
// From begin to end a pin that is let go still counts: a version committed after the caller made its
// note is protected until the next round, in which the caller's note has it.

struct store_live_models;
struct store_live {
    const struct digest *trees; // of every version that may still be started or is running
    size_t tree_count;
    const struct digest *blobs; // packages of every version
    size_t blob_count;
    const struct store_live_models *models; // of every function (store/models.h)
    size_t models_count;
    // Asked for each content that nothing above keeps: whether a bucket names it. Any answer but 0
    // keeps it. NULL: there are no buckets.
    int (*is_named)(void *arg, const struct digest *digest);
    void *is_named_arg;
};

// One set with what must stay of it. A set may be there several times, with one model each.
struct store_live_models {
    struct digest set;
    bool has_model;
    struct digest model;
    bool is_busy; // instances of the function run: whatever they found there stays
};

struct store_collected {
    size_t trees, objects, packages; // removed
    uint64_t bytes;                  // of the objects and packages removed
};

#define STORE_PACKAGE_KEPT_S (24 * 3600)

void store_collect_begin(struct store *store); // any thread, does not block
void store_collect_end(struct store *store);

// The trees that store_collect would remove: *ret_trees is malloc'ed.
int store_garbage_trees(struct store *store, const struct store_live *live,
                        struct digest **ret_trees, size_t *ret_count, struct error *err) MUST_CHECK;

// Removes what neither `live` nor a pin names. Batches that commit meanwhile wait. A manifest that
// cannot be read keeps all objects (nothing is removed on doubt): -EUCLEAN then.
int store_collect(struct store *store, const struct store_live *live,
                  struct store_collected *ret_collected, struct error *err) MUST_CHECK;

#endif
