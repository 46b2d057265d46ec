/* SPDX-License-Identifier: MIT
 *
 * The logs of functions on disk: written by a thread, read back in order, bounded, forgotten. */
#include "instance/log_writer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "loop/loop.h"

#include "unit.h"

#define STREAM "2026/01/02/[$LATEST]0123456789abcdef0123456789abcdef"
#define DEADLINE_MS 60000

struct fixture {
    struct loop *loop;
    char path[64];
    int dir;
    struct log_writer *writer;
};

struct got {
    int done, error;
    size_t n;
    uint64_t first, last;
    char text[4096]; /* the lines, joined */
};

static int setup(void **state)
{
    struct fixture *fixture = mem_new(struct fixture);
    struct error err = {0};
    fixture->loop = loop_new();
    fixture->dir = unit_dir_make(fixture->path);
    assert_int_equal(log_writer_new(fixture->loop, dup(fixture->dir), &fixture->writer, &err), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    log_writer_free(fixture->writer);
    loop_free(fixture->loop);
    unit_dir_remove(fixture->dir, fixture->path);
    free(fixture);
    return 0;
}

static void on_read(void *arg, int error, const struct log_event *events, size_t n)
{
    struct got *got = arg;
    struct buf text;
    buf_init(&text, sizeof(got->text) - 1);
    got->done++;
    got->error = error;
    got->n = n;
    for (size_t i = 0; i < n; i++) {
        assert_true(str_equal_text(events[i].stream, STREAM));
        if (i > 0)
            assert_true(events[i].position > events[i - 1].position);
        buf_append_str(&text, events[i].text);
        buf_append_byte(&text, '|');
    }
    if (n > 0) {
        got->first = events[0].position;
        got->last = events[n - 1].position;
    }
    snprintf(got->text, sizeof(got->text), "%s", text.data ? text.data : "");
    buf_done(&text);
}

static struct got read_back(struct fixture *fixture, const char *function, uint64_t after,
                            size_t limit)
{
    struct got got = {0};
    int64_t until = clock_monotonic_ms() + DEADLINE_MS;
    log_writer_read(fixture->writer, function, after, limit, on_read, &got);
    while (!got.done && clock_monotonic_ms() < until)
        loop_run_once(fixture->loop, true);
    assert_int_equal(got.done, 1);
    assert_int_equal(got.error, 0);
    return got;
}

static void put(struct fixture *fixture, const char *function, const char *lines)
{
    log_writer_put(fixture->writer, function, STREAM, str_of(lines));
}

static void lines_come_back_in_order(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "f", "one\ntwo\n");
    put(fixture, "g", "other\n");
    put(fixture, "f", "three\n");
    struct got got = read_back(fixture, "f", 0, 100);
    assert_string_equal(got.text, "one|two|three|");
    assert_string_equal(read_back(fixture, "g", 0, 100).text, "other|");
    assert_int_equal(read_back(fixture, "never", 0, 100).n, 0);
}

static void the_last_ones_or_those_after_a_position(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "f", "1\n2\n3\n4\n5\n");
    struct got got = read_back(fixture, "f", 0, 2);
    assert_string_equal(got.text, "4|5|");
    put(fixture, "f", "6\n7\n8\n");
    assert_string_equal(read_back(fixture, "f", got.last, 2).text, "6|7|");
    assert_string_equal(read_back(fixture, "f", got.first, 100).text, "5|6|7|8|");
    assert_int_equal(read_back(fixture, "f", UINT64_MAX, 100).n, 0);
    assert_int_equal(read_back(fixture, "f", 0, 0).n, 0);
}

static void a_read_sees_all_that_was_put_before_and_nothing_after(void **state)
{
    struct fixture *fixture = *state;
    struct got got = {0};
    put(fixture, "f", "before\n");
    log_writer_read(fixture->writer, "f", 0, 10, on_read, &got);
    put(fixture, "f", "after\n");
    while (!got.done)
        loop_run_once(fixture->loop, true);
    assert_string_equal(got.text, "before|");
    assert_string_equal(read_back(fixture, "f", 0, 10).text, "before|after|");
}

