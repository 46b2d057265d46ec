// SPDX-License-Identifier: MIT
//
// [s3_origin NAME] sections of the configuration file.

#include "unit.h"

#include "fetch/origin.h"
#include "scratch.h"

static struct error err;

static int set_up(void **state)
{
    error_clear(&err);
    scratch_make();
    return 0;
}

static int tear_down(void **state)
{
    scratch_remove();
    return 0;
}

static void test_a_section(void **state)
{
    struct origins origins;
    char text[1000], path[400];
    snprintf(path, sizeof(path), "%s/credentials", scratch_path);
    FILE *file = fopen(path, "w");
    fputs("# mine\n[other]\naws_access_key_id = no\n[default]\naws_access_key_id = AKIA1\n"
          "aws_secret_access_key = s/e+c\nregion = x\n",
          file);
    fclose(file);
    snprintf(text, sizeof(text),
             "[s3_origin a]\nendpoint = https://s3.example:9000/\nbuckets = one, two-2 ,\n"
             "credentials_file = %s\nstyle = virtual\nregion = eu-west-1\n# more\n"
             "[s3_origin b]\nendpoint=http://[::1]\nbuckets=three\n",
             path);
    if (origins_parse(str_of(text), &origins, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(origins.count, 2);
    const struct origin *a = origins_find(&origins, STR("two-2"));
    assert_ptr_equal(a, &origins.all[0]);
    assert_string_equal(a->endpoint, "https://s3.example:9000");
    assert_string_equal(a->host, "s3.example:9000");
    assert_string_equal(a->host_only, "s3.example");
    assert_int_equal(a->port, 9000);
    assert_true(a->is_https && a->is_virtual);
    assert_string_equal(a->access_key, "AKIA1");
    assert_string_equal(a->secret, "s/e+c");
    assert_string_equal(a->region, "eu-west-1");
    const struct origin *b = origins_find(&origins, STR("three"));
    assert_string_equal(b->host_only, "::1");
    assert_int_equal(b->port, 80);
    assert_string_equal(b->region, "us-east-1");
    assert_null(origins_find(&origins, STR("four")));
    origins_done(&origins);
}

static void test_bad_sections(void **state)
{
    static const char *const bad[] = {
        "endpoint = http://x\n",
        "[s3_origin]\n",
        "[s3_origin ]\n",
        "[other a]\n",
        "[s3_origin a\n",
        "[s3_origin a]\nbuckets = one\n",
        "[s3_origin a]\nendpoint = http://x\n",
        "[s3_origin a]\nendpoint = http://x/path\nbuckets = one\n",
        "[s3_origin a]\nendpoint = http://user@x\nbuckets = one\n",
        "[s3_origin a]\nendpoint = ftp://x\nbuckets = one\n",
        "[s3_origin a]\nendpoint = http://x:0\nbuckets = one\n",
        "[s3_origin a]\nendpoint = http://x:70000\nbuckets = one\n",
        "[s3_origin a]\nendpoint = http://\nbuckets = one\n",
        "[s3_origin a]\nendpoint = http://[::1\nbuckets = one\n",
        "[s3_origin a]\nendpoint = http://x\nbuckets = B\n",
        "[s3_origin a]\nendpoint = http://x\nbuckets = one\nstyle = other\n",
        "[s3_origin a]\nendpoint = http://x\nbuckets = one\nwhat = ever\n",
        "[s3_origin a]\nendpoint = http://x\nbuckets = one\nregion\n",
    };
    struct origins origins;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (origins_parse(str_of(bad[i]), &origins, &err) != -EINVAL)
            fail_msg("'%s' was taken", bad[i]);
    assert_int_equal(origins_parse(STR("[s3_origin a]\nendpoint = http://x\nbuckets = one\n"
                                       "credentials_file = /nowhere/at/all\n"),
                                   &origins, &err),
                     -ENOENT);
    assert_int_equal(origins_parse(STR(""), &origins, &err), 0);
    assert_null(origins_find(&origins, STR("one")));
    origins_done(&origins);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_section, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_sections, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
