// SPDX-License-Identifier: MIT
//
// Lamina's policy on a trace: the daemon's own decisions (function/retention.h) about forks and templates. Templates
// compete for the memory under the cap, so all functions are played together, in order of time.
#include "fleet.h"

#include "function/retention.h"

#include <errno.h>
#include <stdlib.h>

#define FREEZE_AFTER_MS                                                                            \
    1000                   // until then an idle instance is not looked at (LAMINA_FREEZE_AFTER_MS)
#define KEEP_MS_MAX 600000 // LAMINA_KEEPALIVE_S
#define TEMPLATE_LOOK_MS 10000 // a pause of that length is looked at

struct pooled {
    struct traced *function;
    const struct kind *kind;
    struct demand demand;
    struct fleet fleet;
    int64_t next_ms; // its next call
    int64_t wake_ms; // when its template wants to be looked at; INT64_MAX: not
    bool has_template;
    int64_t built_ms, ready_ms, template_end_ms;
    struct retention_plan plan;
};

struct world {
    struct trace *trace;
    const struct setting *setting;
    struct outcome *outcome;
    struct pooled *pools;
    unsigned *heap; // of pools, by the earlier of next_ms and wake_ms
    double template_mib;
    uint64_t random;
};

// ---- order

static int64_t due_ms(const struct pooled *pool)
{
    return pool->next_ms < pool->wake_ms ? pool->next_ms : pool->wake_ms;
}

