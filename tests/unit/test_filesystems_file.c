// SPDX-License-Identifier: MIT

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/filesystems_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FS "fs-0123456789abcdef0"
#define AP "fsap-0123456789abcdef0"

static struct filesystems_file file;

static const char good[] =
    "# models\n"
    "\n"
    "filesystem " FS " path=/srv/models uid=1000 gid=1001 uids=2000-2999 name=models\n"
    "\t filesystem fs-00000000000000001  mount=fuse.sshfs:me@host:/models,port=2222,ro  immutable "
    "\r\n"
    "filesystem fs-00000000000000002 mount=fuse.glusterfs:host:/vol as=65534:65533\n"
    "access-point " AP " " FS " root=/a/b uid=2500 gid=1001 ro\n"
    "access-point fsap-00000000000000001 fs-00000000000000001 root=/";

static int parse(const char *text, struct error *err)
{
    *err = (struct error){0};
    return filesystems_file_parse(str_of(text), &file, err);
}

static void test_lines_become_rows(void **state)
{
    (void) state;
    struct error err;
    assert_int_equal(parse(good, &err), 0);
    assert_int_equal(file.filesystem_count, 3);
    assert_int_equal(file.access_point_count, 2);
    const struct filesystem_line *line = &file.filesystems[0];
    assert_string_equal(line->id, FS);
    assert_string_equal(line->path, "/srv/models");
    assert_string_equal(line->name, "models");
    assert_int_equal(line->uid, 1000);
    assert_int_equal(line->gid, 1001);
    assert_int_equal(line->flags, 0);
    line = &file.filesystems[1];
    assert_string_equal(line->type, "sshfs");
    assert_string_equal(line->source, "me@host:/models");
    assert_string_equal(line->options, "port=2222,ro");
    assert_int_equal(line->flags, SPAWN_FILESYSTEM_RO | SPAWN_FILESYSTEM_IMMUTABLE |
                                      SPAWN_FILESYSTEM_OWN_IDENTITY | SPAWN_FILESYSTEM_FOREIGN);
    assert_int_equal(line->as_uid, SPAWN_FILESYSTEM_NO_USER);
    assert_int_equal(file.filesystems[2].as_uid, 65534);
    assert_int_equal(file.filesystems[2].as_gid, 65533);
    assert_string_equal(file.access_points[0].root, "a/b");
    assert_string_equal(file.access_points[0].filesystem_id, FS);
    assert_int_equal(file.access_points[0].flags, SPAWN_FILESYSTEM_RO);
    assert_string_equal(file.access_points[1].root, "");
    assert_int_equal(file.access_points[1].uid, SPAWN_FILESYSTEM_NO_USER);
    assert_ptr_equal(filesystems_file_find(&file, FS), &file.filesystems[0]);
    assert_null(filesystems_file_find(&file, "fs-00000000000000009"));
}

static void test_nothing_is_a_table_too(void **state)
{
    (void) state;
    struct error err;
    assert_int_equal(parse("", &err), 0);
    assert_int_equal(file.filesystem_count, 0);
}

