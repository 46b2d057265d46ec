/* SPDX-License-Identifier: MIT */

#include "unit.h"

#include "api/function_settings.h"

#define ROLE "\"Role\":\"arn:aws:iam::000000000000:role/r\""
#define BASE "\"Runtime\":\"provided.al2023\",\"Handler\":\"h\"," ROLE

static int read_settings(const char *json, bool is_new, struct version *draft,
                         struct aws_error *error)
{
    yyjson_doc *doc = NULL;
    struct function_settings_context context = {.account = "000000000000", .is_new = is_new};
    memset(error, 0, sizeof(*error));
    assert_int_equal(json_parse(str_of(json), 1 << 20, &doc, NULL), 0);
    int r = function_settings_read(yyjson_doc_get_root(doc), &context, draft, error);
    yyjson_doc_free(doc);
    return r;
}

static struct version *draft_new(void)
{
    return version_new("f", "us-east-1", "000000000000");
}

static void expect_good(const char *json)
{
    struct aws_error error;
    struct version *draft = draft_new();
    int r = read_settings(json, true, draft, &error);
    if (r < 0)
        fail_msg("%s: %s", json, error.message);
    version_unref(draft);
}

static void expect_bad(const char *json, enum aws_error_code code, const char *text)
{
    struct aws_error error;
    struct version *draft = draft_new();
    int r = read_settings(json, true, draft, &error);
    if (r == 0)
        fail_msg("accepted: %s", json);
    if (error.code != code || !strstr(error.message, text))
        fail_msg("%s: %s: %s", json, aws_error_name(error.code), error.message);
    version_unref(draft);
}

static void everything_lands_in_the_draft(void **state)
{
    struct aws_error error;
    struct version *draft = draft_new();
    assert_int_equal(read_settings("{" BASE
                                   ",\"MemorySize\":256,\"Timeout\":9,\"Description\":\"d\","
                                   "\"EphemeralStorage\":{\"Size\":1024},\"Unknown\":[1],"
                                   "\"Environment\":{\"Variables\":{\"B_1\":\"x\",\"AA\":\"\"}},"
                                   "\"TracingConfig\":{\"Mode\":\"Active\"},\"Layers\":[]}",
                                   true, draft, &error),
                     0);
    assert_string_equal(draft->runtime, "provided.al2023");
    assert_string_equal(draft->handler, "h");
    assert_string_equal(draft->description, "d");
    assert_int_equal(draft->memory_mb, 256);
    assert_int_equal(draft->timeout_s, 9);
    assert_int_equal(draft->tmp_mb, 1024);
    assert_int_equal(draft->n_environment, 2);
    assert_string_equal(draft->environment[0].name, "AA");
    assert_string_equal(draft->passive_json, "{\"TracingConfig\":{\"Mode\":\"Active\"}}");
    version_unref(draft);
}

static void snap_start_is_remembered(void **state)
{
    struct aws_error error;
    struct version *draft = draft_new();
    assert_int_equal(read_settings("{" BASE ",\"SnapStart\":{\"ApplyOn\":\"PublishedVersions\"}}",
                                   true, draft, &error),
                     0);
    assert_true(draft->has_snap_start);
    assert_int_equal(read_settings("{\"Timeout\":4}", false, draft, &error), 0);
    assert_true(draft->has_snap_start);
    /* What it does not go with is refused later, too. */
    assert_int_not_equal(
        read_settings("{\"EphemeralStorage\":{\"Size\":1024}}", false, draft, &error), 0);
    draft->tmp_mb = 512;
    assert_int_equal(read_settings("{\"SnapStart\":{\"ApplyOn\":\"None\"}}", false, draft, &error),
                     0);
    assert_false(draft->has_snap_start);
    version_unref(draft);
}

