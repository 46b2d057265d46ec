/* SPDX-License-Identifier: MIT */
#include "template/template.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/state.h"
#include "template/cache.h"

static const struct state_machine machine = {
    .name = "template",
    .states =
        {
            [TEMPLATE_STARTING] = {"STARTING", STATE_TO(TEMPLATE_INIT) |
                                                   STATE_TO(TEMPLATE_RETIRED) |
                                                   STATE_TO(TEMPLATE_DEAD)},
            [TEMPLATE_INIT] = {"INIT", STATE_TO(TEMPLATE_READY) | STATE_TO(TEMPLATE_RETIRED) |
                                           STATE_TO(TEMPLATE_DEAD)},
            [TEMPLATE_READY] = {"READY", STATE_TO(TEMPLATE_RETIRED) | STATE_TO(TEMPLATE_DEAD)},
            [TEMPLATE_RETIRED] = {"RETIRED", STATE_TO(TEMPLATE_DEAD)},
            [TEMPLATE_DEAD] = {"DEAD", 0},
        },
};

#define LOOK_FIRST_MS 2000
#define LOOK_MAX_MS 64000
/* What it may use between two looks: a twentieth of the time, what its forks took, and the clock's grain. */
#define CPU_SHARE 20
#define CPU_FORK_US 50000
#define CPU_FORK_US_A_MIB 40 /* its page tables are copied */
#define CPU_GRAIN_US 100000

static void look(void *arg);

static void template_free(void *arg)
{
    free(arg);
}

/* Whoever asked it for a fork still holds it. */
static void free_check(struct template *template)
{
    if (template->state == TEMPLATE_DEAD && template->forking == 0)
        loop_defer(template->loop, &template->deferred, template_free, template);
}

static void template_die(struct template *template)
{
    template->cache->ending -= template->state == TEMPLATE_RETIRED;
    state_move(&machine, &template->state, TEMPLATE_DEAD);
    loop_timer_stop(&template->timer);
    cache_remove(template->cache, template);
    template->instance = NULL;
    template->events.ended(template->events.arg, template);
    free_check(template);
}

/* ---- what its process tells */

static void on_started(void *arg, struct instance *instance)
{
    struct template *template = arg;
    (void) instance;
    if (template->state == TEMPLATE_STARTING)
        state_move(&machine, &template->state, TEMPLATE_INIT);
}

/* It shall wait, and no time-out ends what it does instead. */
static bool is_busy(const struct template *template, uint64_t cpu_us, int64_t now_ms)
{
    uint64_t passed_us = (uint64_t) (now_ms - template->looked_ms) * 1000;
    uint64_t forks = template->asked - template->looked_asked;
    uint64_t fork_us = CPU_FORK_US + (template->memory_bytes >> 20) * CPU_FORK_US_A_MIB;
    return cpu_us > template->cpu_us + passed_us / CPU_SHARE + forks * fork_us + CPU_GRAIN_US;
}

/* What its forks share with it counts as theirs in part: it is no smaller for that. */
static uint64_t own_bytes(const struct template *template, const struct instance_usage *usage)
{
    uint64_t bytes = usage->anonymous_bytes + usage->page_table_bytes;
    return bytes > template->memory_bytes ? bytes : template->memory_bytes;
}

static void on_measured(void *arg, const struct instance_usage *usage)
{
    struct template *template = arg;
    int64_t now = loop_now_ms(template->loop);
    if (usage->error < 0 || template->state != TEMPLATE_READY)
        return; /* it ends */
    if (template->look_ms > 0 && is_busy(template, usage->cpu_us, now)) {
        instance_refuse(template->instance, STR("it uses the processor while it waits"));
        return;
    }
    template->cpu_us = usage->cpu_us;
    template->looked_ms = now;
    template->looked_asked = template->asked;
    template->look_ms = template->look_ms > 0 ? template->look_ms * 2 : LOOK_FIRST_MS;
    if (template->look_ms > LOOK_MAX_MS)
        template->look_ms = LOOK_MAX_MS;
    if (loop_timer_start(template->loop, &template->timer, template->look_ms, look, template) < 0)
        log_error("template.timer", "error=memory"); /* it is not looked at again */
    cache_measure(template->cache, template, own_bytes(template, usage), now);
}