// The line is named, and the table stays what it was.
static void test_bad_lines_are_named_and_change_nothing(void **state)
{
    (void) state;
    static const char *const bad[] = {
        "file-system " FS " path=/a uid=1 gid=1",
        "filesystem",
        "filesystem fs-1 path=/a uid=1 gid=1",
        "filesystem fs-0123456789ABCDEF0 path=/a uid=1 gid=1",
        "filesystem fs-0123456789abcdef00 path=/a uid=1 gid=1",
        "filesystem " FS,
        "filesystem " FS " uid=1 gid=1",
        "filesystem " FS " path=/a mount=fuse.x:y uid=1 gid=1",
        "filesystem " FS " path= uid=1 gid=1",
        "filesystem " FS " path=a uid=1 gid=1",
        "filesystem " FS " path=/ uid=1 gid=1",
        "filesystem " FS " path=/etc uid=1 gid=1",
        "filesystem " FS " path=/proc uid=1 gid=1",
        "filesystem " FS " path=/a/../b uid=1 gid=1",
        "filesystem " FS " path=/a/./b uid=1 gid=1",
        "filesystem " FS " path=/a//b uid=1 gid=1",
        "filesystem " FS " path=/a/ uid=1 gid=1",
        "filesystem " FS " path=/a\033[2J uid=1 gid=1",
        "filesystem " FS " path=/a path=/b uid=1 gid=1",
        "filesystem " FS " path=/a uid=0 gid=1",
        "filesystem " FS " path=/a uid=1 gid=0",
        "filesystem " FS " path=/a uid=1",
        "filesystem " FS " path=/a gid=1",
        "filesystem " FS " path=/a uid=4294967295 gid=1",
        "filesystem " FS " path=/a uid=-1 gid=1",
        "filesystem " FS " path=/a uid=root gid=1",
        "filesystem " FS " path=/a uids=1-2",
        "filesystem " FS " path=/a uid=1 gid=1 uids=2",
        "filesystem " FS " path=/a uid=1 gid=1 uids=3-2",
        "filesystem " FS " path=/a uid=1 gid=1 uids=0-2",
        "filesystem " FS " path=/a uid=1 gid=1 as=5",
        "filesystem " FS " path=/a uid=1 gid=1 root=/x",
        "filesystem " FS " path=/a uid=1 gid=1 rw",
        "filesystem " FS " path=/a uid=1 gid=1 ro=yes",
        "filesystem " FS " path=/a uid=1 gid=1 immutable=",
        "filesystem " FS " path=/a uid=1 gid=1 name=",
        "filesystem " FS " path=/a b uid=1 gid=1",
        "filesystem " FS " mount=sshfs:host:/a",
        "filesystem " FS " mount=nfs:host:/a",
        "filesystem " FS " mount=fuse.:host:/a",
        "filesystem " FS " mount=fuse.sshfs",
        "filesystem " FS " mount=fuse.sshfs:",
        "filesystem " FS " mount=fuse.sshfs:-oProxyCommand=x",
        "filesystem " FS " mount=fuse.../sshfs:host:/a",
        "filesystem " FS " mount=fuse.-x:host:/a",
        "filesystem " FS " mount=fuse.sshfs:h:/a as=0",
        "access-point",
        "access-point " AP,
        "access-point " AP " " FS,
        "access-point " AP " fs-00000000000000007 root=/a",
    };
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char text[512];
        assert_int_equal(parse("filesystem fs-00000000000000005 path=/x uid=1 gid=1", &err), 0);
        (void) snprintf(text, sizeof(text), "# first\n%s\n", bad[i]);
        if (parse(text, &err) != -EINVAL || strncmp(err.text, "line 2: ", 8) != 0)
            fail_msg("'%s' gives '%s'", bad[i], err.text);
        assert_int_equal(file.filesystem_count, 1);
        assert_string_equal(file.filesystems[0].path, "/x");
    }
}

static void test_an_access_point_only_narrows(void **state)
{
    (void) state;
    static const char *const bad[] = {
        "root=a",          "root=/a/b/c/d/e",
        "root=/..",        "root=",
        "uid=5",           "uid=1999 gid=1001",
        "uid=2500 gid=5",  "path=/a",
        "immutable",       "uid=0 gid=0",
        "root=/a root=/b", "uids=1-2",
        "mount=fuse.a:b",  "as=5",
    };
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char text[512];
        (void) snprintf(text, sizeof(text),
                        "filesystem " FS " path=/a uid=1000 gid=1001 uids=2000-2999\n"
                        "access-point " AP " " FS " %s",
                        bad[i]);
        if (parse(text, &err) != -EINVAL || strncmp(err.text, "line 2: ", 8) != 0)
            fail_msg("'%s' gives '%s'", bad[i], err.text);
    }
    // One whose users are its own has none to give.
    assert_int_equal(parse("filesystem " FS " mount=fuse.sshfs:h:/\naccess-point " AP " " FS
                           " uid=1 gid=1",
                           &err),
                     -EINVAL);
}

static void test_the_same_id_twice_is_refused(void **state)
{
    (void) state;
    struct error err;
    assert_int_equal(
        parse("filesystem " FS " path=/a uid=1 gid=1\nfilesystem " FS " path=/b uid=1 gid=1", &err),
        -EINVAL);
    assert_string_equal(err.text, "line 2: " FS " is there already");
    assert_int_equal(parse("filesystem " FS " path=/a uid=1 gid=1\naccess-point " AP " " FS
                           "\naccess-point " AP " " FS,
                           &err),
                     -EINVAL);
    assert_string_equal(err.text, "line 3: " AP " is there already");
}

