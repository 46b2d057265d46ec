/* SPDX-License-Identifier: MIT */
#include "function/scheduler.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "function/invocation.h"
#include "function/pool.h"
#include "function/scheduler_private.h"
#include "function/version.h"
#include "instance/instance.h"

#define POOLS_MAX 100000
/* How often what waits is looked at again when nothing else happens. */
#define TICK_MS 10

static void scheduler_tick(void *arg);

/* ---- life */

static int64_t keep_ms(void *arg, struct keepalive_entry *entry)
{
    (void) arg;
    return worker_keep_ms(container_of(entry, struct worker, keep));
}

static void keep_freeze(void *arg, struct keepalive_entry *entry)
{
    struct worker *worker = container_of(entry, struct worker, keep);
    (void) arg;
    if (!instance_is_frozen(worker->instance)) /* a provisioned one is kept on and on */
        instance_freeze(worker->instance);
}

static void keep_end(void *arg, struct keepalive_entry *entry)
{
    struct worker *worker = container_of(entry, struct worker, keep);
    struct scheduler *scheduler = worker->pool->scheduler;
    (void) arg;
    if (worker_is_provisioned(worker))
        keepalive_spare(&scheduler->keepalive, entry);
    else
        worker_stop(worker);
}

int scheduler_new(const struct scheduler_config *config, struct scheduler **ret_scheduler,
                  struct error *err)
{
    const struct keepalive_events events = {
        .keep_ms = keep_ms, .freeze = keep_freeze, .end = keep_end};
    struct scheduler *scheduler = mem_new(struct scheduler);
    if (!scheduler)
        return error_set(err, -ENOMEM, "start the scheduler: no memory");
    scheduler->loop = config->loop;
    scheduler->host = config->host;
    scheduler->limits = config->limits;
    scheduler->mounter = config->mounter;
    map_init(&scheduler->pools, POOLS_MAX);
    list_init(&scheduler->workers);
    list_init(&scheduler->waiting);
    list_init(&scheduler->rejected);
    list_init(&scheduler->blocked);
    stats_table_init(&scheduler->stats);
    cache_init(&scheduler->templates, config->limits.template_bytes);
    admission_init(&scheduler->admission, config->loop, config->limits.memory_reserve);
    keepalive_init(&scheduler->keepalive, config->loop, config->limits.freeze_after_ms,
                   (uint64_t) config->limits.keepalive_s * 1000, &events);
    *ret_scheduler = scheduler;
    return 0;
}

void scheduler_free(struct scheduler *scheduler)
{
    if (!scheduler)
        return;
    loop_timer_stop(&scheduler->timer);
    keepalive_done(&scheduler->keepalive);
    stats_table_done(&scheduler->stats);
    map_done(&scheduler->pools, NULL);
    free(scheduler);
}

/* ---- pools */

static struct str pool_key(const uint64_t *execution_id)
{
    return str_of_data(execution_id, sizeof(*execution_id));
}

static struct pool *pool_find(const struct scheduler *scheduler, const struct version *version)
{
    return map_get(&scheduler->pools, pool_key(&version->execution_id));
}

static struct pool *pool_get(struct scheduler *scheduler, const struct version *version)
{
    struct pool *pool = pool_find(scheduler, version);
    if (pool)
        return pool;
    pool = pool_new(scheduler, version);
    if (pool && map_put(&scheduler->pools, pool_key(&version->execution_id), pool) < 0) {
        pool_release(pool);
        return NULL;
    }
    return pool;
}

void scheduler_pool_gone(struct scheduler *scheduler, struct pool *pool)
{
    map_remove(&scheduler->pools, pool_key(&pool->version->execution_id));
}

/* ---- waiting: a permit, room, memory */

static void scheduler_arm(struct scheduler *scheduler)
{
    if (loop_timer_is_running(&scheduler->timer))
        return;
    if (loop_timer_start(scheduler->loop, &scheduler->timer, TICK_MS, scheduler_tick, scheduler) <
        0)
        log_error("scheduler.timer", "error=memory");
}

void scheduler_block(struct scheduler *scheduler, struct pool *pool)
{
    if (!list_is_linked(&pool->blocked_link))
        list_add_last(&scheduler->blocked, &pool->blocked_link);
    scheduler_arm(scheduler);
}

