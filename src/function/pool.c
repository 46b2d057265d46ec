/* SPDX-License-Identifier: MIT */
#include "function/pool.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "function/invocation.h"
#include "function/retention.h"
#include "function/scheduler_private.h"
#include "function/start_spec.h"
#include "function/version.h"
#include "instance/instance.h"
#include "template/cache.h"

/* Instances that are made to end for others at the same moment. */
#define EVICTIONS_MAX 8
/* A call whose sandbox could not be made is tried once more. */
#define FAULTS_MAX 2
#define INIT_FAILURES_MAX 2

/* What a fork is thought to need of which none has run yet. */
#define FORK_GUESS_BYTES (UINT64_C(1) << 20)
#define SPARE_AFTER_MS 5

static const struct instance_events worker_events;
static void spare_arm(struct pool *pool);

struct pool *pool_new(struct scheduler *scheduler, const struct version *version)
{
    struct pool *pool = mem_new(struct pool);
    if (!pool)
        return NULL;
    pool->scheduler = scheduler;
    pool->version = version_ref(version);
    list_init(&pool->queue);
    list_init(&pool->idle);
    list_init(&pool->settling);
    pool_template_init(&pool->template);
    pool->called_ms = INT64_MIN;
    return pool;
}

void pool_release(struct pool *pool)
{
    if (pool->worker_count > 0 || pool->queue_count > 0 || pool->is_scheduling ||
        pool->provisioned > 0 || pool->template.alive > 0 || pool_template_is_awaited(pool) ||
        (pool->template.reason[0] && !pool->is_retired)) /* it remembers why there is none */
        return;
    loop_timer_stop(&pool->spare_timer);
    loop_timer_stop(&pool->template.timer);
    list_remove(&pool->blocked_link);
    scheduler_pool_gone(pool->scheduler, pool);
    version_unref(pool->version);
    free(pool);
}

/* ---- the queue */

static struct invocation *pool_first(const struct pool *pool)
{
    struct list *first = list_first(&pool->queue);
    return first ? LIST_ENTRY(first, struct invocation, link) : NULL;
}

/* What a new instance is for. What it calls while it initialises itself counts from there: otherwise a function that
 * calls itself then would be stopped by nothing. */
static unsigned pool_depth(const struct pool *pool)
{
    struct list *last = list_last(&pool->queue);
    return last ? LIST_ENTRY(last, struct invocation, link)->request.depth : 0;
}

void pool_enqueue(struct pool *pool, struct invocation *invocation)
{
    invocation->pool = pool;
    pool->has_failed = false; /* this call tries its init phase anew */
    pool->called_ms = loop_now_ms(pool->scheduler->loop);
    list_add_last(&pool->queue, &invocation->link);
    pool->queue_count++;
    pool->scheduler->totals.queued_bytes += invocation->payload_bytes;
}

void pool_dequeue(struct pool *pool, struct invocation *invocation)
{
    invocation->pool = NULL;
    list_remove(&invocation->link);
    pool->queue_count--;
    pool->scheduler->totals.queued_bytes -= invocation->payload_bytes;
}

bool pool_has_idle(const struct pool *pool)
{
    return !list_is_empty(&pool->idle);
}

/* ---- workers */

/* NULL for a version that is gone, so that what its last instances tell does not bring back a deleted function. */
static struct function_stats *pool_stats(struct pool *pool)
{
    return pool->is_retired ? NULL : stats_table_get(&pool->scheduler->stats, pool->version->name);
}

static uint32_t init_limit_ms(const struct pool *pool, bool is_repeated,
                              const struct template *template)
{
    uint32_t timeout_ms = pool->version->timeout_s * 1000;
    if (template)
        return LIMIT_INIT_MS; /* AWS's for a restore, too */
    if (pool->provisioned > 0)
        return timeout_ms > SCHEDULER_INIT_PROVISIONED_MS ? timeout_ms
                                                          : SCHEDULER_INIT_PROVISIONED_MS;
    return is_repeated ? timeout_ms : LIMIT_INIT_MS;
}

