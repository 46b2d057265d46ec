// SPDX-License-Identifier: MIT
//
// The service's credentials file: made once, read again, refused when others could have read it.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "aws/credentials.h"

#include "base/compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/tmp/lamina-test-credentials-XXXXXX";
static int dir = -1;

static int setup(void **state)
{
    snprintf(path, sizeof(path), "/tmp/lamina-test-credentials-XXXXXX");
    if (!mkdtemp(path))
        return -1;
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void) unlinkat(dir, CREDENTIALS_FILE, 0);
    close(dir);
    return rmdir(path);
}

static void put(const char *text, mode_t mode)
{
    (void) unlinkat(dir, CREDENTIALS_FILE, 0);
    int fd = openat(dir, CREDENTIALS_FILE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void made_at_the_first_start_and_then_kept(void **state)
{
    struct credentials first, again;
    struct error err = {0};
    struct stat status;
    assert_int_equal(credentials_load(dir, &first, &err), 0);
    assert_int_equal(strlen(first.access_key), 20);
    assert_int_equal(strlen(first.secret), 40);
    assert_int_equal(fstatat(dir, CREDENTIALS_FILE, &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(credentials_load(dir, &again, &err), 0);
    assert_memory_equal(&first, &again, sizeof(first));
    assert_int_equal(unlinkat(dir, CREDENTIALS_FILE, 0), 0);
    assert_int_equal(credentials_load(dir, &again, &err), 0);
    assert_string_not_equal(first.secret, again.secret);
    credentials_wipe(&again);
    assert_int_equal(again.secret[0], 0);
}

static void files_that_people_wrote(void **state)
{
    static const struct {
        int code;
        const char *text;
    } rows[] = {
        {0, "[default]\naws_access_key_id=K\naws_secret_access_key=S\n"},
        {0, "# c\n[other]\naws_access_key_id = X\naws_secret_access_key = Y\n\n[default]\r\n"
            "region = x\n aws_access_key_id =  K \r\naws_secret_access_key = S\n[more]\n"
            "aws_access_key_id = Z\n"},
        {-EINVAL, ""},
        {-EINVAL, "aws_access_key_id=K\naws_secret_access_key=S\n"},
        {-EINVAL, "[default]\naws_access_key_id=K\n"},
        {-EINVAL, "[default]\naws_access_key_id=\naws_secret_access_key=S\n"},
        {-EINVAL, "[default]\n#aws_access_key_id=K\naws_secret_access_key=S\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct credentials credentials;
        struct error err = {0};
        put(rows[i].text, 0600);
        int r = credentials_load(dir, &credentials, &err);
        if (r != rows[i].code)
            fail_msg("row %zu gave %d: %s", i, r, err.text);
        if (r == 0) {
            assert_string_equal(credentials.access_key, "K");
            assert_string_equal(credentials.secret, "S");
        } else {
            assert_non_null(strstr(err.text, CREDENTIALS_FILE));
            assert_null(strstr(err.text, "=S"));
        }
    }
}

static void refused_when_others_may_read(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0620, 0666};
    struct credentials credentials;
    struct error err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        put("[default]\naws_access_key_id=K\naws_secret_access_key=S\n", modes[i]);
        assert_int_equal(credentials_load(dir, &credentials, &err), -EPERM);
        assert_non_null(strstr(err.text, "chmod 600"));
    }
}

static void refused_when_not_a_file(void **state)
{
    struct credentials credentials;
    struct error err = {0};
    assert_int_equal(symlinkat("/etc/passwd", dir, CREDENTIALS_FILE), 0);
    assert_true(credentials_load(dir, &credentials, &err) < 0);
    assert_true(err.text[0] != '\0');
    (void) unlinkat(dir, CREDENTIALS_FILE, 0);
    error_clear(&err);
    assert_int_equal(mkfifoat(dir, CREDENTIALS_FILE, 0600), 0);
    assert_int_equal(credentials_load(dir, &credentials, &err), -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(made_at_the_first_start_and_then_kept),
        TEST(files_that_people_wrote),
        TEST(refused_when_others_may_read),
        TEST(refused_when_not_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
