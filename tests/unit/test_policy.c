// SPDX-License-Identifier: MIT

#include "unit.h"

#include "aws/policy.h"

#define ARN(name) "arn:aws:lambda:us-east-1:000000000000:function:" name

static void patterns(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool is_match;
    } rows[] = {
        {"*", "", true},          {"*", "anything", true},
        {"", "", true},           {"", "a", false},
        {"a*c", "abbbc", true},   {"a*c", "ac", true},
        {"a*c", "abcd", false},   {"a?c", "abc", true},
        {"a?c", "ac", false},     {"*a*b*", "xxaxxbxx", true},
        {"*ab", "aab", true},     {"*ab*ab", "ab", false},
        {"*ab*ab", "abab", true}, {"?", "", false},
        {"**", "x", true},        {"A", "a", false},
        {"a*", "", false},        {"*?", "", false},
        {"?*", "x", true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(policy_matches(str_of(rows[i].pattern), str_of(rows[i].text), false),
                         rows[i].is_match);
    assert_true(policy_matches(STR("LAMBDA:invoke*"), STR("lambda:InvokeFunction"), true));
    assert_false(policy_matches(STR("LAMBDA:invoke*"), STR("lambda:InvokeFunction"), false));
}

// The case that is exponential when stars go back to earlier stars.
static void many_stars_take_no_time(void **state)
{
    char pattern[2001], text[5001];
    for (size_t i = 0; i < 1000; i++)
        memcpy(pattern + 2 * i, "*a", 2);
    pattern[1999] = 'b';
    memset(text, 'a', 5000);
    assert_false(policy_matches(str_of_data(pattern, 2000), str_of_data(text, 5000), false));
}

static enum policy_effect ask(const char *document, const char *action, const char *resource)
{
    struct policy *policy;
    struct error err = {0};
    int r = policy_parse(str_of(document), &policy, &err);
    if (r < 0)
        fail_msg("%s: %s", document, err.text);
    enum policy_effect effect = policy_evaluate(policy, str_of(action), str_of(resource));
    policy_free(policy);
    return effect;
}

static void rights(void **state)
{
    static const char invoke[] =
        "{\"Version\":\"2012-10-17\",\"Statement\":{\"Sid\":\"a\",\"Effect\":\"Allow\","
        "\"Action\":\"lambda:InvokeFunction\",\"Resource\":\"" ARN("pub-*") "\"}}";
    assert_int_equal(ask(invoke, "lambda:InvokeFunction", ARN("pub-a")), POLICY_ALLOWS);
    assert_int_equal(ask(invoke, "Lambda:invokefunction", ARN("pub-a")), POLICY_ALLOWS);
    assert_int_equal(ask(invoke, "lambda:InvokeFunction", ARN("private")), POLICY_SILENT);
    assert_int_equal(ask(invoke, "lambda:InvokeFunction", ARN("PUB-a")), POLICY_SILENT);
    assert_int_equal(ask(invoke, "lambda:DeleteFunction", ARN("pub-a")), POLICY_SILENT);
    assert_int_equal(ask(invoke, "lambda:InvokeFunctionUrl", ARN("pub-a")), POLICY_SILENT);

    static const char except[] =
        "{\"Statement\":["
        "{\"Effect\":\"Allow\",\"Action\":[\"lambda:*\",\"sts:*\"],\"Resource\":\"*\"},"
        "{\"Effect\":\"Deny\",\"Action\":\"lambda:Delete*\",\"Resource\":[\"" ARN("keep") "\"]}]}";
    assert_int_equal(ask(except, "lambda:DeleteFunction", ARN("keep")), POLICY_DENIES);
    assert_int_equal(ask(except, "lambda:DeleteFunction", ARN("other")), POLICY_ALLOWS);
    assert_int_equal(ask(except, "sts:GetCallerIdentity", "*"), POLICY_ALLOWS);
    assert_int_equal(ask(except, "s3:GetObject", "arn:aws:s3:::b/k"), POLICY_SILENT);

    static const char inverted[] =
        "{\"Statement\":[{\"Effect\":\"Allow\",\"NotAction\":[\"lambda:Delete*\"],"
        "\"NotResource\":\"" ARN("secret*") "\"}]}";
    assert_int_equal(ask(inverted, "lambda:GetFunction", ARN("a")), POLICY_ALLOWS);
    assert_int_equal(ask(inverted, "lambda:DeleteFunction", ARN("a")), POLICY_SILENT);
    assert_int_equal(ask(inverted, "lambda:GetFunction", ARN("secret-1")), POLICY_SILENT);
}

static enum policy_effect ask_all(const char *document, const char *prefix)
{
    struct policy *policy = NULL;
    assert_int_equal(policy_parse(str_of(document), &policy, NULL), 0);
    enum policy_effect effect = policy_evaluate_all(policy, STR("s3:GetObject"), str_of(prefix));
    policy_free(policy);
    return effect;
}

// What is given away whole: a Deny of a part of it, or an Allow of a part only, must not be passed over.
static void all_of_a_prefix(void **state)
{
#define STATEMENT(effect, resource)                                                                \
    "{\"Effect\":\"" effect "\",\"Action\":\"s3:Get*\"," resource "}"
#define DOCUMENT(statements) "{\"Statement\":[" statements "]}"
#define ALL STATEMENT("Allow", "\"Resource\":\"*\"")
    static const struct {
        const char *document;
        enum policy_effect effect;
    } rows[] = {
        {DOCUMENT(ALL), POLICY_ALLOWS},
        {DOCUMENT(STATEMENT("Allow", "\"Resource\":\"arn:aws:s3:::b/*\"")), POLICY_ALLOWS},
        {DOCUMENT(STATEMENT("Allow", "\"Resource\":[\"arn:x\",\"arn:*:b*\"]")), POLICY_ALLOWS},
        {DOCUMENT(STATEMENT("Allow", "\"Resource\":\"arn:aws:s3:::b/?\"")), POLICY_SILENT},
        {DOCUMENT(STATEMENT("Allow", "\"Resource\":\"arn:aws:s3:::b/?*\"")), POLICY_SILENT},
        {DOCUMENT(STATEMENT("Allow", "\"Resource\":\"arn:aws:s3:::b/*.bin\"")), POLICY_SILENT},
        {DOCUMENT(STATEMENT("Allow", "\"Resource\":\"arn:aws:s3:::b/\"")), POLICY_SILENT},
        {DOCUMENT(ALL "," STATEMENT("Deny", "\"Resource\":\"arn:aws:s3:::b/secret/*\"")),
         POLICY_DENIES},
        {DOCUMENT(ALL "," STATEMENT("Deny", "\"Resource\":\"arn:aws:s3:::b/x\"")), POLICY_DENIES},
        {DOCUMENT(ALL "," STATEMENT("Deny", "\"Resource\":\"*/x\"")), POLICY_DENIES},
        {DOCUMENT(ALL "," STATEMENT("Deny", "\"Resource\":\"arn:aws:s3:::?/x\"")), POLICY_DENIES},
        {DOCUMENT(ALL "," STATEMENT("Deny", "\"Resource\":\"arn:aws:s3:::c/*\"")), POLICY_ALLOWS},
        {DOCUMENT(ALL "," STATEMENT("Deny", "\"Resource\":\"arn:aws:s3:::b\"")), POLICY_ALLOWS},
        {DOCUMENT(ALL "," STATEMENT("Deny", "\"NotResource\":\"arn:aws:s3:::b/open/*\"")),
         POLICY_DENIES},
        {DOCUMENT(ALL "," STATEMENT("Deny", "\"NotResource\":\"arn:aws:s3:::b*\"")), POLICY_ALLOWS},
        {DOCUMENT(STATEMENT("Allow", "\"NotResource\":\"arn:aws:s3:::b/secret\"")), POLICY_SILENT},
        {DOCUMENT(STATEMENT("Allow", "\"NotResource\":\"arn:aws:s3:::c/*\"")), POLICY_ALLOWS},
    };
    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (ask_all(rows[i].document, "arn:aws:s3:::b/") != rows[i].effect)
            fail_msg("%s", rows[i].document);
}

#define ONE(members) "{\"Statement\":[{" members "}]}"

static void what_is_not_understood_is_refused(void **state)
{
    static const struct {
        const char *document, *part;
    } rows[] = {
        {"", "not JSON"},
        {"{", "not JSON"},
        {"[]", "must be a JSON object"},
        {"{}", "1 to 100 statements"},
        {"{\"Statement\":[]}", "1 to 100 statements"},
        {"{\"Statement\":7}", "statement 0 must be an object"},
        {"{\"Version\":\"2013\",\"Statement\":[{}]}", "Version must be"},
        {"{\"Statement\":[{}],\"Statements\":[]}", "Statements is not supported"},
        {ONE(""), "Effect must be"},
        {ONE("\"Effect\":\"allow\",\"Action\":\"*\",\"Resource\":\"*\""), "Effect must be"},
        {ONE("\"Effect\":\"Allow\",\"Resource\":\"*\""), "either Action or NotAction"},
        {ONE("\"Effect\":\"Allow\",\"Action\":\"*\",\"NotAction\":\"a:b\",\"Resource\":\"*\""),
         "either Action or"},
        {ONE("\"Effect\":\"Allow\",\"Action\":\"*\""), "either Resource or NotResource"},
        {ONE("\"Effect\":\"Allow\",\"Action\":[],\"Resource\":\"*\""), "Action must be a pattern"},
        {ONE("\"Effect\":\"Allow\",\"Action\":[1],\"Resource\":\"*\""), "Action must be a pattern"},
        {ONE("\"Effect\":\"Allow\",\"Action\":\"\",\"Resource\":\"*\""),
         "Action must be a pattern"},
        {ONE("\"Effect\":\"Allow\",\"Action\":\"InvokeFunction\",\"Resource\":\"*\""),
         "Action must be a pattern"},
        {ONE("\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"my-function\""),
         "Resource must be a pattern"},
        {ONE("\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"arn:x:${aws:username}\""),
         "without variables"},
        {ONE("\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\",\"Condition\":{}"),
         "Condition is not supported"},
        {ONE("\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\",\"Principal\":\"*\""),
         "Principal is not supported"},
        {ONE("\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\",\"Effect\":\"Allow\""),
         "has Effect twice"},
        {ONE("\"Effect\":\"Allow\",\"Action\":null,\"Resource\":\"*\""),
         "Action must be a pattern"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct policy *policy = NULL;
        struct error err = {0};
        assert_int_equal(policy_parse(str_of(rows[i].document), &policy, &err), -EINVAL);
        if (strstr(err.text, rows[i].part) == NULL)
            fail_msg("%s: '%s', wanted '%s'", rows[i].document, err.text, rows[i].part);
        assert_null(policy);
    }
}

static void limits(void **state)
{
    char *text = malloc(POLICY_BYTES_MAX + 2);
    struct policy *policy;
    struct error err = {0};
    static const char start[] =
        "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}}";
    assert_non_null(text);
    memset(text, ' ', POLICY_BYTES_MAX + 1);
    memcpy(text, start, sizeof start - 1);
    assert_int_equal(policy_parse(str_of_data(text, POLICY_BYTES_MAX), &policy, &err), 0);
    policy_free(policy);
    assert_int_equal(policy_parse(str_of_data(text, POLICY_BYTES_MAX + 1), &policy, &err), -EINVAL);
    free(text);
    policy_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns),
        cmocka_unit_test(many_stars_take_no_time),
        cmocka_unit_test(rights),
        cmocka_unit_test(all_of_a_prefix),
        cmocka_unit_test(what_is_not_understood_is_refused),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
