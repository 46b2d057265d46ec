/* SPDX-License-Identifier: MIT */

#include "unit.h"

#include "api/function_name.h"

#define REGION "us-east-1"
#define ACCOUNT "000000000000"

static int parse(const char *label, const char *qualifier, enum function_name_rule rule,
                 struct function_name *ret_name, struct aws_error *error)
{
    struct str query = {NULL, 0};
    if (qualifier)
        query = str_of(qualifier);
    memset(error, 0, sizeof(*error));
    memset(ret_name, 0, sizeof(*ret_name));
    return function_name_parse(str_of(label), query, rule, REGION, ACCOUNT, ret_name, error);
}

static void every_form_names_the_function(void **state)
{
    static const struct {
        const char *label, *query, *name, *qualifier;
    } rows[] = {
        {"hello", NULL, "hello", ""},
        {"hello", "3", "hello", "3"},
        {"hello:3", NULL, "hello", "3"},
        {"hello:$LATEST", NULL, "hello", "$LATEST"},
        {"hello:live", "live", "hello", "live"},
        {"function:hello", NULL, "hello", ""},
        {"function:hello:1", NULL, "hello", "1"},
        {"function", NULL, "function", ""},
        {"000000000000:function:hello", NULL, "hello", ""},
        {"000000000000:hello", NULL, "hello", ""},
        {"000000000000", NULL, "000000000000", ""},
        {"us-east-1:000000000000:function:hello:7", NULL, "hello", "7"},
        {"arn:aws:lambda:us-east-1:000000000000:function:hello", NULL, "hello", ""},
        {"arn:aws:lambda:us-east-1:000000000000:function:hello:$LATEST", NULL, "hello", "$LATEST"},
        {"arn:aws-cn:lambda:us-east-1:000000000000:function:hello", NULL, "hello", ""},
        {"A-b_9", NULL, "A-b_9", ""},
        /* "function:" is optional in AWS's pattern, so this is a function "layer" */
        {"arn:aws:lambda:us-east-1:000000000000:layer:a", NULL, "layer", "a"},
        {"dotted.name", NULL, "dotted.name", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct function_name name;
        struct aws_error error;
        int r = parse(rows[i].label, rows[i].query, FUNCTION_NAME_NAMESPACED, &name, &error);
        assert_string_equal(error.message, "");
        assert_int_equal(r, 0);
        assert_string_equal(name.name, rows[i].name);
        assert_string_equal(name.qualifier, rows[i].qualifier);
    }
}

static void wrong_forms_have_awss_error(void **state)
{
    static const struct {
        const char *label, *query;
        enum function_name_rule rule;
        enum aws_error_code code;
        const char *text;
    } rows[] = {
        {"a b", NULL, FUNCTION_NAME_NAMESPACED, AWS_VALIDATION,
         "1 validation error detected: Value 'a b' at 'functionName' failed to satisfy "
         "constraint: Member must satisfy regular expression pattern: "},
        {"a.b", NULL, FUNCTION_NAME_CHANGE, AWS_VALIDATION, "regular expression pattern"},
        {"a.b", NULL, FUNCTION_NAME_NEW, AWS_INVALID_PARAMETER_VALUE, "regular expression pattern"},
        {"a:b:c", NULL, FUNCTION_NAME_NAMESPACED, AWS_VALIDATION, "regular expression pattern"},
        {"a:", NULL, FUNCTION_NAME_NAMESPACED, AWS_VALIDATION, "regular expression pattern"},
        {":a", NULL, FUNCTION_NAME_NAMESPACED, AWS_VALIDATION, "regular expression pattern"},
        {"", NULL, FUNCTION_NAME_NAMESPACED, AWS_VALIDATION, "2 validation errors detected: "},
        {"arn:aws:s3:us-east-1:000000000000:function:a", NULL, FUNCTION_NAME_NAMESPACED,
         AWS_VALIDATION, "regular expression pattern"},
        {"a", "b c", FUNCTION_NAME_NAMESPACED, AWS_VALIDATION,
         "Value 'b c' at 'qualifier' failed to satisfy constraint: Member must satisfy regular "
         "expression pattern: (|[a-zA-Z0-9$_-]+)"},
        {"a", "", FUNCTION_NAME_NAMESPACED, AWS_VALIDATION, "length greater than or equal to 1"},
        {"a b", "b c", FUNCTION_NAME_NAMESPACED, AWS_VALIDATION, "2 validation errors detected: "},
        {"hello:1", "2", FUNCTION_NAME_NAMESPACED, AWS_INVALID_PARAMETER_VALUE,
         "The derived qualifier from the function name does not match the specified qualifier."},
        {"111111111111:function:a", NULL, FUNCTION_NAME_NAMESPACED, AWS_ACCESS_DENIED,
         "111111111111"},
        {"arn:aws:lambda:eu-west-1:000000000000:function:a", NULL, FUNCTION_NAME_NAMESPACED,
         AWS_RESOURCE_NOT_FOUND,
         "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct function_name name;
        struct aws_error error;
        int r = parse(rows[i].label, rows[i].query, rows[i].rule, &name, &error);
        assert_true(r < 0);
        assert_string_equal(aws_error_name(error.code), aws_error_name(rows[i].code));
        assert_non_null(strstr(error.message, rows[i].text));
    }
}

static void fill(char *text, const char *prefix, size_t size)
{
    memset(text, 'a', size);
    memcpy(text, prefix, strlen(prefix));
    text[size] = '\0';
}

static void lengths_are_checked_at_each_bound(void **state)
{
    static const struct {
        enum function_name_rule rule;
        const char *prefix;
        size_t size;
        bool is_good;
    } rows[] = {
        {FUNCTION_NAME_NEW, "", 64, true},          {FUNCTION_NAME_NEW, "", 65, false},
        {FUNCTION_NAME_NEW, "function:", 73, true}, {FUNCTION_NAME_NEW, "function:", 74, false},
        {FUNCTION_NAME_CHANGE, "", 140, true},      {FUNCTION_NAME_CHANGE, "", 141, false},
        {FUNCTION_NAME_NAMESPACED, "", 256, true},  {FUNCTION_NAME_NAMESPACED, "", 257, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char label[300];
        struct function_name name;
        struct aws_error error;
        fill(label, rows[i].prefix, rows[i].size);
        int r = parse(label, NULL, rows[i].rule, &name, &error);
        assert_int_equal(r == 0, rows[i].is_good);
    }
    for (size_t size = 128; size <= 129; size++) {
        char qualifier[130];
        struct function_name name;
        struct aws_error error;
        fill(qualifier, "", size);
        int r = parse("f", qualifier, FUNCTION_NAME_NAMESPACED, &name, &error);
        assert_int_equal(r == 0, size == 128);
    }
}

/* A label comes from a percent-decoded path: any byte may be in it. */
static void any_byte_is_survived(void **state)
{
    for (int c = 0; c < 256; c++) {
        struct function_name name;
        struct aws_error error = {0};
        char label[3] = {'a', (char) c, 'b'};
        struct unit_guard guard = unit_guard_new(label, 3);
        struct str none = {NULL, 0};
        int r = function_name_parse(str_of_data(guard.data, 3), none, FUNCTION_NAME_NAMESPACED,
                                    REGION, ACCOUNT, &name, &error);
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == ':';
        assert_int_equal(r == 0, is_word);
        unit_guard_free(&guard);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_names_the_function),
        cmocka_unit_test(wrong_forms_have_awss_error),
        cmocka_unit_test(lengths_are_checked_at_each_bound),
        cmocka_unit_test(any_byte_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
