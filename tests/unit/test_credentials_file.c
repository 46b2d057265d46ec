// SPDX-License-Identifier: MIT
//
// The credentials file parser: what it takes, what it refuses, every prefix of a good file.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client/credentials_file.h"

#include "base/compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int parse(const char *text, const char *profile, struct target_credentials *ret,
                 struct error *err)
{
    return credentials_parse(text, strlen(text), profile, "FILE", ret, err);
}

static const char good[] = "# made by hand\r\n"
                           "; another comment\n"
                           "\n"
                           "[default]\n"
                           "aws_access_key_id = AKIDEFAULT\n"
                           "aws_secret_access_key=secret/with+all=signs  # not part of it\n"
                           "[profile work] # the other form\n"
                           "AWS_Access_Key_Id =  AKIWORK  \n"
                           "aws_secret_access_key = two#hash;kept\r\n"
                           "aws_session_token = token==\n"
                           "s3 =\n"
                           "    max_concurrent_requests = 20\n"
                           "region = eu-central-1\n"
                           "unknown = setting\n";

static void takes_a_usual_file(void **state)
{
    struct target_credentials got;
    struct error err = {0};

    assert_int_equal(parse(good, "default", &got, &err), 0);
    assert_string_equal(got.access_key, "AKIDEFAULT");
    assert_string_equal(got.secret_key, "secret/with+all=signs");
    assert_string_equal(got.session_token, "");
    assert_string_equal(got.region, "");

    assert_int_equal(parse(good, "work", &got, &err), 0);
    assert_string_equal(got.access_key, "AKIWORK");
    assert_string_equal(got.secret_key, "two#hash;kept");
    assert_string_equal(got.session_token, "token==");
    assert_string_equal(got.region, "eu-central-1");
}

static void merges_a_repeated_profile(void **state)
{
    struct target_credentials got;
    struct error err = {0};
    const char *text = "[a]\naws_access_key_id=one\n[b]\naws_access_key_id=no\n"
                       "[a]\naws_access_key_id=two\naws_secret_access_key=s";

    assert_int_equal(parse(text, "a", &got, &err), 0);
    assert_string_equal(got.access_key, "two");
    assert_string_equal(got.secret_key, "s");
}

static void refuses_with_the_line(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *says;
    } table[] = {
        {"", -ENOENT, "no profile [default]"},
        {"\n\n# nothing\n", -ENOENT, "no profile [default]"},
        {"[other]\naws_access_key_id=a\n", -ENOENT, "no profile [default]"},
        {"[default]\n", -ENODATA, "no aws_access_key_id"},
        {"[default]\naws_access_key_id=\n", -ENODATA, "no aws_access_key_id"},
        {"[default]\naws_access_key_id=a\n", -ENODATA, "no aws_secret_access_key"},
        {"[default\naws_access_key_id=a\n", -EINVAL, "line 1: a section name without ']'"},
        {"\n[default] junk\n", -EINVAL, "line 2: text after"},
        {"[]\n", -EINVAL, "line 1: an empty section"},
        {"[ \t ]\n", -EINVAL, "line 1: an empty section"},
        {"aws_access_key_id=a\n", -EINVAL, "line 1: a setting before the first"},
        {"[default]\naws_access_key_id\n", -EINVAL, "line 2: neither"},
        {"[default]\n= value\n", -EINVAL, "line 2: a setting without a name"},
        {"[default]\naws_access_key_id=a\x1b[31m\n", -EINVAL, "line 2: a control character"},
        {"[other]\njunk\n", -EINVAL, "line 2: neither"},
        {"{\"AccessKeyId\": \"x\"}\n", -EINVAL, "line 1: neither"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct target_credentials got = {.access_key = "untouched"};
        struct error err = {0};
        int r = parse(table[i].text, "default", &got, &err);
        if (r != table[i].code || strstr(err.text, table[i].says) == NULL)
            fail_msg("row %zu: %d '%s'", i, r, err.text);
        assert_string_equal(got.access_key, "untouched");
    }
}

static void refuses_a_nul_and_what_is_too_long(void **state)
{
    struct target_credentials got;
    struct error err = {0};
    const char nul[] = "[default]\naws_access_key_id=a\0b\naws_secret_access_key=s\n";
    char long_key[512], *long_file = calloc(1, CREDENTIALS_FILE_BYTES_MAX + 2);

    assert_int_equal(credentials_parse(nul, sizeof nul - 1, "default", "FILE", &got, &err),
                     -EINVAL);
    snprintf(long_key, sizeof long_key, "[default]\naws_access_key_id=%0*d\n", TARGET_KEY_BYTES_MAX,
             0);
    assert_int_equal(parse(long_key, "default", &got, &err), -EINVAL);
    assert_non_null(strstr(err.text, "too long"));

    assert_non_null(long_file);
    memset(long_file, '\n', CREDENTIALS_FILE_BYTES_MAX + 1);
    assert_int_equal(
        credentials_parse(long_file, CREDENTIALS_FILE_BYTES_MAX + 1, "default", "FILE", &got, &err),
        -EINVAL);
    free(long_file);
}

// A secret must not end up in an error: files are pasted into bug reports.
static void never_repeats_a_value(void **state)
{
    struct target_credentials got;
    struct error err = {0};

    assert_int_equal(parse("[default]\naws_secret_access_key SESAME\n", "default", &got, &err),
                     -EINVAL);
    assert_null(strstr(err.text, "SESAME"));
}

static void survives_every_prefix(void **state)
{
    // Each prefix in memory of its exact size, so that the sanitizer sees a read past the end.
    for (size_t size = 0; size < sizeof good; size++) {
        struct target_credentials got;
        struct error err = {0};
        char *part = malloc(size + (size == 0));
        assert_non_null(part);
        memcpy(part, good, size);
        int r = credentials_parse(part, size, "work", "FILE", &got, &err);
        assert_true(r == 0 || r == -EINVAL || r == -ENOENT || r == -ENODATA);
        assert_true(r == 0 || err.text[0] != '\0');
        free(part);
    }
}

static void reads_files_but_not_pipes(void **state)
{
    char dir[] = "/tmp/lamina-test-XXXXXX", path[64];
    struct target_credentials got;
    struct error err = {0};

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/credentials", dir);
    assert_int_equal(credentials_read(path, "default", &got, &err), -ENOENT);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, good, sizeof good - 1), (ssize_t) sizeof good - 1);
    close(fd);
    assert_int_equal(credentials_read(path, "default", &got, &err), 0);
    assert_string_equal(got.access_key, "AKIDEFAULT");
    assert_int_equal(credentials_read(path, "nobody", &got, &err), -ENOENT);
    unlink(path);

    // Nobody writes into it: a reader that waits would hang here for ever.
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(credentials_read(path, "default", &got, &err), -EINVAL);
    unlink(path);
    assert_int_equal(credentials_read(dir, "default", &got, &err), -EINVAL);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_usual_file),
        cmocka_unit_test(merges_a_repeated_profile),
        cmocka_unit_test(refuses_with_the_line),
        cmocka_unit_test(refuses_a_nul_and_what_is_too_long),
        cmocka_unit_test(never_repeats_a_value),
        cmocka_unit_test(survives_every_prefix),
        cmocka_unit_test(reads_files_but_not_pipes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
