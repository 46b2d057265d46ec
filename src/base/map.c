// SPDX-License-Identifier: MIT
//
// Open addressing with linear probing. A removed entry leaves a tombstone, so that probing goes on
// behind it; growing (or filling up with tombstones) rebuilds the table without them.

#include "base/map.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_FIRST 16

struct map_slot {
    char *key; // owned; NULL: free, or a tombstone if value is TOMBSTONE
    size_t key_size;
    uint64_t hash;
    void *value;
};

static char tombstone_byte;
#define TOMBSTONE ((void *) &tombstone_byte)

static uint64_t hash_key[2];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void make_hash_key(void)
{
    mem_random(hash_key, sizeof hash_key);
}

static uint64_t rotate(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

// SipHash-1-3: Aumasson and Bernstein, "SipHash: a fast short-input PRF", with one round a word and
// three at the end, as hash tables elsewhere use it.
static uint64_t hash_of(struct str key)
{
    pthread_once(&hash_key_once, make_hash_key);
    uint64_t v[4] = {
        hash_key[0] ^ UINT64_C(0x736f6d6570736575), hash_key[1] ^ UINT64_C(0x646f72616e646f6d),
        hash_key[0] ^ UINT64_C(0x6c7967656e657261), hash_key[1] ^ UINT64_C(0x7465646279746573)};
    size_t left = key.size;
    const char *at = key.data;
    for (; left >= 8; left -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t) key.size << 56;
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t) (unsigned char) at[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_init(struct map *map, size_t maximum)
{
    *map = (struct map){.maximum = maximum};
}

void map_done(struct map *map, void (*free_value)(void *value))
{
    for (size_t i = 0; i < map->slot_count; i++) {
        if (!map->slots[i].key)
            continue;
        free(map->slots[i].key);
        if (free_value)
            free_value(map->slots[i].value);
    }
    free(map->slots);
    map_init(map, map->maximum);
}

size_t map_count(const struct map *map)
{
    return map->count;
}

// The slot of the key, or NULL.
static struct map_slot *find(const struct map *map, struct str key, uint64_t hash)
{
    if (map->slot_count == 0)
        return NULL;
    for (size_t i = hash & (map->slot_count - 1);; i = (i + 1) & (map->slot_count - 1)) {
        struct map_slot *slot = &map->slots[i];
        if (!slot->key && slot->value != TOMBSTONE)
            return NULL; // there is always a free slot: at most 3/4 are used
        if (slot->key && slot->hash == hash &&
            str_equal((struct str){slot->key, slot->key_size}, key))
            return slot;
    }
}

// The first slot without an entry on the key's way.
static struct map_slot *find_free(struct map_slot *slots, size_t slot_count, uint64_t hash)
{
    size_t i = hash & (slot_count - 1);
    while (slots[i].key)
        i = (i + 1) & (slot_count - 1);
    return &slots[i];
}

static int make_room(struct map *map)
{
    if (map->slot_count && (map->used + 1) * 4 <= map->slot_count * 3)
        return 0;
    // Twice the entries' size: after many removals this only sweeps the tombstones.
    size_t slot_count = SLOTS_FIRST;
    while (slot_count * 3 < (map->count + 1) * 4 * 3 / 2)
        slot_count *= 2;
    struct map_slot *slots = calloc(slot_count, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < map->slot_count; i++)
        if (map->slots[i].key)
            *find_free(slots, slot_count, map->slots[i].hash) = map->slots[i];
    free(map->slots);
    map->slots = slots;
    map->slot_count = slot_count;
    map->used = map->count;
    return 0;
}

void *map_get(const struct map *map, struct str key)
{
    if (map->count == 0)
        return NULL;
    struct map_slot *slot = find(map, key, hash_of(key));
    return slot ? slot->value : NULL;
}

void *map_get_text(const struct map *map, const char *key)
{
    return map_get(map, str_of(key));
}

static int insert(struct map *map, struct str key, uint64_t hash, void *value)
{
    if (map->count >= map->maximum)
        return -ENOSPC;
    int r = make_room(map);
    if (r < 0)
        return r;
    char *copy = str_copy_heap(key);
    if (!copy)
        return -ENOMEM;
    struct map_slot *slot = find_free(map->slots, map->slot_count, hash);
    if (slot->value != TOMBSTONE)
        map->used++;
    *slot = (struct map_slot){.key = copy, .key_size = key.size, .hash = hash, .value = value};
    map->count++;
    return 0;
}

int map_put(struct map *map, struct str key, void *value)
{
    assert(value);
    uint64_t hash = hash_of(key);
    if (find(map, key, hash))
        return -EEXIST;
    return insert(map, key, hash, value);
}

int map_replace(struct map *map, struct str key, void *value, void **ret_old)
{
    assert(value);
    uint64_t hash = hash_of(key);
    struct map_slot *slot = find(map, key, hash);
    void *old = slot ? slot->value : NULL;
    if (slot) {
        slot->value = value;
    } else {
        int r = insert(map, key, hash, value);
        if (r < 0)
            return r;
    }
    if (ret_old)
        *ret_old = old;
    return 0;
}

void *map_remove(struct map *map, struct str key)
{
    struct map_slot *slot = map->count ? find(map, key, hash_of(key)) : NULL;
    if (!slot)
        return NULL;
    void *value = slot->value;
    free(slot->key);
    *slot = (struct map_slot){.value = TOMBSTONE};
    map->count--;
    return value;
}

void *map_next(const struct map *map, size_t *cursor, struct str *ret_key)
{
    while (*cursor < map->slot_count) {
        struct map_slot *slot = &map->slots[(*cursor)++];
        if (!slot->key)
            continue;
        if (ret_key)
            *ret_key = (struct str){slot->key, slot->key_size};
        return slot->value;
    }
    return NULL;
}
