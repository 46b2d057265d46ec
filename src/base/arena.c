// SPDX-License-Identifier: MIT

#include "base/arena.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 16

struct arena_chunk {
    struct arena_chunk *next;
    size_t used; // of data
    size_t size; // of data
    _Alignas(ALIGNMENT) char data[];
};

void arena_init(struct arena *arena, size_t limit)
{
    *arena = (struct arena){.limit = limit, .next_chunk = ARENA_CHUNK_FIRST};
}

static void free_chunks(struct arena_chunk *chunk)
{
    while (chunk) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void arena_done(struct arena *arena)
{
    free_chunks(arena->chunks);
    arena_init(arena, arena->limit);
}

void arena_reset(struct arena *arena)
{
    struct arena_chunk *first = arena->chunks;
    while (first && first->next) {
        struct arena_chunk *next = first->next;
        free(first);
        first = next;
    }
    size_t limit = arena->limit;
    arena_init(arena, limit);
    if (!first)
        return;
    first->used = 0;
    arena->chunks = first;
    arena->bytes = sizeof *first + first->size;
    arena->next_chunk = 2 * ARENA_CHUNK_FIRST;
}

static void *exhausted(struct arena *arena)
{
    arena->is_exhausted = true;
    return NULL;
}

// Makes the newest chunk one with room for `size` bytes. A chunk is as large as the schedule says,
// smaller when the limit is near, larger when one allocation wants it.
static void *grow(struct arena *arena, size_t size)
{
    size_t least;
    if (!mem_size_add(sizeof(struct arena_chunk), size, &least))
        return exhausted(arena);
    size_t left = arena->limit - arena->bytes;
    size_t total = arena->next_chunk < left ? arena->next_chunk : left;
    if (total < least)
        total = least;
    if (total > left)
        return exhausted(arena);
    struct arena_chunk *chunk = malloc(total);
    if (!chunk)
        return exhausted(arena);
    *chunk = (struct arena_chunk){.next = arena->chunks, .size = total - sizeof *chunk};
    arena->chunks = chunk;
    arena->bytes += total;
    if (arena->next_chunk < ARENA_CHUNK_MAX)
        arena->next_chunk *= 2;
    return chunk;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX - ALIGNMENT)
        return exhausted(arena);
    size_t rounded = (size + ALIGNMENT - 1) & ~(size_t) (ALIGNMENT - 1);
    if (rounded == 0)
        rounded = ALIGNMENT;
    struct arena_chunk *chunk = arena->chunks;
    if ((!chunk || chunk->size - chunk->used < rounded) && !grow(arena, rounded))
        return NULL;
    chunk = arena->chunks;
    void *memory = chunk->data + chunk->used;
    chunk->used += rounded;
    return memory;
}

void *arena_alloc_zero(struct arena *arena, size_t size)
{
    void *memory = arena_alloc(arena, size);
    return memory ? memset(memory, 0, size) : NULL;
}

char *arena_copy(struct arena *arena, struct str text)
{
    char *copy = text.size < SIZE_MAX ? arena_alloc(arena, text.size + 1) : exhausted(arena);
    if (!copy)
        return NULL;
    if (text.size)
        memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return copy;
}

char *arena_copy_text(struct arena *arena, const char *text)
{
    return arena_copy(arena, str_of(text));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int size = vsnprintf(NULL, 0, format, values);
    va_end(values);
    char *text = size < 0 ? exhausted(arena) : arena_alloc(arena, (size_t) size + 1);
    if (!text)
        return NULL;
    va_start(values, format);
    (void) vsnprintf(text, (size_t) size + 1, format, values);
    va_end(values);
    return text;
}

struct str arena_copy_str(struct arena *arena, struct str text)
{
    char *copy = arena_copy(arena, text);
    return (struct str){copy, copy ? text.size : 0};
}

bool arena_is_exhausted(const struct arena *arena)
{
    return arena->is_exhausted;
}
