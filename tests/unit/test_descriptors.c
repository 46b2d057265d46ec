/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "daemon/descriptors.h"

#include <errno.h>

static void what_fits_is_what_was_asked_for(void **state)
{
    struct error err = {0};
    uint64_t connections = 0;
    (void) state;
    assert_int_equal(descriptors_share(65536, 1000, 10000, &connections, &err), 0);
    assert_int_equal(connections, 10000);
}

static void clients_get_what_the_instances_leave(void **state)
{
    struct error err = {0};
    uint64_t connections = 0;
    (void) state;
    assert_int_equal(descriptors_share(65536, 1000, 100000, &connections, &err), 0);
    assert_int_equal(connections, 65536 - 7000 - 256);
    assert_int_equal(descriptors_share(256 + 70 + 16, 10, 10000, &connections, &err), 0);
    assert_int_equal(connections, 16);
}

static void a_limit_that_leaves_nothing_is_refused(void **state)
{
    struct error err = {0};
    uint64_t connections = 77;
    (void) state;
    assert_int_equal(descriptors_share(256 + 70 + 15, 10, 10000, &connections, &err), -EMFILE);
    assert_non_null(strstr(err.text, "341"));
    assert_non_null(strstr(err.text, "--concurrency 10, which takes 342"));
    assert_int_equal(descriptors_share(0, 2000, 16, &connections, &err), -EMFILE);
    assert_int_equal(connections, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_what_was_asked_for),
        cmocka_unit_test(clients_get_what_the_instances_leave),
        cmocka_unit_test(a_limit_that_leaves_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
