/* SPDX-License-Identifier: MIT
 *
 * stats_table: where the scheduler keeps what it counts per function. Private to src/function; what others read is in
 * function/stats.h.
 */
#ifndef LAMINA_FUNCTION_STATS_TABLE_H
#define LAMINA_FUNCTION_STATS_TABLE_H

#include "base/map.h"
#include "function/stats.h"

struct stats_table {
    struct map map;               /* name -> struct function_stats, owned */
    struct function_stats *other; /* of functions past FUNCTION_STATS_MAX */
};

void stats_table_init(struct stats_table *table);
void stats_table_done(struct stats_table *table);
/* Makes it if need be; NULL only without memory. */
struct function_stats *stats_table_get(struct stats_table *table, const char *name);

/* NULL if it was not made, or was forgotten. */
struct function_stats *stats_table_find(const struct stats_table *table, const char *name);

/* One invocation is over; `passed_us` from its acceptance to its answer. */
void function_stats_count(struct function_stats *stats, const struct invocation_result *result,
                          uint64_t passed_us);

#endif