static struct instance *worker_instance(struct worker *worker, struct template *template)
{
    struct pool *pool = worker->pool;
    const struct invocation *first = pool_first(pool);
    bool is_repeated = first && first->init_failures > 0;
    struct instance_events events = worker_events;
    struct instance *instance = NULL;
    struct start_spec start;
    events.arg = worker;
    if (start_spec_init(&start, pool->version) == 0) {
        start.spec.init_limit_ms = init_limit_ms(pool, is_repeated, template);
        start.spec.is_init_repeated = is_repeated;
        start_spec_mount(&start, pool->version, &pool->scheduler->mounter);
        start.spec.is_provisioned = pool->provisioned > 0;
        start.spec.is_spare = worker->is_spare;
        start.spec.depth = pool_depth(pool);
        start.spec.takes_no_spare = pool->scheduler->limits.spares == 0;
        start.spec.template_id = template ? instance_id(template->instance) : 0;
        start.spec.inherited_bytes = template ? instance_memory_peak(template->instance) : 0;
        instance = instance_new(pool->scheduler->host, &start.spec, &events);
    }
    start_spec_done(&start);
    return instance;
}

static bool worker_new(struct pool *pool, uint64_t need, bool is_spare)
{
    struct scheduler *scheduler = pool->scheduler;
    struct template *template = pool_template_ready(pool);
    struct worker *worker = mem_new(struct worker);
    if (!worker)
        return false;
    worker->pool = pool;
    worker->need = need;
    worker->is_spare = is_spare;
    worker->created_ms = loop_now_ms(scheduler->loop);
    worker->created_ns = clock_monotonic_ns();
    worker->instance = worker_instance(worker, template);
    if (!worker->instance) {
        free(worker);
        return false;
    }
    if (template) {
        worker->template_id = template_fork(template);
        worker->forking = template;
    }
    list_add_last(&scheduler->workers, &worker->all_link);
    scheduler->totals.instances++;
    scheduler->starting++;
    pool->worker_count++;
    pool->starting++;
    return true;
}

void worker_stop(struct worker *worker)
{
    keepalive_remove(&worker->pool->scheduler->keepalive, &worker->keep);
    list_remove(&worker->link);
    worker->is_stopping = true;
    worker->pool->stopping++;
    worker->pool->scheduler->ending++;
    instance_stop(worker->instance);
}

bool worker_is_idle(const struct worker *worker)
{
    return worker->is_ready && !worker->is_stopping && !worker->invocation &&
           list_is_linked(&worker->keep.link);
}

/* Makes room by ending the instance that was idle longest, whosever it is. */
void scheduler_make_room(struct scheduler *scheduler)
{
    struct worker *oldest = NULL;
    if (scheduler->ending >= EVICTIONS_MAX)
        return;
    LIST_FOR_EACH (struct worker, each, &scheduler->workers, all_link)
        if (worker_is_idle(each) && !worker_is_provisioned(each) &&
            (!oldest || each->keep.since_ms < oldest->keep.since_ms))
            oldest = each;
    if (oldest)
        worker_stop(oldest);
    else if (scheduler->ending == 0 && scheduler->templates.ending == 0 &&
             scheduler->totals.instances < scheduler->limits.concurrency)
        (void) cache_evict_one(&scheduler->templates, loop_now_ms(scheduler->loop));
}

/* What its cgroup will be charged. Of a fork that is what it writes and its page tables: the model and what the template
 * initialised are charged once, elsewhere. */
static uint64_t pool_need(struct pool *pool)
{
    const struct function_stats *stats = pool_stats(pool);
    uint64_t peak = 0;
    if (stats)
        peak = pool_template_ready(pool) ? stats->fork_peak_bytes : stats->memory_peak_bytes;
    if (!peak && pool_template_ready(pool))
        peak = FORK_GUESS_BYTES;
    return admission_need(peak, (uint64_t) pool->version->memory_mb << 20);
}

static bool pool_start_one(struct pool *pool)
{
    struct scheduler *scheduler = pool->scheduler;
    uint64_t need = pool_need(pool);
    if (scheduler->starting >= scheduler->limits.starts_at_once)
        return false;
    if (scheduler->totals.instances >= scheduler->limits.concurrency ||
        !admission_take(&scheduler->admission, need)) {
        scheduler_make_room(scheduler);
        return false;
    }
    if (!worker_new(pool, need, false)) {
        admission_settle(&scheduler->admission, need);
        return false;
    }
    return true;
}

/* ---- giving calls to instances */

/* It is one no more. */
static void spare_use(struct worker *worker)
{
    worker->pool->spare_count -= worker->is_spare;
    worker->is_spare = false;
}

static void pool_note_demand(struct pool *pool)
{
    struct function_stats *stats = pool_stats(pool);
    if (stats)
        demand_note(&stats->demand, pool->busy, loop_now_ms(pool->scheduler->loop));
    pool_template_called(pool);
}

