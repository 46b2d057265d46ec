// SPDX-License-Identifier: MIT
//
// Archives, hostile and good, through the unzip job and back through the stream's reader. The hostile
// ones come from tests/hostile/hostile_zips.py, which also says what has to become of each.

#include "unit.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "deploy/work_stream.h"
#include "scratch.h"
#include "work/unzip.h"

#include <signal.h>
#include <sys/wait.h>

#define BYTES_MAX (262144000 - 1)

// What came out, as text: one line an entry.
struct outcome {
    struct buf listing;
    struct buf content; // of the file under way
};

static int on_directory(void *arg, struct str path)
{
    struct outcome *outcome = arg;
    return buf_printf(&outcome->listing, "d " STR_FORMAT "\n", STR_ARGUMENTS(path));
}

static int on_file(void *arg, struct str path, bool is_executable, int64_t mtime, uint64_t size)
{
    struct outcome *outcome = arg;
    buf_clear(&outcome->content);
    return buf_printf(&outcome->listing, "%c %llu %lld " STR_FORMAT "\n", is_executable ? 'x' : 'f',
                      (unsigned long long) size, (long long) mtime, STR_ARGUMENTS(path));
}

static int on_data(void *arg, const void *data, size_t size)
{
    struct outcome *outcome = arg;
    (void) buf_append(&outcome->content, data, size); // only the beginning is of interest
    return 0;
}

static int on_file_end(void *arg)
{
    return 0;
}

static int on_link(void *arg, struct str path, struct str target)
{
    struct outcome *outcome = arg;
    return buf_printf(&outcome->listing, "l " STR_FORMAT " -> " STR_FORMAT "\n",
                      STR_ARGUMENTS(path), STR_ARGUMENTS(target));
}

static const struct work_sink sink = {on_directory, on_file, on_data, on_file_end, on_link};

