/* SPDX-License-Identifier: MIT */
#include "function/pool_template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "function/pool.h"
#include "function/retention.h"
#include "function/scheduler_private.h"
#include "function/start_spec.h"
#include "function/version.h"
#include "template/cache.h"

struct template_wait {
    struct list link;
    int64_t since_ms;
    scheduler_prepared_cb *cb;
    void *arg;
};

static const struct template_events template_events;
static void look_after(struct pool *pool, int64_t after_ms);

void pool_template_init(struct pool_template *own)
{
    list_init(&own->waits);
}

/* ---- what is there */

struct template *pool_template_ready(const struct pool *pool)
{
    struct template *current = pool->template.current;
    return current && template_is_ready(current) ? current : NULL;
}

bool pool_template_is_coming(const struct pool *pool)
{
    return pool->template.current && template_is_coming(pool->template.current);
}

static bool is_possible(const struct pool *pool)
{
    const struct scheduler *scheduler = pool->scheduler;
    return version_is_forked(pool->version) && cache_is_enabled(&scheduler->templates) &&
           instance_host_can_template(scheduler->host) && !pool->template.is_refused &&
           !pool->is_retired;
}

static bool is_wanted(const struct pool *pool)
{
    return is_possible(pool) && loop_now_ms(pool->scheduler->loop) >= pool->template.retry_ms;
}

const char *pool_template_state(const struct pool *pool)
{
    const struct pool_template *own = &pool->template;
    if (own->current)
        return template_state_name(own->current);
    if (!version_is_forked(pool->version))
        return "NONE";
    if (!cache_is_enabled(&pool->scheduler->templates) ||
        !instance_host_can_template(pool->scheduler->host))
        return "OFF";
    if (own->is_refused)
        return "REFUSED";
    return own->reason[0] ? "FAILED" : "NONE";
}

uint64_t pool_template_waited_us(const struct pool *pool, int64_t since_ns)
{
    const struct pool_template *own = &pool->template;
    int64_t from_ns = own->asked_ns > since_ns ? own->asked_ns : since_ns;
    return own->ready_ns > from_ns ? (uint64_t) (own->ready_ns - from_ns) / 1000 : 0;
}

/* ---- who waits to hear */

static void waits_answer(struct pool *pool)
{
    const struct pool_template *own = &pool->template;
    const struct scheduler_prepared prepared = {.is_ready = pool_template_ready(pool) != NULL,
                                                .is_init_failure = own->is_init_failure,
                                                .reason = own->reason};
    struct list waits = LIST_INIT(waits);
    list_move_all(&waits, &pool->template.waits);
    LIST_FOR_EACH_SAFE (struct template_wait, each, &waits, link) {
        each->cb(each->arg, &prepared);
        free(each);
    }
}

void pool_template_expire(struct pool *pool, int64_t since_ms)
{
    const struct scheduler_prepared none = {.reason = "there is no memory to make its template"};
    if (pool_template_is_coming(pool))
        return;
    LIST_FOR_EACH_SAFE (struct template_wait, each, &pool->template.waits, link) {
        if (each->since_ms >= since_ms)
            continue;
        list_remove(&each->link);
        each->cb(each->arg, &none);
        free(each);
    }
}

bool pool_template_is_awaited(const struct pool *pool)
{
    return pool->template.is_awaited || !list_is_empty(&pool->template.waits);
}

/* ---- what keeping one is worth */

static struct retention_cost template_cost(const struct template *template)
{
    double start_ms = (double) template->start_us / 1000.0;
    return (struct retention_cost){.start_ms = start_ms,
                                   .memory_mib = (double) template->memory_bytes / (1 << 20),
                                   .ready_ms = start_ms};
}

static const struct demand *pool_demand(const struct pool *pool)
{
    static const struct demand none;
    const struct function_stats *stats =
        stats_table_find(&pool->scheduler->stats, pool->version->name);
    return stats ? &stats->demand : &none;
}

/* Its making counts as a call: who publishes a version is about to use it. */
static int64_t pause_ms(const struct pool *pool, const struct template *template)
{
    const struct demand *demand = pool_demand(pool);
    int64_t made_ms = (clock_monotonic_ns() - template->created_ns) / 1000000;
    int64_t called_ms = arrivals_age_ms(&demand->calls, loop_now_ms(pool->scheduler->loop));
    return demand->first_ms > 0 && called_ms < made_ms ? called_ms : made_ms;
}

static double worth(void *arg, const struct template *template, int64_t now_ms)
{
    const struct pool *pool = arg;
    struct retention_cost cost = template_cost(template);
    (void) now_ms;
    return retention_worth(&pool_demand(pool)->calls, pause_ms(pool, template), &cost);
}

