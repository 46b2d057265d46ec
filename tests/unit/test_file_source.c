// SPDX-License-Identifier: MIT
//
// Files of file systems: what is read, when, and what a look says when the file, its server or its clock misbehave.

#include "unit.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "fetch/file_source.h"
#include "store_bench.h"
#include "wire/spawn.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#define OLD_NS (INT64_C(1700000000) * CLOCK_NS_PER_S)

// lamina-spawn's part, on a thread: answers each FILE as `script` says.
static struct script {
    struct spawn_file_is is;
    const char *content;
    struct spawn_file_end end; // bytes and what is 0 are filled in from `is`
    bool says_nothing;         // the file system's process dies
} script;
static atomic_uint looks, reads;
static int channel[2];
static pthread_t thread;
static struct file_source *source;
static struct spawn_file last;
static int64_t written_ns; // not 0: between a look and its read

static void answer_read(int status, int output)
{
    struct spawn_file_end end = script.end;
    end.head =
        (struct spawn_head){.version = SPAWN_VERSION, .type = SPAWN_FILE_END, .size = sizeof(end)};
    end.bytes = strlen(script.content);
    end.size = end.size ? end.size : script.is.size;
    end.mtime_ns = end.mtime_ns ? end.mtime_ns : script.is.mtime_ns;
    end.ctime_ns = end.ctime_ns ? end.ctime_ns : script.is.ctime_ns;
    assert_int_equal(fd_write_all(output, script.content, strlen(script.content)), 0);
    fd_close(output);
    assert_int_equal(fd_send_packet(status, &end, sizeof(end), NULL, 0), 0);
}

static void *serve(void *arg)
{
    int fds[2];
    size_t count = 0;
    while (fd_receive_packet(channel[1], &last, sizeof(last), fds, 2, &count) ==
           (ssize_t) sizeof(last)) {
        struct spawn_file_is is = script.is;
        is.head = (struct spawn_head){
            .version = SPAWN_VERSION, .type = SPAWN_FILE_IS, .size = sizeof(is)};
        bool is_read = last.flags & SPAWN_FILE_READ;
        if (is_read && written_ns)
            is.mtime_ns = is.ctime_ns = script.is.mtime_ns = script.is.ctime_ns = written_ns;
        atomic_fetch_add(is_read ? &reads : &looks, 1);
        if (!script.says_nothing)
            assert_int_equal(fd_send_packet(fds[0], &is, sizeof(is), NULL, 0), 0);
        if (is_read && !script.says_nothing && !is.error)
            answer_read(fds[0], fds[1]);
        else if (is_read)
            fd_close(fds[1]);
        fd_close(fds[0]);
    }
    return arg;
}

static void file_is(const char *content, int64_t mtime_ns, uint32_t flags)
{
    script = (struct script){.content = content,
                             .is = {.size = strlen(content),
                                    .inode = 7,
                                    .device = 8,
                                    .mtime_ns = mtime_ns,
                                    .ctime_ns = mtime_ns,
                                    .flags = flags}};
}

static int begin(void **state)
{
    OK(set_up(state));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel), 0);
    atomic_store(&looks, 0);
    atomic_store(&reads, 0);
    err = (struct error){0};
    assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
    return file_source_new(channel[0], store, NULL, &source);
}

static int end(void **state)
{
    shutdown(channel[0], SHUT_RDWR);
    pthread_join(thread, NULL);
    fd_close(channel[0]);
    fd_close(channel[1]);
    file_source_free(source);
    return tear_down(state);
}

static const struct file_place place = {
    .use = {.filesystem_id = "fs-0123456789abcdef0", .root = "models"}, .path = "a/m.onnx"};

static int ask(struct file_question *question)
{
    err = (struct error){0};
    return file_source_look(source, &place, question, &err);
}

static int ask_anew(struct file_question *question)
{
    *question = (struct file_question){0};
    return ask(question);
}

static int64_t now_ns(void)
{
    return clock_wall_ms() * CLOCK_NS_PER_MS;
}

