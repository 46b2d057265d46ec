// SPDX-License-Identifier: MIT
//
// The registry: what a callback without error promises, and what happens to a change otherwise.

#include "unit.h"

#include "../fault/shim.h"
#include "base/buf.h"
#include "loop/loop.h"
#include "meta/registry.h"
#include "scratch.h"

#include <sys/wait.h>

static struct loop *loop;
static struct registry *registry;
static struct error err;

static int set_up(void **state)
{
    error_clear(&err);
    scratch_make();
    loop = loop_new();
    return registry_open(scratch_path, loop, &registry, &err);
}

static int tear_down(void **state)
{
    fault_disarm();
    registry_close(registry);
    registry = NULL;
    loop_free(loop);
    scratch_remove();
    return 0;
}

static void reopen(void)
{
    registry_close(registry);
    registry = NULL;
    if (registry_open(scratch_path, loop, &registry, &err) < 0)
        fail_msg("%s", err.text);
}

// ---- One change, waited for

struct answer {
    int count;
    int code;
    int64_t revision;
    char text[ERROR_TEXT_MAX];
    char value[64];
};

static void on_result(void *arg, const struct registry_result *result)
{
    struct answer *answer = arg;
    answer->count++;
    answer->code = result->err ? result->err->code : 0;
    answer->revision = result->revision;
    snprintf(answer->text, sizeof(answer->text), "%s", result->err ? result->err->text : "");
}

static void on_value(void *arg, const struct registry_result *result, struct str value)
{
    struct answer *answer = arg;
    on_result(arg, result);
    snprintf(answer->value, sizeof(answer->value), STR_FORMAT, STR_ARGUMENTS(value));
}

static void wait_for(const struct answer *answer)
{
    while (answer->count == 0)
        loop_run_once(loop, true);
    assert_int_equal(answer->count, 1);
}

static struct answer put(const char *key, const char *value, int64_t expected)
{
    struct answer answer = {0};
    assert_int_equal(
        registry_put(registry, "function", key, str_of(value), expected, on_result, &answer), 0);
    assert_int_equal(answer.count, 0); // never from inside
    wait_for(&answer);
    return answer;
}

static struct answer del(const char *key, int64_t expected)
{
    struct answer answer = {0};
    assert_int_equal(registry_delete(registry, "function", key, expected, on_result, &answer), 0);
    wait_for(&answer);
    return answer;
}

static struct answer get(const char *key)
{
    struct answer answer = {0};
    assert_int_equal(registry_get(registry, "function", key, on_value, &answer), 0);
    wait_for(&answer);
    return answer;
}

static int on_row(void *arg, const char *key, struct str value, int64_t revision)
{
    return buf_printf(arg, "%s=" STR_FORMAT "@%lld ", key, STR_ARGUMENTS(value),
                      (long long) revision);
}

static void expect_rows(const char *expected)
{
    AUTO_BUF struct buf rows = BUF_INIT(1 << 20);
    assert_int_equal(registry_list(registry, "function", on_row, &rows, &err), 0);
    assert_string_equal(rows.data ? rows.data : "", expected);
}

static void test_rows_are_there_after_opening_again(void **state)
{
    assert_int_equal(put("b", "{\"x\":1}", REGISTRY_ABSENT).code, 0);
    assert_int_equal(put("a", "{}", REGISTRY_ANY).code, 0);
    reopen();
    expect_rows("a={}@2 b={\"x\":1}@1 ");
    assert_int_equal(put("c", "{}", REGISTRY_ANY).revision, 3); // never a number twice
}

static void test_a_change_needs_the_revision_that_it_expects(void **state)
{
    int64_t first = put("a", "1", REGISTRY_ABSENT).revision;
    assert_int_equal(put("a", "2", REGISTRY_ABSENT).code, -EEXIST);
    int64_t second = put("a", "2", first).revision;
    assert_true(second > first);
    struct answer stale = put("a", "3", first);
    assert_int_equal(stale.code, -ESTALE);
    assert_non_null(strstr(stale.text, "'a'"));
    assert_int_equal(put("none", "1", 7).code, -ESTALE);
    assert_int_equal(del("a", first).code, -ESTALE);
    assert_int_equal(del("none", 7).code, -ENOENT);
    assert_int_equal(del("none", REGISTRY_ANY).code, 0);
    assert_string_equal(get("a").value, "2");
    assert_int_equal(del("a", second).code, 0);
    assert_int_equal(get("a").code, -ENOENT);
}