/* ---- making one */

/* Published with SnapStart: as long as AWS gives it. Else no longer than an instance may take, since calls wait. */
static uint32_t init_limit_ms(const struct pool *pool)
{
    uint32_t timeout_ms = pool->version->timeout_s * 1000;
    if (!version_is_snap_start(pool->version))
        return LIMIT_INIT_MS;
    return timeout_ms > SCHEDULER_INIT_PROVISIONED_MS ? timeout_ms : SCHEDULER_INIT_PROVISIONED_MS;
}

static struct template *template_ask(struct pool *pool)
{
    struct scheduler *scheduler = pool->scheduler;
    struct template_events events = template_events;
    struct start_spec start;
    struct template *template = NULL;
    events.arg = pool;
    if (start_spec_init(&start, pool->version) == 0) {
        start.spec.init_limit_ms = init_limit_ms(pool);
        template = template_new(scheduler->loop, scheduler->host, &scheduler->templates,
                                &start.spec, &events);
    }
    start_spec_done(&start);
    pool->template.alive += template != NULL;
    return template;
}

static bool need_take(struct pool *pool)
{
    struct scheduler *scheduler = pool->scheduler;
    const struct function_stats *stats = stats_table_find(&scheduler->stats, pool->version->name);
    uint64_t need = admission_need(stats ? stats->memory_peak_bytes : 0,
                                   (uint64_t) pool->version->memory_mb << 20);
    if (!admission_take(&scheduler->admission, need))
        return false;
    pool->template.need += need; /* one may be coming to take the place of what has gone */
    return true;
}

static void need_settle(struct pool *pool)
{
    admission_settle(&pool->scheduler->admission, pool->template.need);
    pool->template.need = 0;
}

static enum pool_start current_make(struct pool *pool)
{
    struct pool_template *own = &pool->template;
    if (!need_take(pool)) {
        scheduler_make_room(pool->scheduler);
        return POOL_START_BLOCKED;
    }
    own->asked_ns = clock_monotonic_ns();
    own->current = template_ask(pool);
    if (own->current)
        return POOL_START_LATER;
    need_settle(pool);
    waits_answer(pool);
    return POOL_START_PROCESS;
}

enum pool_start pool_template_start(struct pool *pool)
{
    if (pool_template_ready(pool))
        return POOL_START_FORK;
    if (pool_template_is_coming(pool))
        return POOL_START_LATER;
    return is_wanted(pool) ? current_make(pool) : POOL_START_PROCESS;
}

void pool_template_wait(struct pool *pool, scheduler_prepared_cb *cb, void *arg)
{
    struct template_wait *wait = mem_new(struct template_wait);
    struct scheduler_prepared none = {.reason = "no memory"};
    enum pool_start start = POOL_START_PROCESS;
    if (!wait) {
        cb(arg, &none);
        return;
    }
    *wait = (struct template_wait){
        .since_ms = loop_now_ms(pool->scheduler->loop), .cb = cb, .arg = arg};
    list_add_last(&pool->template.waits, &wait->link);
    start = pool_template_start(pool);
    if (start == POOL_START_FORK || start == POOL_START_PROCESS)
        waits_answer(pool);
    else if (start == POOL_START_BLOCKED)
        scheduler_block(pool->scheduler, pool);
}

/* ---- what becomes of it */

static void on_ready(void *arg, struct template *template)
{
    struct pool *pool = arg;
    struct pool_template *own = &pool->template;
    need_settle(pool);
    own->fork_faults = 0;
    own->reason[0] = '\0';
    own->is_init_failure = false;
    own->ready_ns = clock_monotonic_ns();
    log_info("template.ready", "function=%s version=%s id=%llu ms=%.1f", pool->version->name,
             pool->version->qualifier, (unsigned long long) instance_id(template->instance),
             (double) template->start_us / 1000.0);
    if (template == own->next) {
        struct template *old = own->current;
        own->current = own->next;
        own->next = NULL;
        if (old)
            template_retire(old);
    }
    if (own->is_planned && own->end_ms > loop_now_ms(pool->scheduler->loop))
        look_after(pool, own->end_ms - loop_now_ms(pool->scheduler->loop)); /* it was foreseen */
    else
        pool_template_called(pool);
    waits_answer(pool);
    pool_schedule(pool);
}

/* Its owner lets go of it; `ended` comes later. */
static void current_drop(struct pool *pool, const char *reason)
{
    struct pool_template *own = &pool->template;
    struct template *current = own->current;
    own->current = NULL;
    snprintf(own->reason, sizeof(own->reason), "%s", reason);
    template_retire(current);
}

