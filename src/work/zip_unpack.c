// SPDX-License-Identifier: MIT

#include "work/zip.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#define INPUT_SIZE (64 * 1024)

// One entry on its way out: how much came, and the checksum of it.
struct unpacking {
    const struct zip *zip;
    const struct zip_entry *entry;
    int (*write)(void *arg, const void *data, size_t size);
    void *arg;
    struct zip_refusal *refusal;
    uint64_t read;    // compressed bytes taken from the source
    uint64_t written; // bytes given to write()
    uint32_t checksum;
    uint8_t *input, *output;
};

static int unpacking_refuse(struct unpacking *unpacking, enum work_reason reason)
{
    return zip_refuse(unpacking->refusal, reason, unpacking->entry, unpacking->written);
}

// Never more than the record promised: an entry that goes on is refused at the first byte too many.
static int unpacking_put(struct unpacking *unpacking, const uint8_t *data, size_t size)
{
    if (size > unpacking->entry->size - unpacking->written)
        return unpacking_refuse(unpacking, WORK_REASON_SIZE);
    if (size == 0)
        return 0;
    unpacking->checksum = (uint32_t) crc32(unpacking->checksum, data, (uInt) size);
    unpacking->written += size;
    return unpacking->write(unpacking->arg, data, size);
}

static int unpacking_fill(struct unpacking *unpacking, uint8_t *buffer, size_t room,
                          size_t *ret_size)
{
    uint64_t left = unpacking->entry->compressed_size - unpacking->read;
    size_t size = left < room ? (size_t) left : room;
    int r = zip_source_read(&unpacking->zip->source,
                            unpacking->entry->content_offset + unpacking->read, buffer, size);
    if (r == -ENODATA)
        return unpacking_refuse(unpacking, WORK_REASON_TRUNCATED);
    if (r < 0)
        return r;
    unpacking->read += size;
    *ret_size = size;
    return 0;
}

static int unpack_stored(struct unpacking *unpacking)
{
    while (unpacking->read < unpacking->entry->compressed_size) {
        size_t size;
        int r = unpacking_fill(unpacking, unpacking->output, WORK_DATA_MAX, &size);
        if (r == 0)
            r = unpacking_put(unpacking, unpacking->output, size);
        if (r < 0)
            return r;
    }
    return 0;
}

// Runs until the stream says that it ends; bytes left over behind its end are damage too.
static int unpack_deflated_stream(struct unpacking *unpacking, z_stream *stream)
{
    for (int z = Z_OK; z != Z_STREAM_END;) {
        if (stream->avail_in == 0) {
            size_t size;
            int r = unpacking_fill(unpacking, unpacking->input, INPUT_SIZE, &size);
            if (r < 0)
                return r;
            if (size == 0)
                return unpacking_refuse(unpacking, WORK_REASON_COMPRESSED_DATA);
            stream->next_in = unpacking->input;
            stream->avail_in = (uInt) size;
        }
        stream->next_out = unpacking->output;
        stream->avail_out = WORK_DATA_MAX;
        z = inflate(stream, Z_NO_FLUSH);
        if (z == Z_MEM_ERROR)
            return -ENOMEM;
        if (z != Z_OK && z != Z_STREAM_END)
            return unpacking_refuse(unpacking, WORK_REASON_COMPRESSED_DATA);
        int r = unpacking_put(unpacking, unpacking->output, WORK_DATA_MAX - stream->avail_out);
        if (r < 0)
            return r;
    }
    if (stream->avail_in != 0 || unpacking->read != unpacking->entry->compressed_size)
        return unpacking_refuse(unpacking, WORK_REASON_COMPRESSED_DATA);
    return 0;
}

static int unpack_deflated(struct unpacking *unpacking)
{
    z_stream stream = {0};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return -ENOMEM;
    int r = unpack_deflated_stream(unpacking, &stream);
    inflateEnd(&stream);
    return r;
}

int zip_unpack(const struct zip *zip, const struct zip_entry *entry,
               int (*write)(void *arg, const void *data, size_t size), void *arg,
               struct zip_refusal *ret_refusal)
{
    AUTO_FREE uint8_t *buffers = malloc(INPUT_SIZE + WORK_DATA_MAX);
    if (!buffers)
        return -ENOMEM;
    struct unpacking unpacking = {
        .zip = zip,
        .entry = entry,
        .write = write,
        .arg = arg,
        .refusal = ret_refusal,
        .input = buffers,
        .output = buffers + INPUT_SIZE,
    };
    int r = entry->method == 0 ? unpack_stored(&unpacking) : unpack_deflated(&unpacking);
    if (r < 0)
        return r;
    if (unpacking.written != entry->size)
        return unpacking_refuse(&unpacking, WORK_REASON_SIZE);
    if (unpacking.checksum != entry->checksum)
        return unpacking_refuse(&unpacking, WORK_REASON_CHECKSUM);
    return 0;
}
