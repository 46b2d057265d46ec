// SPDX-License-Identifier: MIT
//
// The command line's options: every form that is taken, every mistake that is named.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/option.h"

#include "base/compiler.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct option_spec table[] = {
    {.name = "name", .letter = 'n', .kind = OPTION_TEXT, .metavar = "NAME"},
    {.name = "memory", .kind = OPTION_NUMBER, .metavar = "MB", .minimum = 128, .maximum = 10240},
    {.name = "output",
     .letter = 'o',
     .kind = OPTION_CHOICE,
     .metavar = "F",
     .choices = "table|json"},
    {.name = "quiet", .letter = 'q', .kind = OPTION_FLAG},
    {.name = "verbose", .letter = 'v', .kind = OPTION_FLAG},
    {.name = "env", .kind = OPTION_LIST, .metavar = "N=V"},
    {0},
};

static int parse(struct option_set *set, struct error *err, const char *const *words)
{
    int count = 0;

    *set = (struct option_set){0};
    *err = (struct error){0};
    option_set_add(set, table);
    while (words[count] != NULL)
        count++;
    return option_parse(set, count, (char *const *) (uintptr_t) words, err);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void takes_every_form(void **state)
{
    struct option_set set;
    struct error err;

    assert_int_equal(parse(&set, &err, WORDS("--name", "a", "--memory=256", "-ojson", "-qv", "x")),
                     0);
    assert_string_equal(option_text(&set, "name", NULL), "a");
    assert_int_equal(option_number(&set, "memory", 0), 256);
    assert_string_equal(option_text(&set, "output", NULL), "json");
    assert_true(option_is_given(&set, "quiet"));
    assert_true(option_is_given(&set, "verbose"));
    assert_int_equal(set.operand_count, 1);
    assert_string_equal(set.operands[0], "x");

    assert_int_equal(parse(&set, &err, WORDS("-", "-n", "-", "--", "-q", "--name")), 0);
    assert_string_equal(option_text(&set, "name", NULL), "-");
    assert_false(option_is_given(&set, "quiet"));
    assert_int_equal(set.operand_count, 3);
    assert_string_equal(set.operands[0], "-");
    assert_string_equal(set.operands[1], "-q");
    assert_string_equal(set.operands[2], "--name");

    assert_int_equal(parse(&set, &err, WORDS("--name=", "--name", "last", "-qo", "table")), 0);
    assert_string_equal(option_text(&set, "name", NULL), "last");
    assert_string_equal(option_text(&set, "output", NULL), "table");

    assert_int_equal(parse(&set, &err, WORDS("--env", "A=1", "--env=B==", "--env", "A=2")), 0);
    assert_int_equal(set.list_count, 3);
    assert_string_equal(set.list[1], "B==");
}

static void what_is_not_given_has_its_default(void **state)
{
    struct option_set set;
    struct error err;

    assert_int_equal(parse(&set, &err, (const char *const[]){NULL}), 0);
    assert_string_equal(option_text(&set, "name", "default"), "default");
    assert_int_equal(option_number(&set, "memory", 7), 7);
    assert_false(option_is_given(&set, "quiet"));
    assert_int_equal(set.operand_count, 0);
}

static void names_every_mistake(void **state)
{
    static const struct {
        const char *words[4];
        const char *says;
    } rows[] = {
        {{"--nonsense"}, "unknown option --nonsense"},
        {{"--nonsense=1"}, "unknown option --nonsense"},
        {{"--nam", "x"}, "unknown option --nam"},
        {{"-x"}, "unknown option -x"},
        {{"-qx"}, "unknown option -x"},
        {{"--name"}, "--name needs a value"},
        {{"-n"}, "--name needs a value"},
        {{"-qn"}, "--name needs a value"},
        {{"--quiet=yes"}, "--quiet takes no value"},
        {{"--memory", "127"}, "from 128 to 10240"},
        {{"--memory", "10241"}, "from 128 to 10240"},
        {{"--memory", "-1"}, "from 128 to 10240"},
        {{"--memory", "1e3"}, "from 128 to 10240"},
        {{"--memory", "99999999999999999999"}, "from 128 to 10240"},
        {{"--memory="}, "from 128 to 10240"},
        {{"-o", "yaml"}, "takes table|json"},
        {{"-o", "tab"}, "takes table|json"},
        {{"-o", ""}, "takes table|json"},
        {{"-o", "table|json"}, "takes table|json"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct option_set set;
        struct error err;
        int r = parse(&set, &err, rows[i].words);
        if (r != -EINVAL || strstr(err.text, rows[i].says) == NULL)
            fail_msg("row %zu: %d '%s'", i, r, err.text);
    }
}

static void too_much_is_refused(void **state)
{
    const char *words[OPTION_OPERANDS_MAX + 2] = {0};
    const char *lists[OPTION_LIST_MAX + 2] = {0};
    struct option_set set;
    struct error err;

    for (size_t i = 0; i < OPTION_OPERANDS_MAX; i++)
        words[i] = "w";
    assert_int_equal(parse(&set, &err, words), 0);
    words[OPTION_OPERANDS_MAX] = "w";
    assert_int_equal(parse(&set, &err, words), -EINVAL);

    for (size_t i = 0; i < OPTION_LIST_MAX; i++)
        lists[i] = "--env=A=1";
    assert_int_equal(parse(&set, &err, lists), 0);
    lists[OPTION_LIST_MAX] = "--env=A=1";
    assert_int_equal(parse(&set, &err, lists), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_every_form),
        cmocka_unit_test(what_is_not_given_has_its_default),
        cmocka_unit_test(names_every_mistake),
        cmocka_unit_test(too_much_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
