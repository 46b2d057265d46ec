// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/error.h"

static void sets_code_and_text(void **state)
{
    struct error err = {0};
    errno = EXDEV;
    assert_int_equal(error_set(&err, -ENOENT, "blob %s is not in the store", "abc"), -ENOENT);
    assert_int_equal(err.code, -ENOENT);
    assert_string_equal(err.text, "blob abc is not in the store");
    assert_int_equal(errno, EXDEV);
}

static void wraps_from_the_outside(void **state)
{
    struct error err = {0};
    (void) error_set(&err, -ENOENT, "inner");
    assert_int_equal(error_wrap(&err, -ENOENT, "start '%s'", "f"), -ENOENT);
    assert_int_equal(error_wrap(&err, -EIO, "outer"), -EIO);
    assert_string_equal(err.text, "outer: start 'f': inner");
    assert_int_equal(err.code, -EIO);
}

static void wraps_a_bare_code(void **state)
{
    struct error err = {0};
    (void) error_wrap(&err, -ENOSPC, "write 'x'");
    assert_string_equal(err.text, "write 'x': No space left on device");
}

static void names_the_system_error(void **state)
{
    struct error err = {0};
    assert_int_equal(error_set_errno(&err, -EACCES, "open '%s'", "/x"), -EACCES);
    assert_string_equal(err.text, "open '/x': Permission denied");
    assert_string_equal(error_name(-99999), "unknown error");
    assert_string_equal(error_name(EACCES), error_name(-EACCES));
}

static void accepts_no_error(void **state)
{
    assert_int_equal(error_set(NULL, -EIO, "x"), -EIO);
    assert_int_equal(error_set_errno(NULL, -EIO, "x"), -EIO);
    assert_int_equal(error_wrap(NULL, -EIO, "x"), -EIO);
    error_clear(NULL);
}

static void cuts_at_the_maximum(void **state)
{
    char lots[2 * ERROR_TEXT_MAX];
    memset(lots, 'x', sizeof lots);
    lots[sizeof lots - 1] = '\0';
    struct error err = {0};
    (void) error_set(&err, -EIO, "%s", lots);
    assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
    (void) error_wrap(&err, -EIO, "operation");
    assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
    assert_memory_equal(err.text, "operation: xxx", 14);
    (void) error_set_errno(&err, -EIO, "%s", lots);
    assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_code_and_text), cmocka_unit_test(wraps_from_the_outside),
        cmocka_unit_test(wraps_a_bare_code),  cmocka_unit_test(names_the_system_error),
        cmocka_unit_test(accepts_no_error),   cmocka_unit_test(cuts_at_the_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