static void feed_all(int fd, struct work_stream *stream)
{
    static char data[256 * 1024];
    ssize_t n;
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    while ((n = read(fd, data, sizeof(data))) > 0)
        assert_int_equal(work_stream_feed(stream, data, (size_t) n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(work_stream_finish(stream), 0);
}

// "OK" or the reason's name.
static const char *unzip(const void *zip, size_t size, struct outcome *outcome)
{
#define NAME(name, text) #name,
    static const char *const names[] = {WORK_REASONS(NAME)};
    static struct work_stream stream;
    AUTO_FD int output = memfd_create("stream", MFD_CLOEXEC);
    assert_true(output >= 0);
    struct zip_source source = {.fd = -1, .memory = zip, .size = size};
    struct zip_limits limits = {100000, BYTES_MAX};
    assert_int_equal(unzip_run(&source, &limits, output), 0);
    buf_clear(&outcome->listing);
    work_stream_init(&stream, &sink, outcome);
    feed_all(output, &stream);
    return stream.is_refused ? names[stream.reason] : "OK";
}

static void outcome_init(struct outcome *outcome)
{
    buf_init(&outcome->listing, 64 * 1024 * 1024);
    buf_init(&outcome->content, 64 * 1024);
}

static void outcome_done(struct outcome *outcome)
{
    buf_done(&outcome->listing);
    buf_done(&outcome->content);
}

static char *zips; // the directory

static void read_case(const char *name, struct buf *zip)
{
    char path[5000];
    snprintf(path, sizeof(path), "%s/%s.zip", zips, name);
    buf_init(zip, 64 * 1024 * 1024);
    assert_int_equal(fs_read_file(AT_FDCWD, path, zip), 0);
}

static int make_zips(void **state)
{
    static char directory[5000];
    snprintf(directory, sizeof(directory), "%s/zips", scratch_make());
    zips = directory;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/usr/bin/python3", "python3", TEST_SOURCE_ROOT "/tests/hostile/hostile_zips.py",
              directory, (char *) NULL);
        _exit(127);
    }
    int status;
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static int remove_zips(void **state)
{
    scratch_remove();
    return 0;
}

static void test_every_case_has_its_outcome(void **state)
{
    char path[5000], line[200], name[100], expected[100];
    struct outcome outcome;
    int count = 0, bad = 0;
    outcome_init(&outcome);
    snprintf(path, sizeof(path), "%s/index", zips);
    FILE *index = fopen(path, "re");
    assert_non_null(index);
    while (fgets(line, sizeof(line), index)) {
        struct buf zip;
        assert_int_equal(sscanf(line, "%99s %99s", name, expected), 2);
        read_case(name, &zip);
        const char *got = unzip(zip.data ? zip.data : "", zip.size, &outcome);
        if (strcmp(got, expected) != 0) {
            print_error("%s: expected %s, got %s\n", name, expected, got);
            bad++;
        }
        buf_done(&zip);
        count++;
    }
    fclose(index);
    outcome_done(&outcome);
    assert_int_equal(bad, 0);
    assert_true(count > 100);
}

static void expect_listing(const char *name, const char *listing)
{
    struct outcome outcome;
    struct buf zip;
    outcome_init(&outcome);
    read_case(name, &zip);
    assert_string_equal(unzip(zip.data, zip.size, &outcome), "OK");
    assert_string_equal(outcome.listing.data ? outcome.listing.data : "", listing);
    buf_done(&zip);
    outcome_done(&outcome);
}

static void test_names_and_modes_come_out_clean(void **state)
{
    expect_listing("dot-slash", "f 1 315532800 bootstrap\nf 1 315532800 a/b\n");
    expect_listing("setuid", "x 1 315532800 bootstrap\n"); // and nothing of 06000 is left
    expect_listing("no-unix-modes", "f 1 315532800 bootstrap\n");
    expect_listing("dos-backslashes", "f 1 315532800 lib/a.txt\n");
    expect_listing("unix-backslash", "f 1 315532800 a\\b\n");
    expect_listing("utf8-name-unmarked", "f 1 315532800 sch\u00f6n\n");
    expect_listing("cp437-name", "f 1 315532800 sch\u00f6n\n");
    expect_listing("case", "f 1 315532800 Model\nf 1 315532800 model\nf 1 315532800 MODEL\n");
    expect_listing("python-mtime", "f 6 1700000000 a.py\n");
    expect_listing("directory-twice", "d lib\nd lib\n");
    expect_listing("links-inside", "f 1 315532800 lib/libx.so.1\nl lib/libx.so -> libx.so.1\n"
                                   "l x -> lib/libx.so\nl lib/deep/up -> ../../x\n");
}

static void test_every_prefix_is_refused(void **state)
{
    struct outcome outcome;
    struct buf zip;
    outcome_init(&outcome);
    read_case("zip64", &zip);
    for (size_t size = 0; size < zip.size; size++) {
        // A copy of just that size: a read past the end is a fault under the sanitizer.
        AUTO_FREE char *prefix = mem_copy(zip.data, size ? size : 1);
        assert_string_not_equal(unzip(prefix, size, &outcome), "OK");
    }
    buf_done(&zip);
    outcome_done(&outcome);
}

static void test_no_changed_byte_changes_the_content_unseen(void **state)
{
    struct outcome outcome, good;
    struct buf zip;
    outcome_init(&outcome);
    outcome_init(&good);
    read_case("descriptor", &zip);
    assert_string_equal(unzip(zip.data, zip.size, &good), "OK");
    for (size_t i = 0; i < zip.size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            zip.data[i] ^= (char) (1 << bit);
            if (strcmp(unzip(zip.data, zip.size, &outcome), "OK") == 0) {
                assert_int_equal(outcome.content.size, good.content.size);
                assert_memory_equal(outcome.content.data, good.content.data, good.content.size);
            }
            zip.data[i] ^= (char) (1 << bit);
        }
    }
    buf_done(&zip);
    outcome_done(&outcome);
    outcome_done(&good);
}

