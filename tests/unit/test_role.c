// SPDX-License-Identifier: MIT
//
// Roles: what a policy allows, what a role that nobody defined allows, and what no policy can allow.

#include "unit.h"

#include "base/json.h"
#include "loop/loop.h"
#include "meta/registry.h"
#include "role/roles.h"
#include "scratch.h"

#define REGION "us-east-1"
#define ACCOUNT "000000000000"
#define ROLE(name) "arn:aws:iam::" ACCOUNT ":role/" name
#define FUNCTION(name) "arn:aws:lambda:" REGION ":" ACCOUNT ":function:" name
#define ENDPOINT(name) "arn:aws:sagemaker:" REGION ":" ACCOUNT ":endpoint/" name
#define BUCKET(path) "arn:aws:s3:::" path
#define ALLOW(action, resource)                                                                    \
    "{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"" action "\",\"Resource\":\"" resource     \
    "\"}]}"

#define TRUST                                                                                      \
    "{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"lambda.amazonaws.com\"},"   \
    "\"Action\":\"sts:AssumeRole\"}}"

static struct loop *loop;
static struct registry *registry;
static struct roles *roles;
static struct error err;

static void open_all(void)
{
    error_clear(&err);
    loop = loop_new();
    assert_non_null(loop);
    int r = registry_open(scratch_path, loop, &registry, &err);
    if (r == 0)
        r = roles_open(registry, REGION, ACCOUNT, &roles, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(r, 0);
}

static void close_all(void)
{
    registry_close(registry);
    roles_close(roles);
    loop_free(loop);
}

static int set_up(void **state)
{
    scratch_make();
    open_all();
    return 0;
}

static int tear_down(void **state)
{
    close_all();
    scratch_remove();
    return 0;
}

static int done_code;

static void done(void *arg, const struct error *failure)
{
    *(bool *) arg = true;
    done_code = failure ? failure->code : 0;
}

static void wait_for(const bool *is_done)
{
    while (!*is_done)
        loop_run_once(loop, true);
    assert_int_equal(done_code, 0);
}

static void put(struct role *role, bool is_new)
{
    bool is_done = false;
    assert_int_equal(roles_put(roles, role, is_new, done, &is_done), 0);
    wait_for(&is_done);
}

static struct role *role_made(const char *name, const char *path)
{
    struct role *role = role_new(str_of(name), str_of(path));
    assert_non_null(role);
    assert_int_equal(role_set_trust(role, STR(TRUST), &err), 0);
    return role;
}

// A role with one policy.
static void define(const char *name, const char *path, const char *document)
{
    struct role *role = role_made(name, path);
    if (document && role_put_policy(role, STR("p"), str_of(document), &err) < 0)
        fail_msg("%s", err.text);
    put(role, true);
}

static enum role_answer ask(const char *role, const char *action, const char *resource)
{
    const struct role_asker asker = {.role = role};
    return roles_ask(roles, &asker, str_of(action), str_of(resource));
}

static void a_role_allows_what_its_policy_says(void **state)
{
    define("r", "/", ALLOW("lambda:InvokeFunction", FUNCTION("pub-*")));
    assert_int_equal(ask(ROLE("r"), "lambda:InvokeFunction", FUNCTION("pub-a")), ROLE_ALLOWED);
    assert_int_equal(ask(ROLE("r"), "lambda:InvokeFunction", FUNCTION("pub-a:3")), ROLE_ALLOWED);
    assert_int_equal(ask(ROLE("r"), "lambda:InvokeFunction", FUNCTION("x")), ROLE_NOT_ALLOWED);
    assert_int_equal(ask(ROLE("r"), "s3:GetObject", BUCKET("b/k")), ROLE_NOT_ALLOWED);
    // A policy of another account's role of that name, or of another path, is not this one's.
    assert_int_equal(
        ask("arn:aws:iam::111111111111:role/r", "lambda:InvokeFunction", FUNCTION("pub-a")),
        ROLE_NOT_ALLOWED);
    assert_int_equal(ask(ROLE("a/r"), "lambda:InvokeFunction", FUNCTION("pub-a")),
                     ROLE_NOT_ALLOWED);
    assert_int_equal(ask("r", "lambda:InvokeFunction", FUNCTION("pub-a")), ROLE_NOT_ALLOWED);
}

static void a_denial_wins_over_all_policies_and_covers_qualifiers(void **state)
{
    struct role *role = role_made("r", "/team/");
    assert_int_equal(role_put_policy(role, STR("all"), STR(ALLOW("*", "*")), &err), 0);
    assert_int_equal(role_put_policy(role, STR("but"),
                                     STR("{\"Statement\":[{\"Effect\":\"Deny\",\"Action\":"
                                         "\"lambda:*\",\"Resource\":\"" FUNCTION("secret") "\"}]}"),
                                     &err),
                     0);
    put(role, true);
    assert_int_equal(ask(ROLE("team/r"), "lambda:InvokeFunction", FUNCTION("a")), ROLE_ALLOWED);
    assert_int_equal(ask(ROLE("team/r"), "lambda:InvokeFunction", FUNCTION("secret")), ROLE_DENIED);
    assert_int_equal(ask(ROLE("team/r"), "lambda:InvokeFunction", FUNCTION("secret:$LATEST")),
                     ROLE_DENIED);
    assert_int_equal(ask(ROLE("team/r"), "s3:PutObject", BUCKET("b/k")), ROLE_ALLOWED);
}

static void no_policy_allows_the_control_plane(void **state)
{
    static const char *const actions[] = {
        "lambda:CreateFunction",
        "lambda:UpdateFunctionCode",
        "lambda:GetFunction",
        "lambda:ListFunctions",
        "lambda:AddPermission",
        "lambda:PublishLayerVersion",
        "lambda:DeleteFunction",
        "lambda:GetFunctionConfiguration",
        "lamina:PutUser",
        "lamina:Logs",
        "iam:PutRolePolicy",
        "iam:PassRole",
        "iam:GetRole",
        "sts:AssumeRole",
        "s3:CreateBucket",
        "s3:DeleteBucket",
        "s3:PutBucketPolicy",
        "sagemaker:CreateEndpoint",
        "Lambda:InvokeFunction",
        "",
        "lambda:InvokeFunction ",
        "lambda:InvokeFunctionUrl",
    };
    define("god", "/", ALLOW("*", "*"));
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
        assert_int_equal(ask(ROLE("god"), actions[i], "*"), ROLE_IMPOSSIBLE);
    assert_int_equal(ask(ROLE("god"), "lambda:InvokeFunction", FUNCTION("any")), ROLE_ALLOWED);
}

static void default_rights_are_what_was_named(void **state)
{
    static const struct {
        const char *name, *value, *action, *resource;
        bool may;
    } rows[] = {
        {"MODEL_URI", "s3://models/a/m.onnx", "s3:GetObject", BUCKET("models/a/m.onnx"), true},
        {"MODEL_URI", "s3://models/a/m.onnx", "s3:GetObject", BUCKET("models/other"), true},
        {"ANY", "s3://models", "s3:ListBucket", BUCKET("models"), true},
        {"ANY", "s3://models", "s3:GetObject", BUCKET("models"), false},
        {"ANY", "s3://models", "s3:ListBucket", BUCKET("models/x"), false},
        {"ANY", "s3://models", "s3:PutObject", BUCKET("models/x"), false},
        {"ANY", "s3://models", "s3:DeleteObject", BUCKET("models/x"), false},
        {"ANY", "s3://models", "s3:GetObject", BUCKET("models2/x"), false},
        {"ANY", "s3://models*", "s3:GetObject", BUCKET("models2/x"), false},
        {"ANY", "s3://", "s3:GetObject", BUCKET("/x"), false},
        {"ANY", "use s3://models", "s3:GetObject", BUCKET("models/x"), false},
        {"ANY", BUCKET("models/*"), "s3:GetObject", BUCKET("models/x"), true},
        {"ANY", BUCKET("*"), "s3:GetObject", BUCKET("models/x"), false},
        {"BUCKET", "models", "s3:GetObject", BUCKET("models/x"), true},
        {"MY_BUCKET_NAME", "models", "s3:GetObject", BUCKET("models/x"), true},
        {"MYBUCKET", "models", "s3:GetObject", BUCKET("models/x"), false},
        {"ANY", "models", "s3:GetObject", BUCKET("models/x"), false},
        {"ANY", FUNCTION("f"), "lambda:InvokeFunction", FUNCTION("f"), true},
        {"ANY", FUNCTION("f"), "lambda:InvokeFunction", FUNCTION("f:3"), true},
        {"ANY", FUNCTION("f"), "lambda:InvokeFunction", FUNCTION("ff"), false},
        {"ANY", FUNCTION("f:live"), "lambda:InvokeFunction", FUNCTION("f:live"), true},
        {"ANY", FUNCTION("f:live"), "lambda:InvokeFunction", FUNCTION("f"), false},
        {"ANY", FUNCTION("f:live"), "lambda:InvokeFunction", FUNCTION("f:3"), false},
        {"ANY", "arn:aws:lambda:eu-west-1:" ACCOUNT ":function:f", "lambda:InvokeFunction",
         FUNCTION("f"), false},
        {"ANY", "arn:aws:lambda:us-east-1:111111111111:function:f", "lambda:InvokeFunction",
         FUNCTION("f"), false},
        {"NEXT_FUNCTION_NAME", "f", "lambda:InvokeFunction", FUNCTION("f"), true},
        {"NEXT_FUNCTION_NAME", "f:live", "lambda:InvokeFunction", FUNCTION("f:live"), true},
        {"NEXT_FUNCTION_NAME", "*", "lambda:InvokeFunction", FUNCTION("f"), false},
        {"NEXT", "f", "lambda:InvokeFunction", FUNCTION("f"), false},
        {"ANY", FUNCTION("f"), "lambda:GetFunction", FUNCTION("f"), false},
        {"ANY", ENDPOINT("e"), "sagemaker:InvokeEndpoint", ENDPOINT("e"), true},
        {"ANY", ENDPOINT("e"), "sagemaker:InvokeEndpoint", ENDPOINT("ee"), false},
        {"ENDPOINT_NAME", "e", "sagemaker:InvokeEndpointWithResponseStream", ENDPOINT("e"), true},
        {"", "", "s3:GetObject", BUCKET("/"), false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct role_variable variables[] = {{STR("OTHER"), STR("x")},
                                                  {str_of(rows[i].name), str_of(rows[i].value)}};
        const struct role_asker asker = {ROLE("nobody-made-it"), variables, 2};
        if (roles_may(roles, &asker, rows[i].action, rows[i].resource) != rows[i].may)
            fail_msg("%s=%s %s %s", rows[i].name, rows[i].value, rows[i].action, rows[i].resource);
    }
}

static void a_role_that_was_defined_has_no_default_rights(void **state)
{
    const struct role_variable variables[] = {{STR("MODEL_URI"), STR("s3://models/m")}};
    const struct role_asker asker = {ROLE("r"), variables, 1};
    assert_true(roles_may(roles, &asker, "s3:GetObject", BUCKET("models/m")));
    define("r", "/", NULL);
    assert_false(roles_may(roles, &asker, "s3:GetObject", BUCKET("models/m")));
}

static void attached_policies_of_aws_give_their_rights(void **state)
{
    struct role *role = role_made("r", "/");
    static const char *const arns[] = {
        "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
        "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"};
    for (size_t i = 0; i < ARRAY_SIZE(arns); i++)
        assert_int_equal(role_attach(role, role_managed_find(str_of(arns[i]))), 0);
    put(role, true);
    assert_int_equal(ask(ROLE("r"), "s3:GetObject", BUCKET("b/k")), ROLE_ALLOWED);
    assert_int_equal(ask(ROLE("r"), "s3:PutObject", BUCKET("b/k")), ROLE_NOT_ALLOWED);
    assert_int_equal(ask(ROLE("r"), "lambda:InvokeFunction", FUNCTION("f")), ROLE_NOT_ALLOWED);
    assert_null(role_managed_find(STR("arn:aws:iam::aws:policy/AdministratorAccess")));
}

static void changes_come_one_at_a_time_and_last(void **state)
{
    bool is_first = false, is_second = false;
    struct role *one = role_made("r", "/p/");
    assert_int_equal(role_set_description(one, STR("what \"it\" is")), 0);
    assert_int_equal(role_set_trust(one, STR(TRUST), &err), 0);
    assert_int_equal(role_put_policy(one, STR("b"), STR(ALLOW("s3:*", "*")), &err), 0);
    assert_int_equal(role_put_policy(one, STR("a"), STR(ALLOW("s3:Get*", "*")), &err), 0);
    assert_int_equal(roles_put(roles, role_ref(one), true, done, &is_first), 0);
    assert_int_equal(roles_put(roles, role_copy(one), true, done, &is_second), -EBUSY);
    assert_int_equal(roles_delete(roles, STR("r"), done, &is_second), -EBUSY);
    wait_for(&is_first);
    assert_int_equal(roles_put(roles, role_copy(one), true, done, &is_second), -EEXIST);
    assert_int_equal(roles_put(roles, role_made("q", "/"), false, done, &is_second), -ENOENT);
    close_all();
    open_all();
    struct role *again = roles_by_name(roles, STR("r"));
    assert_non_null(again);
    assert_string_equal(again->id, one->id);
    assert_string_equal(again->path, "/p/");
    assert_string_equal(again->description, "what \"it\" is");
    assert_string_equal(again->trust, TRUST);
    assert_true(again->is_for_lambda);
    assert_int_equal(again->created_ms, one->created_ms);
    assert_int_equal(again->policy_count, 2);
    assert_string_equal(again->policies[0].name, "a");
    role_unref(again);
    role_unref(one);
    assert_int_equal(roles_delete(roles, STR("r"), done, &is_second), 0);
    wait_for(&is_second);
    assert_null(roles_by_name(roles, STR("r")));
    assert_int_equal(roles_delete(roles, STR("r"), done, &is_second), -ENOENT);
    close_all();
    open_all();
    assert_null(roles_by_name(roles, STR("r")));
}

static void a_role_that_lambda_may_not_assume_gives_nothing(void **state)
{
#define STATEMENT(effect, principal, action)                                                       \
    "{\"Effect\":\"" effect "\",\"Principal\":" principal ",\"Action\":" action "}"
#define LAMBDA "{\"Service\":\"lambda.amazonaws.com\"}"
#define ASSUME "\"sts:AssumeRole\""
    static const struct {
        const char *statements;
        int code; // 0 or 1: may Lambda assume it; else the error
    } rows[] = {
        {STATEMENT("Allow", LAMBDA, ASSUME), 1},
        {STATEMENT("Allow", "\"*\"", "\"sts:*\""), 1},
        {STATEMENT("Allow", "{\"Service\":[\"ec2.amazonaws.com\",\"lambda.amazonaws.com\"]}",
                   "[\"sts:TagSession\"," ASSUME "]"),
         1},
        {STATEMENT("Allow", "{\"Service\":\"ec2.amazonaws.com\"}", ASSUME), 0},
        {STATEMENT("Allow", "{\"AWS\":\"lambda.amazonaws.com\"}", ASSUME), 0},
        {STATEMENT("Allow", LAMBDA, "\"sts:TagSession\""), 0},
        {STATEMENT("Allow", LAMBDA, ASSUME) "," STATEMENT("Deny", LAMBDA, ASSUME), 0},
        {"", -EINVAL},
        {"1", -EINVAL},
        {STATEMENT("Maybe", LAMBDA, ASSUME), -EINVAL},
        {STATEMENT("Allow", "{}", ASSUME), -EINVAL},
        {STATEMENT("Allow", "{\"Other\":\"x\"}", ASSUME), -EINVAL},
        {STATEMENT("Allow", LAMBDA, "[]"), -EINVAL},
        {STATEMENT("Allow", LAMBDA, "7"), -EINVAL},
        {"{\"Effect\":\"Allow\",\"Principal\":" LAMBDA ",\"Action\":" ASSUME ",\"Condition\":{}}",
         -EINVAL},
        {"{\"Effect\":\"Allow\",\"NotPrincipal\":" LAMBDA ",\"Action\":" ASSUME "}", -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[512];
        struct role *role = role_new(STR("r"), STR("/"));
        (void) snprintf(text, sizeof(text), "{\"Statement\":[%s]}", rows[i].statements);
        int r = role_set_trust(role, str_of(text), &err);
        if ((r < 0 ? r : role->is_for_lambda) != rows[i].code)
            fail_msg("%s: %d", text, r);
        role_unref(role);
    }
    struct role *role = role_made("r", "/");
    assert_int_equal(role_put_policy(role, STR("p"), STR(ALLOW("*", "*")), &err), 0);
    assert_int_equal(
        role_set_trust(role,
                       STR("{\"Statement\":" STATEMENT(
                           "Allow", "{\"Service\":\"ec2.amazonaws.com\"}", ASSUME) "}"),
                       &err),
        0);
    put(role, true);
    assert_int_equal(ask(ROLE("r"), "lambda:InvokeFunction", FUNCTION("f")), ROLE_NOT_ALLOWED);
}

static void what_does_not_fit_is_refused(void **state)
{
    struct role *role = role_made("r", "/");
    char text[6000], name[8];
    (void) snprintf(text, sizeof(text),
                    "{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"a:%0*d\","
                    "\"Resource\":\"*\"}]}",
                    5200, 1);
    assert_int_equal(role_put_policy(role, STR("one"), str_of(text), &err), 0);
    assert_int_equal(role_put_policy(role, STR("two"), str_of(text), &err), -E2BIG);
    assert_int_equal(role_put_policy(role, STR("one"), str_of(text), &err), 0); // in its place
    assert_int_equal(role_put_policy(role, STR("two"), STR("{}"), &err), -EINVAL);
    assert_int_equal(role->policy_count, 1);
    for (int i = 0; i < ROLE_POLICIES_MAX - 1; i++) {
        (void) snprintf(name, sizeof(name), "p%d", i);
        assert_int_equal(role_put_policy(role, str_of(name), STR(ALLOW("a:b", "*")), &err), 0);
    }
    assert_int_equal(role_put_policy(role, STR("more"), STR(ALLOW("a:b", "*")), &err), -E2BIG);
    role_unref(role);
    assert_null(role_new(STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
                         STR("/")));
    assert_false(role_is_name(STR(""), 64));
    assert_false(role_is_name(STR("a/b"), 64));
    assert_false(role_is_path(STR("a/")));
    assert_true(role_is_path(STR("/")));
}

static void a_damaged_row_keeps_the_service_from_starting(void **state)
{
    static const char *const rows[] = {
        "",
        "[]",
        "{}",
        "{\"path\":\"/\"}",
        "{\"path\":\"x\",\"id\":\"AROA\",\"created_ms\":1,\"session_s_max\":3600}",
        "{\"path\":\"/"
        "\",\"id\":\"AROA\",\"created_ms\":1,\"session_s_max\":3600,\"policies\":[{}]}",
        "{\"path\":\"/\",\"id\":\"AROA\",\"created_ms\":1,\"session_s_max\":3600,"
        "\"policies\":[{\"name\":\"a\",\"document\":\"{}\"}]}",
    };
    struct role *role;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(role_read(STR("r"), str_of(rows[i]), &role, &err), -EUCLEAN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_role_allows_what_its_policy_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_denial_wins_over_all_policies_and_covers_qualifiers,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_policy_allows_the_control_plane, set_up, tear_down),
        cmocka_unit_test_setup_teardown(default_rights_are_what_was_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_role_that_was_defined_has_no_default_rights, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(attached_policies_of_aws_give_their_rights, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(changes_come_one_at_a_time_and_last, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_role_that_lambda_may_not_assume_gives_nothing, set_up,
                                        tear_down),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(a_damaged_row_keeps_the_service_from_starting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