/* Each blocked pool once, the one that has waited longest first; those that are still blocked line up again. */
static void blocked_round(struct scheduler *scheduler, int64_t since_ms)
{
    struct list round = LIST_INIT(round);
    struct list *link = NULL;
    list_move_all(&round, &scheduler->blocked);
    while ((link = list_take_first(&round)) != NULL)
        pool_schedule_since(LIST_ENTRY(link, struct pool, blocked_link), since_ms);
}

void scheduler_unblock(struct scheduler *scheduler)
{
    blocked_round(scheduler, INT64_MIN);
}

static void waiting_expire(struct scheduler *scheduler, int64_t since_ms)
{
    struct list *link = NULL;
    while ((link = list_first(&scheduler->waiting)) != NULL) {
        struct invocation *first = LIST_ENTRY(link, struct invocation, link);
        if (first->accepted_ms >= since_ms)
            return;
        list_remove(&first->link);
        scheduler->totals.queued--;
        scheduler->totals.queued_bytes -= first->payload_bytes;
        invocation_finish_throttled(first);
    }
}

static void scheduler_tick(void *arg)
{
    struct scheduler *scheduler = arg;
    int64_t since_ms = loop_now_ms(scheduler->loop) - scheduler->limits.queue_wait_ms;
    waiting_expire(scheduler, since_ms);
    blocked_round(scheduler, since_ms);
    if (!list_is_empty(&scheduler->waiting) || !list_is_empty(&scheduler->blocked))
        scheduler_arm(scheduler);
}

/* ---- invocations */

/* Is there a permit for a call of this function? */
static bool has_permit(const struct scheduler *scheduler, const struct function_stats *stats)
{
    int64_t open = (int64_t) scheduler->limits.concurrency - scheduler->reserved;
    if (stats && stats->reserved >= 0)
        return stats->running < stats->reserved;
    return (int64_t) scheduler->unreserved_running < open;
}

static void permit_take(struct scheduler *scheduler, struct invocation *invocation)
{
    struct function_stats *stats = stats_table_get(&scheduler->stats, invocation->version->name);
    scheduler->totals.running++;
    if (stats)
        stats->running++;
    invocation->is_reserved = stats && stats->reserved >= 0;
    scheduler->unreserved_running += !invocation->is_reserved;
    invocation_permit(invocation);
}

/* The function may have been deleted meanwhile, and its entry made anew. */
static void permit_return(struct scheduler *scheduler, struct invocation *invocation)
{
    struct function_stats *stats = map_get_text(&scheduler->stats.map, invocation->version->name);
    invocation->has_permit = false;
    scheduler->totals.running--;
    if (stats && stats->running > 0)
        stats->running--;
    scheduler->unreserved_running -= !invocation->is_reserved;
}

/* Gives it a permit and its pool. False without memory. */
static bool scheduler_admit(struct scheduler *scheduler, struct invocation *invocation)
{
    struct pool *pool = pool_get(scheduler, invocation->version);
    if (!pool)
        return false;
    permit_take(scheduler, invocation);
    pool_enqueue(pool, invocation);
    pool_schedule(pool);
    return true;
}

static void waiting_admit(struct scheduler *scheduler)
{
    struct list *link = NULL;
    while (has_permit(scheduler, NULL) && (link = list_take_first(&scheduler->waiting)) != NULL) {
        struct invocation *invocation = LIST_ENTRY(link, struct invocation, link);
        scheduler->totals.queued--;
        scheduler->totals.queued_bytes -= invocation->payload_bytes;
        if (!scheduler_admit(scheduler, invocation))
            invocation_finish_throttled(invocation);
    }
}

static void drained_check(struct scheduler *scheduler)
{
    void (*drained)(void *arg) = scheduler->drained;
    if (!drained || scheduler->invocations > 0)
        return;
    scheduler->drained = NULL;
    drained(scheduler->drained_arg);
}

void scheduler_invocation_done(struct scheduler *scheduler, struct invocation *invocation)
{
    scheduler->invocations--;
    if (invocation->has_permit) {
        permit_return(scheduler, invocation);
        waiting_admit(scheduler);
    }
    drained_check(scheduler);
}