static void worker_run(struct worker *worker, struct invocation *invocation)
{
    struct pool *pool = worker->pool;
    list_remove(&worker->link);
    keepalive_remove(&pool->scheduler->keepalive, &worker->keep);
    spare_use(worker);
    pool_dequeue(pool, invocation);
    invocation_run(invocation);
    pool->busy++;
    pool_note_demand(pool);
    if (worker->is_fresh) {
        int64_t queued_ns = worker->created_ns - invocation->accepted_ns;
        uint64_t queued_us = queued_ns > 0 ? (uint64_t) queued_ns / 1000 : 0;
        uint64_t made_us = pool_template_waited_us(pool, invocation->accepted_ns);
        invocation->is_cold = true;
        made_us = made_us < queued_us ? made_us : queued_us;
        invocation->phase_us[COLD_QUEUE] = queued_us - made_us;
        invocation->phase_us[COLD_SANDBOX] = instance_sandbox_us(worker->instance);
        invocation->phase_us[COLD_LOAD] = made_us + instance_load_us(worker->instance);
        invocation->phase_us[COLD_WARM] = instance_warm_us(worker->instance);
    }
    worker->invocation = invocation;
    invocation->instance = worker->instance;
    instance_invoke(worker->instance, &invocation->request);
}

static uint32_t pool_live(const struct pool *pool)
{
    return pool->worker_count - pool->stopping;
}

bool worker_is_provisioned(const struct worker *worker)
{
    return pool_live(worker->pool) <= worker->pool->provisioned;
}

uint32_t pool_ready(const struct pool *pool)
{
    uint32_t live = pool_live(pool);
    return live > pool->starting ? live - pool->starting : 0;
}

static int64_t pool_patience_ms(struct pool *pool)
{
    const struct function_stats *stats = pool_stats(pool);
    uint64_t cold_ms = stats ? (stats->last_cold_us[COLD_SANDBOX] + stats->last_cold_us[COLD_LOAD] +
                                stats->last_cold_us[COLD_WARM]) /
                                   1000
                             : 0;
    if (cold_ms < SETTLE_PATIENCE_MIN_MS)
        return SETTLE_PATIENCE_MIN_MS;
    return cold_ms < SETTLE_PATIENCE_MAX_MS ? (int64_t) cold_ms : SETTLE_PATIENCE_MAX_MS;
}

/* Instances that answered so shortly ago that waiting for them beats starting another. */
static uint32_t pool_soon_idle(struct pool *pool)
{
    int64_t patience_ms = pool_patience_ms(pool);
    int64_t now = loop_now_ms(pool->scheduler->loop);
    uint32_t count = 0;
    LIST_FOR_EACH (struct worker, each, &pool->settling, link)
        count += now - each->answered_ms < patience_ms;
    return count;
}

static bool wants_provisioned(const struct pool *pool)
{
    return !pool->has_failed && pool_live(pool) < pool->provisioned;
}

/* Its template is being made: then all that wait are served at once. */
static bool pool_waits_for_template(struct pool *pool)
{
    enum pool_start start = POOL_START_LATER;
    bool is_needed = pool->starting + pool_soon_idle(pool) < pool->queue_count ||
                     wants_provisioned(pool) || !list_is_empty(&pool->template.waits);
    if (!is_needed)
        return false;
    start = pool_template_start(pool);
    if (start == POOL_START_BLOCKED)
        scheduler_block(pool->scheduler, pool);
    return start == POOL_START_BLOCKED || start == POOL_START_LATER;
}

/* ---- what keeping one is worth */

#define MIB (1024.0 * 1024.0)
/* Of what has not told yet. */
#define START_GUESS_MS 300.0
#define FORK_GUESS_MS 2.0
#define PROCESS_GUESS_MIB 64.0
#define START_LEAST_MS 1.0 /* what making and removing it costs others is not in its phases */

static struct retention_cost pool_cost(const struct pool *pool, bool is_fork)
{
    const struct function_stats *stats =
        stats_table_find(&pool->scheduler->stats, pool->version->name);
    uint64_t peak = stats ? is_fork ? stats->fork_peak_bytes : stats->memory_peak_bytes : 0;
    uint64_t cold_us = stats && !is_fork
                           ? stats->last_cold_us[COLD_SANDBOX] + stats->last_cold_us[COLD_LOAD] +
                                 stats->last_cold_us[COLD_WARM]
                           : 0;
    struct retention_cost cost = {.start_ms = is_fork ? FORK_GUESS_MS : START_GUESS_MS,
                                  .memory_mib =
                                      is_fork ? FORK_GUESS_BYTES / MIB : PROCESS_GUESS_MIB};
    if (cold_us > 0)
        cost.start_ms = (double) cold_us / 1000.0;
    if (cost.start_ms < START_LEAST_MS)
        cost.start_ms = START_LEAST_MS;
    if (peak > 0)
        cost.memory_mib = (double) peak / MIB;
    return cost;
}

