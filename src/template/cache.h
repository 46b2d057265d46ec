/* SPDX-License-Identifier: MIT
 *
 * cache: which templates stay in memory. Templates are a cache of init phases: each can be had again for what its start
 * took, so the ones that save least for the memory they hold go first. What a template is worth its owner says, who
 * knows when it is called (events.worth). What counts as memory is the template's own: anonymous pages and page
 * tables; a model that is mapped from a file or from a sealed memfd is not its own.
 *
 * Thread: loop only. Limits: `limit_bytes` in all; a template that alone has more is evicted as soon as it is measured.
 */
#ifndef LAMINA_TEMPLATE_CACHE_H
#define LAMINA_TEMPLATE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct template;

struct template_cache {
    struct list all;      /* of struct template, in any state but DEAD */
    uint64_t limit_bytes; /* 0: no templates at all */
    uint64_t bytes;       /* measured, of those that are READY */
    uint32_t count;
    uint32_t ending; /* no longer among them, but not gone: what they held is not free yet */
    uint64_t evicted;
};

void cache_init(struct template_cache *cache, uint64_t limit_bytes);
bool cache_is_enabled(const struct template_cache *cache);

void cache_add(struct template_cache *cache, struct template *template);
void cache_remove(struct template_cache *cache, struct template *template);
/* It was measured; evicts until the sum is within the limit, it perhaps. */
void cache_measure(struct template_cache *cache, struct template *template, uint64_t bytes,
                   int64_t now_ms);
/* Memory is short: evicts the one that is worth least. False: there is none. */
bool cache_evict_one(struct template_cache *cache, int64_t now_ms);

#endif
