// SPDX-License-Identifier: MIT
//
// Unit tests of cache/hold: what comes out is the file, and nobody can change it.

#include "unit.h"

#include "base/fd.h"
#include "cache/hold.h"

#include <sys/mman.h>

#define SIZE ((size_t) 5 * 1024 * 1024 + 77)

static char *content;

static int make_content(void **state)
{
    content = malloc(SIZE);
    for (size_t i = 0; content && i < SIZE; i++)
        content[i] = (char) (i * 2654435761u >> 13);
    return content ? 0 : -1;
}

static int free_content(void **state)
{
    free(content);
    return 0;
}

static int file_of(size_t size)
{
    int fd = memfd_create("source", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, content, size), 0);
    return fd;
}

static void test_the_bytes_are_the_files(void **state)
{
    struct held held;
    AUTO_FD int source = file_of(SIZE);
    assert_int_equal(hold_file(source, SIZE, &held), 0);
    AUTO_FD int fd = held.fd;
    char *data = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(data, MAP_FAILED);
    assert_memory_equal(data, content, SIZE);
    assert_true(held.huge_bytes <= SIZE);
    munmap(data, SIZE);
}

static void test_nobody_can_change_it(void **state)
{
    struct held held;
    AUTO_FD int source = file_of(4096);
    assert_int_equal(hold_file(source, 4096, &held), 0);
    AUTO_FD int fd = held.fd;
    assert_true(write(fd, "x", 1) < 0);
    assert_true(ftruncate(fd, 1) < 0);
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    assert_true(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    AUTO_FD int again = open(path, O_RDWR | O_CLOEXEC); // the file's owner may open it so
    if (again >= 0) {
        assert_true(write(again, "x", 1) < 0);
        assert_int_equal(errno, EPERM);
        assert_true(ftruncate(again, 1) < 0);
        assert_true(ftruncate(again, 8192) < 0);
        assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0),
                         MAP_FAILED);
    }
}

static void test_what_is_shorter_or_no_file(void **state)
{
    struct held held = {.fd = -1};
    int pipe_ends[2];
    AUTO_FD int source = file_of(100);
    assert_int_equal(hold_file(source, 101, &held), -ENODATA);
    assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
    assert_int_equal(hold_file(pipe_ends[0], 1, &held), -EBADF);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    assert_int_equal(hold_file(-1, 1, &held), -EBADF);
    assert_int_equal(held.fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_bytes_are_the_files),
        cmocka_unit_test(test_nobody_can_change_it),
        cmocka_unit_test(test_what_is_shorter_or_no_file),
    };
    return cmocka_run_group_tests(tests, make_content, free_content);
}
