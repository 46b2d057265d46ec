// SPDX-License-Identifier: MIT
//
// Memory of one request: many small allocations, freed together, with a hard limit.
//
// The first chunk is ARENA_CHUNK_FIRST bytes and is made at the first allocation, so an idle
// connection owns nothing; later chunks double up to ARENA_CHUNK_MAX. The limit counts whole
// chunks, that is, what the process really pays. At the limit an allocation is NULL and the arena
// remembers it (`arena_is_exhausted`), so that a parser may look once at the end. One thread at a
// time. What outlives the request is copied by its new owner.

#ifndef LAMINA_BASE_ARENA_H
#define LAMINA_BASE_ARENA_H

#include "base/compiler.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

#define ARENA_CHUNK_FIRST 1024
#define ARENA_CHUNK_MAX ((size_t) 64 * 1024)

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; // owned; newest first
    size_t bytes;               // of all chunks
    size_t limit;
    size_t next_chunk;
    bool is_exhausted;
};

#define AUTO_ARENA AUTO(arena_done)

void arena_init(struct arena *arena, size_t limit);
void arena_done(struct arena *arena);  // frees everything
void arena_reset(struct arena *arena); // frees everything but the first chunk; same limit

// 16-byte aligned, not zeroed; size 0 gives a valid pointer. NULL at the limit or without memory.
void *arena_alloc(struct arena *arena, size_t size) MUST_CHECK;
void *arena_alloc_zero(struct arena *arena, size_t size) MUST_CHECK;
#define arena_new(arena, type) ((type *) arena_alloc_zero(arena, sizeof(type)))

// NUL-terminated copies; NULL at the limit.
char *arena_copy(struct arena *arena, struct str text) MUST_CHECK;
char *arena_copy_text(struct arena *arena, const char *text) MUST_CHECK;
char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3) MUST_CHECK;

// A view's copy; {NULL, 0} at the limit.
struct str arena_copy_str(struct arena *arena, struct str text) MUST_CHECK;

bool arena_is_exhausted(const struct arena *arena) MUST_CHECK;

#endif
