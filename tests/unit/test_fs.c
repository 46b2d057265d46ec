// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/fd.h"

static char path[64];
static int dir;

static int make_dir(void **state)
{
    dir = unit_dir_make(path);
    return 0;
}

static int remove_dir(void **state)
{
    unit_dir_remove(dir, path);
    return 0;
}

static void opens_beneath_only(void **state)
{
    assert_int_equal(mkdirat(dir, "in", 0700), 0);
    assert_int_equal(symlinkat("/etc", dir, "out"), 0);
    assert_int_equal(symlinkat("in", dir, "inner"), 0);
    assert_int_equal(symlinkat("/proc/self/fd", dir, "magic"), 0);
    AUTO_FD int fd = fs_open_beneath(dir, "in", O_RDONLY | O_DIRECTORY, 0);
    assert_true(fd >= 0);
    assert_int_equal(fs_open_beneath(dir, "out/passwd", O_RDONLY, 0), -ELOOP);
    assert_int_equal(fs_open_beneath(dir, "inner/x", O_WRONLY | O_CREAT, 0600), -ELOOP);
    assert_int_equal(fs_open_beneath(dir, "magic/0", O_RDONLY, 0), -ELOOP);
    assert_int_equal(fs_open_beneath(dir, "../x", O_WRONLY | O_CREAT, 0600), -EXDEV);
    assert_int_equal(fs_open_beneath(dir, "in/../../x", O_RDONLY, 0), -EXDEV);
    assert_int_equal(fs_open_beneath(dir, "/etc/passwd", O_RDONLY, 0), -EXDEV);
    assert_int_equal(fs_open_beneath(dir, "missing", O_RDONLY, 0), -ENOENT);
    AUTO_FD int file = fs_open_beneath(dir, "in/file", O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(file >= 0);
    assert_true(fcntl(file, F_GETFD) & FD_CLOEXEC);
}

static void makes_directories(void **state)
{
    AUTO_FD int fd = fs_make_dir_open(dir, "one", 0700);
    assert_true(fd >= 0);
    AUTO_FD int again = fs_make_dir_open(dir, "one", 0700);
    assert_true(again >= 0);
    assert_int_equal(fs_make_dirs(dir, "a/b/c", 0700), 0);
    assert_int_equal(fs_make_dirs(dir, "a/b/c/", 0700), 0);
    assert_int_equal(fs_make_dirs(dir, "a/b/d", 0700), 0);
    assert_int_equal(faccessat(dir, "a/b/d", F_OK, 0), 0);
    assert_int_equal(fs_make_dirs(dir, "", 0700), -ENOENT);
}

static void writes_atomically(void **state)
{
    struct error err = {0};
    assert_int_equal(fs_write_atomically(dir, "file", "one", 3, 0640, &err), 0);
    assert_int_equal(fs_write_atomically(dir, "file", "two2", 4, 0640, &err), 0);
    AUTO_BUF struct buf buf = BUF_INIT(100);
    assert_int_equal(fs_read_file(dir, "file", &buf), 0);
    assert_str_equal(buf_str(&buf), "two2");
    struct stat st;
    assert_int_equal(fstatat(dir, "file", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(fs_write_atomically(dir, "no/file", "x", 1, 0600, &err), -ENOENT);
    assert_string_equal(err.text, "write 'no/file': No such file or directory");
    assert_int_equal(fs_make_dirs(dir, "sub", 0700), 0);
    assert_int_equal(fs_write_atomically(dir, "sub/file", "x", 1, 0600, &err), 0);
    // A target that cannot be replaced leaves no temporary file.
    assert_int_equal(fs_make_dirs(dir, "full/x", 0700), 0);
    assert_true(fs_write_atomically(dir, "full", "x", 1, 0600, &err) < 0);
    assert_int_equal(fs_remove_tree(dir, "full"), 0);
    assert_int_equal(fs_remove_tree(dir, "sub"), 0);
    assert_int_equal(unlinkat(dir, "file", 0), 0);
    // Nothing is left: the directory itself can go.
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void reads_up_to_the_maximum(void **state)
{
    static char data[200000];
    memset(data, 'x', sizeof data);
    assert_int_equal(fs_write_atomically(dir, "file", data, sizeof data, 0600, NULL), 0);
    AUTO_BUF struct buf exact = BUF_INIT(sizeof data);
    assert_int_equal(fs_read_file(dir, "file", &exact), 0);
    assert_int_equal(exact.size, sizeof data);
    AUTO_BUF struct buf small = BUF_INIT(sizeof data - 1);
    assert_int_equal(fs_read_file(dir, "file", &small), -EFBIG);
    AUTO_BUF struct buf none = BUF_INIT(10);
    assert_int_equal(fs_read_file(dir, "missing", &none), -ENOENT);
}

static void removes_trees(void **state)
{
    assert_int_equal(fs_remove_tree(dir, "missing"), 0);
    assert_int_equal(fs_remove_tree(dir, "missing/too"), 0);
    assert_int_equal(fs_make_dirs(dir, "tree/a/b", 0700), 0);
    assert_int_equal(fs_make_dirs(dir, "kept", 0700), 0);
    assert_int_equal(fs_write_atomically(dir, "kept/file", "x", 1, 0600, NULL), 0);
    assert_int_equal(fs_write_atomically(dir, "tree/a/file", "x", 1, 0400, NULL), 0);
    assert_int_equal(symlinkat("../kept", dir, "tree/link"), 0);
    assert_int_equal(fchmodat(dir, "tree/a", 0555, 0), 0); // read-only, as our farms are
    assert_int_equal(fchmodat(dir, "tree/a/b", 0, 0), 0);
    assert_int_equal(fs_remove_tree(dir, "tree/a"), 0);
    assert_int_equal(fs_remove_tree(dir, "tree"), 0);
    assert_int_equal(faccessat(dir, "tree", F_OK, 0), -1);
    assert_int_equal(faccessat(dir, "kept/file", F_OK, 0), 0);
    assert_int_equal(fs_remove_tree(dir, "kept/file"), 0);
}

static void a_tree_that_is_too_deep_stops_it(void **state)
{
    AUTO_FD int at = fd_duplicate(dir);
    for (int depth = 0; depth < FS_DEPTH_MAX + 2; depth++) {
        int next = fs_make_dir_open(at, "d", 0700);
        assert_true(next >= 0);
        (void) fd_close(at);
        at = next;
    }
    assert_int_equal(fs_remove_tree(dir, "d"), -ELOOP);
    // For the teardown: the lower part goes first.
    AUTO_FD int half = fd_duplicate(dir);
    for (int depth = 0; depth < FS_DEPTH_MAX / 2; depth++) {
        int next = fs_open_beneath(half, "d", O_RDONLY | O_DIRECTORY, 0);
        assert_true(next >= 0);
        (void) fd_close(half);
        half = next;
    }
    assert_int_equal(fs_remove_tree(half, "d"), 0);
}

static void syncs(void **state)
{
    assert_int_equal(fs_sync_all(dir), 0);
    assert_int_equal(fs_sync_dir(dir, "."), 0);
    assert_int_equal(fs_sync_all(-1), -EBADF);
    uint64_t bytes = 0;
    assert_int_equal(fs_bytes_free(dir, &bytes), 0);
    assert_true(bytes > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(opens_beneath_only),
        TEST(makes_directories),
        TEST(writes_atomically),
        TEST(reads_up_to_the_maximum),
        TEST(removes_trees),
        TEST(a_tree_that_is_too_deep_stops_it),
        TEST(syncs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