static void rejected_finish(void *arg)
{
    struct scheduler *scheduler = arg;
    struct list *link = NULL;
    while ((link = list_take_first(&scheduler->rejected)) != NULL)
        invocation_finish_throttled(LIST_ENTRY(link, struct invocation, link));
}

/* The answer must not come from inside invocation_start. */
static void scheduler_reject(struct scheduler *scheduler, struct invocation *invocation)
{
    invocation->is_rejected = true;
    list_add_last(&scheduler->rejected, &invocation->link);
    loop_defer(scheduler->loop, &scheduler->reject_deferred, rejected_finish, scheduler);
}

static bool has_idle(const struct scheduler *scheduler, const struct version *version)
{
    const struct pool *pool = pool_find(scheduler, version);
    return pool && pool_has_idle(pool);
}

/* Where a new call goes: to its pool, or among those that wait. False: it is to be throttled. */
static bool scheduler_place(struct scheduler *scheduler, struct invocation *invocation)
{
    const struct version *version = invocation->version;
    const struct function_stats *stats = map_get_text(&scheduler->stats.map, version->name);
    bool is_reserved = stats && stats->reserved >= 0;
    bool may_run =
        has_permit(scheduler, stats) && (is_reserved || list_is_empty(&scheduler->waiting));
    bool may_hold = scheduler->totals.queued_bytes + invocation->payload_bytes <=
                    scheduler->limits.queue_bytes_max;
    if (!may_run && is_reserved)
        invocation->throttle_reason = "ReservedFunctionConcurrentInvocationLimitExceeded";
    if (may_run)
        return (may_hold || has_idle(scheduler, version)) && scheduler_admit(scheduler, invocation);
    if (is_reserved || !may_hold || scheduler->totals.queued >= scheduler->limits.queue_max)
        return false;
    list_add_last(&scheduler->waiting, &invocation->link);
    scheduler->totals.queued++;
    scheduler->totals.queued_bytes += invocation->payload_bytes;
    scheduler_arm(scheduler);
    return true;
}

struct invocation *invocation_start(struct scheduler *scheduler, const struct version *version,
                                    struct invocation_spec *spec, invocation_cb *cb, void *arg)
{
    struct invocation *invocation = invocation_new(scheduler, version, spec, cb, arg);
    if (!invocation)
        return NULL;
    if (scheduler->is_draining || !scheduler_place(scheduler, invocation))
        scheduler_reject(scheduler, invocation);
    return invocation;
}

void invocation_cancel(struct invocation *invocation)
{
    struct scheduler *scheduler = invocation->scheduler;
    invocation->cb = NULL;
    if (invocation->instance)
        instance_stream_resume(invocation->instance); /* nobody is slow any more */
    if (invocation->state == INVOCATION_QUEUED) {
        struct pool *pool = invocation->pool;
        pool_dequeue(pool, invocation);
        invocation_finish_cancelled(invocation);
        pool_schedule(pool);
    } else if (invocation->state == INVOCATION_WAITING && !invocation->is_rejected) {
        list_remove(&invocation->link);
        scheduler->totals.queued--;
        scheduler->totals.queued_bytes -= invocation->payload_bytes;
        invocation_finish_cancelled(invocation);
    }
}

/* ---- reserved and provisioned concurrency */

/* Calls of a function that wait for one of the shared permits, while it has been given its own: they take those, and
 * beyond them a call never waits (scheduler_place). So no call of such a function is ever left in `waiting`. */
static void waiting_settle(struct scheduler *scheduler, const struct function_stats *stats)
{
    struct list own = LIST_INIT(own);
    struct list *link = NULL;
    LIST_FOR_EACH_SAFE (struct invocation, each, &scheduler->waiting, link)
        if (strcmp(each->version->name, stats->name) == 0) {
            list_remove(&each->link);
            list_add_last(&own, &each->link);
        }
    while ((link = list_take_first(&own)) != NULL) {
        struct invocation *invocation = LIST_ENTRY(link, struct invocation, link);
        scheduler->totals.queued--;
        scheduler->totals.queued_bytes -= invocation->payload_bytes;
        if (has_permit(scheduler, stats) && scheduler_admit(scheduler, invocation))
            continue;
        invocation->throttle_reason = "ReservedFunctionConcurrentInvocationLimitExceeded";
        scheduler_reject(scheduler, invocation);
    }
}