static void test_a_change_of_several_rows_is_all_or_nothing(void **state)
{
    struct answer answer = {0};
    put("there", "1", REGISTRY_ABSENT);
    struct registry_operation operations[] = {
        {REGISTRY_PUT, "function", "new", "1", 1, REGISTRY_ABSENT},
        {REGISTRY_DELETE, "function", "there", NULL, 0, REGISTRY_ANY},
        {REGISTRY_PUT, "version", "new:1", "1", 1, 99},
    };
    assert_int_equal(registry_commit(registry, operations, 3, on_result, &answer), 0);
    wait_for(&answer);
    assert_int_equal(answer.code, -ESTALE);
    assert_int_equal(get("new").code, -ENOENT);
    assert_string_equal(get("there").value, "1");
    operations[2].expected_revision = REGISTRY_ABSENT;
    answer = (struct answer){0};
    assert_int_equal(registry_commit(registry, operations, 3, on_result, &answer), 0);
    wait_for(&answer);
    assert_int_equal(answer.code, 0);
    assert_int_equal(get("new").revision, answer.revision);
    assert_int_equal(get("there").code, -ENOENT);
}

static void test_a_refused_change_does_not_hurt_its_neighbours(void **state)
{
    enum { COUNT = 300 };
    static struct answer answers[COUNT];
    memset(answers, 0, sizeof(answers));
    for (int i = 0; i < COUNT; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(registry_put(registry, "function", key, STR("1"),
                                      i % 3 ? REGISTRY_ABSENT : 77, on_result, &answers[i]),
                         0);
    }
    for (int i = 0; i < COUNT; i++) {
        wait_for(&answers[i]);
        assert_int_equal(answers[i].code, i % 3 ? 0 : -ESTALE);
        assert_true(i == 0 || answers[i - 1].count == 1); // in order
    }
}

static void test_changes_that_come_during_a_commit_share_the_next(void **state)
{
    enum { COUNT = 100 };
    static struct answer answers[COUNT];
    struct registry_stats stats;
    memset(answers, 0, sizeof(answers));
    fault_arm(FAULT_HOLD, 1, 0);
    for (int i = 0; i < COUNT; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(registry_put(registry, "function", key, STR("1"), REGISTRY_ABSENT,
                                      on_result, &answers[i]),
                         0);
        if (i == 0)
            fault_wait_held(); // its commit is writing
    }
    registry_stats(registry, &stats);
    assert_int_equal(stats.waiting, COUNT - 1);
    fault_release();
    for (int i = 0; i < COUNT; i++) {
        wait_for(&answers[i]);
        assert_int_equal(answers[i].code, 0);
    }
    registry_stats(registry, &stats);
    assert_int_equal(stats.changes, COUNT);
    assert_int_equal(stats.commits, 2);
    assert_int_equal(stats.failures, 0);
    assert_int_equal(stats.waiting, 0);
}

static void test_what_is_too_large_is_refused_at_once(void **state)
{
    static char long_key[REGISTRY_KEY_MAX + 2], big[REGISTRY_VALUE_MAX + 1];
    memset(long_key, 'k', sizeof(long_key) - 1);
    struct answer answer = {0};
    assert_int_equal(
        registry_put(registry, "function", long_key, STR("1"), REGISTRY_ANY, on_result, &answer),
        -EINVAL);
    assert_int_equal(
        registry_put(registry, "function", "", STR("1"), REGISTRY_ANY, on_result, &answer),
        -EINVAL);
    assert_int_equal(registry_put(registry, "function", "k", (struct str){big, sizeof(big)},
                                  REGISTRY_ANY, on_result, &answer),
                     -EINVAL);
    assert_int_equal(registry_commit(registry, NULL, 0, on_result, &answer), -EINVAL);
    assert_int_equal(registry_put(registry, "function", "k", (struct str){big, sizeof(big) - 1},
                                  REGISTRY_ANY, on_result, &answer),
                     0);
    wait_for(&answer);
    assert_int_equal(answer.code, 0);
}

