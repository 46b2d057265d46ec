// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/arena.h"

static void owns_nothing_until_asked(void **state)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena, 1 << 20);
    assert_int_equal(arena.bytes, 0);
    assert_non_null(arena_alloc(&arena, 1));
    assert_int_equal(arena.bytes, ARENA_CHUNK_FIRST);
}

static void allocations_are_aligned_and_apart(void **state)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena, 1 << 20);
    char *last = NULL;
    for (size_t size = 0; size < 500; size++) {
        char *memory = arena_alloc(&arena, size);
        assert_non_null(memory);
        assert_int_equal((uintptr_t) memory % 16, 0);
        assert_ptr_not_equal(memory, last);
        memset(memory, 'x', size); // ASan watches
        last = memory;
    }
    char *zero = arena_alloc_zero(&arena, 100);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(zero[i], 0);
    assert_false(arena_is_exhausted(&arena));
}

static void stops_at_its_limit(void **state)
{
    for (size_t limit = 0; limit < 20000; limit += 777) {
        AUTO_ARENA struct arena arena;
        arena_init(&arena, limit);
        size_t got = 0;
        while (arena_alloc(&arena, 64))
            got += 64;
        assert_true(got <= limit);
        assert_true(arena.bytes <= limit);
        assert_true(limit < 4096 || got >= limit / 4 * 3); // most of the limit can be used
        assert_true(arena_is_exhausted(&arena));
    }
}

static void refuses_absurd_sizes(void **state)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena, 1 << 20);
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX - 15));
    assert_null(arena_alloc(&arena, SIZE_MAX - 63));
    assert_true(arena_is_exhausted(&arena));
}

static void one_large_allocation_fits(void **state)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena, 300000);
    char *memory = arena_alloc(&arena, 250000);
    assert_non_null(memory);
    memset(memory, 'x', 250000);
    assert_null(arena_alloc(&arena, 60000));
    assert_non_null(arena_alloc(&arena, 1000)); // a smaller one still does
}

static void copies_texts(void **state)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena, 1200);
    assert_string_equal(arena_copy(&arena, STR("abc")), "abc");
    assert_string_equal(arena_copy(&arena, str_of(NULL)), "");
    assert_string_equal(arena_printf(&arena, "%s-%d", "x", 5), "x-5");
    assert_str_equal(arena_copy_str(&arena, STR("view")), "view");
    char lots[2000];
    memset(lots, 'x', sizeof lots);
    assert_null(arena_copy(&arena, str_of_data(lots, sizeof lots)));
    assert_null(arena_copy_str(&arena, str_of_data(lots, sizeof lots)).data);
    assert_null(arena_printf(&arena, "%2000d", 1));
}

static void reset_keeps_the_first_chunk(void **state)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena, 1 << 20);
    void *first = arena_alloc(&arena, 10);
    for (int i = 0; i < 1000; i++)
        assert_non_null(arena_alloc(&arena, 100));
    arena_reset(&arena);
    assert_int_equal(arena.bytes, ARENA_CHUNK_FIRST);
    assert_ptr_equal(arena_alloc(&arena, 10), first);
    for (int i = 0; i < 1000; i++)
        assert_non_null(arena_alloc(&arena, 100));
    arena_done(&arena);
    arena_reset(&arena);
    assert_int_equal(arena.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owns_nothing_until_asked),
        cmocka_unit_test(allocations_are_aligned_and_apart),
        cmocka_unit_test(stops_at_its_limit),
        cmocka_unit_test(refuses_absurd_sizes),
        cmocka_unit_test(one_large_allocation_fits),
        cmocka_unit_test(copies_texts),
        cmocka_unit_test(reset_keeps_the_first_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
