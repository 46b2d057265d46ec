// SPDX-License-Identifier: MIT
#include "package/zip.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define BLOCK_BYTES ((size_t) 256 << 10)
#define DEFLATE_LEVEL 6
#define METHOD_STORED 0
#define METHOD_DEFLATED 8
#define FLAG_UTF8 0x0800
#define DOS_DATE_1980_01_01 0x0021
#define SIZE_32_MAX UINT32_C(0xffffffff)
#define COUNT_16_MAX UINT32_C(0xffff)
#define VERSION_DEFLATE 20
#define VERSION_ZIP64 45
#define MADE_ON_UNIX (3 << 8)
#define DIRECTORY_BYTES_MAX ((size_t) 1 << 30)

struct zip_writer {
    int fd;          // borrowed
    uint64_t start;  // where the archive begins in the file
    uint64_t offset; // bytes of the archive written so far
    uint64_t count;
    struct buf directory; // the central directory, growing
    z_stream deflater;
    bool has_deflater;
    bool is_zip64_forced;
    unsigned char input[BLOCK_BYTES];
    unsigned char output[BLOCK_BYTES + BLOCK_BYTES / 8];
};

// What an entry is read from: memory, or a file from its start.
struct source {
    const unsigned char *data; // NULL: the file
    int fd;
    uint64_t size;
    uint64_t taken;
};

struct entry {
    const char *name;
    size_t name_size;
    uint32_t mode; // with the file type
    uint64_t header_offset;
    uint64_t size;
    uint64_t packed_size;
    uint32_t crc;
    uint16_t method;
    bool is_zip64; // the local header has room for 64-bit sizes
};

static void put_16(struct buf *buf, uint16_t value)
{
    unsigned char bytes[] = {(unsigned char) value, (unsigned char) (value >> 8)};

    buf_append(buf, bytes, sizeof bytes);
}

static void put_32(struct buf *buf, uint32_t value)
{
    put_16(buf, (uint16_t) value);
    put_16(buf, (uint16_t) (value >> 16));
}

static void put_64(struct buf *buf, uint64_t value)
{
    put_32(buf, (uint32_t) value);
    put_32(buf, (uint32_t) (value >> 32));
}

static uint32_t clamp_32(uint64_t value)
{
    return value >= SIZE_32_MAX ? SIZE_32_MAX : (uint32_t) value;
}