static void on_evict(void *arg, struct template *template)
{
    struct pool *pool = arg;
    bool is_alone = template->memory_bytes > pool->scheduler->templates.limit_bytes;
    log_info("template.evicted", "function=%s version=%s bytes=%llu", pool->version->name,
             pool->version->qualifier, (unsigned long long) template->memory_bytes);
    if (template == pool->template.current)
        current_drop(pool, is_alone ? "it has more memory than LAMINA_TEMPLATE_MEMORY allows" : "");
    else
        template_retire(template);
    pool->template.is_refused |= is_alone;
}

/* ---- how long it is kept */

/* A pause that is worth a thought. */
static int64_t look_ms(const struct pool *pool)
{
    return (int64_t) pool->scheduler->limits.freeze_after_ms * POOL_TEMPLATE_LOOK_FACTOR;
}

static void plan_make(struct pool *pool, int64_t now)
{
    struct pool_template *own = &pool->template;
    int64_t pause = pause_ms(pool, own->current);
    struct retention_cost cost = template_cost(own->current);
    struct retention_plan plan;
    retention_plan(&pool_demand(pool)->calls, pause, &cost, RETENTION_PRICE, &plan);
    own->end_ms = now + plan.end_ms - pause;
    own->return_ms = plan.return_ms < 0 ? INT64_MAX : now + plan.return_ms - pause;
    own->return_end_ms = now + plan.return_end_ms - pause;
    own->is_planned = true;
}

/* Its idle forks go with it: as long as one of them lives, its pages do. */
static void current_end(struct pool *pool, int64_t now)
{
    struct pool_template *own = &pool->template;
    uint64_t id = instance_id(own->current->instance);
    log_info("template.ended", "function=%s version=%s id=%llu bytes=%llu again_s=%lld",
             pool->version->name, pool->version->qualifier, (unsigned long long) id,
             (unsigned long long) own->current->memory_bytes,
             own->return_ms == INT64_MAX ? -1LL : (long long) (own->return_ms - now) / 1000);
    current_drop(pool, "");
    LIST_FOR_EACH_SAFE (struct worker, each, &pool->scheduler->workers, all_link)
        if (each->pool == pool && each->template_id == id && worker_is_idle(each))
            worker_stop(each);
    own->is_awaited = own->return_ms != INT64_MAX;
    if (own->is_awaited)
        look_after(pool, own->return_ms - now);
}

/* The call that was foreseen is near. */
static void current_return(struct pool *pool)
{
    struct pool_template *own = &pool->template;
    own->is_awaited = false;
    own->end_ms = own->return_end_ms;
    own->return_ms = INT64_MAX;
    if (pool_template_start(pool) !=
        POOL_START_LATER) /* there is one, or no memory, or none is to be */
        pool_schedule(pool);
}

static void look(void *arg)
{
    struct pool *pool = arg;
    struct pool_template *own = &pool->template;
    int64_t now = loop_now_ms(pool->scheduler->loop);
    if (own->is_awaited && !own->current) {
        current_return(pool);
        return;
    }
    if (!pool_template_ready(pool) || pool->provisioned > 0)
        return; /* looked at when it is, and when it is called */
    int64_t pause = pause_ms(pool, own->current);
    if (!own->is_planned && pause < look_ms(pool))
        look_after(pool, look_ms(pool) - pause);
    else {
        if (!own->is_planned)
            plan_make(pool, now);
        if (now < own->end_ms)
            look_after(pool, own->end_ms - now);
        else
            current_end(pool, now);
    }
}

static void look_after(struct pool *pool, int64_t after_ms)
{
    if (loop_timer_start(pool->scheduler->loop, &pool->template.timer, after_ms, look, pool) < 0)
        log_error("pool.timer", "error=memory"); /* the next call starts it */
}

void pool_template_called(struct pool *pool)
{
    struct pool_template *own = &pool->template;
    if (own->is_awaited || !loop_timer_is_running(&own->timer)) {
        bool is_kept = version_is_snap_start(pool->version) || pool->provisioned > 0;
        own->is_awaited = false;
        if (pool_template_ready(pool) && !is_kept)
            look_after(pool, look_ms(pool));
    }
    own->is_planned = false;
}

static void retry_later(struct pool *pool)
{
    struct pool_template *own = &pool->template;
    unsigned shift = own->failures < 6 ? own->failures : 6;
    int64_t pause_ms = (int64_t) POOL_TEMPLATE_RETRY_MS << shift;
    own->failures++;
    own->retry_ms = loop_now_ms(pool->scheduler->loop) +
                    (pause_ms < POOL_TEMPLATE_RETRY_MAX_MS ? pause_ms : POOL_TEMPLATE_RETRY_MAX_MS);
}

