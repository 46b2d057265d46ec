// SPDX-License-Identifier: MIT
//
// ARNs and function names, row by row.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "aws/arn.h"

#include "base/compiler.h"

#include <errno.h>

static void arns(void **state)
{
    static const struct {
        const char *text, *partition, *service, *region, *account, *resource; // NULL: refused
    } rows[] = {
        {"arn:aws:lambda:us-east-1:000000000000:function:f:1", "aws", "lambda", "us-east-1",
         "000000000000", "function:f:1"},
        {"arn:aws:s3:::bucket/key", "aws", "s3", "", "", "bucket/key"},
        {"arn:aws-cn:iam::123456789012:role/a/b", "aws-cn", "iam", "", "123456789012", "role/a/b"},
        {"", NULL},
        {"arn", NULL},
        {"arn:aws:s3::", NULL},
        {"arn:aws:s3:::", NULL},
        {"arn::s3:::b", NULL},
        {"arn:aws::::b", NULL},
        {"ARN:aws:s3:::b", NULL},
        {" arn:aws:s3:::b", NULL},
        {"arn:aws:s3:::b\n", NULL},
        {"arn:aws:s3:::b\xc3\xa4", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct arn arn = {{"untouched", 9}, {0}, {0}, {0}, {0}};
        int r = arn_parse(str_of(rows[i].text), &arn);
        if (!rows[i].partition) {
            assert_int_equal(r, -EINVAL);
            assert_true(str_equal_text(arn.partition, "untouched"));
            continue;
        }
        assert_int_equal(r, 0);
        assert_true(str_equal_text(arn.partition, rows[i].partition));
        assert_true(str_equal_text(arn.service, rows[i].service));
        assert_true(str_equal_text(arn.region, rows[i].region));
        assert_true(str_equal_text(arn.account, rows[i].account));
        assert_true(str_equal_text(arn.resource, rows[i].resource));
    }
}

#define N16 "abcdefghijklmnop"
#define N64 N16 N16 N16 N16

static void functions(void **state)
{
    static const struct {
        const char *text, *name, *qualifier, *account, *region; // name NULL: refused
    } rows[] = {
        {"f", "f", "", "", ""},
        {"my-Function_1", "my-Function_1", "", "", ""},
        {N64, N64, "", "", ""},
        {N64 "x", NULL},
        {"f:1", "f", "1", "", ""},
        {"f:$LATEST", "f", "$LATEST", "", ""},
        {"f:live", "f", "live", "", ""},
        {"f:", NULL},
        {"f:0", NULL},
        {"f:01", NULL},
        {"f:$latest", NULL},
        {"f:a b", NULL},
        {"f:1:2", NULL},
        {"", NULL},
        {"f.g", NULL},
        {"f/g", NULL},
        {"../f", NULL},
        {"f\n", NULL},
        {"$LATEST", NULL},
        {"function:f", "f", "", "", ""},
        {"function:f:1", "f", "1", "", ""},
        {"function:1", "1", "", "", ""},
        {"function:$LATEST", "function", "$LATEST", "", ""},
        {"123456789012:function:f", "f", "", "123456789012", ""},
        {"123456789012:function:f:v", "f", "v", "123456789012", ""},
        {"12345678901:function:f", NULL},
        {"123456789012:f:g", NULL},
        {"arn:aws:lambda:us-east-1:123456789012:function:f", "f", "", "123456789012", "us-east-1"},
        {"arn:aws:lambda:eu-west-2:123456789012:function:f:7", "f", "7", "123456789012",
         "eu-west-2"},
        {"arn:aws:lambda:us-east-1:123456789012:function:f:7:8", NULL},
        {"arn:aws:lambda:us-east-1:123456789012:function", NULL},
        {"arn:aws:lambda:us-east-1:123456789012:layer:f", NULL},
        {"arn:aws:lambda:us-east-1::function:f", NULL},
        {"arn:aws:lambda::123456789012:function:f", NULL},
        {"arn:aws:s3:us-east-1:123456789012:function:f", NULL},
        {"arn:gcp:lambda:us-east-1:123456789012:function:f", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct arn_function function;
        int r = arn_parse_function(str_of(rows[i].text), &function);
        if ((r == 0) != (rows[i].name != NULL))
            fail_msg("'%s' gave %d", rows[i].text, r);
        if (r < 0)
            continue;
        assert_true(str_equal_text(function.name, rows[i].name));
        assert_true(str_equal_text(function.qualifier, rows[i].qualifier));
        assert_true(str_equal_text(function.account, rows[i].account));
        assert_true(str_equal_text(function.region, rows[i].region));
    }
}

static void every_prefix_of_a_function_arn(void **state)
{
    static const char text[] = "arn:aws:lambda:us-east-1:123456789012:function:f:7";
    size_t accepted = 0;
    for (size_t size = 0; size < sizeof(text); size++) {
        struct arn_function function;
        accepted += arn_parse_function((struct str){text, size}, &function) == 0;
    }
    // "arn:aws" reads as a function "arn" with an alias, as does each longer prefix without a second
    // colon; then only the whole name, and the name with its version.
    assert_true(accepted >= 2);
    struct arn_function function;
    assert_int_equal(arn_parse_function((struct str){text, sizeof(text) - 2}, &function), -EINVAL);
}

static void parts(void **state)
{
    struct str account;
    assert_true(arn_is_region(STR("us-east-1")));
    assert_true(arn_is_region(STR("us-gov-west-1")));
    assert_false(arn_is_region(STR("us-east-")));
    assert_false(arn_is_region(STR("useast1")));
    assert_false(arn_is_region(STR("us-east-10")));
    assert_false(arn_is_region(STR("US-EAST-1")));
    assert_false(arn_is_region(STR("")));
    assert_true(arn_is_version(STR("999999999999999999")));
    assert_false(arn_is_version(STR("9999999999999999999")));
    assert_false(arn_is_version(STR("")));
    assert_false(arn_is_alias(STR("12")));
    assert_true(arn_is_alias(STR("12a")));
    assert_true(arn_is_role(STR("arn:aws:iam::000000000000:role/r"), &account));
    assert_true(str_equal_text(account, "000000000000"));
    assert_true(arn_is_role(STR("arn:aws:iam::000000000000:role/service-role/r@x"), &account));
    assert_false(arn_is_role(STR("arn:aws:iam::000000000000:role/"), &account));
    assert_false(arn_is_role(STR("arn:aws:iam::000000000000:user/r"), &account));
    assert_false(arn_is_role(STR("arn:aws:iam::00000000000:role/r"), &account));
    assert_false(arn_is_role(STR("arn:aws:iam::000000000000:role/r\""), &account));
    assert_false(arn_is_role(STR("arn:aws:lambda::000000000000:role/r"), &account));
    assert_false(arn_is_role(STR("r"), &account));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arns),
        cmocka_unit_test(functions),
        cmocka_unit_test(every_prefix_of_a_function_arn),
        cmocka_unit_test(parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
