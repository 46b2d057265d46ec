// SPDX-License-Identifier: MIT
//
// The body that carries a zip: the same bytes whatever the pieces it is read in.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client/code.h"

#include "base/base64.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ZIP_MAX 10000

static unsigned char content[ZIP_MAX];

static int make_file(size_t size)
{
    int fd = memfd_create("zip", MFD_CLOEXEC);

    assert_true(fd >= 0);
    for (size_t i = 0; i < size; i++)
        content[i] = (unsigned char) (i * 7 + i / 251);
    assert_int_equal(write(fd, content, size), (ssize_t) size);
    return fd;
}

static char *expected_body(size_t zip_size, size_t *ret_size)
{
    char *text = malloc(BASE64_ENCODED_SIZE(zip_size) + 64);

    assert_non_null(text);
    memcpy(text, "{\"ZipFile\":\"", 12);
    base64_encode(content, zip_size, text + 12);
    size_t size = 12 + BASE64_ENCODED_SIZE(zip_size);
    memcpy(text + size, "\"}", 3);
    *ret_size = size + 2;
    return text;
}

static void reads_alike_in_all_pieces(void **state)
{
    static const size_t zip_sizes[] = {0, 1, 2, 3, 4, 5, 3071, 3072, 3073, 9999, 10000};
    static const size_t pieces[] = {1, 2, 3, 5, 7, 64, 4095, 4096, 4097, 100000};

    for (size_t z = 0; z < sizeof zip_sizes / sizeof *zip_sizes; z++) {
        int fd = make_file(zip_sizes[z]);
        struct code_body body = {"{\"ZipFile\":\"", 12, "\"}", 2, fd, zip_sizes[z]};
        size_t size;
        char *expected = expected_body(zip_sizes[z], &size);
        char *got = malloc(size + 1);
        assert_non_null(got);
        assert_int_equal(code_body_size(&body), size);
        for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
            size_t at = 0;
            while (at < size) {
                size_t want = size - at < pieces[p] ? size - at : pieces[p];
                ssize_t n = code_body_read(&body, at, got + at, want);
                assert_int_equal(n, (ssize_t) want);
                at += (size_t) n;
            }
            assert_memory_equal(got, expected, size);
            assert_int_equal(code_body_read(&body, size, got, 1), 0);
        }
        free(got);
        free(expected);
        close(fd);
    }
}

static void notices_a_file_that_shrank(void **state)
{
    int fd = make_file(5000);
    struct code_body body = {"", 0, "", 0, fd, 6000};
    char *to = malloc(10000);

    assert_non_null(to);
    assert_int_equal(code_body_read(&body, 0, to, 10000), -ESTALE);
    free(to);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_alike_in_all_pieces),
        cmocka_unit_test(notices_a_file_that_shrank),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
