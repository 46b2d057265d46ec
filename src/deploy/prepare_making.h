// SPDX-License-Identifier: MIT
//
// prepare_making: models that are being prepared: one worker a key, whoever asks meanwhile waits for
// it, and only so many at once.
//
//     asked ─► WAITING ─► RUNNING ──────────────► done: all who wait are told
//                 ▲          └─► LATE ─────────────┘
//                 └─ begins when fewer than PREPARE_WORKERS are RUNNING, fewer than
//                    PREPARE_WORKERS_MAX run in all, and the machine has the memory
//
// A model is a stranger's, and may take its time: one that runs for longer than its share
// (PREPARE_SHARE_MS) is LATE and no longer counts, so that the next begins beside it; and at its
// time limit it is killed (prepare_job.h).
//
// What a worker needs of memory is taken off what the machine has available for as long as it runs.
// One that would not fit by itself fails with -ENOBUFS.
//
// Threads: the loop's. Limit: PREPARE_WAITING_MAX WAITING. Internal to deploy/.

#ifndef LAMINA_DEPLOY_PREPARE_MAKING_H
#define LAMINA_DEPLOY_PREPARE_MAKING_H

#include "base/list.h"
#include "deploy/prepare.h"
#include "deploy/prepare_found.h"
#include "deploy/prepare_known.h"

struct prepare_makings;

struct prepare_wish {
    struct digest key;
    struct digest tree_id;
    struct prepare_found found;
    bool has_tree; // the model's external data is in its tree
};

struct prepare_waiter {
    struct list link; // the makings' until `made`
    // Once, never from inside prepare_make. 0: *record is what is known now, and its form is kept
    // until the call returns. Else one of prepare_job_run's errors, -ENOBUFS, or -ECANCELED.
    void (*made)(struct prepare_waiter *waiter, int code, const struct prepare_record *record);
};

// `config` is borrowed for its life, as is `known`.
int prepare_makings_new(const struct prepare_config *config, struct prepare_known *known,
                        struct prepare_makings **ret_makings) MUST_CHECK;
// Waits for the running jobs; whoever waits is told -ECANCELED. Accepts NULL.
void prepare_makings_free(struct prepare_makings *makings);

// 0: waiter->made will be called. -EAGAIN: too many wait; -ENOMEM.
int prepare_make(struct prepare_makings *makings, const struct prepare_wish *wish,
                 struct prepare_waiter *waiter) MUST_CHECK;

#endif