static void test_a_file_that_is_known_is_not_read_again(void **state)
{
    struct file_question question;
    file_is("weights", OLD_NS, 0);
    OK(ask_anew(&question));
    struct digest digest = digest_of("weights", 7);
    assert_non_null(question.staged);
    assert_true(digest_equal(&question.digest, &digest));
    assert_string_equal(last.path, "a/m.onnx");
    assert_string_equal(last.use.root, "models");
    store_file_free(question.staged);
    OK(ask_anew(&question));
    assert_null(question.staged);
    assert_true(digest_equal(&question.digest, &digest));
    assert_int_equal(question.bytes, 7);
    assert_int_equal(atomic_load(&reads), 1);
    file_source_forget(source, &place);
    OK(ask_anew(&question));
    assert_non_null(question.staged);
    store_file_free(question.staged);
}

static void test_any_other_stat_is_read(void **state)
{
    struct file_question question;
    file_is("weights", OLD_NS, 0);
    OK(ask_anew(&question));
    store_file_free(question.staged);
    for (int i = 0; i < 4; i++) {
        file_is("WEIGHTS", OLD_NS + (i == 0), 0);
        script.is.ctime_ns += i == 1;
        script.is.inode += i == 2;
        script.is.device += i == 3;
        OK(ask_anew(&question));
        assert_non_null(question.staged);
        store_file_free(question.staged);
    }
}

static void test_inodes_do_not_count_over_fuse(void **state)
{
    struct file_question question;
    file_is("weights", OLD_NS, SPAWN_FILESYSTEM_FOREIGN);
    OK(ask_anew(&question));
    store_file_free(question.staged);
    script.is.inode++;
    OK(ask_anew(&question));
    assert_null(question.staged);
}

static void test_a_young_file_over_fuse_is_waited_for(void **state)
{
    struct file_question question;
    file_is("weights", now_ns() - 500 * CLOCK_NS_PER_MS, SPAWN_FILESYSTEM_FOREIGN);
    assert_int_equal(ask_anew(&question), FILE_AGAIN);
    assert_in_range(question.again_ms, 1, FILE_SETTLE_MS);
    assert_int_equal(atomic_load(&reads), 0);
    script.is.mtime_ns = script.is.ctime_ns = OLD_NS;
    OK(ask(&question));
    store_file_free(question.staged);
    assert_int_equal(atomic_load(&reads), 1);
}

static void test_a_clock_that_is_ahead_keeps_nobody_waiting(void **state)
{
    struct file_question question;
    file_is("weights", now_ns() + 3600 * CLOCK_NS_PER_S, SPAWN_FILESYSTEM_FOREIGN);
    assert_int_equal(ask_anew(&question), FILE_AGAIN);
    assert_int_equal(question.again_ms, FILE_SETTLE_MS);
    OK(ask(&question)); // the same after that time
    store_file_free(question.staged);
    OK(ask_anew(&question));
    assert_null(question.staged);
}

static void test_a_young_file_of_a_directory_is_read_at_once(void **state)
{
    struct file_question question;
    file_is("weights", now_ns(), 0);
    OK(ask_anew(&question));
    store_file_free(question.staged);
    OK(ask_anew(&question)); // just read: once more only when two seconds have passed
    assert_null(question.staged);
}

// What is as old as it must be is what was read, not what was looked at before.
static void test_one_that_is_written_between_look_and_read_is_read_again(void **state)
{
    struct file_question question;
    file_is("weights", OLD_NS, 0);
    written_ns = now_ns();
    OK(ask_anew(&question));
    store_file_free(question.staged);
    written_ns = 0;
    script.content = "WEIGHTS"; // within the same tick
    assert_int_equal(poll(NULL, 0, FILE_SETTLE_MS), 0);
    OK(ask_anew(&question));
    assert_non_null(question.staged);
    store_file_free(question.staged);
    struct digest digest = digest_of("WEIGHTS", 7);
    assert_true(digest_equal(&question.digest, &digest));
}

