// SPDX-License-Identifier: MIT
//
// What every unit test includes: cmocka in the order it wants, and a few words for tables.

#ifndef LAMINA_TESTS_UNIT_UNIT_H
#define LAMINA_TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fs.h"
#include "base/str.h"

// A copy of the bytes that ends exactly at a page without access, so that reading one byte too many
// is a crash with every compiler. Freed by unit_guard_free.
struct unit_guard {
    char *data;
    void *mapping;
    size_t mapping_size;
};

static inline struct unit_guard unit_guard_new(const void *data, size_t size)
{
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    size_t room = (size + page - 1) / page * page;
    struct unit_guard guard = {.mapping_size = room + page};
    guard.mapping =
        mmap(NULL, guard.mapping_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(guard.mapping, MAP_FAILED);
    assert_int_equal(mprotect((char *) guard.mapping + room, page, PROT_NONE), 0);
    guard.data = (char *) guard.mapping + room - size;
    if (size)
        memcpy(guard.data, data, size);
    return guard;
}

static inline void unit_guard_free(struct unit_guard *guard)
{
    munmap(guard->mapping, guard->mapping_size);
}

// A new empty directory; returns a descriptor, and the path for unit_dir_remove.
static inline int unit_dir_make(char path[64])
{
    (void) snprintf(path, 64, "/tmp/lamina-unit.XXXXXX");
    assert_non_null(mkdtemp(path));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static inline void unit_dir_remove(int fd, const char *path)
{
    close(fd);
    assert_int_equal(fs_remove_tree(AT_FDCWD, path), 0);
}

#define assert_str_equal(view, text)                                                               \
    do {                                                                                           \
        struct str view_ = (view);                                                                 \
        assert_int_equal(view_.size, strlen(text));                                                \
        assert_memory_equal(view_.size ? view_.data : "", text, view_.size);                       \
    } while (0)

#endif
