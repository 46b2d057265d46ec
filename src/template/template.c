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
    state_move(&machine, &template->state, TEMPLATE_DEAD);
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

static void on_measured(void *arg, const struct instance_usage *usage)
{
    struct template *template = arg;
    if (usage->error < 0 || template->state != TEMPLATE_READY)
        return; /* it ends */
    template->cpu_us = usage->cpu_us;
    cache_measure(template->cache, template, usage->anonymous_bytes + usage->page_table_bytes,
                  loop_now_ms(template->loop));
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
    if (template->state == TEMPLATE_READY)
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
