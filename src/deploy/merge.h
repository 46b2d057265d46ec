// SPDX-License-Identifier: MIT
//
// The job that lays the trees of a function's layers over each other (store/merge.h): what it sees at
// /opt. On the deployment threads, as an unpacking; reads manifests and makes hard links, no content.
//
// Loop thread. Limits as deploy.h.

#ifndef LAMINA_DEPLOY_MERGE_H
#define LAMINA_DEPLOY_MERGE_H

#include "deploy/deploy.h"

#define DEPLOY_MERGE_TREES_MAX 16

// In every merged tree: where lamina-spawn mounts the built-in runtime.
#define DEPLOY_MERGE_KEPT "lamina"

// 0 and one call of `done` later, never from inside; or -EAGAIN, -ENOMEM, -E2BIG (too many trees) and no
// call. The result has tree_id and pin, as deploy_start's; DEPLOY_NO_PACKAGE: a tree is not in the store.
int deploy_merge_start(struct deploy *deploy, const struct digest *trees, size_t count,
                       void (*done)(void *arg, struct deploy_result *result), void *arg) MUST_CHECK;

#endif