static void test_values_may_hold_any_byte(void **state)
{
    struct answer answer = {0};
    assert_int_equal(registry_put(registry, "function", "k", (struct str){"a\0b", 3}, REGISTRY_ANY,
                                  on_result, &answer),
                     0);
    wait_for(&answer);
    AUTO_BUF struct buf rows = BUF_INIT(1 << 20);
    reopen();
    assert_int_equal(registry_list(registry, "function", on_row, &rows, &err), 0);
    assert_string_equal(rows.data, "k=a@1 "); // printf stops at the NUL
}

static void test_closing_commits_what_waits(void **state)
{
    static struct answer answers[50];
    memset(answers, 0, sizeof(answers));
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%02d", i);
        assert_int_equal(
            registry_put(registry, "function", key, STR("1"), REGISTRY_ANY, on_result, &answers[i]),
            0);
    }
    reopen();
    for (int i = 0; i < 50; i++)
        assert_int_equal(answers[i].count, 1);
    AUTO_BUF struct buf rows = BUF_INIT(1 << 20);
    assert_int_equal(registry_list(registry, "function", on_row, &rows, &err), 0);
    assert_non_null(strstr(rows.data, "k00="));
    assert_non_null(strstr(rows.data, "k49="));
}

// ---- Damage

static void overwrite(const char *name, off_t offset, const char *text, size_t size)
{
    char path[5000];
    snprintf(path, sizeof(path), "%s/%s", scratch_path, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, text, size, offset), (ssize_t) size);
    close(fd);
}

static void test_a_damaged_file_is_refused_with_advice(void **state)
{
    static char rubbish[4096];
    memset(rubbish, 0xa5, sizeof(rubbish));
    for (int i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        put(key, "some value that takes a few bytes", REGISTRY_ANY);
    }
    registry_close(registry); // all of it is in the main file now
    registry = NULL;
    overwrite("registry.db", 4096, rubbish, sizeof(rubbish));
    assert_int_equal(registry_open(scratch_path, loop, &registry, &err), -EUCLEAN);
    assert_null(registry);
    assert_non_null(strstr(err.text, "is damaged"));
    assert_non_null(strstr(err.text, "put a copy in its place"));
}

static void test_a_file_that_is_no_database_is_refused(void **state)
{
    registry_close(registry);
    registry = NULL;
    overwrite("registry.db", 0, "this is not a database at all", 29);
    assert_int_equal(registry_open(scratch_path, loop, &registry, &err), -EUCLEAN);
}

static void test_a_newer_schema_is_refused(void **state)
{
    registry_close(registry);
    registry = NULL;
    overwrite("registry.db", 60, "\0\0\0\x63", 4); // the header's user_version
    assert_int_equal(registry_open(scratch_path, loop, &registry, &err), -EPROTO);
    assert_non_null(strstr(err.text, "newer Lamina"));
}

// ---- Faults

static void test_each_call_of_a_commit_failing(void **state)
{
    int failed = 0;
    put("a", "1", REGISTRY_ABSENT);
    for (int nth = 1;; nth++) {
        fault_arm(FAULT_ERROR, nth, ENOSPC);
        struct answer answer = put("a", "2", REGISTRY_ANY);
        if (fault_disarm() < nth)
            break;
        failed += answer.code < 0;
        assert_true(answer.code == 0 || answer.code == -ENOSPC || answer.code == -EIO);
        reopen();
        struct answer now = get("a");
        assert_int_equal(now.code, 0);
        if (answer.code == 0)
            assert_string_equal(now.value, "2");
        reopen();
        put("a", "1", REGISTRY_ANY);
    }
    assert_true(failed > 0);
}

