/* SPDX-License-Identifier: MIT */
#include "function/pool.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "function/invocation.h"
#include "function/runtime.h"
#include "function/scheduler_private.h"
#include "function/version.h"
#include "instance/instance.h"

/* Instances that are made to end for others at the same moment. */
#define EVICTIONS_MAX 8
/* A call whose sandbox could not be made is tried once more. */
#define FAULTS_MAX 2
#define INIT_FAILURES_MAX 2

static const struct instance_events worker_events;

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
    return pool;
}

void pool_release(struct pool *pool)
{
    if (pool->worker_count > 0 || pool->queue_count > 0 || pool->is_scheduling ||
        pool->provisioned > 0)
        return;
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

void pool_enqueue(struct pool *pool, struct invocation *invocation)
{
    invocation->pool = pool;
    pool->has_failed = false; /* this call tries its init phase anew */
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

/* The customer's, and MODEL_PATH where Lamina brought the model: the later of two counts. */
static struct instance_variable *spec_variables(const struct version *version,
                                                const char *model_path, size_t *ret_count)
{
    struct instance_variable *variables = calloc(version->n_environment + 1, sizeof(*variables));
    size_t n = 0;
    for (; variables && n < version->n_environment; n++) {
        variables[n].name = version->environment[n].name;
        variables[n].value = version->environment[n].value;
    }
    if (variables && version->model.has_tree)
        variables[n++] = (struct instance_variable){"MODEL_PATH", model_path};
    *ret_count = n;
    return variables;
}

/* Who starts the function: enum runtime_kind is enum spawn_bootstrap. */
static uint32_t bootstrap_of(const struct version *version)
{
    const struct runtime *runtime = runtime_find(str_of(version->runtime));
    return runtime ? (uint32_t) runtime->kind : RUNTIME_PROVIDED;
}

static uint32_t init_limit_ms(const struct pool *pool, bool is_repeated)
{
    uint32_t timeout_ms = pool->version->timeout_s * 1000;
    if (pool->provisioned > 0)
        return timeout_ms > SCHEDULER_INIT_PROVISIONED_MS ? timeout_ms
                                                          : SCHEDULER_INIT_PROVISIONED_MS;
    return is_repeated ? timeout_ms : LIMIT_INIT_MS;
}

static struct instance *worker_instance(struct worker *worker)
{
    const struct version *version = worker->pool->version;
    const struct invocation *first = pool_first(worker->pool);
    bool is_repeated = first && first->init_failures > 0;
    char model_path[VERSION_MODEL_PATH_SIZE];
    size_t n_variables;
    version_model_path(&version->model, model_path);
    AUTO_FREE struct instance_variable *variables =
        spec_variables(version, model_path, &n_variables);
    struct digest models = version_models_set(version);
    struct instance_events events = worker_events;
    const struct instance_spec spec = {
        .function = version->name,
        .version = version->qualifier,
        .handler = version->handler ? version->handler : "",
        .runtime = version->runtime ? version->runtime : "",
        .bootstrap = bootstrap_of(version),
        .tree_id = version->code.has_tree ? version->code.tree_id : NULL,
        .models_id = models.bytes,
        .memory_mb = version->memory_mb,
        .tmp_mb = version->tmp_mb,
        .variables = variables,
        .n_variables = n_variables,
        .init_limit_ms = init_limit_ms(worker->pool, is_repeated),
        .is_init_repeated = is_repeated,
        .is_provisioned = worker->pool->provisioned > 0,
    };
    events.arg = worker;
    return variables ? instance_new(worker->pool->scheduler->host, &spec, &events) : NULL;
}

static bool worker_new(struct pool *pool, uint64_t need)
{
    struct scheduler *scheduler = pool->scheduler;
    struct worker *worker = mem_new(struct worker);
    if (!worker)
        return false;
    worker->pool = pool;
    worker->need = need;
    worker->created_ms = loop_now_ms(scheduler->loop);
    worker->created_ns = clock_monotonic_ns();
    worker->instance = worker_instance(worker);
    if (!worker->instance) {
        free(worker);
        return false;
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
static void evict_oldest(struct scheduler *scheduler)
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
}

static bool pool_start_one(struct pool *pool)
{
    struct scheduler *scheduler = pool->scheduler;
    const struct function_stats *stats = pool_stats(pool);
    uint64_t need = admission_need(stats ? stats->memory_peak_bytes : 0,
                                   (uint64_t) pool->version->memory_mb << 20);
    if (scheduler->starting >= scheduler->limits.starts_at_once)
        return false;
    if (scheduler->totals.instances >= scheduler->limits.concurrency ||
        !admission_take(&scheduler->admission, need)) {
        evict_oldest(scheduler);
        return false;
    }
    if (!worker_new(pool, need)) {
        admission_settle(&scheduler->admission, need);
        return false;
    }
    return true;
}

/* ---- giving calls to instances */

static void worker_run(struct worker *worker, struct invocation *invocation)
{
    struct pool *pool = worker->pool;
    list_remove(&worker->link);
    keepalive_remove(&pool->scheduler->keepalive, &worker->keep);
    pool_dequeue(pool, invocation);
    invocation_run(invocation);
    if (worker->is_fresh) {
        int64_t queued_ns = worker->created_ns - invocation->accepted_ns;
        invocation->is_cold = true;
        invocation->phase_us[COLD_QUEUE] = queued_ns > 0 ? (uint64_t) queued_ns / 1000 : 0;
        invocation->phase_us[COLD_SANDBOX] = instance_sandbox_us(worker->instance);
        invocation->phase_us[COLD_LOAD] = instance_load_us(worker->instance);
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

static void pool_start(struct pool *pool)
{
    uint32_t expected = pool->starting + pool_soon_idle(pool);
    while (expected < pool->queue_count) {
        if (!pool_start_one(pool))
            break;
        expected++;
    }
    while (!pool->has_failed && pool_live(pool) < pool->provisioned && pool_start_one(pool))
        continue;
    /* More waits than is being started: somebody must come back to it. */
    if (pool->starting < pool->queue_count ||
        (!pool->has_failed && pool_live(pool) < pool->provisioned))
        scheduler_block(pool->scheduler, pool);
    else
        list_remove(&pool->blocked_link);
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
    while (pool->starting == 0 && (first = pool_first(pool)) && first->accepted_ms < since_ms) {
        pool_dequeue(pool, first);
        invocation_finish_throttled(first);
    }
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
    scheduler_unblock(worker->pool->scheduler);
}

/* It is no longer one of those that are being started. */
static void worker_settle(struct worker *worker)
{
    struct pool *pool = worker->pool;
    struct function_stats *stats = pool_stats(pool);
    if (stats && instance_memory_peak(worker->instance) > stats->memory_peak_bytes)
        stats->memory_peak_bytes = instance_memory_peak(worker->instance);
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
    worker->answered_ms = loop_now_ms(pool->scheduler->loop);
    if (!worker->is_stopping)
        list_add_last(&pool->settling, &worker->link);
    count_dropped(worker);
    invocation_finish_answered(invocation, answer);
}

/* Its init phase failed: the oldest call answers for it. */
static void pool_fail_first(struct pool *pool, struct instance *instance,
                            const struct instance_end *end)
{
    struct invocation *first = pool_first(pool);
    struct str tail = {0};
    struct error error = {0};
    pool->has_failed |= pool->provisioned > 0;
    if (!first)
        return;
    if (end->is_sandbox_fault && ++first->faults >= FAULTS_MAX) {
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
    keepalive_remove(&scheduler->keepalive, &worker->keep);
    list_remove(&worker->link);
    list_remove(&worker->all_link);
    pool->worker_count--;
    scheduler->totals.instances--;
    if (!worker->is_sandboxed)
        scheduler->starting--;
    if (worker->is_stopping) {
        pool->stopping--;
        scheduler->ending--;
    }
    if (worker->stopping && --worker->stopping->remaining == 0)
        worker->stopping->done(worker->stopping->arg, worker->stopping->total);
    if (worker->stopping && worker->stopping->remaining == 0)
        free(worker->stopping);
}

static void on_ended(void *arg, struct instance *instance, const struct instance_end *end)
{
    struct worker *worker = arg;
    struct pool *pool = worker->pool;
    struct scheduler *scheduler = pool->scheduler;
    bool counts = end->is_init_failure && !worker->is_stopping;
    worker_forget(worker);
    pool->is_scheduling = true; /* it must outlive what the callbacks below set off */
    if (counts)
        pool_fail_first(pool, instance, end);
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
    if (pool->queue_count > 0)
        return; /* they are still served; idle instances end afterwards */
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
    };
}