static void look(void *arg)
{
    struct template *template = arg;
    instance_usage(template->instance, on_measured, template);
}

static void on_templated(void *arg, struct instance *instance)
{
    struct template *template = arg;
    if (template->state != TEMPLATE_INIT)
        return;
    state_move(&machine, &template->state, TEMPLATE_READY);
    template->start_us = (uint64_t) (clock_monotonic_ns() - template->created_ns) / 1000;
    template->events.ready(template->events.arg, template);
    if (template->state == TEMPLATE_READY)
        instance_usage(instance, on_measured, template);
}

static void on_ended(void *arg, struct instance *instance, const struct instance_end *end)
{
    struct template *template = arg;
    (void) instance;
    template->is_refused = end->is_refused;
    template->is_sandbox_fault = end->is_sandbox_fault;
    if (template->state == TEMPLATE_READY && !end->is_refused)
        snprintf(template->reason, sizeof(template->reason), "%s",
                 end->is_crash ? "its process crashed" : "its process ended");
    else if (template->state != TEMPLATE_RETIRED)
        instance_failure_text(end->failure, template->reason, sizeof(template->reason));
    template_die(template);
}

static const struct instance_events instance_events = {
    .started = on_started,
    .templated = on_templated,
    .ended = on_ended,
};

/* ---- what its owner does */

struct template *template_new(struct loop *loop, struct instance_host *host,
                              struct template_cache *cache, const struct instance_spec *spec,
                              const struct template_events *events)
{
    struct template *template = mem_new(struct template);
    struct instance_events heard = instance_events;
    struct instance_spec asked = *spec;
    if (!template)
        return NULL;
    template->loop = loop;
    template->cache = cache;
    template->events = *events;
    template->state = TEMPLATE_STARTING;
    template->created_ns = clock_monotonic_ns();
    heard.arg = template;
    asked.is_template = true;
    template->instance = instance_new(host, &asked, &heard);
    if (!template->instance) {
        free(template);
        return NULL;
    }
    cache_add(cache, template);
    return template;
}

static void retired_check(struct template *template)
{
    if (template->state == TEMPLATE_RETIRED && template->forking == 0)
        instance_stop(template->instance);
}

void template_retire(struct template *template)
{
    if (template->state == TEMPLATE_RETIRED || template->state == TEMPLATE_DEAD)
        return;
    state_move(&machine, &template->state, TEMPLATE_RETIRED);
    template->cache->ending++;
    loop_timer_stop(&template->timer);
    cache_remove(template->cache, template);
    retired_check(template);
}

bool template_is_coming(const struct template *template)
{
    return template->state == TEMPLATE_STARTING || template->state == TEMPLATE_INIT;
}

bool template_is_ready(const struct template *template)
{
    return template->state == TEMPLATE_READY;
}

uint64_t template_fork(struct template *template)
{
    assert(template->state == TEMPLATE_READY);
    template->forking++;
    template->asked++;
    return instance_id(template->instance);
}

void template_forked(struct template *template, bool has_succeeded)
{
    assert(template->forking > 0);
    template->forking--;
    template->forks += has_succeeded;
    retired_check(template);
    free_check(template);
}

bool template_fork_crashed(struct template *template)
{
    int64_t now = loop_now_ms(template->loop);
    unsigned at = template->crashes++ % TEMPLATE_CRASHES_MAX;
    /* What the ring held there is the crash before the last TEMPLATE_CRASHES_MAX - 1. */
    int64_t before = template->crashes_ms[at];
    template->crashes_ms[at] = now;
    return template->crashes > TEMPLATE_CRASHES_MAX && now - before < TEMPLATE_CRASHES_WITHIN_MS;
}

const char *template_state_name(const struct template *template)
{
    return state_name(&machine, template->state);
}

const char *template_reason(const struct template *template)
{
    return template->reason;
}
