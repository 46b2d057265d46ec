// SPDX-License-Identifier: MIT
//
// The zip writer, checked by an independent reading of what it wrote: every local header against
// the directory, every content against its checksum. (tests/flow has Python's and Debian's unzip
// read the same archives.)

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "package/zip.h"
#include "package/zip_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static uint32_t u16(const unsigned char *at)
{
    return at[0] | (uint32_t) at[1] << 8;
}

static uint32_t u32(const unsigned char *at)
{
    return u16(at) | u16(at + 2) << 16;
}

struct archive {
    int fd;
    unsigned char *data;
    size_t size;
};

static struct zip_writer *begin(struct archive *archive)
{
    struct zip_writer *zip = NULL;
    struct error err = {0};

    archive->fd = memfd_create("zip", MFD_CLOEXEC);
    assert_true(archive->fd >= 0);
    if (zip_writer_new(archive->fd, &zip, &err) != 0)
        fail_msg("%s", err.text);
    return zip;
}

static void finish(struct archive *archive, struct zip_writer *zip)
{
    struct error err = {0};
    uint64_t bytes = 0;

    if (zip_finish(zip, &bytes, &err) != 0)
        fail_msg("%s", err.text);
    zip_writer_free(zip);
    archive->size = (size_t) bytes;
    assert_int_equal(lseek(archive->fd, 0, SEEK_END), (off_t) bytes);
    archive->data = malloc(archive->size);
    assert_non_null(archive->data);
    assert_int_equal(pread(archive->fd, archive->data, archive->size, 0), (ssize_t) bytes);
}

static void release(struct archive *archive)
{
    free(archive->data);
    close(archive->fd);
}

// The entry's content, from its place in the directory; *ret_mode its Unix mode.
static unsigned char *extract(const struct archive *archive, const char *name, size_t *ret_size,
                              uint32_t *ret_mode)
{
    const unsigned char *end = archive->data + archive->size - 22;
    assert_int_equal(u32(end), 0x06054b50);
    const unsigned char *at = archive->data + u32(end + 16);

    for (uint32_t i = 0; i < u16(end + 10); i++) {
        assert_int_equal(u32(at), 0x02014b50);
        size_t name_size = u16(at + 28);
        if (name_size != strlen(name) || memcmp(at + 46, name, name_size) != 0) {
            at += 46 + name_size + u16(at + 30) + u16(at + 32);
            continue;
        }
        const unsigned char *local = archive->data + u32(at + 42);
        assert_int_equal(u32(local), 0x04034b50);
        // Version to the sizes, and the name's size: the same in both places.
        assert_memory_equal(local + 4, at + 6, 24);
        assert_memory_equal(local + 30, name, name_size);
        const unsigned char *packed = local + 30 + name_size + u16(local + 28);
        size_t packed_size = u32(at + 20), size = u32(at + 24);
        unsigned char *content = malloc(size + 1);
        assert_non_null(content);
        if (u16(at + 10) == 0) {
            assert_int_equal(packed_size, size);
            memcpy(content, packed, size);
        } else {
            z_stream stream = {.next_in = (unsigned char *) (uintptr_t) packed,
                               .avail_in = (uInt) packed_size,
                               .next_out = content,
                               .avail_out = (uInt) size + 1};
            assert_int_equal(inflateInit2(&stream, -15), Z_OK);
            assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
            assert_int_equal(stream.total_out, size);
            assert_int_equal(stream.avail_in, 0);
            inflateEnd(&stream);
        }
        assert_int_equal(crc32(crc32(0, NULL, 0), content, (uInt) size), u32(at + 16));
        assert_int_equal(u16(at + 12), 0);      // 00:00:00
        assert_int_equal(u16(at + 14), 0x0021); // 1980-01-01
        *ret_size = size;
        *ret_mode = u32(at + 38) >> 16;
        return content;
    }
    fail_msg("no entry '%s'", name);
    return NULL;
}

static void expect(const struct archive *archive, const char *name, const void *content,
                   size_t size, uint32_t mode)
{
    size_t got_size;
    uint32_t got_mode;
    unsigned char *got = extract(archive, name, &got_size, &got_mode);

    assert_int_equal(got_size, size);
    if (size > 0)
        assert_memory_equal(got, content, size);
    assert_int_equal(got_mode, mode);
    free(got);
}

