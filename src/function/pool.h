/* SPDX-License-Identifier: MIT
 *
 * pool: the instances of one version, and the invocations that wait for one.
 *
 *     queue -> an idle instance? the one that was idle shortest -> run
 *              one that answered a moment ago and comes back?   -> wait for it, as long as a start takes
 *              fewer being started than wait?                   -> start one, if limits and memory allow
 *              else                                             -> blocked: tried again when something ends
 *
 * Whichever instance is free first takes the oldest call, so a start that became needless leaves a spare.
 * When an instance fails its init phase, the oldest call answers for it: the first time the phase is repeated
 * within the call's own time-out (as Lambda does), the second time the call fails.
 *
 * A pool is made by the first call, or for its template, and goes with its last instance (and template: pool_template.h). Thread: loop only. Private to src/function.
 */
#ifndef LAMINA_FUNCTION_POOL_H
#define LAMINA_FUNCTION_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "function/keepalive.h"
#include "function/pool_template.h"
#include "function/scheduler.h"

/* How long an instance that has answered is waited for rather than starting another: as long as this function's last cold
 * start took, since a new one would not be there earlier. Within these limits. */
#define SETTLE_PATIENCE_MIN_MS 10
#define SETTLE_PATIENCE_MAX_MS 2000

struct instance;
struct invocation;
struct stopping;

/* An instance as its pool sees it. */
struct worker {
    struct pool *pool;
    struct instance *instance;
    struct list link;     /* in pool->idle or pool->settling, or in neither */
    struct list all_link; /* in scheduler->workers */
    struct keepalive_entry keep;
    struct invocation *invocation; /* being served; borrowed */
    uint64_t need;                 /* memory taken off until it is ready */
    int64_t created_ms, created_ns;
    int64_t answered_ms;
    uint64_t dropped_counted; /* log lines already counted in the statistics */
    bool is_sandboxed;        /* STARTED */
    bool is_ready;            /* first idle */
    bool is_fresh;            /* it becomes idle for the first time in this very call */
    bool is_stopping;
    bool is_spare;             /* a fork that waits ahead of its first call */
    struct template *forking;  /* while the fork was asked for and does not stand; borrowed */
    uint64_t template_id;      /* it is a fork of that one; 0: a process of its own */
    struct stopping *stopping; /* whom to tell when it has ended; borrowed */
};

struct pool {
    struct scheduler *scheduler; /* borrowed */
    const struct version *version;
    struct list queue; /* invocations, oldest first */
    uint32_t queue_count;
    struct list idle;     /* workers, the one that was idle shortest first; frozen ones are last */
    struct list settling; /* workers that have answered, the earliest first */
    uint32_t worker_count;
    uint32_t starting; /* workers not yet ready */
    uint32_t stopping; /* workers that were told to end */
    uint32_t busy;     /* workers that serve a call */
    struct list blocked_link;
    struct pool_template template;
    uint32_t spare_count;
    struct loop_timer spare_timer;
    int64_t called_ms;    /* when a call came last; INT64_MIN: none since it was made, or stopped */
    uint32_t provisioned; /* instances to be kept, whether called or not */
    bool has_failed;      /* one of those failed its init phase: no more are started ahead */
    enum spawn_filesystem_failure mount_failure; /* why, if it was its file system */
    bool is_retired;
    bool is_scheduling; /* pool_schedule is running: an inner call leaves the work to the outer */
};

struct pool *pool_new(struct scheduler *scheduler, const struct version *version);

/* `invocation` has its permit. */
void pool_enqueue(struct pool *pool, struct invocation *invocation);
/* The queued invocation goes away. */
void pool_dequeue(struct pool *pool, struct invocation *invocation);
bool pool_has_idle(const struct pool *pool);
/* Moves what can be moved. The pool may be gone afterwards. */
void pool_schedule(struct pool *pool);
/* The same, after throttling what was accepted before `since_ms` and has no instance on its way. */
void pool_schedule_since(struct pool *pool, int64_t since_ms);
void pool_retire(struct pool *pool);
void pool_set_provisioned(struct pool *pool, uint32_t n);
/* Instances that are past their init phase. */
uint32_t pool_ready(const struct pool *pool);
/* Frees the pool if it has neither instances nor calls. */
void pool_release(struct pool *pool);

/* Would ending it leave fewer instances than are provisioned? */
bool worker_is_provisioned(const struct worker *worker);
/* Nobody has called it for a while: how much longer it is worth its memory (retention.h). */
int64_t worker_keep_ms(const struct worker *worker);
/* Ends a worker that serves nothing. */
void worker_stop(struct worker *worker);
bool worker_is_idle(const struct worker *worker);
void worker_info(const struct worker *worker, struct instance_info *ret_info);

/* Someone who waits until some workers have ended. */
struct stopping {
    unsigned remaining, total;
    struct loop_deferred deferred;
    scheduler_stopped_cb *done;
    void *arg;
};

/* One of them has: the last tells. */
void stopping_done(struct stopping *stopping);

#endif
