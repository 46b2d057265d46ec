/* SPDX-License-Identifier: MIT */

#include "unit.h"

#include "base/mem.h"
#include "function/start_spec.h"
#include "function/version.h"

static struct version *make(void)
{
    char names[2][3] = {"ZZ", "AA"};
    char values[2][16] = {"last \"quoted\"\n", ""};
    const struct version_variable pairs[] = {{names[0], values[0]}, {names[1], values[1]}};
    struct version *draft = version_new("hello", "us-east-1", "000000000000");
    assert_non_null(draft);
    version_set(draft, &draft->runtime, "provided.al2023");
    version_set(draft, &draft->handler, "bootstrap");
    version_set(draft, &draft->role, "arn:aws:iam::000000000000:role/r");
    version_set(draft, &draft->description, "d\xc3\xa9j\xc3\xa0 vu");
    version_set_environment(draft, pairs, 2);
    memset(draft->code.zip_sha256, 0xab, sizeof(draft->code.zip_sha256));
    draft->code.zip_bytes = 123;
    return draft;
}

static struct version *reread(const struct version *version)
{
    size_t size;
    struct error err = {0};
    struct version *copy = NULL;
    char *json = version_to_json(version, &size);
    assert_non_null(json);
    int r = version_from_json(json, size, version->name, "us-east-1", "000000000000", &copy, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(r, 0);
    free(json);
    return copy;
}

static void new_ones_have_aws_defaults(void **state)
{
    struct version *draft = version_new("hello", "us-east-1", "000000000000");
    assert_int_equal(draft->memory_mb, 128);
    assert_int_equal(draft->timeout_s, 3);
    assert_int_equal(draft->tmp_mb, 512);
    assert_int_equal(draft->state, VERSION_PENDING);
    assert_string_equal(draft->qualifier, "$LATEST");
    assert_string_equal(draft->arn, "arn:aws:lambda:us-east-1:000000000000:function:hello");
    assert_string_equal(draft->qualified_arn,
                        "arn:aws:lambda:us-east-1:000000000000:function:hello:$LATEST");
    assert_int_equal(strlen(draft->revision_id), 36);
    assert_int_equal(version_number(draft), 0);
    assert_false(version_is_invocable(draft));
    version_unref(draft);
}

static void copies_are_deep(void **state)
{
    struct version *draft = make();
    struct version *copy = version_copy(draft);
    assert_ptr_not_equal(copy->handler, draft->handler);
    assert_ptr_not_equal(copy->environment[0].name, draft->environment[0].name);
    assert_int_equal(copy->execution_id, draft->execution_id);
    assert_string_equal(copy->revision_id, draft->revision_id);
    version_unref(draft);
    assert_string_equal(copy->environment[0].name, "AA"); /* sorted */
    assert_string_equal(copy->environment[1].value, "last \"quoted\"\n");
    version_unref(copy);
}

static void references_are_counted(void **state)
{
    struct version *draft = make();
    struct version *second = version_ref(draft);
    assert_ptr_equal(second, draft);
    version_unref(draft);
    assert_string_equal(second->name, "hello");
    version_unref(second);
    version_unref(NULL);
}

static void publishing_numbers_the_copy(void **state)
{
    struct version *draft = make();
    struct version *published = version_copy_as(draft, 7);
    assert_string_equal(published->qualifier, "7");
    assert_string_equal(published->qualified_arn,
                        "arn:aws:lambda:us-east-1:000000000000:function:hello:7");
    assert_string_equal(published->arn, draft->arn);
    assert_int_equal(version_number(published), 7);
    assert_int_not_equal(published->execution_id, draft->execution_id);
    assert_string_not_equal(published->revision_id, draft->revision_id);
    assert_true(version_is_same_content(draft, published));
    version_unref(published);
    version_unref(draft);
}

/* A version's own description does not make it look changed; $LATEST's new one does. */
static void same_content_looks_at_what_was_configured(void **state)
{
    struct version *draft = make();
    struct version *published = version_copy_as(draft, 1);
    version_set(published, &published->description, "first release");
    assert_true(version_is_same_content(draft, published));
    version_touch(draft, 0);
    assert_true(version_is_same_content(draft, published));
    version_set(draft, &draft->description, "other");
    assert_false(version_is_same_content(draft, published));
    version_set(draft, &draft->description, published->latest_description);
    assert_true(version_is_same_content(draft, published));
    draft->memory_mb++;
    assert_false(version_is_same_content(draft, published));
    draft->memory_mb--;
    version_set_environment(draft, NULL, 0);
    assert_false(version_is_same_content(draft, published));
    version_unref(published);
    version_unref(draft);
}

static void json_keeps_everything(void **state)
{
    struct version *draft = make();
    draft->state = VERSION_ACTIVE;
    draft->update = VERSION_UPDATE_FAILED;
    draft->code.has_tree = true;
    draft->code.tree_bytes = 999;
    draft->code.forking = VERSION_FORKING_ABLE;
    draft->has_snap_start = true;
    draft->is_optimized = true;
    memset(draft->code.tree_id, 0x12, sizeof(draft->code.tree_id));
    version_set(draft, &draft->update_reason, "why");
    version_set(draft, &draft->update_reason_code, "InvalidZipFileException");
    version_set(draft, &draft->passive_json, "{\"TracingConfig\":{\"Mode\":\"Active\"}}");
    struct version *copy = reread(draft);
    assert_string_equal(copy->handler, draft->handler);
    assert_string_equal(copy->description, draft->description);
    assert_string_equal(copy->passive_json, draft->passive_json);
    assert_string_equal(copy->update_reason, "why");
    assert_string_equal(copy->revision_id, draft->revision_id);
    assert_string_equal(copy->qualified_arn, draft->qualified_arn);
    assert_int_equal(copy->modified_ms, draft->modified_ms);
    assert_int_equal(copy->update, VERSION_UPDATE_FAILED);
    assert_int_equal(copy->state, VERSION_ACTIVE);
    assert_int_equal(copy->n_environment, 2);
    assert_true(copy->has_environment);
    assert_memory_equal(&copy->code, &draft->code, sizeof(copy->code));
    assert_null(copy->state_reason);
    assert_true(copy->has_snap_start && copy->is_optimized);
    version_unref(copy);
    version_unref(draft);
}

static void published_with_snap_start_waits_for_its_template(void **state)
{
    struct version *draft = make();
    struct version *published = NULL;
    draft->state = VERSION_ACTIVE;
    draft->has_snap_start = true;
    assert_false(version_is_snap_start(draft)); /* $LATEST never is */
    published = version_copy_as(draft, 1);
    assert_true(version_is_snap_start(published));
    assert_int_equal(published->state, VERSION_PENDING);
    assert_string_equal(published->state_reason_code, "Creating");
    draft->has_snap_start = false;
    assert_false(version_is_same_content(draft, published));
    version_unref(published);
    version_unref(draft);
}

static void json_tells_absent_from_empty_environment(void **state)
{
    struct version *draft = version_new("hello", "us-east-1", "000000000000");
    version_set(draft, &draft->runtime, "provided");
    version_set(draft, &draft->handler, "h");
    version_set(draft, &draft->role, "r");
    struct version *copy = reread(draft);
    assert_false(copy->has_environment);
    version_unref(copy);
    version_set_environment(draft, NULL, 0);
    copy = reread(draft);
    assert_true(copy->has_environment);
    assert_int_equal(copy->n_environment, 0);
    version_unref(copy);
    version_unref(draft);
}

/* A damaged row is an error that names what is wrong, never a crash and never a half version. */
static void json_refuses_every_damage(void **state)
{
    static const char *const replacements[][2] = {
        {"\"Schema\":1", "\"Schema\":2"},
        {"\"Schema\":1", "\"Schema\":\"1\""},
        {"\"Qualifier\":\"$LATEST\"", "\"Qualifier\":\"live\""},
        {"\"Runtime\":\"provided.al2023\"", "\"Runtime\":7"},
        {"\"Handler\"", "\"handler\""},
        {"\"MemorySize\":128", "\"MemorySize\":-1"},
        {"\"Timeout\":3", "\"Timeout\":3.5"},
        {"\"State\":\"Pending\"", "\"State\":\"Running\""},
        {"\"State\":\"Pending\"", "\"State\":\"Active\""}, /* active, and no tree */
        {"\"ZipSha256\":\"ab", "\"ZipSha256\":\"xy"},
        {"\"AA\":\"\"", "\"AA\":null"},
        {"\"RevisionId\":\"", "\"RevisionId\":\"0"},
        {"\"Forking\":\"able\"", "\"Forking\":\"perhaps\""},
        {"\"SnapStart\":\"Off\"", "\"SnapStart\":\"Maybe\""},
        {"\"SnapStart\":\"Off\"", "\"SnapStart\":1"},
    };
    struct version *draft = make();
    draft->code.forking = VERSION_FORKING_ABLE;
    draft->has_snap_start = true;
    size_t size;
    char *json = version_to_json(draft, &size);
    for (size_t i = 0; i < ARRAY_SIZE(replacements); i++) {
        struct error err = {0};
        struct version *copy = NULL;
        const char *at = strstr(json, replacements[i][0]);
        char text[8192];
        assert_non_null(at);
        int length = snprintf(text, sizeof(text), "%.*s%s%s", (int) (at - json), json,
                              replacements[i][1], at + strlen(replacements[i][0]));
        int r = version_from_json(text, (size_t) length, "hello", "us-east-1", "000000000000",
                                  &copy, &err);
        assert_int_equal(r, -EBADMSG);
        assert_null(copy);
        assert_non_null(strstr(err.text, "hello"));
    }
    for (size_t i = 0; i < size; i++) {
        struct version *copy = NULL;
        assert_int_equal(
            version_from_json(json, i, "hello", "us-east-1", "000000000000", &copy, NULL),
            -EBADMSG);
    }
    free(json);
    version_unref(draft);
}

static void a_start_without_a_model_hands_out_no_descriptor(void **state)
{
    struct version *draft = version_new("hello", "us-east-1", "000000000000");
    struct start_spec start;
    memset(&start, 0x55, sizeof(start)); /* callers have it on their stack */
    assert_int_equal(start_spec_init(&start, draft), 0);
    assert_int_equal(start.spec.model_fd, 0);
    start_spec_done(&start);
    version_unref(draft);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_ones_have_aws_defaults),
        cmocka_unit_test(copies_are_deep),
        cmocka_unit_test(references_are_counted),
        cmocka_unit_test(publishing_numbers_the_copy),
        cmocka_unit_test(same_content_looks_at_what_was_configured),
        cmocka_unit_test(json_keeps_everything),
        cmocka_unit_test(published_with_snap_start_waits_for_its_template),
        cmocka_unit_test(json_tells_absent_from_empty_environment),
        cmocka_unit_test(json_refuses_every_damage),
        cmocka_unit_test(a_start_without_a_model_hands_out_no_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
