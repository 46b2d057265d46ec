// SPDX-License-Identifier: MIT
//
// The models of functions, as their sandboxes see them at /opt/lamina/models:
//
//     DIR/models/<set>/<sha256>/<path>     hard links onto objects: rebuildable from the registry
//
// A set belongs to one function (function_models_set: the SHA-256 of its ARN) and is bound into each
// of its sandboxes, live: what is linked here later appears in those that run. Functions see no
// models of each other. <sha256> is the model's digest: of its one file, or of the tree when it is
// several files. Prepared forms lie beside it (<sha256>/prepared-<key>/<file>).
//
// store_collect removes the sets of functions that are gone, and of the others the models that
// nobody names and no instance may have open (struct store_live).
//
// Blocks; any thread. Nothing here is synced: a start makes again what a power cut took.

#ifndef LAMINA_STORE_MODELS_H
#define LAMINA_STORE_MODELS_H

#include "store/store.h"

// The set's directory is there afterwards: lamina-spawn binds it into a sandbox that starts.
int store_models_make(struct store *store, const struct digest *set, struct error *err) MUST_CHECK;

// All files of a tree become <set>/<model>/<path>, the whole directory in one step. What is there
// already is compared, and made again when it is not the tree's. The tree is pinned by the caller.
// *ret_pin (NULL: not wanted) keeps the tree and what the set holds from store_collect until
// store_unpin.
int store_models_put(struct store *store, const struct digest *set, const struct digest *model,
                     const struct digest *tree_id, struct store_pin **ret_pin,
                     struct error *err) MUST_CHECK;

// Keeps the tree from store_collect until store_unpin; does not look whether it is there. NULL without
// memory. Does not block.
struct store_pin *store_pin_tree(struct store *store, const struct digest *tree_id) MUST_CHECK;

// One object becomes <set>/<path>; directories on the way are made. There already is success.
// `path`: relative, no "..". -ENOENT: no such object.
int store_models_link(struct store *store, const struct digest *set, const char *path,
                      const struct digest *object, struct error *err) MUST_CHECK;

// A tree of files whose contents are in the store already: for models out of an object store that
// keeps its objects here. -EUCLEAN from the commit if one is not there (any more).
int store_batch_known(struct store_batch *batch, struct str path, const struct digest *object,
                      uint64_t bytes, struct error *err) MUST_CHECK;

// The one regular file of a tree, or -ENOTUNIQ (several, none). For the model's name and digest.
struct store_only_file {
    char path[STORE_PATH_MAX + 1];
    struct digest digest;
    uint64_t bytes;
};
int store_tree_only_file(struct store *store, const struct digest *tree_id,
                         struct store_only_file *ret_file, struct error *err) MUST_CHECK;

// Calls for every regular file; a negative answer ends the walk and is returned.
int store_tree_each_file(struct store *store, const struct digest *tree_id,
                         int (*each)(void *arg, struct str path, const struct digest *digest,
                                     uint64_t bytes),
                         void *arg, struct error *err) MUST_CHECK;

#endif