void scheduler_set_reserved(struct scheduler *scheduler, struct str function, int64_t n)
{
    char name[LIMIT_FUNCTION_NAME_MAX + 1];
    struct function_stats *stats = map_get(&scheduler->stats.map, function);
    if (!stats && n >= 0 && str_copy(function, name, sizeof(name)) == 0)
        stats = stats_table_get(&scheduler->stats, name);
    if (!stats || stats == scheduler->stats.other)
        return;
    scheduler->reserved -= stats->reserved > 0 ? stats->reserved : 0;
    stats->reserved = n;
    scheduler->reserved += n > 0 ? n : 0;
    if (n >= 0)
        waiting_settle(scheduler, stats);
    waiting_admit(scheduler);
}

void scheduler_set_provisioned(struct scheduler *scheduler, const struct version *version,
                               unsigned n)
{
    struct pool *pool = n > 0 ? pool_get(scheduler, version) : pool_find(scheduler, version);
    if (pool)
        pool_set_provisioned(pool, n);
}

void scheduler_provisioned(const struct scheduler *scheduler, const struct version *version,
                           struct scheduler_provisioned *ret_provisioned)
{
    const struct pool *pool = pool_find(scheduler, version);
    *ret_provisioned = (struct scheduler_provisioned){0};
    if (pool)
        *ret_provisioned = (struct scheduler_provisioned){.requested = pool->provisioned,
                                                          .ready = pool_ready(pool),
                                                          .has_failed = pool->has_failed,
                                                          .mount_failure = pool->mount_failure};
}

/* ---- templates */

void scheduler_prepare(struct scheduler *scheduler, const struct version *version,
                       scheduler_prepared_cb *cb, void *arg)
{
    const struct scheduler_prepared none = {.reason = ""};
    struct pool *pool = version_is_forked(version) ? pool_get(scheduler, version) : NULL;
    if (!pool) {
        cb(arg, &none);
        return;
    }
    pool_template_wait(pool, cb, arg);
    pool_release(pool);
}

bool scheduler_is_running(const struct scheduler *scheduler, const struct version *version)
{
    const struct pool *pool = pool_find(scheduler, version);
    return pool && (pool->worker_count > 0 || pool->template.alive > 0);
}

static void template_fill(const struct pool *pool, struct template_info *ret_info)
{
    const struct template *current = pool->template.current;
    *ret_info = (struct template_info){.function = str_of(pool->version->name),
                                       .version = str_of(pool->version->qualifier),
                                       .state = pool_template_state(pool),
                                       .reason = pool->template.reason,
                                       .spares = pool->spare_count};
    if (!current)
        return;
    ret_info->id = instance_id(current->instance);
    ret_info->pid = instance_pid(current->instance);
    ret_info->memory_bytes = current->memory_bytes;
    ret_info->start_us = current->start_us;
    ret_info->forks = current->forks;
    ret_info->age_ms = (uint64_t) (clock_monotonic_ns() - current->created_ns) / 1000000;
}

bool scheduler_template(const struct scheduler *scheduler, const struct version *version,
                        struct template_info *ret_info)
{
    const struct pool *pool = pool_find(scheduler, version);
    if (!pool || !version_is_forked(version))
        return false;
    template_fill(pool, ret_info);
    return true;
}

void scheduler_each_template(struct scheduler *scheduler, template_info_cb *cb, void *arg)
{
    MAP_FOR_EACH (struct pool, each, &scheduler->pools) {
        struct template_info info;
        if (!version_is_forked(each->version))
            continue;
        template_fill(each, &info);
        cb(arg, &info);
    }
}

/* ---- versions and instances */

void scheduler_retire(struct scheduler *scheduler, const struct version *version)
{
    struct pool *pool = pool_find(scheduler, version);
    if (pool)
        pool_retire(pool);
}

void scheduler_each_version(const struct scheduler *scheduler,
                            void (*visit)(void *arg, const struct version *version), void *arg)
{
    MAP_FOR_EACH (struct pool, each, &scheduler->pools)
        visit(arg, each->version);
    LIST_FOR_EACH (struct invocation, each, &scheduler->waiting, link)
        visit(arg, each->version);
}

