/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "deploy/mark.h"

#include "unit.h"

static void marks_are_found_wherever_they_are(void **state)
{
    static const char able[] = "\0\1ELF..LAMINA-TEMPLATE/1 liblamina\0rest";
    static const char always[] =
        "..LAMINA-TEMPLATE/1 liblamina\0LAMINA-TEMPLATE-DEFAULT/1 lamina-model";
    assert_int_equal(mark_find(able, sizeof(able)), MARK_ABLE);
    assert_int_equal(mark_find(always, sizeof(always)), MARK_ALWAYS);
    assert_int_equal(mark_find("", 0), MARK_NONE);
}

/* Each prefix of a mark is none; another version of the protocol is none either. */
static void parts_of_marks_are_none(void **state)
{
    for (size_t i = 0; i < strlen(MARK_TEXT_ALWAYS); i++)
        assert_int_equal(mark_find(MARK_TEXT_ALWAYS, i), MARK_NONE);
    assert_int_equal(mark_find(MARK_TEXT_ALWAYS, strlen(MARK_TEXT_ALWAYS)), MARK_ALWAYS);
    for (size_t i = 0; i < strlen(MARK_TEXT_ABLE); i++)
        assert_int_equal(mark_find(MARK_TEXT_ABLE, i), MARK_NONE);
    assert_int_equal(mark_find("LAMINA-TEMPLATE/2 liblamina", 27), MARK_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks_are_found_wherever_they_are),
        cmocka_unit_test(parts_of_marks_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
