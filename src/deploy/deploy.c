// SPDX-License-Identifier: MIT

#include "deploy/deploy.h"

#include "base/log.h"
#include "base/mem.h"
#include "deploy/pool.h"
#include "deploy/unpack.h"
#include "loop/job.h"

#include <errno.h>
#include <string.h>

#define COLLECT_WAITING_MAX 4

struct deploy {
    struct deploy_config config;
    struct job_pool *pool;       // deployments
    struct job_pool *sweep_pool; // collection: one at a time, behind no deployment
    struct loop_timer timer;     // to the next collection
    bool is_collecting;
    bool is_asked_again; // while collecting
    bool is_ending;      // deploy_free: nothing new begins
};

struct job {
    struct unpack_spec spec;
    void (*done)(void *arg, struct deploy_result *result);
    void *arg;
    bool has_run;
    struct deploy_result result;
};

int deploy_new(const struct deploy_config *config, struct deploy **ret_deploy)
{
    struct deploy *deploy = mem_new(struct deploy);
    if (!deploy)
        return -ENOMEM;
    deploy->config = *config;
    if (deploy->config.collect_after_ms == 0)
        deploy->config.collect_after_ms = DEPLOY_COLLECT_AFTER_S * 1000;
    int r = job_pool_new(config->loop, "deploy", DEPLOY_THREADS, DEPLOY_WAITING_MAX, &deploy->pool);
    if (r == 0)
        r = job_pool_new(config->loop, "collect", 1, COLLECT_WAITING_MAX, &deploy->sweep_pool);
    if (r < 0) {
        deploy_free(deploy);
        return r;
    }
    *ret_deploy = deploy;
    return 0;
}

void deploy_free(struct deploy *deploy)
{
    if (!deploy)
        return;
    deploy->is_ending = true;
    loop_timer_stop(&deploy->timer);
    job_pool_free(deploy->pool);
    job_pool_free(deploy->sweep_pool);
    free(deploy);
}

struct job_pool *deploy_pool(const struct deploy *deploy)
{
    return deploy->pool;
}

struct store *deploy_store(const struct deploy *deploy)
{
    return deploy->config.store;
}

size_t deploy_waiting(const struct deploy *deploy)
{
    return job_pool_waiting(deploy->pool) + job_pool_running(deploy->pool);
}

// ---- Deployments

static void job_run(void *arg)
{
    struct job *job = arg;
    job->has_run = true;
    unpack_run(&job->spec, &job->result);
}

static void job_done(void *arg, int status)
{
    struct job *job = arg;
    if (!job->has_run) {
        store_file_free(job->spec.zip);
        job->result.status = DEPLOY_INTERNAL;
        error_set(&job->result.err, -ECANCELED, "the service is ending");
    }
    job->done(job->arg, &job->result);
    store_unpin(job->result.pin);
    free(job);
}

int deploy_start(struct deploy *deploy, const struct deploy_spec *spec,
                 void (*done)(void *arg, struct deploy_result *result), void *arg)
{
    struct job *job = mem_new(struct job);
    if (!job)
        return -ENOMEM;
    job->spec = (struct unpack_spec){
        .store = deploy->config.store,
        .work_fd = deploy->config.work_fd,
        .zip = spec->zip,
        .limits = spec->limits,
        .has_models_set = spec->models_set != NULL,
    };
    if (spec->models_set)
        job->spec.models_set = *spec->models_set;
    if (!spec->zip)
        job->spec.package = *spec->package;
    job->done = done;
    job->arg = arg;
    int r = job_submit(deploy->pool, job_run, job_done, job);
    if (r < 0)
        free(job);
    return r;
}

// ---- Collection: what is live (loop) -> which trees go (job) -> their waiters end (loop) -> they go

struct deploy_live {
    struct digest *trees, *blobs;
    size_t tree_count, tree_capacity, blob_count, blob_capacity;
    struct store_live_models *models;
    size_t models_count, models_capacity;
    bool has_failed; // no memory: nothing may be collected
};

struct sweep {
    struct deploy *deploy;
    struct deploy_live live;
    struct digest *garbage;
    size_t garbage_count;
    struct store_collected collected;
    int code;
    struct error err;
};

static void digests_add(struct deploy_live *live, struct digest **digests, size_t *count,
                        size_t *capacity, const uint8_t bytes[DIGEST_BYTES])
{
    if (*count == *capacity) {
        size_t larger = *capacity ? 2 * *capacity : 64;
        struct digest *moved = reallocarray(*digests, larger, sizeof(moved[0]));
        if (!moved) {
            live->has_failed = true;
            return;
        }
        *digests = moved;
        *capacity = larger;
    }
    memcpy((*digests)[(*count)++].bytes, bytes, DIGEST_BYTES);
}

