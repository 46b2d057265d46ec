// SPDX-License-Identifier: MIT

#include "deploy/work_stream.h"

#include <errno.h>
#include <string.h>

void work_stream_init(struct work_stream *stream, const struct work_sink *sink, void *arg)
{
    memset(stream, 0, offsetof(struct work_stream, path));
    stream->sink = sink;
    stream->arg = arg;
    stream->state = WORK_STREAM_HELLO;
}

// Gathers the current part in `to`. Returns the bytes taken from `data`.
static size_t gather(struct work_stream *stream, void *to, size_t whole, const char *data,
                     size_t size)
{
    size_t take = whole - stream->used < size ? whole - stream->used : size;
    if (take)
        memcpy((char *) to + stream->used, data, take);
    stream->used += take;
    return take;
}

static void enter(struct work_stream *stream, enum work_stream_state state)
{
    stream->state = state;
    stream->used = 0;
}

// ---- Heads

static bool frame_is_possible(const struct work_stream *stream, const struct work_frame *frame)
{
    if (frame->path_size > WORK_PATH_MAX || frame->data_size > WORK_DATA_MAX)
        return false;
    switch (frame->type) {
    case WORK_DIRECTORY:
        return !stream->is_in_file && frame->path_size > 0 && frame->data_size == 0;
    case WORK_FILE:
        return !stream->is_in_file && frame->path_size > 0 && frame->data_size == 0 &&
               frame->is_executable <= 1 && frame->total <= INT64_MAX;
    case WORK_DATA:
        return stream->is_in_file && frame->path_size == 0 && frame->data_size > 0 &&
               frame->data_size <= stream->file_left;
    case WORK_LINK:
        return !stream->is_in_file && frame->path_size > 0 && frame->data_size > 0 &&
               frame->data_size <= WORK_LINK_MAX;
    case WORK_END:
        return !stream->is_in_file && frame->path_size == 0 && frame->data_size == 0 &&
               frame->count == stream->count && frame->total == stream->total;
    case WORK_REFUSED:
        return frame->data_size == 0 && work_reason_text(frame->code) != NULL;
    default:
        return false;
    }
}

// ---- Whole frames

static int file_begin(struct work_stream *stream, struct str path)
{
    const struct work_frame *frame = &stream->frame;
    if (frame->total > UINT64_MAX - stream->total)
        return -EPROTO;
    stream->total += frame->total;
    stream->file_left = frame->total;
    stream->is_in_file = frame->total > 0;
    int r = stream->sink->file(stream->arg, path, frame->is_executable, frame->mtime, frame->total);
    return r == 0 && frame->total == 0 ? stream->sink->file_end(stream->arg) : r;
}

static int frame_complete(struct work_stream *stream)
{
    const struct work_frame *frame = &stream->frame;
    struct str path = {stream->path, frame->path_size};
    enter(stream, WORK_STREAM_HEAD);
    switch (frame->type) {
    case WORK_DIRECTORY:
        stream->count++;
        return stream->sink->directory(stream->arg, path);
    case WORK_FILE:
        stream->count++;
        return file_begin(stream, path);
    case WORK_LINK:
        stream->count++;
        return stream->sink->link(stream->arg, path,
                                  (struct str){stream->target, frame->data_size});
    case WORK_DATA:
        if (stream->file_left > 0)
            return 0;
        stream->is_in_file = false;
        return stream->sink->file_end(stream->arg);
    case WORK_REFUSED:
        stream->is_refused = true;
        stream->reason = (enum work_reason) frame->code;
        stream->number = frame->total;
        stream->path_size = frame->path_size;
        enter(stream, WORK_STREAM_ENDED);
        return 0;
    default: // WORK_END
        enter(stream, WORK_STREAM_ENDED);
        return 0;
    }
}

// ---- Parts. Each returns the bytes taken, or -errno.

static ptrdiff_t feed_hello(struct work_stream *stream, const char *data, size_t size)
{
    struct work_hello hello;
    size_t taken = gather(stream, stream->target, sizeof(hello), data, size);
    if (stream->used < sizeof(hello))
        return (ptrdiff_t) taken;
    memcpy(&hello, stream->target, sizeof(hello));
    if (hello.magic != WORK_MAGIC || hello.version != WORK_VERSION)
        return -EPROTO;
    enter(stream, WORK_STREAM_HEAD);
    return (ptrdiff_t) taken;
}

static int part_next(struct work_stream *stream)
{
    const struct work_frame *frame = &stream->frame;
    if (stream->state == WORK_STREAM_HEAD && frame->path_size > 0)
        return enter(stream, WORK_STREAM_PATH), 0;
    if (stream->state != WORK_STREAM_DATA && frame->data_size > 0)
        return enter(stream, WORK_STREAM_DATA), 0;
    return frame_complete(stream);
}

static ptrdiff_t feed_head(struct work_stream *stream, const char *data, size_t size)
{
    size_t taken = gather(stream, &stream->frame, sizeof(stream->frame), data, size);
    if (stream->used < sizeof(stream->frame))
        return (ptrdiff_t) taken;
    if (!frame_is_possible(stream, &stream->frame))
        return -EPROTO;
    int r = part_next(stream);
    return r < 0 ? r : (ptrdiff_t) taken;
}

static ptrdiff_t feed_path(struct work_stream *stream, const char *data, size_t size)
{
    size_t taken = gather(stream, stream->path, stream->frame.path_size, data, size);
    int r = stream->used < stream->frame.path_size ? 0 : part_next(stream);
    return r < 0 ? r : (ptrdiff_t) taken;
}

static ptrdiff_t feed_data(struct work_stream *stream, const char *data, size_t size)
{
    size_t whole = stream->frame.data_size, taken;
    int r = 0;
    if (stream->frame.type == WORK_LINK) {
        taken = gather(stream, stream->target, whole, data, size);
    } else {
        taken = whole - stream->used < size ? whole - stream->used : size;
        stream->used += taken;
        stream->file_left -= taken;
        r = stream->sink->data(stream->arg, data, taken);
    }
    if (r == 0 && stream->used == whole)
        r = part_next(stream);
    return r < 0 ? r : (ptrdiff_t) taken;
}

int work_stream_feed(struct work_stream *stream, const void *data, size_t size)
{
    const char *from = data;
    while (size > 0) {
        ptrdiff_t n = -EPROTO;
        if (stream->state == WORK_STREAM_HELLO)
            n = feed_hello(stream, from, size);
        else if (stream->state == WORK_STREAM_HEAD)
            n = feed_head(stream, from, size);
        else if (stream->state == WORK_STREAM_PATH)
            n = feed_path(stream, from, size);
        else if (stream->state == WORK_STREAM_DATA)
            n = feed_data(stream, from, size);
        if (n < 0)
            return (int) n;
        from += n;
        size -= (size_t) n;
    }
    return 0;
}

int work_stream_finish(const struct work_stream *stream)
{
    return stream->state == WORK_STREAM_ENDED ? 0 : -EPROTO;
}