/* How many calls must be in flight until this one is needed: those before it in `idle` are taken first. */
static unsigned worker_rank(const struct worker *worker)
{
    unsigned rank = worker->pool->busy + 1;
    LIST_FOR_EACH (const struct worker, each, &worker->pool->idle, link) {
        if (each == worker)
            break;
        rank++;
    }
    return rank;
}

int64_t worker_keep_ms(const struct worker *worker)
{
    const struct pool *pool = worker->pool;
    const struct function_stats *stats =
        stats_table_find(&pool->scheduler->stats, pool->version->name);
    int64_t now = loop_now_ms(pool->scheduler->loop);
    struct retention_cost cost = pool_cost(pool, worker->template_id != 0);
    struct retention_plan plan;
    if (!stats || stats->demand.first_ms == 0)
        return INT64_MAX; /* nothing is known: as long as may be */
    unsigned rank = worker_rank(worker);
    int64_t age_ms = demand_age_ms(&stats->demand, rank, now);
    retention_plan(demand_level(&stats->demand, rank), age_ms, &cost, RETENTION_PRICE, &plan);
    return plan.end_ms - age_ms;
}

/* ---- spares: forks that wait ahead of their calls */

/* One that is never called is not made again and again: its worth falls with the time that it was not needed. */
static bool spare_is_worth_it(const struct pool *pool)
{
    struct function_stats *stats = stats_table_find(&pool->scheduler->stats, pool->version->name);
    int64_t now = loop_now_ms(pool->scheduler->loop);
    if (!stats || stats->demand.first_ms == 0)
        return false;
    unsigned rank = pool_live(pool) + 1;
    struct retention_cost cost = pool_cost(pool, true);
    return retention_worth(demand_level(&stats->demand, rank),
                           demand_age_ms(&stats->demand, rank, now), &cost) >= RETENTION_PRICE;
}

/* They are worth their memory where somebody called lately, and nobody is short of anything. */
static bool spare_is_wanted(const struct pool *pool)
{
    const struct scheduler *scheduler = pool->scheduler;
    int64_t since_ms =
        loop_now_ms(scheduler->loop) - (int64_t) scheduler->limits.keepalive_s * 1000;
    return pool_template_ready(pool) && !pool->is_retired && !pool->has_failed &&
           !scheduler->is_draining && pool->queue_count == 0 &&
           pool->spare_count < scheduler->limits.spares && pool->called_ms >= since_ms &&
           scheduler->totals.instances + scheduler->limits.spares < scheduler->limits.concurrency &&
           scheduler->starting < scheduler->limits.starts_at_once && spare_is_worth_it(pool);
}

static void spare_start(void *arg)
{
    struct pool *pool = arg;
    struct scheduler *scheduler = pool->scheduler;
    uint64_t need = pool_need(pool);
    if (!spare_is_wanted(pool) || !admission_take(&scheduler->admission, need))
        return;
    if (worker_new(pool, need, true))
        pool->spare_count++;
    else
        admission_settle(&scheduler->admission, need);
    spare_arm(pool);
}

/* A little later, so that it takes no time from the calls that used the last one up. */
static void spare_arm(struct pool *pool)
{
    if (spare_is_wanted(pool) && !loop_timer_is_running(&pool->spare_timer) &&
        loop_timer_start(pool->scheduler->loop, &pool->spare_timer, SPARE_AFTER_MS, spare_start,
                         pool) < 0)
        log_error("pool.timer", "error=memory");
}

static void pool_start(struct pool *pool)
{
    uint32_t expected = pool->starting + pool_soon_idle(pool);
    if (pool_waits_for_template(pool))
        return;
    while (expected < pool->queue_count) {
        if (!pool_start_one(pool))
            break;
        expected++;
    }
    while (wants_provisioned(pool) && pool_start_one(pool))
        continue;
    /* More waits than is being started: somebody must come back to it. */
    if (pool->starting < pool->queue_count || wants_provisioned(pool))
        scheduler_block(pool->scheduler, pool);
    else
        list_remove(&pool->blocked_link);
    spare_arm(pool);
}

