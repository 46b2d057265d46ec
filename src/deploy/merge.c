// SPDX-License-Identifier: MIT

#include "deploy/merge.h"

#include "base/mem.h"
#include "deploy/pool.h"
#include "loop/job.h"
#include "store/merge.h"

#include <errno.h>
#include <string.h>

struct merging {
    struct store *store; // borrowed
    struct digest trees[DEPLOY_MERGE_TREES_MAX];
    size_t count;
    bool has_run;
    struct deploy_result result;
    void (*done)(void *arg, struct deploy_result *result);
    void *arg;
};

static enum deploy_status status_of(int code)
{
    switch (code) {
    case 0:
        return DEPLOY_OK;
    case -ENOENT:
        return DEPLOY_NO_PACKAGE;
    case -E2BIG:
        return DEPLOY_BAD_ZIP;
    case -ENOSPC:
    case -EDQUOT:
        return DEPLOY_NO_SPACE;
    default:
        return DEPLOY_INTERNAL;
    }
}

static void merging_run(void *arg)
{
    struct merging *merging = arg;
    struct deploy_result *result = &merging->result;
    merging->has_run = true;
    int r = store_tree_merge(merging->store, merging->trees, merging->count, DEPLOY_MERGE_KEPT,
                             &result->tree_id, &result->pin, &result->err);
    if (r == 0)
        r = store_tree_has_files_in(merging->store, &result->tree_id, STR("extensions"),
                                    &result->err);
    result->has_extensions = r > 0;
    result->status = status_of(r < 0 ? r : 0);
}

static void merging_done(void *arg, int status)
{
    struct merging *merging = arg;
    (void) status; // only that it was cancelled
    if (!merging->has_run) {
        merging->result.status = DEPLOY_INTERNAL;
        error_set(&merging->result.err, -ECANCELED, "the service is ending");
    }
    merging->done(merging->arg, &merging->result);
    store_unpin(merging->result.pin);
    free(merging);
}

int deploy_merge_start(struct deploy *deploy, const struct digest *trees, size_t count,
                       void (*done)(void *arg, struct deploy_result *result), void *arg)
{
    if (count > DEPLOY_MERGE_TREES_MAX)
        return -E2BIG;
    struct merging *merging = mem_new(struct merging);
    if (!merging)
        return -ENOMEM;
    merging->store = deploy_store(deploy);
    memcpy(merging->trees, trees, count * sizeof(trees[0]));
    merging->count = count;
    merging->done = done;
    merging->arg = arg;
    int r = job_submit(deploy_pool(deploy), merging_run, merging_done, merging);
    if (r < 0)
        free(merging);
    return r;
}
