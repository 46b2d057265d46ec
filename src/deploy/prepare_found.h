// SPDX-License-Identifier: MIT
//
// prepare_found: which file of a tree is the model. Blocks, on any thread. Internal to deploy/.

#ifndef LAMINA_DEPLOY_PREPARE_FOUND_H
#define LAMINA_DEPLOY_PREPARE_FOUND_H

#include "base/compiler.h"
#include "base/digest.h"
#include "base/error.h"
#include "deploy/prepare.h"
#include "store/store.h"

#include <stdint.h>

struct prepare_found {
    char path[PREPARE_PATH_MAX + 1];
    struct digest digest;
    uint64_t bytes;
    uint64_t beside_bytes; // of the tree's other files: its external data may be among them
};

// `path`, or the only file whose name says so, at most three folders deep. -ENOENT: it is not there,
// none is, or several are.
int prepare_find(struct store *store, const struct digest *tree_id, const char *path,
                 struct prepare_found *ret_found, struct error *err) MUST_CHECK;

// Of a format that is not prepared: why, a literal. NULL: of one that is.
const char *prepare_found_why_not(const struct prepare_found *found) MUST_CHECK;

#endif