static void test_after_an_io_error_nothing_more_is_promised(void **state)
{
    put("a", "1", REGISTRY_ABSENT);
    fault_arm(FAULT_ERROR_ON, 1, EIO);
    assert_int_equal(put("a", "2", REGISTRY_ANY).code, -EIO);
    fault_disarm();
    struct answer answer = put("a", "3", REGISTRY_ANY);
    assert_int_equal(answer.code, -EIO);
    assert_non_null(strstr(answer.text, "restart"));
    reopen();
    assert_string_equal(get("a").value, "1");
    assert_int_equal(put("a", "3", REGISTRY_ANY).code, 0);
}

static void test_a_full_disk_is_an_error_of_the_change_only(void **state)
{
    put("a", "1", REGISTRY_ABSENT);
    fault_arm(FAULT_ERROR_ON, 1, ENOSPC);
    assert_int_equal(put("a", "2", REGISTRY_ANY).code, -ENOSPC);
    fault_disarm();
    assert_int_equal(put("a", "3", REGISTRY_ANY).code, 0);
    assert_string_equal(get("a").value, "3");
}

// A process that puts rows until it is killed at its nth call, and writes down what was promised.
static void put_until_killed(int nth, int promised_fd)
{
    struct loop *own = loop_new();
    struct registry *ours;
    fault_arm(FAULT_KILL, nth, 0);
    if (registry_open(scratch_path, own, &ours, &err) < 0)
        _exit(1);
    for (char i = '0'; i <= '3'; i++) {
        struct answer answer = {0};
        char value[2] = {i, 0};
        if (registry_put(ours, "function", "a", str_of(value), REGISTRY_ANY, on_result, &answer) <
            0)
            _exit(1);
        while (!answer.count)
            loop_run_once(own, true);
        if (answer.code < 0)
            _exit(1);
        (void) !write(promised_fd, &i, 1); // a pipe: not counted
    }
    registry_close(ours);
    fault_disarm();
    _exit(0);
}

static void test_killed_at_each_call_what_was_promised_is_there(void **state)
{
    int steps = 0;
    for (bool is_done = false; !is_done; steps++) {
        int ends[2], status;
        char promised = 0, each;
        registry_close(registry);
        registry = NULL;
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            put_until_killed(steps + 1, ends[1]);
        close(ends[1]);
        while (read(ends[0], &each, 1) == 1)
            promised = each;
        close(ends[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        is_done = WIFEXITED(status);
        assert_true(!is_done || WEXITSTATUS(status) == 0);
        if (registry_open(scratch_path, loop, &registry, &err) < 0)
            fail_msg("step %d: %s", steps, err.text);
        struct answer now = get("a");
        if (promised)
            assert_true(now.code == 0 && now.value[0] >= promised && now.value[0] <= '3');
        assert_int_equal(del("a", REGISTRY_ANY).code, 0);
        registry_close(registry);
        registry = NULL;
        // Every second round begins from nothing: the schema's making is interrupted too.
        if (steps % 2)
            scratch_make();
        if (registry_open(scratch_path, loop, &registry, &err) < 0)
            fail_msg("step %d: %s", steps, err.text);
    }
    assert_true(steps > 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(test_rows_are_there_after_opening_again),
        TEST(test_a_change_needs_the_revision_that_it_expects),
        TEST(test_a_change_of_several_rows_is_all_or_nothing),
        TEST(test_a_refused_change_does_not_hurt_its_neighbours),
        TEST(test_changes_that_come_during_a_commit_share_the_next),
        TEST(test_what_is_too_large_is_refused_at_once),
        TEST(test_values_may_hold_any_byte),
        TEST(test_closing_commits_what_waits),
        TEST(test_a_damaged_file_is_refused_with_advice),
        TEST(test_a_file_that_is_no_database_is_refused),
        TEST(test_a_newer_schema_is_refused),
        TEST(test_each_call_of_a_commit_failing),
        TEST(test_after_an_io_error_nothing_more_is_promised),
        TEST(test_a_full_disk_is_an_error_of_the_change_only),
        TEST(test_killed_at_each_call_what_was_promised_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