static void stopping_none(void *arg)
{
    struct stopping *stopping = arg;
    stopping->done(stopping->arg, 0);
    free(stopping);
}

/* No spare comes again before the next call. */
static void stop_pools(struct scheduler *scheduler, struct str function, enum scheduler_stop what,
                       struct stopping *stopping)
{
    MAP_FOR_EACH (struct pool, each, &scheduler->pools) {
        if (what == SCHEDULER_STOP_USED || !str_equal_text(function, each->version->name))
            continue;
        each->called_ms = INT64_MIN;
        if (what == SCHEDULER_STOP_TEMPLATES)
            stopping->remaining += pool_template_stop(each, stopping);
    }
}

void scheduler_stop_idle(struct scheduler *scheduler, struct str function, enum scheduler_stop what,
                         scheduler_stopped_cb *done, void *arg)
{
    struct stopping *stopping = mem_new(struct stopping);
    if (!stopping) {
        done(arg, 0);
        return;
    }
    stopping->done = done;
    stopping->arg = arg;
    LIST_FOR_EACH_SAFE (struct worker, each, &scheduler->workers, all_link) {
        if (!worker_is_idle(each) || each->stopping ||
            (each->is_spare && what == SCHEDULER_STOP_USED) ||
            !str_equal_text(function, each->pool->version->name))
            continue;
        each->stopping = stopping;
        stopping->total = ++stopping->remaining;
        worker_stop(each);
    }
    stop_pools(scheduler, function, what, stopping);
    if (stopping->remaining == 0)
        loop_defer(scheduler->loop, &stopping->deferred, stopping_none, stopping);
}

void scheduler_each_instance(struct scheduler *scheduler, instance_info_cb *cb, void *arg)
{
    LIST_FOR_EACH (struct worker, each, &scheduler->workers, all_link) {
        struct instance_info info;
        worker_info(each, &info);
        cb(arg, &info);
    }
}

/* Carries a question for memory to the instance and its answer back. */
struct memory_question {
    uint64_t id;
    instance_memory_cb *cb;
    void *arg;
};

static void memory_answer(void *arg, const struct instance_usage *usage)
{
    struct memory_question *question = arg;
    const struct instance_memory memory = {.error = usage->error,
                                           .pss_bytes = usage->pss_bytes,
                                           .private_bytes = usage->private_bytes,
                                           .page_table_bytes = usage->page_table_bytes,
                                           .cgroup_bytes = usage->cgroup_bytes,
                                           .cgroup_peak_bytes = usage->cgroup_peak_bytes,
                                           .cpu_us = usage->cpu_us};
    question->cb(question->arg, question->id, &memory);
    free(question);
}

void scheduler_instance_memory(struct scheduler *scheduler, uint64_t id, instance_memory_cb *cb,
                               void *arg)
{
    struct instance_memory none = {.error = -ESRCH};
    struct memory_question *question = mem_new(struct memory_question);
    LIST_FOR_EACH (struct worker, each, &scheduler->workers, all_link)
        if (question && instance_id(each->instance) == id) {
            *question = (struct memory_question){.id = id, .cb = cb, .arg = arg};
            instance_usage(each->instance, memory_answer, question);
            return;
        }
    none.error = question ? -ESRCH : -ENOMEM;
    free(question);
    cb(arg, id, &none);
}

void scheduler_totals(const struct scheduler *scheduler, struct scheduler_totals *ret_totals)
{
    *ret_totals = scheduler->totals;
    ret_totals->templates = scheduler->templates.count;
    ret_totals->template_bytes = scheduler->templates.bytes;
    ret_totals->templates_evicted = scheduler->templates.evicted;
    ret_totals->is_spawn_alive = instance_host_is_connected(scheduler->host);
}

static void drained_now(void *arg)
{
    drained_check(arg);
}

void scheduler_drain(struct scheduler *scheduler, void (*done)(void *arg), void *arg)
{
    scheduler->is_draining = true;
    scheduler->drained = done;
    scheduler->drained_arg = arg;
    loop_defer(scheduler->loop, &scheduler->drain_deferred, drained_now, scheduler);
}