static void test_there_is_a_limit_to_everything(void **state)
{
    (void) state;
    struct error err;
    char *text = calloc(1, FILESYSTEMS_FILE_BYTES_MAX + 4096), *at = text;
    for (unsigned i = 0; i <= SPAWN_FILESYSTEMS_MAX; i++)
        at += snprintf(at, 128, "filesystem fs-%017x path=/a uid=1 gid=1\n", i);
    assert_int_equal(parse(text, &err), -EINVAL);
    assert_string_equal(err.text, "line 65: more than 64 file systems");
    at = text + snprintf(text, 128, "filesystem " FS " path=/a uid=1 gid=1\n");
    for (unsigned i = 0; i <= SPAWN_ACCESS_POINTS_MAX; i++)
        at += snprintf(at, 128, "access-point fsap-%017x " FS "\n", i);
    assert_int_equal(parse(text, &err), -EINVAL);
    assert_string_equal(err.text, "line 258: more than 256 access points");
    memset(text, 'x', FILESYSTEMS_LINE_BYTES_MAX + 1);
    text[0] = '#';
    text[FILESYSTEMS_LINE_BYTES_MAX + 1] = '\0';
    assert_int_equal(parse(text, &err), -EINVAL);
    memset(text, '\n', FILESYSTEMS_FILE_BYTES_MAX + 1);
    text[FILESYSTEMS_FILE_BYTES_MAX + 1] = '\0';
    assert_int_equal(parse(text, &err), -EFBIG);
    free(text);
    const char nul[] = "filesystem " FS " path=/a\0b uid=1 gid=1";
    assert_int_equal(filesystems_file_parse(str_of_data(nul, sizeof(nul) - 1), &file, &err),
                     -EINVAL);
    char longest[SPAWN_FILESYSTEM_LABEL_SIZE + 1] = "", line[256];
    memset(longest, 'n', SPAWN_FILESYSTEM_LABEL_SIZE);
    (void) snprintf(line, sizeof(line), "filesystem " FS " path=/a uid=1 gid=1 name=%s", longest);
    assert_int_equal(parse(line, &err), -EINVAL);
}

// Whatever is cut off: an answer, and nothing is read behind the end.
static void test_every_prefix_is_read_no_further(void **state)
{
    (void) state;
    const size_t page = (size_t) sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + page, page, PROT_NONE), 0);
    for (size_t size = 0; size < sizeof(good); size++) {
        struct error err = {0};
        memcpy(map + page - size, good, size);
        int r = filesystems_file_parse(str_of_data(map + page - size, size), &file, &err);
        assert_true(r == 0 || r == -EINVAL);
    }
    munmap(map, 2 * page);
}

static void test_users_are_the_lines_own(void **state)
{
    (void) state;
    struct error err;
    assert_int_equal(parse(good, &err), 0);
    const struct filesystem_line *line = &file.filesystems[0];
    assert_true(filesystem_allows_user(line, 1000, 1001));
    assert_true(filesystem_allows_user(line, 2000, 1001));
    assert_true(filesystem_allows_user(line, 2999, 1001));
    assert_false(filesystem_allows_user(line, 3000, 1001));
    assert_false(filesystem_allows_user(line, 1000, 1000));
    assert_false(filesystem_allows_user(line, 0, 0));
    assert_false(filesystem_allows_user(line, UINT32_MAX, UINT32_MAX));
    assert_false(filesystem_allows_user(&file.filesystems[1], UINT32_MAX, UINT32_MAX));
}

