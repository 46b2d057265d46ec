// SPDX-License-Identifier: MIT
//
// Looks into a tree of the store without unpacking anything: what its manifest says. Blocks; any
// thread. The tree is kept from collection by the caller.

#ifndef LAMINA_STORE_LOOK_H
#define LAMINA_STORE_LOOK_H

#include "store/store.h"

struct store_entry {
    struct str path; // view, during the call
    bool is_file;    // regular, with content; a link or directory otherwise
    struct digest digest;
    uint64_t bytes;
};

// Every entry in the manifest's order. A result other than 0 of `visit` ends it and is returned.
int store_tree_each(struct store *store, const struct digest *tree_id,
                    int (*visit)(void *arg, const struct store_entry *entry), void *arg,
                    struct error *err) MUST_CHECK;

// A regular file of the tree, open for reading. -ENOENT; -ELOOP for a link.
int store_tree_open(struct store *store, const struct digest *tree_id, const char *path,
                    int *ret_fd, uint64_t *ret_bytes) MUST_CHECK;

#endif
