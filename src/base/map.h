// SPDX-License-Identifier: MIT
//
// A hash map from text to pointer. Keys are copied, values are borrowed. The hash is SipHash-1-3
// with a random key per process, so that nobody outside can choose names that collide.
// Open addressing, grows at 3/4 full. One thread at a time.

#ifndef LAMINA_BASE_MAP_H
#define LAMINA_BASE_MAP_H

#include "base/compiler.h"
#include "base/str.h"

#include <stddef.h>

struct map_slot;

struct map {
    struct map_slot *slots; // owned; NULL while nothing was put
    size_t slot_count;      // 0 or a power of two
    size_t count;           // entries
    size_t used;            // entries and tombstones
    size_t maximum;         // most entries
};

void map_init(struct map *map, size_t maximum);

// Frees the map; `free_value` (may be NULL) gets each value once.
void map_done(struct map *map, void (*free_value)(void *value));

size_t map_count(const struct map *map);

// NULL when there is none.
void *map_get(const struct map *map, struct str key) MUST_CHECK;
void *map_get_text(const struct map *map, const char *key) MUST_CHECK;

// Value must not be NULL. -EEXIST if the key is there (use map_replace), -ENOSPC at the maximum,
// -ENOMEM.
int map_put(struct map *map, struct str key, void *value) MUST_CHECK;
// As map_put, but an old value is replaced and handed back in *ret_old (else NULL).
int map_replace(struct map *map, struct str key, void *value, void **ret_old) MUST_CHECK;

// Removes and returns the value; NULL when there is none.
void *map_remove(struct map *map, struct str key);

// Iteration in no order. Start with *cursor = 0; NULL at the end. Removing the entry just returned
// is allowed, putting is not. *ret_key (may be NULL) lives as long as the entry.
void *map_next(const struct map *map, size_t *cursor, struct str *ret_key) MUST_CHECK;

#define MAP_FOR_EACH(type, each, map)                                                              \
    for (size_t each##_cursor = 0, each##_once = 1; each##_once; each##_once = 0)                  \
        for (type * each; (each = map_next((map), &each##_cursor, NULL)) != NULL;)

#endif
