// SPDX-License-Identifier: MIT
#include "package/zip_read.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define END_BYTES 22
#define COMMENT_BYTES_MAX 65535
#define ZIP64_LOCATOR_BYTES 20
#define ZIP64_END_BYTES 56
#define ENTRY_BYTES 46
#define TAIL_BYTES_MAX (COMMENT_BYTES_MAX + END_BYTES + ZIP64_LOCATOR_BYTES + ZIP64_END_BYTES)

struct directory {
    uint64_t offset;
    uint64_t size;
    uint64_t entries;
};

static uint16_t get_16(const unsigned char *at)
{
    return (uint16_t) (at[0] | at[1] << 8);
}

static uint32_t get_32(const unsigned char *at)
{
    return get_16(at) | (uint32_t) get_16(at + 2) << 16;
}

static uint64_t get_64(const unsigned char *at)
{
    return get_32(at) | (uint64_t) get_32(at + 4) << 32;
}

static int not_a_zip(const char *why, struct error *err)
{
    return error_set(err, -EINVAL, "not a zip archive: %s", why);
}

// The zip64 end record: it must lie within the tail, right before its locator.
static int find_zip64(const unsigned char *tail, size_t end, struct directory *ret,
                      struct error *err)
{
    if (end < ZIP64_LOCATOR_BYTES + ZIP64_END_BYTES ||
        get_32(tail + end - ZIP64_LOCATOR_BYTES) != 0x07064b50)
        return not_a_zip("its zip64 records are missing", err);
    const unsigned char *record = tail + end - ZIP64_LOCATOR_BYTES - ZIP64_END_BYTES;
    if (get_32(record) != 0x06064b50)
        return not_a_zip("its zip64 records are not where they should be", err);
    ret->entries = get_64(record + 32);
    ret->size = get_64(record + 40);
    ret->offset = get_64(record + 48);
    return 0;
}

// Looks for the end record from the back. tail is the end of a file of file_size bytes.
static int find_directory(const unsigned char *tail, size_t tail_size, uint64_t file_size,
                          struct directory *ret, struct error *err)
{
    if (tail_size < END_BYTES)
        return not_a_zip("it is too short", err);
    size_t end = tail_size - END_BYTES;
    while (get_32(tail + end) != 0x06054b50 ||
           (size_t) get_16(tail + end + 20) != tail_size - end - END_BYTES) {
        if (end == 0)
            return not_a_zip("it has no end record (is it cut off?)", err);
        end--;
    }

    *ret = (struct directory){
        .entries = get_16(tail + end + 10),
        .size = get_32(tail + end + 12),
        .offset = get_32(tail + end + 16),
    };
    if (ret->entries == 0xffff || ret->size == 0xffffffff || ret->offset == 0xffffffff) {
        int r = find_zip64(tail, end, ret, err);
        if (r < 0)
            return r;
    }
    uint64_t end_offset = file_size - tail_size + end;
    if (ret->size > end_offset || ret->offset > end_offset - ret->size)
        return not_a_zip("its directory lies outside the file", err);
    return 0;
}

// The 64-bit size from an entry's extra fields, when the 32-bit one says to look there.
static uint64_t entry_size(const unsigned char *entry, const unsigned char *extra, size_t size)
{
    uint32_t short_size = get_32(entry + 24);

    if (short_size != 0xffffffff)
        return short_size;
    for (size_t at = 0; size - at >= 4;) {
        size_t field = get_16(extra + at + 2);
        if (field > size - at - 4)
            break;
        if (get_16(extra + at) == 0x0001 && field >= 8)
            return get_64(extra + at + 4);
        at += 4 + field;
    }
    return short_size;
}

static int sum_up(const unsigned char *data, size_t size, uint64_t entries, struct zip_totals *ret,
                  struct error *err)
{
    struct zip_totals totals = {0};
    size_t at = 0;

    for (; totals.entries < entries; totals.entries++) {
        if (size - at < ENTRY_BYTES || get_32(data + at) != 0x02014b50)
            return not_a_zip("its directory is damaged", err);
        const unsigned char *entry = data + at;
        size_t name_size = get_16(entry + 28);
        size_t extra_size = get_16(entry + 30);
        size_t whole = ENTRY_BYTES + name_size + extra_size + get_16(entry + 32);
        if (size - at < whole)
            return not_a_zip("its directory is damaged", err);

        uint64_t bytes = entry_size(entry, entry + ENTRY_BYTES + name_size, extra_size);
        totals.unzipped_bytes =
            totals.unzipped_bytes > UINT64_MAX - bytes ? UINT64_MAX : totals.unzipped_bytes + bytes;
        struct str name = str_of_data(entry + ENTRY_BYTES, name_size);
        if (str_equal(name, STR("bootstrap"))) {
            totals.has_bootstrap = true;
            totals.is_bootstrap_executable = (get_32(entry + 38) >> 16 & S_IXUSR) != 0;
        }
        at += whole;
    }
    *ret = totals;
    return 0;
}

int zip_totals_of(const void *data, size_t size, struct zip_totals *ret, struct error *err)
{
    size_t tail_size = size < TAIL_BYTES_MAX ? size : TAIL_BYTES_MAX;
    const unsigned char *bytes = data;
    struct directory directory;

    int r = find_directory(bytes + size - tail_size, tail_size, size, &directory, err);
    if (r < 0)
        return r;
    return sum_up(bytes + directory.offset, (size_t) directory.size, directory.entries, ret, err);
}

static int read_at(int fd, uint64_t offset, size_t size, struct buf *buf, struct error *err)
{
    int r = buf_reserve(buf, size);

    if (r < 0)
        return error_set_errno(err, r, "read the zip archive");
    while (buf->size < size) {
        ssize_t n =
            pread(fd, buf->data + buf->size, size - buf->size, (off_t) (offset + buf->size));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, -errno, "read the zip archive");
        if (n == 0)
            return not_a_zip("it became shorter while it was read", err);
        buf_advance(buf, (size_t) n);
    }
    return 0;
}

int zip_totals_of_fd(int fd, uint64_t size, struct zip_totals *ret, struct error *err)
{
    size_t tail_size = size < TAIL_BYTES_MAX ? (size_t) size : TAIL_BYTES_MAX;
    AUTO_BUF struct buf tail = BUF_INIT(TAIL_BYTES_MAX);
    AUTO_BUF struct buf central = BUF_INIT(ZIP_DIRECTORY_BYTES_MAX);
    struct directory directory;

    int r = read_at(fd, size - tail_size, tail_size, &tail, err);
    if (r == 0)
        r = find_directory((const unsigned char *) tail.data, tail.size, size, &directory, err);
    if (r < 0)
        return r;
    if (directory.size > ZIP_DIRECTORY_BYTES_MAX)
        return error_set(err, -EFBIG, "the zip archive's directory is too long");
    r = read_at(fd, directory.offset, (size_t) directory.size, &central, err);
    if (r < 0)
        return r;
    return sum_up((const unsigned char *) central.data, central.size, directory.entries, ret, err);
}