static unsigned char *text_like(size_t size)
{
    unsigned char *data = malloc(size);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (unsigned char) ('a' + i * i / 7 % 19);
    return data;
}

// Noise without a generator of the library: the same on every machine.
static unsigned char *noise(size_t size)
{
    unsigned char *data = malloc(size);
    uint64_t state = 88172645463325252u;
    assert_non_null(data);
    for (size_t i = 0; i < size; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data[i] = (unsigned char) state;
    }
    return data;
}

static int file_of(const void *data, size_t size)
{
    int fd = memfd_create("content", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), (ssize_t) size);
    return fd;
}

static void writes_every_kind_of_entry(void **state)
{
    size_t big = 3 * 256 * 1024 + 17;
    unsigned char *text = text_like(big), *random = noise(big);
    struct archive archive;
    struct error err = {0};
    struct zip_writer *zip = begin(&archive);
    int text_fd = file_of(text, big), noise_fd = file_of(random, big), empty_fd = file_of("", 0);

    assert_int_equal(zip_add_bytes(zip, "bootstrap", true, "#!/bin/sh\n", 10, &err), 0);
    assert_int_equal(zip_add_file(zip, "text", false, text_fd, big, &err), 0);
    assert_int_equal(zip_add_file(zip, "noise", true, noise_fd, big, &err), 0);
    assert_int_equal(zip_add_file(zip, "empty", false, empty_fd, 0, &err), 0);
    assert_int_equal(zip_add_symlink(zip, "d/link", "../text", &err), 0);
    assert_int_equal(zip_add_directory(zip, "d/leer-\xc3\xa4", &err), 0);
    finish(&archive, zip);

    expect(&archive, "bootstrap", "#!/bin/sh\n", 10, S_IFREG | 0755);
    expect(&archive, "text", text, big, S_IFREG | 0644);
    expect(&archive, "noise", random, big, S_IFREG | 0755);
    expect(&archive, "empty", "", 0, S_IFREG | 0644);
    expect(&archive, "d/link", "../text", 7, S_IFLNK | 0777);
    expect(&archive, "d/leer-\xc3\xa4/", "", 0, S_IFDIR | 0755);

    // Text was compressed, noise was stored: hardly longer than both together would be.
    assert_true(archive.size < big + big / 4);
    assert_true(archive.size > big);

    struct zip_totals totals;
    assert_int_equal(zip_totals_of(archive.data, archive.size, &totals, &err), 0);
    assert_int_equal(totals.entries, 6);
    assert_int_equal(totals.unzipped_bytes, 10 + 2 * big + 7);
    assert_true(totals.has_bootstrap);
    assert_true(totals.is_bootstrap_executable);

    close(text_fd);
    close(noise_fd);
    close(empty_fd);
    free(text);
    free(random);
    release(&archive);
}

static void writes_the_same_bytes_twice(void **state)
{
    struct archive archives[2];
    struct error err = {0};
    unsigned char *text = text_like(100000);

    for (int i = 0; i < 2; i++) {
        struct zip_writer *zip = begin(&archives[i]);
        int fd = file_of(text, 100000);
        assert_int_equal(zip_add_file(zip, "a", false, fd, 100000, &err), 0);
        assert_int_equal(zip_add_bytes(zip, "b", false, "x", 1, &err), 0);
        close(fd);
        finish(&archives[i], zip);
    }
    assert_int_equal(archives[0].size, archives[1].size);
    assert_memory_equal(archives[0].data, archives[1].data, archives[0].size);
    release(&archives[0]);
    release(&archives[1]);
    free(text);
}

static void an_empty_archive_is_one(void **state)
{
    struct archive archive;
    struct zip_totals totals;
    struct error err = {0};

    finish(&archive, begin(&archive));
    assert_int_equal(archive.size, 22);
    assert_int_equal(zip_totals_of(archive.data, archive.size, &totals, &err), 0);
    assert_int_equal(totals.entries, 0);
    release(&archive);
}

static void more_entries_than_16_bits_count(void **state)
{
    struct archive archive;
    struct zip_totals totals;
    struct error err = {0};
    struct zip_writer *zip = begin(&archive);

    for (unsigned i = 0; i < 65600; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%06u", i);
        assert_int_equal(zip_add_bytes(zip, name, false, "y", 1, &err), 0);
    }
    finish(&archive, zip);
    assert_int_equal(zip_totals_of(archive.data, archive.size, &totals, &err), 0);
    assert_int_equal(totals.entries, 65600);
    assert_int_equal(totals.unzipped_bytes, 65600);
    release(&archive);
}