static void test_a_torn_read_is_never_taken(void **state)
{
    struct file_question question = {0};
    file_is("half of", OLD_NS, 0);
    script.end.mtime_ns = OLD_NS + 1;
    for (int i = 1; i < FILE_TORN_MAX; i++) {
        assert_int_equal(ask(&question), FILE_AGAIN);
        assert_null(question.staged);
    }
    assert_int_equal(ask(&question), -ESTALE);
    assert_non_null(strstr(err.text, "written to"));
    script.end = (struct spawn_file_end){.size = 3};
    assert_int_equal(ask_anew(&question), FILE_AGAIN);
    script.end = (struct spawn_file_end){0};
    script.is.size = 8; // one byte less came than the file has
    assert_int_equal(ask_anew(&question), FILE_AGAIN);
}

static void test_an_error_in_the_middle_leaves_nothing(void **state)
{
    struct file_question question;
    file_is("half of", OLD_NS, 0);
    script.end.error = EIO;
    assert_int_equal(ask_anew(&question), -EIO);
    assert_null(question.staged);
    assert_string_equal(err.text, "fs-0123456789abcdef0:/models/a/m.onnx: reading it failed");
    assert_int_equal(ask_anew(&question), -EIO);
    assert_int_equal(atomic_load(&reads), 2);
}

static void test_refusals_name_the_file(void **state)
{
    static const int codes[] = {ENOENT, EISDIR, EINVAL, EACCES, ELOOP, EXDEV, ENOTCONN, EAGAIN};
    struct file_question question;
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        file_is("", OLD_NS, 0);
        script.is.error = (uint32_t) codes[i];
        assert_int_equal(ask_anew(&question), -codes[i]);
        assert_non_null(strstr(err.text, "fs-0123456789abcdef0:/models/a/m.onnx: "));
    }
    file_is("", OLD_NS, 0);
    script.says_nothing = true;
    assert_int_equal(ask_anew(&question), -ECONNABORTED);
}

static void test_one_that_does_not_answer_is_not_asked_by_all(void **state)
{
    struct file_question question;
    file_is("weights", OLD_NS, 0);
    script.is.error = ETIMEDOUT;
    assert_int_equal(ask_anew(&question), -ETIMEDOUT);
    assert_int_equal(ask_anew(&question), -ETIMEDOUT);
    assert_non_null(strstr(err.text, "a moment ago"));
    assert_int_equal(atomic_load(&looks), 1);
    struct file_place other = place;
    other.use.filesystem_id[5] = 'f';
    question = (struct file_question){0};
    file_is("weights", OLD_NS, 0);
    OK(file_source_look(source, &other, &question, &err));
    store_file_free(question.staged);
}

static void test_an_immutable_file_is_not_read(void **state)
{
    struct file_question question;
    file_is("weights", now_ns(), SPAWN_FILESYSTEM_FOREIGN | SPAWN_FILESYSTEM_IMMUTABLE);
    OK(ask_anew(&question));
    assert_true(question.is_in_place);
    assert_int_equal(question.bytes, 7);
    assert_null(question.staged);
    assert_int_equal(atomic_load(&reads), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_file_that_is_known_is_not_read_again),
        TEST(test_any_other_stat_is_read),
        TEST(test_inodes_do_not_count_over_fuse),
        TEST(test_a_young_file_over_fuse_is_waited_for),
        TEST(test_a_clock_that_is_ahead_keeps_nobody_waiting),
        TEST(test_a_young_file_of_a_directory_is_read_at_once),
        TEST(test_one_that_is_written_between_look_and_read_is_read_again),
        TEST(test_a_torn_read_is_never_taken),
        TEST(test_an_error_in_the_middle_leaves_nothing),
        TEST(test_refusals_name_the_file),
        TEST(test_one_that_does_not_answer_is_not_asked_by_all),
        TEST(test_an_immutable_file_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