void deploy_live_add(struct deploy_live *live, const uint8_t tree_id[DIGEST_BYTES],
                     const uint8_t zip_sha256[DIGEST_BYTES])
{
    if (tree_id)
        digests_add(live, &live->trees, &live->tree_count, &live->tree_capacity, tree_id);
    if (zip_sha256)
        digests_add(live, &live->blobs, &live->blob_count, &live->blob_capacity, zip_sha256);
}

void deploy_live_models_add(struct deploy_live *live, const struct store_live_models *models)
{
    if (live->models_count == live->models_capacity) {
        size_t larger = live->models_capacity ? 2 * live->models_capacity : 64;
        struct store_live_models *moved = reallocarray(live->models, larger, sizeof(moved[0]));
        if (!moved) {
            live->has_failed = true;
            return;
        }
        live->models = moved;
        live->models_capacity = larger;
    }
    live->models[live->models_count++] = *models;
}

static void sweep_end(struct sweep *sweep)
{
    struct deploy *deploy = sweep->deploy;
    store_collect_end(deploy->config.store);
    if (sweep->code < 0 && sweep->code != -ECANCELED)
        log_warn("store.collect_failed", "error=%s", LOG_TEXT(sweep->err.text));
    else if (sweep->collected.trees || sweep->collected.objects || sweep->collected.packages)
        log_info("store.collect", "trees=%zu objects=%zu packages=%zu bytes=%llu",
                 sweep->collected.trees, sweep->collected.objects, sweep->collected.packages,
                 (unsigned long long) sweep->collected.bytes);
    free(sweep->live.trees);
    free(sweep->live.blobs);
    free(sweep->live.models);
    free(sweep->garbage);
    free(sweep);
    deploy->is_collecting = false;
    if (deploy->is_asked_again && !deploy->is_ending)
        deploy_collect_soon(deploy);
}

static struct store_live sweep_live(const struct sweep *sweep)
{
    return (struct store_live){.is_named = sweep->deploy->config.is_named,
                               .is_named_arg = sweep->deploy->config.is_named_arg,
                               .trees = sweep->live.trees,
                               .tree_count = sweep->live.tree_count,
                               .blobs = sweep->live.blobs,
                               .blob_count = sweep->live.blob_count,
                               .models = sweep->live.models,
                               .models_count = sweep->live.models_count};
}

static void sweep_remove_run(void *arg)
{
    struct sweep *sweep = arg;
    struct store_live live = sweep_live(sweep);
    sweep->code = store_collect(sweep->deploy->config.store, &live, &sweep->collected, &sweep->err);
}

static void sweep_remove_done(void *arg, int status)
{
    struct sweep *sweep = arg;
    if (status < 0)
        sweep->code = status;
    sweep_end(sweep);
}

static void sweep_look_run(void *arg)
{
    struct sweep *sweep = arg;
    struct store_live live = sweep_live(sweep);
    sweep->code = store_garbage_trees(sweep->deploy->config.store, &live, &sweep->garbage,
                                      &sweep->garbage_count, &sweep->err);
}

static void sweep_look_done(void *arg, int status)
{
    struct sweep *sweep = arg;
    struct deploy *deploy = sweep->deploy;
    if (status < 0 || deploy->is_ending)
        sweep->code = -ECANCELED;
    for (size_t i = 0; sweep->code == 0 && deploy->config.forget && i < sweep->garbage_count; i++)
        deploy->config.forget(deploy->config.arg, &sweep->garbage[i]);
    if (sweep->code == 0)
        sweep->code = job_submit(deploy->sweep_pool, sweep_remove_run, sweep_remove_done, sweep);
    if (sweep->code < 0)
        sweep_end(sweep);
}

// From store_collect_begin on, whatever a deployment brings is safe; what was committed before it is
// in the note.
static void collect_now(void *arg)
{
    struct deploy *deploy = arg;
    struct sweep *sweep = mem_new(struct sweep);
    if (!sweep)
        return; // the next change asks again
    sweep->deploy = deploy;
    deploy->is_collecting = true;
    deploy->is_asked_again = false;
    store_collect_begin(deploy->config.store);
    deploy->config.live(deploy->config.arg, &sweep->live);
    if (sweep->live.has_failed)
        sweep->code = error_set(&sweep->err, -ENOMEM, "no memory for the list of what is live");
    if (sweep->code == 0)
        sweep->code = job_submit(deploy->sweep_pool, sweep_look_run, sweep_look_done, sweep);
    if (sweep->code < 0)
        sweep_end(sweep);
}

void deploy_collect_soon(struct deploy *deploy)
{
    if (!deploy->config.live || loop_timer_is_running(&deploy->timer))
        return;
    if (deploy->is_collecting) {
        deploy->is_asked_again = true;
        return;
    }
    if (loop_timer_start(deploy->config.loop, &deploy->timer, deploy->config.collect_after_ms,
                         collect_now, deploy) < 0)
        log_warn("store.collect_failed", "error=%s", "no memory for a timer");
}
