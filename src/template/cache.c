/* SPDX-License-Identifier: MIT */
#include "template/cache.h"

#include <stddef.h>

#include "template/template.h"

void cache_init(struct template_cache *cache, uint64_t limit_bytes)
{
    *cache = (struct template_cache){.limit_bytes = limit_bytes};
    list_init(&cache->all);
}

bool cache_is_enabled(const struct template_cache *cache)
{
    return cache->limit_bytes > 0;
}

void cache_add(struct template_cache *cache, struct template *template)
{
    list_add_last(&cache->all, &template->link);
    cache->count++;
}

void cache_remove(struct template_cache *cache, struct template *template)
{
    if (!list_is_linked(&template->link))
        return;
    list_remove(&template->link);
    cache->count--;
    cache->bytes -= template->memory_bytes;
    template->memory_bytes = 0;
}

/* Those that start are left alone: they hold nothing that was measured, and somebody waits for them. */
static struct template *cache_least(const struct template_cache *cache, int64_t now_ms)
{
    struct template *least = NULL;
    double least_worth = 0;
    LIST_FOR_EACH (struct template, each, &cache->all, link) {
        if (!template_is_ready(each))
            continue;
        double worth = each->events.worth(each->events.arg, each, now_ms);
        if (least && worth >= least_worth)
            continue;
        least = each;
        least_worth = worth;
    }
    return least;
}

bool cache_evict_one(struct template_cache *cache, int64_t now_ms)
{
    struct template *least = cache_least(cache, now_ms);
    if (!least)
        return false;
    cache->evicted++;
    least->events.evict(least->events.arg, least);
    cache_remove(cache, least); /* whatever its owner did: it counts no more */
    return true;
}

void cache_measure(struct template_cache *cache, struct template *template, uint64_t bytes,
                   int64_t now_ms)
{
    if (!list_is_linked(&template->link))
        return;
    cache->bytes += bytes - template->memory_bytes;
    template->memory_bytes = bytes;
    while (cache->bytes > cache->limit_bytes && cache_evict_one(cache, now_ms))
        continue;
}
