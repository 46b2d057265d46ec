// SPDX-License-Identifier: MIT
//
// The deployment job: a package becomes a tree in the store.
//
//     loop:    deploy_start ----------------------------------------------------> done(result)
//     thread:     package's digest -> WORK over fd 4 -> lamina-work, confined, unzips into a pipe
//                 -> every name checked again, files staged and digested -> worker reaped
//                 -> store_batch_commit (sync, rename, farm, sync)
//
// Straight-line code on a deployment thread, on copies; nothing is visible before the last step, and
// a kill -9 at any point leaves nothing that the next start or collection does not remove.
//
// Threads: this header is for the loop thread. Limits: DEPLOY_THREADS jobs at once, DEPLOY_WAITING_MAX
// waiting (-EAGAIN beyond). A worker that says nothing for DEPLOY_STALL_S is given up and killed.

#ifndef LAMINA_DEPLOY_DEPLOY_H
#define LAMINA_DEPLOY_DEPLOY_H

#include "base/compiler.h"
#include "base/digest.h"
#include "base/error.h"
#include "deploy/mark.h"
#include "loop/loop.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEPLOY_THREADS 2
#define DEPLOY_WAITING_MAX 256
#define DEPLOY_STALL_S 120
#define DEPLOY_ENTRIES_MAX 100000 // of a package

struct deploy;
struct deploy_live;

// AWS's own limits, base/limits.h: zipped and unzipped size.
enum deploy_limits {
    DEPLOY_LIMITS_ENFORCE, // refuse what AWS would refuse
    DEPLOY_LIMITS_OFF,     // only the disk and DEPLOY_ENTRIES_MAX limit
};

enum deploy_status {
    DEPLOY_OK = 0,
    DEPLOY_BAD_ZIP, // InvalidParameterValueException "Could not unzip uploaded file. ..."
    DEPLOY_UNZIPPED_TOO_LARGE, // InvalidParameterValueException "Unzipped size must be smaller ..."
    DEPLOY_ZIP_TOO_LARGE,      // RequestEntityTooLargeException "Zipped size must be smaller ..."
    DEPLOY_NO_PACKAGE,         // no package of this digest is in the store
    DEPLOY_NO_SPACE,           // the disk is full
    DEPLOY_INTERNAL,           // ours: the worker died, I/O errors; safe to try again
};

struct deploy_result {
    enum deploy_status status;
    struct error err;      // not OK: `text` is the message for the caller, in AWS's words where AWS
                           // has them, followed by what is wrong with which entry
    struct digest tree_id; // OK: what lamina-spawn mounts
    struct digest zip_sha256;
    uint64_t zip_bytes;
    uint64_t tree_bytes; // sum of the files' sizes
    enum mark mark;      // of its bootstrap
    size_t entries;
    bool has_extensions; // of a merge (merge.h): there are files in extensions/
    // OK: keeps tree and package from collection. The receiver takes it (sets it to NULL) and calls
    // store_unpin when the registry has committed, or when it gives up.
    struct store_pin *pin;
};

struct deploy_spec {
    struct store_file *zip; // a finished file from the spool: taken if deploy_start succeeds; or
    const struct digest *package; // NULL zip: a package in the store (copied)
    enum deploy_limits limits;
    const struct digest *models_set; // of the function: made ready for its instances; NULL: none
};

struct deploy_config {
    struct loop *loop;        // borrowed
    struct store *store;      // borrowed
    int work_fd;              // borrowed: SPAWN_FD_WORK, the channel of wire/spawn.h
    int64_t collect_after_ms; // 0: DEPLOY_COLLECT_AFTER_S
    // Collection: adds every tree and package that must stay (deploy_live_add), the versions of
    // running instances too. Loop thread. NULL: nothing is ever collected.
    void (*live)(void *arg, struct deploy_live *live);
    // Each tree that is about to be removed, on the loop thread, before it is: SPAWN_TREE_FORGET.
    void (*forget)(void *arg, const struct digest *tree_id);
    void *arg;
    // store_live.is_named: what buckets name stays. A thread. NULL: there are no buckets.
    int (*is_named)(void *arg, const struct digest *digest);
    void *is_named_arg;
};

int deploy_new(const struct deploy_config *config, struct deploy **ret_deploy) MUST_CHECK;
// Waits for running jobs, cancels waiting ones (their `done` gets DEPLOY_INTERNAL). Accepts NULL.
void deploy_free(struct deploy *deploy);

// 0 and one call of `done` later, or -EAGAIN (too many wait), -ENOMEM and no call; the zip stays the
// caller's then.
int deploy_start(struct deploy *deploy, const struct deploy_spec *spec,
                 void (*done)(void *arg, struct deploy_result *result), void *arg) MUST_CHECK;

// Starts a collection of what nothing names any more, collect_after_ms from now; calls until then
// share one. To be called at start and after each commit that dropped a version.
void deploy_collect_soon(struct deploy *deploy);
#define DEPLOY_COLLECT_AFTER_S 10

void deploy_live_add(struct deploy_live *live, const uint8_t tree_id[DIGEST_BYTES],
                     const uint8_t zip_sha256[DIGEST_BYTES]); // either may be NULL
void deploy_live_models_add(struct deploy_live *live, const struct store_live_models *models);

// For metrics: jobs waiting and running.
size_t deploy_waiting(const struct deploy *deploy);

#endif