/* It ended without being told to. One that was READY is made again at the next call, unless such ones were of no use: a
 * call that waits would have them made for ever. */
static void current_failed(struct pool *pool, const struct template *template)
{
    struct pool_template *own = &pool->template;
    bool was_ready = template->start_us > 0;
    bool is_useless = !was_ready || template->is_refused;
    if (was_ready && template->forks == 0 && ++own->barren >= POOL_TEMPLATE_FAULTS_MAX)
        is_useless = true;
    own->current = NULL;
    need_settle(pool);
    own->is_refused = template->is_refused;
    own->is_init_failure = !was_ready && !template->is_refused && !template->is_sandbox_fault;
    snprintf(own->reason, sizeof(own->reason), "%s", template_reason(template));
    if (is_useless)
        retry_later(pool);
    log_warn(template->is_refused ? "template.refused" : "template.failed",
             "function=%s version=%s reason=%s then=%s", pool->version->name,
             pool->version->qualifier, LOG_TEXT(own->reason), is_useless ? "processes" : "another");
    waits_answer(pool);
}

static void stopped_check(struct pool_template *own)
{
    struct stopping *stopping = own->stopping;
    if (!stopping)
        return;
    if (--own->stopped == 0)
        own->stopping = NULL;
    stopping_done(stopping);
}

static void on_ended(void *arg, struct template *template)
{
    struct pool *pool = arg;
    struct pool_template *own = &pool->template;
    own->alive--;
    stopped_check(own);
    if (template == own->next) {
        need_settle(pool);
        own->next = NULL; /* the one that it was to replace goes on */
    } else if (template == own->current)
        current_failed(pool, template);
    pool_schedule(pool);
}

static const struct template_events template_events = {
    .ready = on_ready,
    .worth = worth,
    .evict = on_evict,
    .ended = on_ended,
};

/* ---- what its forks tell of it */

void pool_template_fork_stood(struct pool *pool)
{
    pool->template.fork_faults = 0;
    pool->template.barren = 0;
    pool->template.failures = 0;
}

void pool_template_fork_fault(struct pool *pool, const char *text)
{
    struct pool_template *own = &pool->template;
    if (!pool_template_ready(pool) || ++own->fork_faults < POOL_TEMPLATE_FAULTS_MAX)
        return;
    own->fork_faults = 0;
    log_warn("template.given_up", "function=%s version=%s reason=%s then=processes",
             pool->version->name, pool->version->qualifier, LOG_TEXT(text));
    current_drop(pool, text);
    retry_later(pool);
}

void pool_template_fork_crashed(struct pool *pool, uint64_t template_id)
{
    struct pool_template *own = &pool->template;
    struct template *current = pool_template_ready(pool);
    int64_t now = loop_now_ms(pool->scheduler->loop);
    if (!current || instance_id(current->instance) != template_id ||
        !template_fork_crashed(current) || own->next || pool->is_retired)
        return;
    if (now - own->replaced_ms >= POOL_TEMPLATE_RETRY_MAX_MS)
        own->replacements = 0;
    if (own->replacements < POOL_TEMPLATE_REPLACEMENTS_MAX && !need_take(pool))
        return; /* there is no memory for two of them: at the next crash */
    own->replaced_ms = now;
    if (++own->replacements > POOL_TEMPLATE_REPLACEMENTS_MAX) {
        log_warn("template.given_up", "function=%s version=%s reason=crashes then=processes",
                 pool->version->name, pool->version->qualifier);
        current_drop(pool, "its forks crash again and again");
        own->retry_ms = now + POOL_TEMPLATE_RETRY_MAX_MS;
        own->replacements = 0;
        return;
    }
    log_warn("template.replaced", "function=%s version=%s reason=crashes", pool->version->name,
             pool->version->qualifier);
    own->next = template_ask(pool);
    if (!own->next)
        need_settle(pool);
}

unsigned pool_template_stop(struct pool *pool, struct stopping *stopping)
{
    struct pool_template *own = &pool->template;
    pool_template_retire(pool);
    if (own->alive == 0 || own->stopping)
        return 0;
    own->stopping = stopping;
    own->stopped = own->alive;
    return own->stopped;
}

void pool_template_retire(struct pool *pool)
{
    struct pool_template *own = &pool->template;
    loop_timer_stop(&own->timer);
    own->is_awaited = false;
    if (own->next)
        template_retire(own->next);
    own->next = NULL;
    need_settle(pool);
    if (own->current)
        current_drop(pool, "");
    waits_answer(pool);
}