static void test_files_of_every_size_come_through(void **state)
{
    // Around every buffer on the way: 32 and 64 KiB of the stream, 256 KiB of a frame.
    static const size_t sizes[] = {1,      32767,  32768,  32769,  33000,  40000,  65000,
                                   65504,  65535,  65536,  65537,  98304,  131072, 262143,
                                   262144, 262145, 300000, 524288, 560000, 1900000};
    struct outcome outcome;
    outcome_init(&outcome);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (int is_stored = 0; is_stored < 2; is_stored++) {
            char name[40], expected[80];
            struct buf zip;
            snprintf(name, sizeof(name), "size-%s-%zu", is_stored ? "stored" : "deflated",
                     sizes[i]);
            read_case(name, &zip);
            assert_string_equal(unzip(zip.data, zip.size, &outcome), "OK");
            snprintf(expected, sizeof(expected), "f %zu 315532800 a\nf %zu 315532800 b\n", sizes[i],
                     sizes[i]);
            assert_string_equal(outcome.listing.data, expected);
            buf_done(&zip);
        }
    }
    outcome_done(&outcome);
}

static void test_entries_past_the_limit_are_refused(void **state)
{
    AUTO_FD int output = memfd_create("stream", MFD_CLOEXEC);
    struct buf zip;
    struct work_frame frame;
    read_case("case", &zip); // three entries
    struct zip_source source = {.fd = -1, .memory = (uint8_t *) zip.data, .size = zip.size};
    assert_int_equal(unzip_run(&source, &(struct zip_limits){2, 0}, output), 0);
    assert_int_equal(pread(output, &frame, sizeof(frame), sizeof(struct work_hello)),
                     sizeof(frame));
    assert_int_equal(frame.type, WORK_REFUSED);
    assert_int_equal(frame.code, WORK_REASON_TOO_MANY);
    assert_int_equal(frame.total, 3);
    buf_done(&zip);
}

static void test_bytes_past_the_limit_are_refused_before_any_comes_out(void **state)
{
    AUTO_FD int output = memfd_create("stream", MFD_CLOEXEC);
    struct buf zip;
    struct work_frame frame;
    read_case("case", &zip); // three bytes
    struct zip_source source = {.fd = -1, .memory = (uint8_t *) zip.data, .size = zip.size};
    assert_int_equal(unzip_run(&source, &(struct zip_limits){10, 2}, output), 0);
    assert_int_equal(pread(output, &frame, sizeof(frame), sizeof(struct work_hello)),
                     sizeof(frame));
    assert_int_equal(frame.type, WORK_REFUSED);
    assert_int_equal(frame.code, WORK_REASON_TOO_LARGE);
    buf_done(&zip);
}

static void test_a_reader_that_left_ends_the_job(void **state)
{
    int ends[2];
    struct buf zip;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    read_case("good", &zip);
    struct zip_source source = {.fd = -1, .memory = (uint8_t *) zip.data, .size = zip.size};
    assert_int_equal(unzip_run(&source, &(struct zip_limits){10, 0}, ends[1]), -EPIPE);
    close(ends[1]);
    buf_done(&zip);
}

static void test_links_must_stay_inside(void **state)
{
    static const struct {
        const char *path, *target;
        bool is_inside;
    } table[] = {
        {"a", "b", true},          {"a", "b/c", true},         {"a/b", "../c", true},
        {"a/b", "../../c", false}, {"a", "..", false},         {"a/b", "..", true},
        {"a/b", ".././c", true},   {"a/b", "c/../d", false},   {"a", "/etc", false},
        {"a", ".", true},          {"a/b/c", "../..", true},   {"a/b/c", "../../../x", false},
        {"a", "b//c", true},       {"a/b", "..//../c", false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_int_equal(zip_link_stays_inside(table[i].path, strlen(table[i].path),
                                               table[i].target, strlen(table[i].target)),
                         table[i].is_inside);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_case_has_its_outcome),
        cmocka_unit_test(test_names_and_modes_come_out_clean),
        cmocka_unit_test(test_every_prefix_is_refused),
        cmocka_unit_test(test_no_changed_byte_changes_the_content_unseen),
        cmocka_unit_test(test_files_of_every_size_come_through),
        cmocka_unit_test(test_entries_past_the_limit_are_refused),
        cmocka_unit_test(test_bytes_past_the_limit_are_refused_before_any_comes_out),
        cmocka_unit_test(test_a_reader_that_left_ends_the_job),
        cmocka_unit_test(test_links_must_stay_inside),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, make_zips, remove_zips);
}