void pool_schedule(struct pool *pool)
{
    if (pool->is_scheduling)
        return;
    pool->is_scheduling = true;
    while (pool->queue_count > 0 && !list_is_empty(&pool->idle))
        worker_run(LIST_ENTRY(list_first(&pool->idle), struct worker, link), pool_first(pool));
    pool_start(pool);
    pool->is_scheduling = false;
    pool_release(pool);
}

void pool_schedule_since(struct pool *pool, int64_t since_ms)
{
    struct invocation *first = NULL;
    if (pool->is_scheduling)
        return;
    pool->is_scheduling = true; /* the pool must outlive what the answers set off */
    while (pool->starting == 0 && !pool_template_is_coming(pool) && (first = pool_first(pool)) &&
           first->accepted_ms < since_ms) {
        pool_dequeue(pool, first);
        invocation_finish_throttled(first);
    }
    pool_template_expire(pool, since_ms);
    pool->is_scheduling = false;
    pool_schedule(pool);
}

/* ---- what instances tell */

static void on_started(void *arg, struct instance *instance)
{
    struct worker *worker = arg;
    (void) instance;
    worker->is_sandboxed = true;
    worker->pool->scheduler->starting--;
    if (worker->forking) {
        pool_template_fork_stood(worker->pool);
        template_forked(worker->forking, true);
        worker->forking = NULL;
    }
    scheduler_unblock(worker->pool->scheduler);
}

/* It is no longer one of those that are being started. */
static void worker_settle(struct worker *worker)
{
    struct pool *pool = worker->pool;
    struct function_stats *stats = pool_stats(pool);
    uint64_t peak = instance_memory_peak(worker->instance);
    uint64_t *known = NULL;
    if (stats)
        known = worker->template_id ? &stats->fork_peak_bytes : &stats->memory_peak_bytes;
    if (known && peak > *known)
        *known = peak;
    if (worker->is_ready)
        return;
    worker->is_ready = true;
    pool->starting--;
    admission_settle(&pool->scheduler->admission, worker->need);
}

static void on_idle(void *arg, struct instance *instance)
{
    struct worker *worker = arg;
    struct pool *pool = worker->pool;
    (void) instance;
    worker->is_fresh = !worker->is_ready;
    if (worker->is_fresh)
        worker_settle(worker);
    list_remove(&worker->link);
    if (pool->is_retired && pool->queue_count == 0) {
        worker_stop(worker);
        return;
    }
    if (worker->is_spare) /* the last to be used */
        list_add_last(&pool->idle, &worker->link);
    else
        list_add_first(&pool->idle, &worker->link);
    keepalive_add(&pool->scheduler->keepalive, &worker->keep);
    pool_schedule(pool);
    worker->is_fresh = false;
}

static void on_unready(void *arg, struct instance *instance)
{
    struct worker *worker = arg;
    (void) instance;
    list_remove(&worker->link);
    keepalive_remove(&worker->pool->scheduler->keepalive, &worker->keep);
}

static void count_dropped(struct worker *worker)
{
    uint64_t dropped = instance_log_lines_dropped(worker->instance);
    struct function_stats *stats = pool_stats(worker->pool);
    if (stats && dropped > worker->dropped_counted)
        stats->log_lines_dropped += dropped - worker->dropped_counted;
    worker->dropped_counted = dropped;
}

static void on_answered(void *arg, struct instance *instance, struct instance_answer *answer)
{
    struct worker *worker = arg;
    struct pool *pool = worker->pool;
    struct invocation *invocation = worker->invocation;
    (void) instance;
    worker->invocation = NULL;
    invocation->instance = NULL;
    pool->busy--;
    worker->answered_ms = loop_now_ms(pool->scheduler->loop);
    if (!worker->is_stopping)
        list_add_last(&pool->settling, &worker->link);
    count_dropped(worker);
    invocation_finish_answered(invocation, answer);
}

