// SPDX-License-Identifier: MIT
//
// What the files of store/ share: the open directories, the names of objects, pins. Internal.

#ifndef LAMINA_STORE_LAYOUT_H
#define LAMINA_STORE_LAYOUT_H

#include "base/buf.h"
#include "base/digest.h"
#include "base/list.h"
#include "store/manifest.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

struct store {
    int objects, manifests, trees, packages, models, partial, uploads, tmp; // directories; owned
    int lock;                                                               // DIR/store.lock; owned
    atomic_ullong next_tmp; // numbers for names in tmp/
    // Held shared while a batch becomes visible, exclusively by store_collect: between the look for
    // an object that is there already and the manifest that names it, nothing may be removed.
    pthread_rwlock_t publication;
    pthread_mutex_t pins_lock;
    struct list pins;      // store_pin.link
    struct list pins_kept; // let go since store_collect_begin
    bool is_collecting;
};

#define TMP_NAME_SIZE 32

// A new name in tmp/: "<kind>-<number>".
void store_tmp_name(struct store *store, const char *kind, char name[TMP_NAME_SIZE]);

// ---- object.c: contents

struct object_key {
    struct digest digest;
    bool is_executable;
    bool has_mtime;
    int64_t mtime;
};

// "ab/<64 hex>", then ".x", then ".m<mtime>".
#define OBJECT_NAME_SIZE (3 + DIGEST_HEX_SIZE + 2 + 2 + 21)

#define OBJECT_MTIME_DEFAULT INT64_C(315532800) // 1980-01-01: what has no mtime of its own

struct object_key object_key_of(const struct manifest_entry *entry);
void object_name(const struct object_key *key, char name[OBJECT_NAME_SIZE]);

// Mode and mtime that the object will have. Before the sync that precedes object_publish.
int object_prepare(int fd, const struct object_key *key) MUST_CHECK;

// tmp/<name> becomes the object, or is removed because the object is there already with the right
// content. An object whose content is wrong is replaced.
int object_publish(struct store *store, int from, const char *tmp_name,
                   const struct object_key *key, uint64_t size, struct error *err) MUST_CHECK;

// -EUCLEAN unless the file has this size and digest.
int object_verify_at(int dir, const char *name, uint64_t size,
                     const struct digest *digest) MUST_CHECK;

// Links the object to `path` beneath `dir`. When the object has as many links as the file system
// allows (ext4: 65,000), it is replaced by a fresh copy first.
int object_link(struct store *store, const struct object_key *key, int dir,
                const char *path) MUST_CHECK;

// ---- file.c

const char *store_file_tmp_name(const struct store_file *file);
// The file is no longer the store_file's to remove.
void store_file_disown(struct store_file *file);
// A staged, finished file made of a second link to `name` in `dir`, whose digest the caller knows.
int store_file_adopt(struct store *store, int dir, const char *name, uint64_t bytes,
                     const struct digest *digest, struct store_file **ret_file,
                     struct error *err) MUST_CHECK;

// ---- farm.c: trees/<id>

// Builds the farm of a manifest in tmp/ and puts it at trees/<hex>, in place of an old one.
int farm_build(struct store *store, const struct manifest *manifest, const char *hex,
               struct error *err) MUST_CHECK;
// 1: the farm is as the manifest says; 0: it is missing or differs; -errno.
int farm_is_good(struct store *store, const struct manifest *manifest, const char *hex) MUST_CHECK;

// ---- batch.c

// An entry of another manifest: its object is in the store already. Whoever adds it holds a pin on a
// tree that names the object.
int batch_add_known(struct store_batch *batch, const struct manifest_entry *known,
                    struct error *err) MUST_CHECK;

// ---- partial.c

int partial_clean(struct store *store) MUST_CHECK;

// ---- tree.c

// Reads manifests/<id> and compares its digest. -ENOENT, -EUCLEAN.
int tree_manifest(struct store *store, const struct digest *tree_id, struct manifest *ret_manifest,
                  struct error *err) MUST_CHECK;

// ---- pin.c

struct store_pin {
    struct list link;
    struct store *store; // borrowed
    bool has_tree, has_blob, has_models;
    struct digest tree, blob;
    struct digest models; // set: nothing that it holds goes
};

struct store_pin *pin_new(struct store *store) MUST_CHECK;
void pin_tree(struct store_pin *pin, const struct digest *tree);
void pin_blob(struct store_pin *pin, const struct digest *blob);
void pin_models(struct store_pin *pin, const struct digest *set);
// Calls for each pin that counts, the kept ones too, under the lock.
void pin_each(struct store *store, void (*visit)(void *arg, const struct store_pin *pin),
              void *arg);

#endif