static void lines_survive_the_writer(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    put(fixture, "f", "kept\n");
    log_writer_free(fixture->writer);
    assert_int_equal(log_writer_new(fixture->loop, dup(fixture->dir), &fixture->writer, &err), 0);
    put(fixture, "f", "newer\n");
    assert_string_equal(read_back(fixture, "f", 0, 10).text, "kept|newer|");
}

static void a_line_is_cut_and_binary_is_kept(void **state)
{
    struct fixture *fixture = *state;
    size_t size = LOG_LINE_BYTES_MAX + 1000;
    char *line = malloc(size);
    assert_non_null(line);
    memset(line, 'x', size - 1);
    line[size - 1] = '\n';
    log_writer_put(fixture->writer, "f", STREAM, str_of_data(line, size));
    log_writer_put(fixture->writer, "f", STREAM, str_of_data("a\0b \xff\n", 6));
    free(line);
    struct got got = read_back(fixture, "f", 0, 1);
    assert_memory_equal(got.text, "a\0", 2);
    assert_int_equal(read_back(fixture, "f", 0, 10).n, 2);
}

static void what_a_power_cut_left_half_written_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    const char broken[] = "1234 no-stream\nxyz\n\n00000000000000000";
    int fd = openat(fixture->dir, "f.log", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, broken, sizeof(broken) - 1), sizeof(broken) - 1);
    close(fd);
    put(fixture, "f", "lost with the half line before it\nwhole\n");
    assert_string_equal(read_back(fixture, "f", 0, 10).text, "whole|");
}

static void the_file_is_bounded(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    size_t size = 1 << 20;
    char *block = malloc(size);
    assert_non_null(block);
    memset(block, 'y', size);
    for (size_t i = 99; i < size; i += 100)
        block[i] = '\n';
    block[size - 1] = '\n';
    for (int i = 0; i < 40; i++) {
        log_writer_put(fixture->writer, "f", STREAM, str_of_data(block, size));
        (void) read_back(fixture, "f", UINT64_MAX, 1); /* lets it be written */
    }
    free(block);
    put(fixture, "f", "last\n");
    assert_string_equal(read_back(fixture, "f", 0, 1).text, "last|");
    off_t total = 0;
    if (fstatat(fixture->dir, "f.log", &status, 0) == 0)
        total += status.st_size;
    assert_int_equal(fstatat(fixture->dir, "f.log.1", &status, 0), 0);
    total += status.st_size;
    assert_true(total <= 2 * LOG_FILE_BYTES_MAX + 4 * LOG_RING_BYTES);
    assert_int_equal(log_writer_dropped(fixture->writer), 0);
}

static void a_full_ring_drops_and_counts(void **state)
{
    struct fixture *fixture = *state;
    size_t size = 3 * (LOG_RING_BYTES / 4);
    char *block = malloc(size);
    uint64_t dropped = 0;
    assert_non_null(block);
    memset(block, 'x', size);
    for (size_t i = 1023; i < size; i += 1024)
        block[i] = '\n';
    /* Two at once are more than the ring; the thread may be quick, but not always. */
    for (int i = 0; i < 1000 && dropped == 0; i++) {
        log_writer_put(fixture->writer, "f", STREAM, str_of_data(block, size));
        log_writer_put(fixture->writer, "f", STREAM, str_of_data(block, size));
        dropped = log_writer_dropped(fixture->writer);
    }
    free(block);
    assert_int_equal(dropped % (size / 1024), 0);
    assert_true(dropped > 0);
}

static void a_forgotten_function_has_no_files(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "f", "x\n");
    log_writer_forget(fixture->writer, "f");
    assert_int_equal(read_back(fixture, "f", 0, 10).n, 0);
    assert_int_equal(faccessat(fixture->dir, "f.log", F_OK, 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(lines_come_back_in_order),
        TEST(the_last_ones_or_those_after_a_position),
        TEST(a_read_sees_all_that_was_put_before_and_nothing_after),
        TEST(lines_survive_the_writer),
        TEST(a_line_is_cut_and_binary_is_kept),
        TEST(what_a_power_cut_left_half_written_is_passed_over),
        TEST(the_file_is_bounded),
        TEST(a_full_ring_drops_and_counts),
        TEST(a_forgotten_function_has_no_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