/* Its init phase failed: the oldest call answers for it. */
static void pool_fail_first(struct pool *pool, struct instance *instance,
                            const struct instance_end *end, bool is_fork)
{
    struct invocation *first = pool_first(pool);
    struct str tail = {0};
    struct error error = {0};
    pool->has_failed |= pool->provisioned > 0 || !first; /* a spare */
    if (!first)
        return;
    if (end->mount_failure) {
        pool_dequeue(pool, first);
        invocation_finish_unmounted(first, end);
    } else if (end->is_restore_failure) {
        pool_dequeue(pool, first);
        invocation_finish_restore_failed(first, end->failure);
    } else if (end->is_sandbox_fault && is_fork) {
        return; /* not the call's fault: the pool gives up the template in the end */
    } else if (end->is_sandbox_fault && ++first->faults >= FAULTS_MAX) {
        error_set(&error, -EIO, "%s", end->failure->text);
        pool_dequeue(pool, first);
        invocation_finish_fault(first, &error);
    } else if (!end->is_sandbox_fault && ++first->init_failures >= INIT_FAILURES_MAX) {
        instance_log_failed_call(instance, &first->request, end->failure, &tail);
        pool_dequeue(pool, first);
        invocation_finish_failed(first, end->failure, tail);
    }
}

static void worker_forget(struct worker *worker)
{
    struct pool *pool = worker->pool;
    struct scheduler *scheduler = pool->scheduler;
    worker_settle(worker);
    spare_use(worker);
    keepalive_remove(&scheduler->keepalive, &worker->keep);
    list_remove(&worker->link);
    list_remove(&worker->all_link);
    if (worker->forking)
        template_forked(worker->forking, false);
    worker->forking = NULL;
    pool->worker_count--;
    pool->busy -= worker->invocation != NULL;
    scheduler->totals.instances--;
    if (!worker->is_sandboxed)
        scheduler->starting--;
    if (worker->is_stopping) {
        pool->stopping--;
        scheduler->ending--;
    }
    if (worker->stopping)
        stopping_done(worker->stopping);
}

void stopping_done(struct stopping *stopping)
{
    if (--stopping->remaining > 0)
        return;
    stopping->done(stopping->arg, stopping->total);
    free(stopping);
}

static void on_ended(void *arg, struct instance *instance, const struct instance_end *end)
{
    struct worker *worker = arg;
    struct pool *pool = worker->pool;
    struct scheduler *scheduler = pool->scheduler;
    bool counts = end->is_init_failure && !worker->is_stopping;
    bool is_spare = worker->is_spare;
    uint64_t template_id = worker->template_id;
    worker_forget(worker);
    pool->is_scheduling = true; /* it must outlive what the callbacks below set off */
    if (template_id && end->is_crash)
        pool_template_fork_crashed(pool, template_id);
    if (template_id && counts && end->is_sandbox_fault)
        pool_template_fork_fault(pool, end->failure->text);
    if (counts)
        pool->mount_failure = end->mount_failure;
    if (counts && is_spare)
        pool->has_failed =
            true; /* nobody's: who waited for it gets another, and no more are made ahead */
    else if (counts)
        pool_fail_first(pool, instance, end, template_id != 0);
    pool->is_scheduling = false;
    free(worker);
    pool_schedule(pool);
    scheduler_unblock(scheduler);
}

static const struct instance_events worker_events = {
    .started = on_started,
    .idle = on_idle,
    .unready = on_unready,
    .answered = on_answered,
    .ended = on_ended,
};

void pool_set_provisioned(struct pool *pool, uint32_t n)
{
    pool->provisioned = n;
    pool->has_failed = false;
    pool_schedule(pool); /* what is too many ends like any idle instance */
}

void pool_retire(struct pool *pool)
{
    pool->is_retired = true;
    pool->provisioned = 0;
    pool_template_retire(pool);
    if (pool->queue_count > 0)
        return; /* they are still served, by processes; idle instances end afterwards */
    LIST_FOR_EACH_SAFE (struct worker, each, &pool->scheduler->workers, all_link)
        if (each->pool == pool && !each->is_stopping && (!each->is_ready || worker_is_idle(each)))
            worker_stop(each);
    pool_release(pool);
}

void worker_info(const struct worker *worker, struct instance_info *ret_info)
{
    const struct version *version = worker->pool->version;
    int64_t now = loop_now_ms(worker->pool->scheduler->loop);
    *ret_info = (struct instance_info){
        .id = instance_id(worker->instance),
        .function = str_of(version->name),
        .version = str_of(version->qualifier),
        .state = instance_state_name(worker->instance),
        .memory_mb = version->memory_mb,
        .age_ms = (uint64_t) (now - worker->created_ms),
        .idle_ms = worker_is_idle(worker) && now > worker->keep.since_ms
                       ? (uint64_t) (now - worker->keep.since_ms)
                       : 0,
        .requests = instance_requests(worker->instance),
        .memory_peak_bytes = instance_memory_peak(worker->instance),
        .pid = instance_pid(worker->instance),
        .is_fork = worker->template_id != 0,
        .is_spare = worker->is_spare,
    };
}
