// SPDX-License-Identifier: MIT
//
// Where the service is and who asks: the order of precedence, row by row, and bad endpoints.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client/target.h"

#include "base/compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64];

static void write_file(const char *name, const char *text)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t) strlen(text));
    close(fd);
}

static void remove_file(const char *name)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    unlink(path);
}

static int setup(void **state)
{
    static const char *const names[] = {
        "AWS_ENDPOINT_URL_LAMBDA",
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "LAMINA_REGION",
        "LAMINA_DATA_DIR",
        "AWS_SHARED_CREDENTIALS_FILE",
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        unsetenv(names[i]);
    snprintf(dir, sizeof dir, "/tmp/lamina-test-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    setenv("LAMINA_DATA_DIR", dir, 1);
    setenv("HOME", dir, 1);
    write_file("credentials", "[default]\naws_access_key_id=OWN\naws_secret_access_key=own\n"
                              "[second]\naws_access_key_id=OWN2\naws_secret_access_key=own2\n");
    write_file("other", "[default]\naws_access_key_id=OTHER\naws_secret_access_key=o\n"
                        "[work]\naws_access_key_id=WORK\naws_secret_access_key=w\n");
    return 0;
}

static int teardown(void **state)
{
    remove_file("credentials");
    remove_file("other");
    remove_file("endpoint");
    return rmdir(dir);
}

static void endpoint_precedence(void **state)
{
    struct target_options options = {0};
    struct target target;
    struct error err = {0};

    assert_int_equal(target_resolve_endpoint(&options, &target, &err), 0);
    assert_string_equal(target.endpoint, "http://127.0.0.1:4566");
    assert_string_equal(target.endpoint_source, "the default");

    write_file("endpoint", "http://127.0.0.1:7001\n");
    assert_int_equal(target_resolve_endpoint(&options, &target, &err), 0);
    assert_string_equal(target.endpoint, "http://127.0.0.1:7001");

    write_file("endpoint", "0.0.0.0:7002");
    assert_int_equal(target_resolve_endpoint(&options, &target, &err), 0);
    assert_string_equal(target.endpoint, "http://127.0.0.1:7002");

    setenv("AWS_ENDPOINT_URL", "http://all.example:1/", 1);
    assert_int_equal(target_resolve_endpoint(&options, &target, &err), 0);
    assert_string_equal(target.endpoint, "http://all.example:1");
    assert_string_equal(target.host, "all.example:1");

    setenv("AWS_ENDPOINT_URL_LAMBDA", "https://lambda.example", 1);
    assert_int_equal(target_resolve_endpoint(&options, &target, &err), 0);
    assert_string_equal(target.endpoint, "https://lambda.example");
    assert_string_equal(target.endpoint_source, "AWS_ENDPOINT_URL_LAMBDA");

    options.data_dir = dir; // said on the command line: beats the environment
    assert_int_equal(target_resolve_endpoint(&options, &target, &err), 0);
    assert_string_equal(target.endpoint, "http://127.0.0.1:7002");

    options.endpoint_url = "http://flag:9";
    assert_int_equal(target_resolve_endpoint(&options, &target, &err), 0);
    assert_string_equal(target.endpoint, "http://flag:9");
}

static void endpoint_forms(void **state)
{
    static const char *const good[][2] = {
        {"http://127.0.0.1:4566", "127.0.0.1:4566"},
        {"http://localhost", "localhost"},
        {"http://localhost:80", "localhost"},
        {"https://h:443/", "h"},
        {"http://h:443", "h:443"},
        {"http://[::1]:4566", "[::1]:4566"},
        {"http://[::1]", "[::1]"},
        {"http://[::]:4566", "[::1]:4566"},
        {"http://0.0.0.0:4566", "127.0.0.1:4566"},
        {"http://a_b-c.example:65535", "a_b-c.example:65535"},
    };
    static const char *const bad[] = {
        "",
        "http://",
        "http:///",
        "127.0.0.1:4566",
        "ftp://h",
        "file:///etc/passwd",
        "http://user:secret@h",
        "http://h/path",
        "http://h?q",
        "http://h#f",
        "http://h:",
        "http://h:0",
        "http://h:65536",
        "http://h:4566x",
        "http://h:+1",
        "http://h i",
        "http://h\nX: y",
        "http://h\x1b[0m",
        "http://[",
        "http://[]",
        "http://[::1",
        "http://[::1]x",
        "http://h%2e",
    };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct target target = {0};
        if (target_parse_endpoint(good[i][0], &target) != 0 || strcmp(target.host, good[i][1]) != 0)
            fail_msg("%s gave '%s'", good[i][0], target.host);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct target target = {0};
        if (target_parse_endpoint(bad[i], &target) != -EINVAL)
            fail_msg("'%s' was taken as '%s'", bad[i], target.endpoint);
    }

    char *endless = malloc(4096);
    struct target target = {0};
    assert_non_null(endless);
    memset(endless, 'a', 4095);
    memcpy(endless, "http://", 7);
    endless[4095] = '\0';
    assert_int_equal(target_parse_endpoint(endless, &target), -EINVAL);
    free(endless);
}

static void expect_key(const struct target_options *options, const char *key, const char *source)
{
    struct target target;
    struct error err = {0};

    if (target_resolve(options, &target, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(target.credentials.access_key, key);
    assert_non_null(strstr(target.credentials_source, source));
}

static void credentials_precedence(void **state)
{
    struct target_options options = {0};
    char other[128];

    snprintf(other, sizeof other, "%s/other", dir);
    expect_key(&options, "OWN", "/credentials [default]");

    setenv("AWS_SHARED_CREDENTIALS_FILE", other, 1);
    expect_key(&options, "OTHER", "/other [default]");
    setenv("AWS_PROFILE", "work", 1);
    expect_key(&options, "WORK", "/other [work]");

    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "env", 1);
    setenv("AWS_SESSION_TOKEN", "token", 1);
    expect_key(&options, "ENV", "AWS_ACCESS_KEY_ID");

    options.profile = "default";
    expect_key(&options, "OTHER", "/other [default]");
    options.data_dir = dir;
    options.profile = NULL;
    expect_key(&options, "OWN", "/credentials [default]");
    options.profile = "second";
    expect_key(&options, "OWN2", "/credentials [second]");
}

static void an_empty_variable_is_not_set(void **state)
{
    struct target_options options = {0};

    setenv("AWS_ACCESS_KEY_ID", "", 1);
    setenv("AWS_ENDPOINT_URL", "", 1);
    expect_key(&options, "OWN", "/credentials");
}

static void errors_say_what_to_do(void **state)
{
    struct target_options options = {0};
    struct target target = {.endpoint = "untouched"};
    struct error err = {0};

    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    assert_int_equal(target_resolve(&options, &target, &err), -EINVAL);
    assert_non_null(strstr(err.text, "AWS_SECRET_ACCESS_KEY is not"));

    unsetenv("AWS_ACCESS_KEY_ID");
    remove_file("credentials");
    assert_int_equal(target_resolve(&options, &target, &err), -ENOENT);
    assert_non_null(strstr(err.text, "lamina up -d"));

    setenv("AWS_ENDPOINT_URL", "nonsense", 1);
    assert_int_equal(target_resolve(&options, &target, &err), -EINVAL);
    assert_non_null(strstr(err.text, "AWS_ENDPOINT_URL"));
    unsetenv("AWS_ENDPOINT_URL");

    options.region = "us east";
    assert_int_equal(target_resolve(&options, &target, &err), -EINVAL);
    assert_non_null(strstr(err.text, "region"));
    assert_string_equal(target.endpoint, "untouched");
}

static void region_precedence(void **state)
{
    struct target_options options = {0};
    struct target target;
    struct error err = {0};
    const char *const steps[][2] = {
        {"LAMINA_REGION", "eu-west-1"},
        {"AWS_DEFAULT_REGION", "eu-west-2"},
        {"AWS_REGION", "eu-west-3"},
    };

    assert_int_equal(target_resolve(&options, &target, &err), 0);
    assert_string_equal(target.region, "us-east-1");
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        setenv(steps[i][0], steps[i][1], 1);
        assert_int_equal(target_resolve(&options, &target, &err), 0);
        assert_string_equal(target.region, steps[i][1]);
    }
    options.region = "ap-south-1";
    assert_int_equal(target_resolve(&options, &target, &err), 0);
    assert_string_equal(target.region, "ap-south-1");
}

static void ca_bundle_is_what_awss_clients_read(void **state)
{
    struct target_options options = {0};
    struct target target;
    struct error err = {0};
    char endless[TARGET_URL_BYTES_MAX + 1];

    unsetenv("AWS_CA_BUNDLE");
    assert_int_equal(target_resolve_endpoint(&options, &target, &err), 0);
    assert_string_equal(target.ca_bundle, "");
    setenv("AWS_CA_BUNDLE", "/etc/lamina/ca.pem", 1);
    assert_int_equal(target_resolve_endpoint(&options, &target, &err), 0);
    assert_string_equal(target.ca_bundle, "/etc/lamina/ca.pem");
    memset(endless, 'x', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    setenv("AWS_CA_BUNDLE", endless, 1);
    assert_int_equal(target_resolve_endpoint(&options, &target, &err), -EINVAL);
    unsetenv("AWS_CA_BUNDLE");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(endpoint_precedence),
        TEST(endpoint_forms),
        TEST(credentials_precedence),
        TEST(an_empty_variable_is_not_set),
        TEST(errors_say_what_to_do),
        TEST(region_precedence),
        TEST(ca_bundle_is_what_awss_clients_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
