// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/fd.h"
#include "base/log.h"

static int pipe_fds[2];

static int open_pipe(void **state)
{
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    log_set_fd(pipe_fds[1]);
    log_set_level(LOG_LEVEL_INFO);
    return 0;
}

static int close_pipe(void **state)
{
    log_set_fd(2);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return 0;
}

// What was logged, behind the time ("2026-01-02T03:04:05.678Z ").
static char *logged(char line[4096])
{
    ssize_t size = read(pipe_fds[0], line, 4095);
    assert_true(size > 25);
    line[size] = '\0';
    assert_int_equal(line[23], 'Z');
    return line + 25;
}

static void writes_one_line(void **state)
{
    char line[4096];
    log_info("instance.start", "function=%s id=%d", "hello", 12);
    assert_string_equal(logged(line), "info instance.start function=hello id=12\n");
}

static void keeps_quiet_below_its_level(void **state)
{
    char line[4096];
    log_debug("x.y", "a=%d", 1);
    log_set_level(LOG_LEVEL_ERROR);
    log_warn("x.y", "a=%d", 2);
    log_error("x.y", "a=%d", 3);
    assert_string_equal(logged(line), "error x.y a=3\n");
}

static void lets_no_control_character_through(void **state)
{
    char line[4096];
    log_warn("x.y", "name=%s", "a\n\x1b[31mb\rc\x7f");
    assert_string_equal(logged(line), "warn x.y name=a??[31mb?c?\n");
}

static void quotes_what_needs_it(void **state)
{
    assert_string_equal(LOG_TEXT("plain"), "plain");
    assert_string_equal(LOG_TEXT(""), "\"\"");
    assert_string_equal(LOG_TEXT(NULL), "\"\"");
    assert_string_equal(LOG_TEXT("a b"), "\"a b\"");
    assert_string_equal(LOG_TEXT("x error=1"), "\"x error=1\"");
    assert_string_equal(LOG_TEXT("say \"hi\"\\\n\x01"), "\"say \\\"hi\\\"\\\\\\n\\x01\"");
    assert_string_equal(LOG_TEXT("\xc3\xa4"), "\xc3\xa4");
}

static void cuts_what_is_too_long(void **state)
{
    char lots[5000], line[8192];
    memset(lots, 'x', sizeof lots);
    lots[sizeof lots - 1] = '\0';
    log_info("x.y", "a=%s", lots);
    char *text = logged(line);
    assert_true(strlen(line) <= LOG_LINE_MAX && strlen(line) > LOG_LINE_MAX - 10);
    assert_string_equal(text + strlen(text) - 4, "...\n");
    const char *quoted = LOG_TEXT(lots);
    assert_true(strlen(quoted) < LOG_TEXT_MAX);
    assert_string_equal(quoted + strlen(quoted) - 4, "...\"");
    lots[600] = '\n'; // an escape at the very end must not be cut in two
    for (size_t start = 0; start < 40; start++)
        assert_true(strlen(LOG_TEXT(lots + start)) < LOG_TEXT_MAX);
}

static void preserves_errno_without_a_reader(void **state)
{
    log_set_fd(-1);
    errno = EXDEV;
    log_error("x.y", "a=%d", 1);
    assert_int_equal(errno, EXDEV);
}

static void knows_its_levels(void **state)
{
    assert_int_equal(log_level_parse("warn"), LOG_LEVEL_WARN);
    assert_int_equal(log_level_parse("WARN"), -EINVAL);
    assert_int_equal(log_level_parse(NULL), -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_pipe, close_pipe)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(writes_one_line),
        TEST(keeps_quiet_below_its_level),
        TEST(lets_no_control_character_through),
        TEST(quotes_what_needs_it),
        TEST(cuts_what_is_too_long),
        TEST(preserves_errno_without_a_reader),
        TEST(knows_its_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
