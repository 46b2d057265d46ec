/* SPDX-License-Identifier: MIT
 *
 * scheduler_private: what the scheduler, its pools and invocations know of each other. Private to src/function.
 */
#ifndef LAMINA_FUNCTION_SCHEDULER_PRIVATE_H
#define LAMINA_FUNCTION_SCHEDULER_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "function/admission.h"
#include "function/keepalive.h"
#include "function/scheduler.h"
#include "function/stats_table.h"
#include "loop/loop.h"
#include "template/cache.h"

struct invocation;
struct pool;

struct scheduler {
    struct loop *loop;          /* borrowed */
    struct instance_host *host; /* borrowed */
    struct scheduler_limits limits;
    struct scheduler_mounter mounter;
    struct map pools;     /* execution_id, 8 raw bytes -> struct pool */
    struct list workers;  /* all, of all pools */
    struct list waiting;  /* invocations without a permit, oldest first */
    struct list rejected; /* invocations to be throttled at the end of the turn */
    struct list blocked;  /* pools whose queue waits for something other than their own instances */
    struct loop_timer timer; /* runs while something waits or is blocked */
    struct loop_deferred reject_deferred, drain_deferred;
    struct keepalive keepalive;
    struct admission admission;
    struct template_cache templates;
    struct stats_table stats;
    struct scheduler_totals totals;
    uint64_t invocations;        /* not DONE */
    int64_t reserved;            /* permits kept for functions with reserved concurrency */
    uint32_t unreserved_running; /* calls that hold one of the others */
    uint32_t starting;           /* sandboxes that lamina-spawn is making */
    uint32_t ending;             /* instances that were told to end */
    bool is_draining;
    void (*drained)(void *arg);
    void *drained_arg;
};

/* The invocation is DONE: its permit goes to the next. */
void scheduler_invocation_done(struct scheduler *scheduler, struct invocation *invocation);
/* Something ended, settled or was started: blocked pools may go on. */
void scheduler_unblock(struct scheduler *scheduler);
/* Ends the instance that was idle longest, whosever it is; without one, the template that is worth least. */
void scheduler_make_room(struct scheduler *scheduler);
/* The pool's queue cannot move by itself; it is tried again. */
void scheduler_block(struct scheduler *scheduler, struct pool *pool);
void scheduler_pool_gone(struct scheduler *scheduler, struct pool *pool);

#endif
