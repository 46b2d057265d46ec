/* SPDX-License-Identifier: MIT */
#include "function/stats.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "function/scheduler_private.h"
#include "function/stats_table.h"

#define OTHER_NAME "_other"

const uint64_t histogram_bounds_us[HISTOGRAM_BUCKETS - 1] = {
    100,    200,    500,     1000,    2000,    5000,     10000,    20000,    50000,     100000,
    200000, 500000, 1000000, 2000000, 5000000, 10000000, 30000000, 60000000, 300000000,
};

void histogram_add(struct histogram *histogram, uint64_t us)
{
    unsigned bucket = 0;
    while (bucket < HISTOGRAM_BUCKETS - 1 && us > histogram_bounds_us[bucket])
        bucket++;
    histogram->count[bucket]++;
    histogram->total++;
    histogram->sum_us += us;
}

const char *cold_phase_name(enum cold_phase phase)
{
    static const char *const names[COLD_PHASES] = {
        [COLD_QUEUE] = "queue", [COLD_SANDBOX] = "sandbox", [COLD_FETCH] = "fetch",
        [COLD_LOAD] = "load",   [COLD_WARM] = "warm",       [COLD_FIRST_ANSWER] = "first_answer",
    };
    return (unsigned) phase < COLD_PHASES ? names[phase] : "?";
}

/* ---- the table */

static struct function_stats *stats_new(const char *name)
{
    struct function_stats *stats = mem_new(struct function_stats);
    char *copy = mem_copy_text(name);
    if (!stats || !copy) {
        free(stats);
        free(copy);
        return NULL;
    }
    stats->name = copy;
    stats->reserved = -1;
    return stats;
}

static void stats_free(void *arg)
{
    struct function_stats *stats = arg;
    if (!stats)
        return;
    free((char *) (uintptr_t) stats->name); /* const for readers only */
    free(stats);
}

void stats_table_init(struct stats_table *table)
{
    map_init(&table->map, FUNCTION_STATS_MAX);
    table->other = NULL;
}

void stats_table_done(struct stats_table *table)
{
    map_done(&table->map, stats_free);
    stats_free(table->other);
    table->other = NULL;
}

static struct function_stats *table_other(struct stats_table *table)
{
    if (!table->other)
        table->other = stats_new(OTHER_NAME);
    return table->other;
}

struct function_stats *stats_table_get(struct stats_table *table, const char *name)
{
    struct function_stats *stats = map_get_text(&table->map, name);
    if (stats)
        return stats;
    stats = stats_new(name);
    if (!stats || map_put(&table->map, str_of(name), stats) < 0) {
        stats_free(stats);
        return table_other(table);
    }
    return stats;
}

struct function_stats *stats_table_find(const struct stats_table *table, const char *name)
{
    struct function_stats *stats = map_get_text(&table->map, name);
    return stats ? stats : table->other;
}

static void count_cold(struct function_stats *stats, const struct invocation_result *result)
{
    for (unsigned i = 0; i < COLD_PHASES; i++)
        histogram_add(&stats->cold[i], result->phase_us[i]);
    memcpy(stats->last_cold_us, result->phase_us, sizeof(stats->last_cold_us));
    stats->last_cold_at_ms = (uint64_t) clock_wall_ms();
    stats->cold_starts++;
}

void function_stats_count(struct function_stats *stats, const struct invocation_result *result,
                          uint64_t passed_us)
{
    stats->invocations++;
    stats->throttles += result->outcome == INVOCATION_THROTTLED;
    stats->faults += result->outcome == INVOCATION_FAULT;
    stats->errors += result->outcome == INVOCATION_FUNCTION_ERROR;
    stats->timeouts += str_equal_text(result->error_type, "Sandbox.Timedout");
    if (result->outcome == INVOCATION_THROTTLED)
        return; /* it was not served: its time would flatter the histogram */
    histogram_add(&stats->invocation, passed_us);
    if (result->is_cold)
        count_cold(stats, result);
}

/* ---- what others read */

const struct function_stats *function_stats_find(struct scheduler *scheduler, struct str name)
{
    return map_get(&scheduler->stats.map, name);
}

void function_stats_each(struct scheduler *scheduler, function_stats_cb *cb, void *arg)
{
    MAP_FOR_EACH (struct function_stats, each, &scheduler->stats.map)
        cb(arg, each);
    if (scheduler->stats.other)
        cb(arg, scheduler->stats.other);
}

void function_stats_forget(struct scheduler *scheduler, struct str name)
{
    scheduler_set_reserved(scheduler, name, -1);
    stats_free(map_remove(&scheduler->stats.map, name));
}