int zip_writer_new(int fd, struct zip_writer **ret, struct error *err)
{
    off_t end = lseek(fd, 0, SEEK_END);

    if (end < 0)
        return error_set_errno(err, -errno, "write a zip archive");
    struct zip_writer *zip = mem_new(struct zip_writer);
    if (zip == NULL)
        return error_set(err, -ENOMEM, "no memory for a zip archive");
    zip->fd = fd;
    zip->start = (uint64_t) end;
    buf_init(&zip->directory, DIRECTORY_BYTES_MAX);
    // Negative window bits: raw DEFLATE, without zlib's header and checksum.
    if (deflateInit2(&zip->deflater, DEFLATE_LEVEL, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
        zip_writer_free(zip);
        return error_set(err, -ENOMEM, "no memory for a zip archive");
    }
    zip->has_deflater = true;
    *ret = zip;
    return 0;
}

void zip_writer_free(struct zip_writer *zip)
{
    if (zip == NULL)
        return;
    if (zip->has_deflater)
        (void) deflateEnd(&zip->deflater); // Z_DATA_ERROR only says that input was left over
    buf_done(&zip->directory);
    free(zip);
}

void zip_writer_force_zip64(struct zip_writer *zip)
{
    zip->is_zip64_forced = true;
}

static int archive_write(struct zip_writer *zip, const void *data, size_t size, struct error *err)
{
    int r = fd_write_all(zip->fd, data, size);

    if (r < 0)
        return error_set_errno(err, r, "write the zip archive");
    zip->offset += size;
    return 0;
}

// The next block into zip->input. Returns its size, 0 at the end.
static ssize_t source_next(struct zip_writer *zip, struct source *source, const char *name,
                           struct error *err)
{
    uint64_t left = source->size - source->taken;
    size_t want = left < BLOCK_BYTES ? (size_t) left : BLOCK_BYTES;
    size_t got = 0;

    if (source->data != NULL) {
        if (want > 0)
            memcpy(zip->input, source->data + source->taken, want);
        got = want;
    }
    while (got < want) {
        ssize_t n = pread(source->fd, zip->input + got, want - got, (off_t) (source->taken + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, -errno, "read '%s'", name);
        if (n == 0)
            return error_set(err, -ESTALE, "'%s' became shorter while it was read", name);
        got += (size_t) n;
    }
    source->taken += got;
    return (ssize_t) got;
}

static int source_check_end(const struct source *source, const char *name, struct error *err)
{
    struct stat st;

    if (source->data != NULL || source->fd < 0)
        return 0;
    if (fstat(source->fd, &st) < 0)
        return error_set_errno(err, -errno, "read '%s'", name);
    if ((uint64_t) st.st_size != source->size)
        return error_set(err, -ESTALE, "'%s' changed its size while it was read", name);
    return 0;
}

// Runs the deflater over one block and writes what comes out.
static int deflate_block(struct zip_writer *zip, size_t size, bool is_last, struct error *err)
{
    z_stream *stream = &zip->deflater;

    stream->next_in = zip->input;
    stream->avail_in = (uInt) size;
    do {
        stream->next_out = zip->output;
        stream->avail_out = sizeof zip->output;
        if (deflate(stream, is_last ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_ERROR)
            return error_set(err, -EIO, "zlib refused to compress");
        int r = archive_write(zip, zip->output, sizeof zip->output - stream->avail_out, err);
        if (r < 0)
            return r;
    } while (stream->avail_out == 0);
    return 0;
}

// Whether the first block shrinks by a tenth at least. Tried, not guessed from the name.
static bool is_compressible(struct zip_writer *zip, size_t size)
{
    z_stream *stream = &zip->deflater;

    if (deflateReset(stream) != Z_OK)
        return false;
    stream->next_in = zip->input;
    stream->avail_in = (uInt) size;
    stream->next_out = zip->output;
    stream->avail_out = sizeof zip->output;
    bool is_whole = deflate(stream, Z_FINISH) == Z_STREAM_END;
    size_t packed = sizeof zip->output - stream->avail_out;
    return deflateReset(stream) == Z_OK && is_whole && packed < size - size / 10;
}

static void build_local_header(const struct entry *entry, struct buf *header)
{
    bool is_utf8 = false;

    for (size_t i = 0; i < entry->name_size; i++)
        is_utf8 |= (unsigned char) entry->name[i] >= 0x80;
    put_16(header, entry->is_zip64 ? VERSION_ZIP64 : VERSION_DEFLATE);
    put_16(header, is_utf8 ? FLAG_UTF8 : 0);
    put_16(header, entry->method);
    put_16(header, 0);
    put_16(header, DOS_DATE_1980_01_01);
    put_32(header, entry->crc);
    put_32(header, entry->is_zip64 ? SIZE_32_MAX : clamp_32(entry->packed_size));
    put_32(header, entry->is_zip64 ? SIZE_32_MAX : clamp_32(entry->size));
    put_16(header, (uint16_t) entry->name_size);
}

static int write_local_header(struct zip_writer *zip, const struct entry *entry, struct error *err)
{
    AUTO_BUF struct buf header = BUF_INIT(ZIP_NAME_BYTES_MAX + 64);

    put_32(&header, 0x04034b50);
    build_local_header(entry, &header);
    put_16(&header, entry->is_zip64 ? 20 : 0);
    buf_append(&header, entry->name, entry->name_size);
    if (entry->is_zip64) {
        put_16(&header, 0x0001);
        put_16(&header, 16);
        put_64(&header, entry->size);
        put_64(&header, entry->packed_size);
    }
    int r = buf_status(&header);
    if (r < 0)
        return error_set_errno(err, r, "write the zip archive");
    if (zip->offset == entry->header_offset)
        return archive_write(zip, header.data, header.size, err);

    // The second time, over the first: now the checksum and the packed size are known.
    off_t at = (off_t) (zip->start + entry->header_offset);
    if (pwrite(zip->fd, header.data, header.size, at) != (ssize_t) header.size)
        return error_set_errno(err, errno != 0 ? -errno : -EIO, "write the zip archive");
    return 0;
}

static int add_to_directory(struct zip_writer *zip, const struct entry *entry, struct error *err)
{
    struct buf *out = &zip->directory;
    bool is_far = entry->header_offset >= SIZE_32_MAX;
    unsigned extra = (entry->is_zip64 ? 16 : 0) + (is_far ? 8 : 0);

    put_32(out, 0x02014b50);
    put_16(out, MADE_ON_UNIX | (extra > 0 ? VERSION_ZIP64 : VERSION_DEFLATE));
    build_local_header(entry, out);
    put_16(out, extra > 0 ? (uint16_t) (extra + 4) : 0);
    put_16(out, 0); // comment
    put_16(out, 0); // disk
    put_16(out, 0); // internal attributes
    put_32(out, entry->mode << 16 | (S_ISDIR(entry->mode) ? 0x10 : 0));
    put_32(out, clamp_32(entry->header_offset));
    buf_append(out, entry->name, entry->name_size);
    if (extra > 0) {
        put_16(out, 0x0001);
        put_16(out, (uint16_t) extra);
    }
    if (entry->is_zip64) {
        put_64(out, entry->size);
        put_64(out, entry->packed_size);
    }
    if (is_far)
        put_64(out, entry->header_offset);
    zip->count++;
    int r = buf_status(out);
    return r < 0 ? error_set_errno(err, r, "keep the zip archive's directory") : 0;
}

// Header, content, header again, directory.
static int add_entry(struct zip_writer *zip, struct entry *entry, struct source *source,
                     struct error *err)
{
    ssize_t size = source_next(zip, source, entry->name, err);
    if (size < 0)
        return (int) size;

    entry->size = source->size;
    entry->header_offset = zip->offset;
    // Compressed data that turns out a little longer than the original must still fit.
    entry->is_zip64 = zip->is_zip64_forced || source->size >= SIZE_32_MAX - (1U << 24);
    entry->method = size > 0 && S_ISREG(entry->mode) && is_compressible(zip, (size_t) size)
                        ? METHOD_DEFLATED
                        : METHOD_STORED;
    entry->crc = (uint32_t) crc32(0, NULL, 0);
    int r = write_local_header(zip, entry, err);
    uint64_t content = zip->offset;
    while (r == 0 && size > 0) {
        entry->crc = (uint32_t) crc32(entry->crc, zip->input, (uInt) size);
        r = entry->method == METHOD_STORED
                ? archive_write(zip, zip->input, (size_t) size, err)
                : deflate_block(zip, (size_t) size, source->taken == source->size, err);
        if (r < 0)
            break;
        size = source_next(zip, source, entry->name, err);
        r = size < 0 ? (int) size : 0;
    }
    if (r == 0)
        r = source_check_end(source, entry->name, err);
    if (r < 0)
        return r;
    entry->packed_size = zip->offset - content;
    r = write_local_header(zip, entry, err);
    return r < 0 ? r : add_to_directory(zip, entry, err);
}

static int add_named(struct zip_writer *zip, const char *name, uint32_t mode, struct source source,
                     struct error *err)
{
    struct entry entry = {.name = name, .name_size = strlen(name), .mode = mode};

    if (entry.name_size == 0 || entry.name_size > ZIP_NAME_BYTES_MAX)
        return error_set(err, -ENAMETOOLONG, "a name of %zu bytes does not go into a zip archive",
                         entry.name_size);
    return add_entry(zip, &entry, &source, err);
}

int zip_add_file(struct zip_writer *zip, const char *name, bool is_executable, int fd,
                 uint64_t size, struct error *err)
{
    struct source source = {.fd = fd, .size = size};

    return add_named(zip, name, S_IFREG | (is_executable ? 0755 : 0644), source, err);
}

int zip_add_bytes(struct zip_writer *zip, const char *name, bool is_executable, const void *data,
                  size_t size, struct error *err)
{
    struct source source = {.data = size > 0 ? data : (const void *) "", .fd = -1, .size = size};

    return add_named(zip, name, S_IFREG | (is_executable ? 0755 : 0644), source, err);
}

int zip_add_symlink(struct zip_writer *zip, const char *name, const char *target, struct error *err)
{
    struct source source = {.data = (const void *) target, .fd = -1, .size = strlen(target)};

    return add_named(zip, name, S_IFLNK | 0777, source, err);
}

int zip_add_directory(struct zip_writer *zip, const char *name, struct error *err)
{
    struct source source = {.data = (const void *) "", .fd = -1};
    AUTO_BUF struct buf slashed = BUF_INIT(ZIP_NAME_BYTES_MAX);

    buf_printf(&slashed, "%s/", name);
    int r = buf_status(&slashed);
    if (r < 0)
        return error_set_errno(err, r, "add the directory '%s'", name);
    return add_named(zip, slashed.data, S_IFDIR | 0755, source, err);
}

static void put_zip64_end(struct buf *end, const struct zip_writer *zip, uint64_t directory_offset)
{
    uint64_t end_offset = directory_offset + zip->directory.size;

    put_32(end, 0x06064b50);
    put_64(end, 44); // bytes of this record that follow
    put_16(end, MADE_ON_UNIX | VERSION_ZIP64);
    put_16(end, VERSION_ZIP64);
    put_32(end, 0);
    put_32(end, 0);
    put_64(end, zip->count);
    put_64(end, zip->count);
    put_64(end, zip->directory.size);
    put_64(end, directory_offset);

    put_32(end, 0x07064b50);
    put_32(end, 0);
    put_64(end, end_offset);
    put_32(end, 1);
}

int zip_finish(struct zip_writer *zip, uint64_t *ret_bytes, struct error *err)
{
    uint64_t directory_offset = zip->offset;
    uint16_t count = zip->count >= COUNT_16_MAX ? COUNT_16_MAX : (uint16_t) zip->count;
    AUTO_BUF struct buf end = BUF_INIT(256);

    if (zip->is_zip64_forced || count == COUNT_16_MAX ||
        directory_offset + zip->directory.size >= SIZE_32_MAX)
        put_zip64_end(&end, zip, directory_offset);
    put_32(&end, 0x06054b50);
    put_16(&end, 0);
    put_16(&end, 0);
    put_16(&end, count);
    put_16(&end, count);
    put_32(&end, clamp_32(zip->directory.size));
    put_32(&end, clamp_32(directory_offset));
    put_16(&end, 0);

    int r = buf_status(&end);
    if (r < 0)
        return error_set_errno(err, r, "finish the zip archive");
    r = archive_write(zip, zip->directory.data, zip->directory.size, err);
    if (r == 0)
        r = archive_write(zip, end.data, end.size, err);
    if (r == 0)
        *ret_bytes = zip->offset;
    return r;
}
