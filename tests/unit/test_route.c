/* SPDX-License-Identifier: MIT */

#include "unit.h"

#include "api/route.h"

static struct route_match find(struct arena *arena, enum http_method method, const char *path,
                               const char *query)
{
    struct route_match match;
    assert_int_equal(route_find(lambda_routes, method, str_of(path), str_of(query), arena, &match),
                     0);
    return match;
}

static void expect(enum http_method method, const char *path, const char *query,
                   const char *operation)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena, 64 * 1024);
    struct route_match match = find(&arena, method, path, query);
    if (!match.route)
        fail_msg("%s has no route", path);
    assert_string_equal(match.route->operation, operation);
}

static void operations_are_found(void **state)
{
    expect(HTTP_METHOD_POST, "/2015-03-31/functions", "", "CreateFunction");
    expect(HTTP_METHOD_GET, "/2015-03-31/functions", "", "ListFunctions");
    expect(HTTP_METHOD_GET, "/2015-03-31/functions/", "MaxItems=3", "ListFunctions");
    expect(HTTP_METHOD_GET, "/2015-03-31/functions/f", "", "GetFunction");
    expect(HTTP_METHOD_POST, "/2015-03-31/functions/f/invocations", "", "Invoke");
    expect(HTTP_METHOD_GET, "/2018-10-31/layers", "find=LayerVersion&Arn=x",
           "GetLayerVersionByArn");
    expect(HTTP_METHOD_GET, "/2018-10-31/layers", "Marker=find=LayerVersion", "ListLayers");
    expect(HTTP_METHOD_GET, "/2019-09-30/functions/f/provisioned-concurrency", "List=ALL",
           "ListProvisionedConcurrencyConfigs");
    expect(HTTP_METHOD_GET, "/2019-09-30/functions/f/provisioned-concurrency", "Qualifier=1",
           "GetProvisionedConcurrencyConfig");
    expect(HTTP_METHOD_PUT, "/lamina/v1/packages/abc", "", "LaminaPackage");
}

static void labels_are_decoded_after_the_split(void **state)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena, 64 * 1024);
    struct route_match match =
        find(&arena, HTTP_METHOD_GET, "/2015-03-31/functions/arn%3Aaws%3a%2Fx%252F", "");
    assert_int_equal(match.n_labels, 1);
    assert_str_equal(match.labels[0], "arn:aws:/x%2F");
}

static void what_is_in_no_row_is_unknown(void **state)
{
    static const char *const paths[] = {
        "/",
        "",
        "/2015-03-31",
        "/2015-03-31/function",
        "/2015-03-31/functions/f/x",
        "/2015-03-31/functions//invocations",
        "/2015-03-31/functions/f/invocations/x",
        "//2015-03-31/functions",
        "/2015-03-31/functions//",
        "/lamina/v1",
        "/lamina/v1/status/x",
        "/2015-03-31/Functions",
    };
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        AUTO_ARENA struct arena arena;
        arena_init(&arena, 64 * 1024);
        struct route_match match = find(&arena, HTTP_METHOD_GET, paths[i], "");
        if (match.route)
            fail_msg("%s is %s", paths[i], match.route->operation);
        assert_false(match.is_other_method);
    }
}

static void other_methods_are_told_apart(void **state)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena, 64 * 1024);
    struct route_match match =
        find(&arena, HTTP_METHOD_PATCH, "/2015-03-31/functions/f/invocations", "");
    assert_null(match.route);
    assert_true(match.is_other_method);
}

static void bad_encodings_are_refused(void **state)
{
    static const char *const paths[] = {
        "/2015-03-31/functions/%",
        "/2015-03-31/functions/%4",
        "/2015-03-31/functions/a%zz",
        "/2015-03-31/functions/a%00",
    };
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        AUTO_ARENA struct arena arena;
        struct route_match match;
        arena_init(&arena, 64 * 1024);
        assert_int_equal(
            route_find(lambda_routes, HTTP_METHOD_GET, str_of(paths[i]), STR(""), &arena, &match),
            -EINVAL);
    }
}

static void query_values_are_decoded(void **state)
{
    static const struct {
        const char *query, *value;
    } rows[] = {
        {"Qualifier=%24LATEST", "$LATEST"},
        {"a=b&Qualifier=1", "1"},
        {"Qualifier=a+b", "a+b"},
        {"Qualifier", ""},
        {"Qualifier=", ""},
        {"Qualifier=1&Qualifier=2", "1"},
        {"%51ualifier=x", "x"},
        {"&&Qualifier=x=y", "x=y"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO_ARENA struct arena arena;
        struct str value;
        arena_init(&arena, 64 * 1024);
        assert_int_equal(route_query(str_of(rows[i].query), "Qualifier", &arena, &value), 0);
        assert_non_null(value.data);
        assert_str_equal(value, rows[i].value);
        assert_int_equal(route_query(STR("qualifier=1"), "Qualifier", &arena, &value), 0);
        assert_null(value.data);
    }
}

/* No two rows may answer for the same method, path and query. */
static void rows_are_distinct_and_named_once(void **state)
{
    for (const struct route *left = lambda_routes; left->path; left++) {
        for (const struct route *right = left + 1; right->path; right++) {
            assert_string_not_equal(left->operation, right->operation);
            if (left->method == right->method && strcmp(left->path, right->path) == 0)
                assert_true(left->query && !right->query);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_are_found),
        cmocka_unit_test(labels_are_decoded_after_the_split),
        cmocka_unit_test(what_is_in_no_row_is_unknown),
        cmocka_unit_test(other_methods_are_told_apart),
        cmocka_unit_test(bad_encodings_are_refused),
        cmocka_unit_test(query_values_are_decoded),
        cmocka_unit_test(rows_are_distinct_and_named_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
