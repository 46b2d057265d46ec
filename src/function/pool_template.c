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
#include "function/scheduler_private.h"
#include "function/start_spec.h"
#include "function/version.h"
#include "template/cache.h"

struct template_wait {
    struct list link;
    scheduler_prepared_cb *cb;
    void *arg;
};

static const struct template_events template_events;

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
    uint64_t need = admission_need(0, (uint64_t) pool->version->memory_mb << 20);
    if (!admission_take(&scheduler->admission, need))
        return false;
    pool->template.need = need;
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
    *wait = (struct template_wait){.cb = cb, .arg = arg};
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
    own->failures = 0;
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

static void retry_later(struct pool *pool)
{
    struct pool_template *own = &pool->template;
    unsigned shift = own->failures < 6 ? own->failures : 6;
    int64_t pause_ms = (int64_t) POOL_TEMPLATE_RETRY_MS << shift;
    own->failures++;
    own->retry_ms = loop_now_ms(pool->scheduler->loop) +
                    (pause_ms < POOL_TEMPLATE_RETRY_MAX_MS ? pause_ms : POOL_TEMPLATE_RETRY_MAX_MS);
}

/* It ended without being told to. One that was READY is made again at the next call. */
static void current_failed(struct pool *pool, const struct template *template)
{
    struct pool_template *own = &pool->template;
    bool was_ready = template->start_us > 0;
    own->current = NULL;
    need_settle(pool);
    own->is_refused = template->is_refused;
    own->is_init_failure = !was_ready && !template->is_refused && !template->is_sandbox_fault;
    snprintf(own->reason, sizeof(own->reason), "%s", template_reason(template));
    if (!was_ready)
        retry_later(pool);
    log_warn(template->is_refused ? "template.refused" : "template.failed",
             "function=%s version=%s reason=%s then=%s", pool->version->name,
             pool->version->qualifier, LOG_TEXT(own->reason), was_ready ? "another" : "processes");
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
    if (template == own->next)
        own->next = NULL; /* the one that it was to replace goes on */
    else if (template == own->current)
        current_failed(pool, template);
    pool_schedule(pool);
}

static const struct template_events template_events = {
    .ready = on_ready,
    .evict = on_evict,
    .ended = on_ended,
};

/* ---- what its forks tell of it */

void pool_template_fork_stood(struct pool *pool)
{
    pool->template.fork_faults = 0;
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
    if (!current || instance_id(current->instance) != template_id ||
        !template_fork_crashed(current) || own->next || pool->is_retired)
        return;
    if (++own->replacements > POOL_TEMPLATE_REPLACEMENTS_MAX) {
        log_warn("template.given_up", "function=%s version=%s reason=crashes then=processes",
                 pool->version->name, pool->version->qualifier);
        current_drop(pool, "its forks crash again and again");
        own->retry_ms = loop_now_ms(pool->scheduler->loop) + POOL_TEMPLATE_RETRY_MAX_MS;
        own->replacements = 0;
        return;
    }
    log_warn("template.replaced", "function=%s version=%s reason=crashes", pool->version->name,
             pool->version->qualifier);
    own->next = template_ask(pool);
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
    if (own->next)
        template_retire(own->next);
    own->next = NULL;
    if (own->current) {
        need_settle(pool);
        current_drop(pool, "");
    }
    waits_answer(pool);
}