// As for an entry of 4 GiB, without having one.
static void zip64_records_are_read_back(void **state)
{
    struct archive archive;
    struct zip_totals totals;
    struct error err = {0};
    struct zip_writer *zip = begin(&archive);

    zip_writer_force_zip64(zip);
    assert_int_equal(zip_add_bytes(zip, "one", false, "12345", 5, &err), 0);
    assert_int_equal(zip_add_bytes(zip, "two", false, "678", 3, &err), 0);
    finish(&archive, zip);
    assert_int_equal(zip_totals_of(archive.data, archive.size, &totals, &err), 0);
    assert_int_equal(totals.entries, 2);
    assert_int_equal(totals.unzipped_bytes, 8);

    const unsigned char *extra = archive.data + 30 + 3;
    assert_int_equal(u32(archive.data + 18), UINT32_MAX);
    assert_int_equal(u16(archive.data + 28), 20);
    assert_int_equal(u16(extra), 1);
    assert_int_equal(u32(extra + 4), 5);  // size
    assert_int_equal(u32(extra + 12), 5); // packed
    release(&archive);
}

static void refuses_bad_names_and_changing_files(void **state)
{
    struct archive archive;
    struct error err = {0};
    struct zip_writer *zip = begin(&archive);
    char *name = malloc(ZIP_NAME_BYTES_MAX + 2);
    int fd = file_of("12345", 5);

    assert_non_null(name);
    memset(name, 'n', ZIP_NAME_BYTES_MAX + 1);
    name[ZIP_NAME_BYTES_MAX + 1] = '\0';
    assert_int_equal(zip_add_bytes(zip, name, false, "", 0, &err), -ENAMETOOLONG);
    assert_int_equal(zip_add_bytes(zip, "", false, "", 0, &err), -ENAMETOOLONG);
    assert_int_equal(zip_add_file(zip, "shrank", false, fd, 6, &err), -ESTALE);
    assert_int_equal(zip_add_file(zip, "grew", false, fd, 4, &err), -ESTALE);
    zip_writer_free(zip);
    close(archive.fd);
    close(fd);
    free(name);
}

static void refuses_what_cannot_seek(void **state)
{
    struct zip_writer *zip = NULL;
    struct error err = {0};
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(zip_writer_new(ends[1], &zip, &err), -ESPIPE);
    assert_null(zip);
    close(ends[0]);
    close(ends[1]);
}

static void totals_survive_every_prefix_and_flip(void **state)
{
    struct archive archive;
    struct zip_totals totals;
    struct error err = {0};
    struct zip_writer *zip = begin(&archive);

    assert_int_equal(zip_add_bytes(zip, "bootstrap", false, "#!/bin/sh\n", 10, &err), 0);
    assert_int_equal(zip_add_symlink(zip, "l", "bootstrap", &err), 0);
    finish(&archive, zip);
    assert_int_equal(zip_totals_of(archive.data, archive.size, &totals, &err), 0);
    assert_false(totals.is_bootstrap_executable);

    for (size_t size = 0; size < archive.size; size++) {
        unsigned char *part = malloc(size + (size == 0));
        assert_non_null(part);
        memcpy(part, archive.data, size);
        assert_int_equal(zip_totals_of(part, size, &totals, &err), -EINVAL);
        free(part);
    }
    for (size_t at = 0; at < archive.size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            archive.data[at] ^= (unsigned char) (1 << bit);
            int r = zip_totals_of(archive.data, archive.size, &totals, &err);
            assert_true(r == 0 || r == -EINVAL);
            archive.data[at] ^= (unsigned char) (1 << bit);
        }
    }
    release(&archive);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_every_kind_of_entry),
        cmocka_unit_test(writes_the_same_bytes_twice),
        cmocka_unit_test(an_empty_archive_is_one),
        cmocka_unit_test(more_entries_than_16_bits_count),
        cmocka_unit_test(zip64_records_are_read_back),
        cmocka_unit_test(refuses_bad_names_and_changing_files),
        cmocka_unit_test(refuses_what_cannot_seek),
        cmocka_unit_test(totals_survive_every_prefix_and_flip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