static void sift_down(struct world *world, unsigned at)
{
    unsigned count = world->trace->count, *heap = world->heap, moved = heap[at];
    int64_t due = due_ms(&world->pools[moved]);
    for (;;) {
        unsigned child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count &&
            due_ms(&world->pools[heap[child + 1]]) < due_ms(&world->pools[heap[child]]))
            child++;
        if (due_ms(&world->pools[heap[child]]) >= due)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

// ---- instances

static struct retention_cost fork_cost(const struct kind *kind)
{
    return (struct retention_cost){.start_ms = kind->fork_ms, .memory_mib = kind->fork_mib};
}

// How many instances of the function are needed before this one is.
static unsigned rank_of(const struct fleet *fleet, const struct simulated *instance, int64_t at_ms)
{
    unsigned rank = 1;
    for (unsigned i = 0; i < fleet->count; i++) {
        const struct simulated *other = &fleet->instances[i];
        if (other != instance && (other->free_ms > at_ms || other->free_ms > instance->free_ms))
            rank++;
    }
    return rank;
}

static void decide(struct world *world, struct pooled *pool, struct simulated *instance)
{
    int64_t at = instance->free_ms + FREEZE_AFTER_MS;
    const struct arrivals *arrivals =
        demand_level(&pool->demand, rank_of(&pool->fleet, instance, at));
    struct retention_cost cost = fork_cost(pool->kind);
    struct retention_plan plan;
    int64_t age = arrivals_age_ms(arrivals, at);
    retention_plan(arrivals, age, &cost, world->setting->price, &plan);
    instance->end_ms = at + (plan.end_ms - age);
    if (instance->end_ms > instance->free_ms + KEEP_MS_MAX)
        instance->end_ms = instance->free_ms + KEEP_MS_MAX;
    instance->is_decided = true;
}

static void end_instances(struct world *world, struct pooled *pool, int64_t now_ms)
{
    for (unsigned i = 0; i < pool->fleet.count; i++) {
        struct simulated *instance = &pool->fleet.instances[i];
        if (!instance->is_decided && instance->free_ms + FREEZE_AFTER_MS <= now_ms)
            decide(world, pool, instance);
    }
    fleet_end(&pool->fleet, now_ms, pool->kind->fork_mib, &world->outcome->instance_mib_s);
}

// ---- templates

static struct retention_cost template_cost(const struct kind *kind)
{
    return (struct retention_cost){.start_ms = kind->rebuild_ms,
                                   .memory_mib = kind->template_mib,
                                   .ready_ms = kind->rebuild_ms};
}

// Its idle forks go with it: as long as one of them lives, the template's pages do.
static void template_end(struct world *world, struct pooled *pool, int64_t now_ms)
{
    end_instances(world, pool, now_ms);
    for (unsigned i = 0; i < pool->fleet.count; i++) {
        struct simulated *instance = &pool->fleet.instances[i];
        instance->end_ms = instance->free_ms > now_ms ? instance->free_ms : now_ms;
        instance->is_decided = true;
    }
    end_instances(world, pool, now_ms);
    double seconds = (double) (now_ms - pool->built_ms) / 1000;
    world->outcome->template_mib_s += seconds * pool->kind->template_mib;
    world->outcome->model_mib_s += seconds * pool->kind->model_mib;
    world->template_mib -= pool->kind->template_mib;
    pool->has_template = false;
}

static struct pooled *least_worth(struct world *world, const struct pooled *except, int64_t now_ms,
                                  double *ret_worth)
{
    struct pooled *least = NULL;
    for (unsigned i = 0; i < world->trace->count; i++) {
        struct pooled *pool = &world->pools[i];
        if (!pool->has_template || pool == except)
            continue;
        struct retention_cost cost = template_cost(pool->kind);
        double worth = retention_worth(&pool->demand.calls,
                                       arrivals_age_ms(&pool->demand.calls, now_ms), &cost);
        if (least == NULL || worth < *ret_worth) {
            least = pool;
            *ret_worth = worth;
        }
    }
    return least;
}

// Makes room under the cap. One that is made ahead of a call pushes nothing out that is worth more.
static bool make_room(struct world *world, struct pooled *pool, int64_t now_ms, bool is_ahead)
{
    struct retention_cost cost = template_cost(pool->kind);
    double own =
        retention_worth(&pool->demand.calls, arrivals_age_ms(&pool->demand.calls, now_ms), &cost);
    while (world->template_mib + pool->kind->template_mib > world->setting->template_mib_max) {
        double worth = 0;
        struct pooled *least = least_worth(world, pool, now_ms, &worth);
        if (least == NULL || (is_ahead && worth >= own))
            return false;
        template_end(world, least,
                     now_ms); // its wake_ms stays: the order of the others must not change here
        world->outcome->evicted++;
    }
    return true;
}

static void template_build(struct world *world, struct pooled *pool, int64_t now_ms, bool is_ahead)
{
    if (!make_room(world, pool, now_ms, is_ahead))
        return;
    pool->has_template = true;
    pool->built_ms = now_ms;
    pool->ready_ms = now_ms + (int64_t) pool->kind->rebuild_ms;
    world->template_mib += pool->kind->template_mib;
    if (world->template_mib > world->outcome->template_peak_mib)
        world->outcome->template_peak_mib = world->template_mib;
    world->outcome->rebuilds++;
    world->outcome->ahead += is_ahead;
    world->outcome->rebuild_s += pool->kind->rebuild_ms / 1000;
}

// The pause is long enough to be thought about: how long to keep the template, and when to have it again.
static void template_plan(struct world *world, struct pooled *pool, int64_t now_ms)
{
    const struct arrivals *calls = &pool->demand.calls;
    struct retention_cost cost = template_cost(pool->kind);
    retention_plan(calls, arrivals_age_ms(calls, now_ms), &cost, world->setting->price,
                   &pool->plan);
    pool->template_end_ms = calls->last_ms + pool->plan.end_ms;
}

static void template_look(struct world *world, struct pooled *pool, int64_t now_ms)
{
    int64_t last = pool->demand.calls.last_ms;
    if (now_ms - last < TEMPLATE_LOOK_MS) { // called meanwhile
        pool->wake_ms = last + TEMPLATE_LOOK_MS;
        return;
    }
    if (pool->template_end_ms == 0)
        template_plan(world, pool, now_ms);
    pool->wake_ms = INT64_MAX;
    if (pool->has_template && now_ms < pool->template_end_ms)
        pool->wake_ms = pool->template_end_ms;
    else if (pool->has_template)
        template_end(world, pool, now_ms);
    if (pool->has_template || pool->plan.return_ms < 0)
        return;
    int64_t again = last + pool->plan.return_ms;
    if (now_ms < again)
        pool->wake_ms = again;
    else {
        pool->template_end_ms = last + pool->plan.return_end_ms;
        pool->plan.return_ms = -1;
        template_build(world, pool, now_ms, true);
        pool->wake_ms = pool->template_end_ms;
    }
}

// What a call waits for a fork, the template's own making included.
static double fork_penalty(struct world *world, struct pooled *pool, int64_t now_ms)
{
    double penalty = draw_delay_ms(pool->kind->fork_ms, pool->kind->fork_p99_ms, &world->random);
    if (!pool->has_template)
        template_build(world, pool, now_ms, false);
    if (!pool->has_template) { // larger than the cap by itself: an ordinary start
        world->outcome->cold++;
        return pool->kind->start_ms;
    }
    if (pool->ready_ms > now_ms) {
        world->outcome->cold++;
        return penalty + (double) (pool->ready_ms - now_ms);
    }
    world->outcome->forked++;
    return penalty;
}

// ---- a call

static void call(struct world *world, struct pooled *pool, int64_t now_ms)
{
    double penalty = 0;
    end_instances(world, pool, now_ms);
    demand_note(&pool->demand, fleet_in_flight(&pool->fleet, now_ms) + 1, now_ms);
    struct simulated *instance = fleet_idle(&pool->fleet, now_ms);
    if (instance == NULL) {
        penalty = fork_penalty(world, pool, now_ms);
        instance = fleet_add(&pool->fleet, now_ms);
        world->outcome->instances++;
    } else
        world->outcome->warm++;
    instance->free_ms = now_ms + (int64_t) penalty + draw_run_ms(pool->kind, &world->random);
    instance->end_ms = INT64_MAX;
    instance->is_decided = false;
    outcome_note(world->outcome, pool->function, penalty);
    pool->template_end_ms = 0;
    if (pool->wake_ms == INT64_MAX || pool->wake_ms > now_ms + TEMPLATE_LOOK_MS)
        pool->wake_ms = now_ms + TEMPLATE_LOOK_MS;
    pool->next_ms = trace_next(world->trace, pool->function);
}

static int world_init(struct world *world, struct trace *trace, const struct setting *setting,
                      struct outcome *outcome)
{
    *world = (struct world){
        .trace = trace, .setting = setting, .outcome = outcome, .random = setting->seed};
    world->pools = calloc(trace->count, sizeof *world->pools);
    world->heap = calloc(trace->count, sizeof *world->heap);
    if (world->pools == NULL || world->heap == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < trace->count; i++) {
        struct traced *function = &trace->functions[i];
        world->heap[i] = i;
        world->pools[i] = (struct pooled){.function = function,
                                          .kind = &kinds[function->kind],
                                          .next_ms = trace_next(trace, function),
                                          .wake_ms = INT64_MAX};
        outcome->functions_by_trigger[function->trigger]++;
    }
    for (unsigned i = trace->count / 2; i-- > 0;)
        sift_down(world, i);
    return 0;
}

static void world_finish(struct world *world)
{
    for (unsigned i = 0; i < world->trace->count; i++) {
        struct pooled *pool = &world->pools[i];
        end_instances(world, pool, world->trace->end_ms);
        fleet_finish(&pool->fleet, world->trace->end_ms, pool->kind->fork_mib,
                     &world->outcome->instance_mib_s);
        fleet_done(&pool->fleet);
        if (pool->has_template)
            template_end(world, pool, world->trace->end_ms);
    }
}

int simulate_learned(struct trace *trace, const struct setting *setting, struct outcome *ret)
{
    struct world world;
    *ret = (struct outcome){0};
    trace_rewind(trace, setting->seed);
    int r = world_init(&world, trace, setting, ret);
    while (r == 0 && trace->count > 0) {
        struct pooled *pool = &world.pools[world.heap[0]];
        int64_t now = due_ms(pool);
        if (now >= trace->end_ms)
            break;
        if (pool->next_ms <= pool->wake_ms)
            call(&world, pool, now);
        else
            template_look(&world, pool, now);
        sift_down(&world, 0);
    }
    if (r == 0)
        world_finish(&world);
    free(world.pools);
    free(world.heap);
    return r;
}
