// SPDX-License-Identifier: MIT

#include "work/stream.h"

#include "base/fd.h"

#include <string.h>

static int stream_flush(struct stream *stream)
{
    int r = fd_write_all(stream->fd, stream->buffer, stream->used);
    stream->used = 0;
    return r;
}

// Order is kept: what goes out without a copy goes behind what was gathered.
static int stream_put(struct stream *stream, const void *data, size_t size)
{
    bool is_direct = size > STREAM_BUFFER_SIZE / 2;
    if (is_direct || size > STREAM_BUFFER_SIZE - stream->used) {
        int r = stream_flush(stream);
        if (r < 0)
            return r;
    }
    if (is_direct)
        return fd_write_all(stream->fd, data, size);
    if (size)
        memcpy(stream->buffer + stream->used, data, size);
    stream->used += size;
    return 0;
}

static int stream_frame(struct stream *stream, const struct work_frame *frame, const char *path,
                        const void *data)
{
    int r = stream_put(stream, frame, sizeof(*frame));
    if (r == 0)
        r = stream_put(stream, path, frame->path_size);
    return r < 0 ? r : stream_put(stream, data, frame->data_size);
}

int stream_begin(struct stream *stream, int fd)
{
    stream->fd = fd;
    stream->count = 0;
    stream->total = 0;
    stream->used = 0;
    struct work_hello hello = {WORK_MAGIC, WORK_VERSION};
    return stream_put(stream, &hello, sizeof(hello));
}

int stream_directory(struct stream *stream, const struct zip_entry *entry)
{
    struct work_frame frame = {.type = WORK_DIRECTORY, .path_size = entry->path_size};
    stream->count++;
    return stream_frame(stream, &frame, entry->path, NULL);
}

int stream_file(struct stream *stream, const struct zip_entry *entry)
{
    struct work_frame frame = {
        .type = WORK_FILE,
        .is_executable = entry->is_executable,
        .path_size = entry->path_size,
        .total = entry->size,
        .mtime = entry->mtime,
    };
    stream->count++;
    stream->total += entry->size;
    return stream_frame(stream, &frame, entry->path, NULL);
}

int stream_data(struct stream *stream, const void *data, size_t size)
{
    struct work_frame frame = {.type = WORK_DATA, .data_size = (uint32_t) size};
    return stream_frame(stream, &frame, NULL, data);
}

int stream_link(struct stream *stream, const struct zip_entry *entry, const void *target,
                size_t size)
{
    struct work_frame frame = {
        .type = WORK_LINK,
        .path_size = entry->path_size,
        .data_size = (uint32_t) size,
    };
    stream->count++;
    return stream_frame(stream, &frame, entry->path, target);
}

int stream_end(struct stream *stream)
{
    struct work_frame frame = {
        .type = WORK_END,
        .count = stream->count,
        .total = stream->total,
    };
    int r = stream_frame(stream, &frame, NULL, NULL);
    return r < 0 ? r : stream_flush(stream);
}

int stream_refused(struct stream *stream, const struct zip_refusal *refusal)
{
    struct work_frame frame = {
        .type = WORK_REFUSED,
        .code = (uint16_t) refusal->reason,
        .path_size = refusal->path_size,
        .total = refusal->number,
    };
    int r = stream_frame(stream, &frame, refusal->path, NULL);
    return r < 0 ? r : stream_flush(stream);
}
