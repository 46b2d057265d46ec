// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/uuid.h"

#include <pthread.h>
#include <string.h>

#define MANY 200 // names: more than are taken ahead at once

static void are_of_version_four(void **state)
{
    char text[UUID_SIZE];
    assert_ptr_equal(uuid_new(text), text);
    assert_int_equal(strlen(text), 36);
    for (size_t i = 0; i < 36; i++)
        assert_non_null(
            strchr(i == 8 || i == 13 || i == 18 || i == 23 ? "-" : "0123456789abcdef", text[i]));
    assert_int_equal(text[14], '4');
    assert_non_null(strchr("89ab", text[19]));
}

static void *make_many(void *argument)
{
    char(*texts)[UUID_SIZE] = argument;
    for (size_t i = 0; i < MANY; i++)
        uuid_new(texts[i]);
    return NULL;
}

// Of one thread across what it takes ahead, and of two threads at once.
static void never_meet(void **state)
{
    static char texts[2 * MANY][UUID_SIZE];
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, make_many, texts), 0);
    make_many(texts + MANY);
    pthread_join(thread, NULL);
    for (size_t i = 0; i < 2 * MANY; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(texts[i], texts[j]);
}

static void random_takes_any_size(void **state)
{
    char one[UUID_RANDOM_MAX], two[UUID_RANDOM_MAX], none[UUID_RANDOM_MAX] = {0};
    for (size_t size = 8; size <= UUID_RANDOM_MAX; size++) {
        memset(one, 0, sizeof(one));
        uuid_random(one, size);
        uuid_random(two, size);
        assert_memory_not_equal(one, two, size);
        assert_memory_equal(one + size, none, sizeof(one) - size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(are_of_version_four),
        cmocka_unit_test(never_meet),
        cmocka_unit_test(random_takes_any_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