/* Update: what is absent or null stays, what is given replaces. */
static void updates_leave_the_rest_alone(void **state)
{
    struct aws_error error;
    struct version *draft = draft_new();
    assert_int_equal(read_settings("{" BASE ",\"Environment\":{\"Variables\":{\"AA\":\"1\"}},"
                                   "\"TracingConfig\":{\"Mode\":\"Active\"}}",
                                   true, draft, &error),
                     0);
    assert_int_equal(read_settings("{\"Timeout\":null,\"MemorySize\":512,"
                                   "\"DeadLetterConfig\":{\"TargetArn\":\"arn:aws:sqs:::q\"}}",
                                   false, draft, &error),
                     0);
    assert_int_equal(draft->memory_mb, 512);
    assert_int_equal(draft->timeout_s, 3);
    assert_int_equal(draft->n_environment, 1);
    assert_string_equal(draft->handler, "h");
    assert_string_equal(draft->passive_json,
                        "{\"TracingConfig\":{\"Mode\":\"Active\"},"
                        "\"DeadLetterConfig\":{\"TargetArn\":\"arn:aws:sqs:::q\"}}");
    assert_int_equal(read_settings("{\"Environment\":{},\"DeadLetterConfig\":{\"TargetArn\":\"\"}}",
                                   false, draft, &error),
                     0);
    assert_int_equal(draft->n_environment, 0);
    assert_true(draft->has_environment);
    assert_string_equal(draft->passive_json, "{\"TracingConfig\":{\"Mode\":\"Active\"}}");
    version_unref(draft);
}

static void numbers_are_checked_at_each_bound(void **state)
{
    static const struct {
        const char *member, *path;
        long minimum, maximum;
    } rows[] = {
        {"\"MemorySize\":%ld", "memorySize", 128, 10240},
        {"\"Timeout\":%ld", "timeout", 1, 900},
        {"\"EphemeralStorage\":{\"Size\":%ld}", "ephemeralStorage.size", 512, 10240},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char member[64];
        char json[512];
        char text[256];
        const long values[] = {rows[i].minimum, rows[i].maximum, rows[i].minimum - 1,
                               rows[i].maximum + 1};
        for (size_t k = 0; k < ARRAY_SIZE(values); k++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            (void) snprintf(member, sizeof(member), rows[i].member, values[k]);
#pragma GCC diagnostic pop
            (void) snprintf(json, sizeof(json), "{" BASE ",%s}", member);
            (void) snprintf(text, sizeof(text),
                            "1 validation error detected: Value '%ld' at '%s' failed to satisfy "
                            "constraint: Member must have value %s than or equal to %ld",
                            values[k], rows[i].path, k == 2 ? "greater" : "less",
                            k == 2 ? rows[i].minimum : rows[i].maximum);
            if (k < 2)
                expect_good(json);
            else
                expect_bad(json, AWS_VALIDATION, text);
        }
    }
}

static void texts_are_checked_at_each_bound(void **state)
{
    static const struct {
        const char *name;
        size_t maximum;
    } rows[] = {{"Handler", 128}, {"Description", 256}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (size_t over = 0; over < 2; over++) {
            char value[600] = "";
            char json[1024];
            /* two bytes a character: lengths count characters */
            for (size_t k = 0; k < rows[i].maximum + over; k++)
                memcpy(value + 2 * k, "\xc3\xa9", 3);
            (void) snprintf(json, sizeof(json),
                            "{%s" ROLE ",\"Runtime\":\"provided\",\"%s\":\"%s\"}",
                            i == 0 ? "" : "\"Handler\":\"h\",", rows[i].name, value);
            if (over)
                expect_bad(json, AWS_VALIDATION, "have length less than or equal to");
            else
                expect_good(json);
        }
    }
}

static void environment_is_measured_as_json(void **state)
{
    for (size_t over = 0; over < 2; over++) {
        char value[4096];
        char json[8192];
        /* {"AA":"..."} is nine bytes and the value */
        memset(value, 'x', sizeof(value));
        value[4096 - 9 + over] = '\0';
        (void) snprintf(json, sizeof(json),
                        "{" BASE ",\"Environment\":{\"Variables\":{\"AA\":\"%s\"}}}", value);
        if (over)
            expect_bad(json, AWS_INVALID_PARAMETER_VALUE, "exceeded the 4KB limit");
        else
            expect_good(json);
    }
}

