// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/mem.h"

static char *make_and_take(void)
{
    AUTO_FREE char *text = mem_copy_text("kept");
    return TAKE_PTR(text);
}

static void hands_over_what_is_taken(void **state)
{
    AUTO_FREE char *text = make_and_take();
    assert_string_equal(text, "kept");
    char *other = TAKE_PTR(text);
    assert_null(text);
    free(other);
}

static void copies(void **state)
{
    AUTO_FREE char *copy = mem_copy("a\0b", 3);
    assert_memory_equal(copy, "a\0b", 3);
    AUTO_FREE char *nothing = mem_copy(NULL, 0);
    assert_non_null(nothing);
    assert_null(mem_copy(NULL, 1));
    assert_null(mem_copy_text(NULL));
}

static void compares_secrets(void **state)
{
    assert_true(mem_equal_secret("abc", "abc", 3));
    assert_true(mem_equal_secret("", "x", 0));
    for (size_t i = 0; i < 3; i++) {
        char other[] = "abc";
        other[i] ^= 1;
        assert_false(mem_equal_secret("abc", other, 3));
    }
}

static void adds_sizes(void **state)
{
    size_t sum = 7;
    assert_false(mem_size_add(SIZE_MAX, 1, &sum));
    assert_int_equal(sum, 7);
    assert_true(mem_size_add(SIZE_MAX - 1, 1, &sum));
    assert_true(sum == SIZE_MAX);
}

static void random_bytes_differ(void **state)
{
    char one[32] = {0}, two[32] = {0};
    mem_random(one, sizeof one);
    mem_random(two, sizeof two);
    assert_memory_not_equal(one, two, sizeof one);
    mem_wipe(one, sizeof one);
    char zero[32] = {0};
    assert_memory_equal(one, zero, sizeof one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hands_over_what_is_taken), cmocka_unit_test(copies),
        cmocka_unit_test(compares_secrets),         cmocka_unit_test(adds_sizes),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