static void test_paths_and_names(void **state)
{
    (void) state;
    static const char *const bad[] = {"/a",   "a/",  "a//b", ".",    "..",
                                      "a/..", "./a", "a\nb", "a\177"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(filesystem_path_is_valid(str_of(bad[i]), 4));
    assert_true(filesystem_path_is_valid(str_of(""), 4));
    assert_true(filesystem_path_is_valid(str_of("a/b/c/...d e"), 4));
    assert_false(filesystem_path_is_valid(str_of("a/b/c/d/e"), 4));
    assert_true(filesystem_name_is_valid(str_of("a-_.9Z")));
    assert_false(filesystem_name_is_valid(str_of("")));
    assert_false(filesystem_name_is_valid(str_of("..")));
    assert_false(filesystem_name_is_valid(str_of("a/b")));
    assert_false(filesystem_name_is_valid(str_of("\303\244")));
}

// Root's alone, or refused: whoever writes it decides what of the machine functions see.
static void test_the_file_must_be_roots(void **state)
{
    (void) state;
    struct error err = {0};
    char directory[] = "/tmp/test-filesystems-XXXXXX", path[64], link[64];
    assert_non_null(mkdtemp(directory));
    (void) snprintf(path, sizeof(path), "%s/conf", directory);
    (void) snprintf(link, sizeof(link), "%s/link", directory);
    assert_int_equal(filesystems_file_read(AT_FDCWD, path, &file, &err), 0); // none: none
    assert_int_equal(file.filesystem_count, 0);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    static const char text[] = "filesystem " FS " path=/a uid=1 gid=1\nx\n";
    assert_true(write(fd, text, strlen(text)) > 0);
    assert_int_equal(fchmod(fd, 0644), 0);
    if (geteuid() == 0) {
        assert_int_equal(filesystems_file_read(AT_FDCWD, path, &file, &err), -EINVAL);
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.text, "line 2"));
        assert_int_equal(ftruncate(fd, (off_t) strlen(text) - 2), 0);
        assert_int_equal(filesystems_file_read(AT_FDCWD, path, &file, &err), 0);
        assert_int_equal(file.filesystem_count, 1);
        assert_int_equal(fchmod(fd, 0664), 0);
        assert_int_equal(filesystems_file_read(AT_FDCWD, path, &file, &err), -EPERM);
        assert_int_equal(fchmod(fd, 0646), 0);
        assert_int_equal(filesystems_file_read(AT_FDCWD, path, &file, &err), -EPERM);
        assert_int_equal(fchmod(fd, 0600), 0);
        assert_int_equal(fchown(fd, 1, 0), 0);
    }
    assert_int_equal(filesystems_file_read(AT_FDCWD, path, &file, &err), -EPERM); // not root's
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(filesystems_file_read(AT_FDCWD, link, &file, &err), -ELOOP);
    assert_int_equal(filesystems_file_read(AT_FDCWD, directory, &file, &err), -EPERM);
    close(fd);
    unlink(link);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(filesystems_file_read(AT_FDCWD, path, &file, &err), -EPERM); // and no waiting
    unlink(path);
    rmdir(directory);
}

static void test_an_errno_is_one_of_awss_errors(void **state)
{
    (void) state;
    assert_int_equal(spawn_filesystem_failure(0), SPAWN_FILESYSTEM_WORKS);
    assert_int_equal(spawn_filesystem_failure(ENOENT), SPAWN_FILESYSTEM_MOUNT_FAILURE);
    assert_int_equal(spawn_filesystem_failure(ENOTCONN), SPAWN_FILESYSTEM_CONNECTIVITY);
    assert_int_equal(spawn_filesystem_failure(ETIMEDOUT), SPAWN_FILESYSTEM_TIMEOUT);
    assert_int_equal(spawn_filesystem_failure(EIO), SPAWN_FILESYSTEM_IO);
    for (uint32_t error = 1; error < 134; error++)
        assert_true(strlen(spawn_filesystem_reason(error)) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_become_rows),
        cmocka_unit_test(test_nothing_is_a_table_too),
        cmocka_unit_test(test_bad_lines_are_named_and_change_nothing),
        cmocka_unit_test(test_an_access_point_only_narrows),
        cmocka_unit_test(test_the_same_id_twice_is_refused),
        cmocka_unit_test(test_there_is_a_limit_to_everything),
        cmocka_unit_test(test_every_prefix_is_read_no_further),
        cmocka_unit_test(test_users_are_the_lines_own),
        cmocka_unit_test(test_paths_and_names),
        cmocka_unit_test(test_the_file_must_be_roots),
        cmocka_unit_test(test_an_errno_is_one_of_awss_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
