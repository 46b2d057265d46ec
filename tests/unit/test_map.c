// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/map.h"

static int freed;

static void count_free(void *value)
{
    freed++;
}

static struct str key_of(char text[24], int number)
{
    (void) snprintf(text, 24, "key-%d", number);
    return str_of(text);
}

static void puts_gets_removes(void **state)
{
    struct map map;
    map_init(&map, 100);
    int one = 1, two = 2;
    assert_null(map_get(&map, STR("a")));
    assert_null(map_remove(&map, STR("a")));
    assert_int_equal(map_put(&map, STR("a"), &one), 0);
    assert_int_equal(map_put(&map, STR("a"), &two), -EEXIST);
    assert_ptr_equal(map_get_text(&map, "a"), &one);
    void *old = &two;
    assert_int_equal(map_replace(&map, STR("a"), &two, &old), 0);
    assert_ptr_equal(old, &one);
    assert_int_equal(map_replace(&map, STR("b"), &one, &old), 0);
    assert_null(old);
    assert_int_equal(map_put(&map, STR(""), &one),
                     0); // the empty key and one with a NUL are keys too
    assert_int_equal(map_put(&map, STR("\0"), &two), 0);
    assert_ptr_equal(map_get(&map, STR("")), &one);
    assert_ptr_equal(map_remove(&map, STR("\0")), &two);
    assert_int_equal(map_count(&map), 3);
    freed = 0;
    map_done(&map, count_free);
    assert_int_equal(freed, 3);
}

static void copies_its_keys(void **state)
{
    struct map map;
    map_init(&map, 10);
    char key[] = "abc";
    int value;
    assert_int_equal(map_put(&map, str_of(key), &value), 0);
    key[0] = 'x';
    assert_ptr_equal(map_get_text(&map, "abc"), &value);
    map_done(&map, NULL);
}

static void stops_at_its_maximum(void **state)
{
    struct map map;
    map_init(&map, 2);
    int value;
    assert_int_equal(map_put(&map, STR("a"), &value), 0);
    assert_int_equal(map_put(&map, STR("b"), &value), 0);
    assert_int_equal(map_put(&map, STR("c"), &value), -ENOSPC);
    assert_int_equal(map_replace(&map, STR("b"), &value, NULL), 0);
    map_remove(&map, STR("a"));
    assert_int_equal(map_put(&map, STR("c"), &value), 0);
    map_done(&map, NULL);
}

static void agrees_with_an_array_over_many_changes(void **state)
{
    enum { COUNT = 3000 };
    static int values[COUNT];
    static bool is_there[COUNT];
    struct map map;
    map_init(&map, COUNT);
    uint32_t seed = 12345;
    size_t there = 0;
    char text[24];
    for (int step = 0; step < 60000; step++) {
        seed = seed * 1664525 + 1013904223;
        int i = (int) (seed >> 8) % COUNT;
        struct str key = key_of(text, i);
        if ((seed >> 30) < 2) {
            assert_int_equal(map_put(&map, key, &values[i]), is_there[i] ? -EEXIST : 0);
            there += !is_there[i];
            is_there[i] = true;
        } else {
            assert_ptr_equal(map_remove(&map, key), is_there[i] ? &values[i] : NULL);
            there -= is_there[i];
            is_there[i] = false;
        }
        assert_int_equal(map_count(&map), there);
    }
    for (int i = 0; i < COUNT; i++)
        assert_ptr_equal(map_get(&map, key_of(text, i)), is_there[i] ? &values[i] : NULL);
    size_t seen = 0;
    size_t cursor = 0;
    struct str key;
    for (int *value; (value = map_next(&map, &cursor, &key));) {
        assert_str_equal(key, key_of(text, (int) (value - values)).data);
        assert_ptr_equal(map_remove(&map, key), value); // the entry just returned may go
        seen++;
    }
    assert_int_equal(seen, there);
    assert_int_equal(map_count(&map), 0);
    map_done(&map, NULL);
}

static void does_not_grow_under_coming_and_going(void **state)
{
    struct map map;
    map_init(&map, 1000);
    int value;
    char text[24];
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(map_put(&map, key_of(text, i), &value), 0);
        if (i >= 5)
            assert_non_null(map_remove(&map, key_of(text, i - 5)));
    }
    assert_true(map.slot_count <= 32);
    size_t count = 0;
    MAP_FOR_EACH (int, each, &map)
        count += each == &value;
    assert_int_equal(count, 5);
    map_done(&map, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_gets_removes),
        cmocka_unit_test(copies_its_keys),
        cmocka_unit_test(stops_at_its_maximum),
        cmocka_unit_test(agrees_with_an_array_over_many_changes),
        cmocka_unit_test(does_not_grow_under_coming_and_going),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