static void refusals_are_awss(void **state)
{
    static const struct {
        const char *json;
        enum aws_error_code code;
        const char *text;
    } rows[] = {
        {"{\"Runtime\":\"provided\",\"Handler\":\"h\"}", AWS_VALIDATION,
         "Value null at 'role' failed to satisfy constraint: Member must not be null"},
        {"{" ROLE ",\"Handler\":\"h\"}", AWS_INVALID_PARAMETER_VALUE,
         "Runtime and Handler are mandatory parameters"},
        {"{" ROLE ",\"Runtime\":\"provided\"}", AWS_INVALID_PARAMETER_VALUE,
         "Runtime and Handler are mandatory parameters"},
        {"{" ROLE ",\"Handler\":\"h\",\"Runtime\":\"java21\"}", AWS_INVALID_PARAMETER_VALUE,
         "The runtime java21 is not available in this service"},
        {"{" ROLE ",\"Handler\":\"h\",\"Runtime\":\"cobol85\"}", AWS_INVALID_PARAMETER_VALUE,
         "Value cobol85 at 'runtime' failed to satisfy constraint: Member must satisfy enum value "
         "set: [provided, provided.al2, provided.al2023"},
        {"{" BASE ",\"Architectures\":[\"arm64\"]}", AWS_INVALID_PARAMETER_VALUE, "arm64"},
        {"{" BASE ",\"Architectures\":[\"mips\"]}", AWS_VALIDATION, "[x86_64, arm64]"},
        {"{" BASE ",\"Architectures\":[\"x86_64\",\"x86_64\"]}", AWS_VALIDATION, "architectures"},
        {"{" BASE ",\"Architectures\":[]}", AWS_VALIDATION, "architectures"},
        {"{" BASE ",\"Architectures\":[3]}", AWS_SERIALIZATION, "NUMBER_VALUE"},
        {"{" BASE ",\"PackageType\":\"Image\"}", AWS_INVALID_PARAMETER_VALUE, "Image"},
        {"{" BASE ",\"PackageType\":\"Tar\"}", AWS_VALIDATION, "[Image, Zip]"},
        {"{" BASE ",\"Timeout\":\"3\"}", AWS_SERIALIZATION,
         "STRING_VALUE can not be converted to an Integer"},
        {"{" BASE ",\"Timeout\":3.5}", AWS_SERIALIZATION, "DECIMAL_VALUE"},
        {"{" BASE ",\"Timeout\":99999999999}", AWS_SERIALIZATION, "NUMBER_VALUE"},
        {"{" BASE ",\"Description\":7}", AWS_SERIALIZATION, "NUMBER_VALUE"},
        {"{" BASE ",\"Description\":\"a\\u0000b\"}", AWS_INVALID_PARAMETER_VALUE, "NUL"},
        {"{" BASE ",\"Environment\":[]}", AWS_SERIALIZATION, "START_ARRAY"},
        {"{" BASE ",\"Environment\":{\"Variables\":{\"A\":\"x\"}}}", AWS_VALIDATION,
         "[a-zA-Z]([a-zA-Z0-9_])+"},
        {"{" BASE ",\"Environment\":{\"Variables\":{\"1A\":\"x\"}}}", AWS_VALIDATION,
         "environment.variables"},
        {"{" BASE ",\"Environment\":{\"Variables\":{\"A=B\":\"x\"}}}", AWS_VALIDATION,
         "environment.variables"},
        {"{" BASE ",\"Environment\":{\"Variables\":{\"AA\":\"a\\u0000b\"}}}",
         AWS_INVALID_PARAMETER_VALUE, "NUL"},
        {"{" BASE ",\"Environment\":{\"Variables\":{\"AA\":5}}}", AWS_SERIALIZATION,
         "NUMBER_VALUE"},
        {"{" BASE
         ",\"Environment\":{\"Variables\":{\"AWS_REGION\":\"x\",\"LAMBDA_TASK_ROOT\":\"\"}}}",
         AWS_INVALID_PARAMETER_VALUE,
         "Reserved keys used in this request: AWS_REGION, LAMBDA_TASK_ROOT"},
        {"{" BASE ",\"ImageConfig\":{\"Command\":[\"x\"]}}", AWS_INVALID_PARAMETER_VALUE,
         "ImageConfig"},
        {"{\"Runtime\":\"nodejs20.x\",\"Handler\":\"h\",\"Role\":\"arn:aws:iam::000000000000:role/"
         "r\""
         ",\"SnapStart\":{\"ApplyOn\":\"PublishedVersions\"}}",
         AWS_INVALID_PARAMETER_VALUE,
         "nodejs20.x is not supported for SnapStart enabled functions."},
        {"{" BASE ",\"SnapStart\":{\"ApplyOn\":\"PublishedVersions\"},"
         "\"EphemeralStorage\":{\"Size\":513}}",
         AWS_INVALID_PARAMETER_VALUE, "Ephemeral storage greater than 512 MB"},
        {"{" BASE ",\"SnapStart\":{\"ApplyOn\":\"Always\"}}", AWS_VALIDATION,
         "[PublishedVersions, None]"},
        {"{" BASE ",\"CodeSigningConfigArn\":\"arn\"}", AWS_CODE_SIGNING_CONFIG_NOT_FOUND,
         "code signing"},
        {"{" BASE ",\"TracingConfig\":{\"Mode\":\"On\"}}", AWS_VALIDATION, "[Active, PassThrough]"},
        {"{" BASE ",\"LoggingConfig\":{\"LogFormat\":\"XML\"}}", AWS_VALIDATION, "[JSON, Text]"},
        {"{" BASE ",\"VpcConfig\":{\"SubnetIds\":7}}", AWS_SERIALIZATION, "NUMBER_VALUE"},
        {"{\"Runtime\":\"provided\",\"Handler\":\"a b\",\"Role\":\"x\",\"Timeout\":0}",
         AWS_VALIDATION, "3 validation errors detected: "},
        {"{\"Runtime\":\"provided\",\"Handler\":\"h\",\"Role\":\"arn:aws:iam::123456789012:role/"
         "r\"}",
         AWS_ACCESS_DENIED, "Cross-account pass role is not allowed"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        expect_bad(rows[i].json, rows[i].code, rows[i].text);
}

static void only_what_an_instance_sees_needs_new_ones(void **state)
{
    static const struct {
        const char *json;
        bool need;
    } rows[] = {
        {"{}", false},
        {"{\"Description\":\"other\"}", false},
        {"{\"TracingConfig\":{\"Mode\":\"Active\"}}", false},
        {"{\"MemorySize\":128}", false},
        {"{\"MemorySize\":129}", true},
        {"{\"Handler\":\"other\"}", true},
        {"{\"Environment\":{\"Variables\":{\"AA\":\"1\"}}}", true},
    };
    struct aws_error error;
    struct version *before = draft_new();
    assert_int_equal(read_settings("{" BASE "}", true, before, &error), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct version *draft = version_copy(before);
        assert_int_equal(read_settings(rows[i].json, false, draft, &error), 0);
        assert_int_equal(function_settings_need_instances(before, draft), rows[i].need);
        version_unref(draft);
    }
    version_unref(before);
}

static int read_tags(const char *json, char **ret_tags, struct aws_error *error)
{
    yyjson_doc *doc = NULL;
    memset(error, 0, sizeof(*error));
    assert_int_equal(json_parse(str_of(json), 1 << 20, &doc, NULL), 0);
    int r = function_settings_tags(yyjson_doc_get_root(doc), ret_tags, error);
    yyjson_doc_free(doc);
    return r;
}

static void tags_have_their_limits(void **state)
{
    struct aws_error error;
    char *tags = NULL;
    char json[4096] = "{\"Tags\":{";
    assert_int_equal(read_tags("{}", &tags, &error), 0);
    assert_null(tags);
    assert_int_equal(read_tags("{\"Tags\":{\"team\":\"ml\"}}", &tags, &error), 0);
    assert_string_equal(tags, "{\"team\":\"ml\"}");
    free(tags);
    for (int i = 0; i < 51; i++) {
        size_t size = strlen(json);
        (void) snprintf(json + size, sizeof(json) - size, "%s\"k%d\":\"\"", i ? "," : "", i);
        if (i == 49 || i == 50) {
            char whole[4200];
            (void) snprintf(whole, sizeof(whole), "%s}}", json);
            int r = read_tags(whole, &tags, &error);
            assert_int_equal(r == 0, i == 49);
            if (r == 0)
                free(tags);
            else
                assert_string_equal(error.message, "Number of tags exceeds resource tag limit.");
        }
    }
    assert_true(read_tags("{\"Tags\":{\"\":\"\"}}", &tags, &error) < 0);
    assert_true(read_tags("{\"Tags\":{\"aws:x\":\"\"}}", &tags, &error) < 0);
    assert_true(read_tags("{\"Tags\":{\"x\":1}}", &tags, &error) < 0);
    assert_true(read_tags("{\"Tags\":[]}", &tags, &error) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_lands_in_the_draft),
        cmocka_unit_test(updates_leave_the_rest_alone),
        cmocka_unit_test(snap_start_is_remembered),
        cmocka_unit_test(numbers_are_checked_at_each_bound),
        cmocka_unit_test(texts_are_checked_at_each_bound),
        cmocka_unit_test(environment_is_measured_as_json),
        cmocka_unit_test(refusals_are_awss),
        cmocka_unit_test(only_what_an_instance_sees_needs_new_ones),
        cmocka_unit_test(tags_have_their_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
