// SPDX-License-Identifier: MIT
//
// Several trees laid over each other become one tree: what a function's layers are at /opt.
//
//     bottom  a/x  a/y      b        merged  a/x (of the top)  a/y  b/z
//     top     a/x           b/z
//
// As an overlay of file systems has it: the later tree wins where both have a path. A directory and a
// directory become one; otherwise the later tree's entry takes the place of the earlier one and of
// all beneath it (a file over a directory, a directory over a link). The merged tree names the same
// objects: it costs a manifest and a farm of hard links, no content.
//
// `kept`, if it is not NULL, is the name of a directory at the top that will be there and be empty,
// whatever the trees have of that name.
//
// Blocks; any thread. The trees are pinned while it runs.

#ifndef LAMINA_STORE_MERGE_H
#define LAMINA_STORE_MERGE_H

#include "store/store.h"

// Is there a file or a link directly in this directory of the tree? 1, 0 or -errno. 1 also when the
// directory is a link: what is behind it is not looked at.
int store_tree_has_files_in(struct store *store, const struct digest *tree_id, struct str folder,
                            struct error *err) MUST_CHECK;

// *ret_pin keeps the merged tree until store_unpin. -ENOENT: one of the trees is not in the store;
// -E2BIG: more than STORE_ENTRIES_MAX entries in all; the errors of store_batch_commit.
int store_tree_merge(struct store *store, const struct digest *trees, size_t count,
                     const char *kept, struct digest *ret_tree_id, struct store_pin **ret_pin,
                     struct error *err) MUST_CHECK;

#endif
