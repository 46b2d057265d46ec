// SPDX-License-Identifier: MIT
//
// Any bytes as a worker's stream: the same calls whatever the pieces, files of the size announced, and
// nothing behind the end.

#include "deploy/work_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void must(bool condition)
{
    if (!condition)
        abort();
}

// What the sink saw, as a hash: two readings of the same bytes must see the same.
struct seen {
    uint64_t hash, left, total;
    uint32_t count;
    bool is_in_file;
};

static void mix(struct seen *seen, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        seen->hash = (seen->hash ^ ((const uint8_t *) data)[i]) * 1099511628211u;
}

static int on_directory(void *arg, struct str path)
{
    struct seen *seen = arg;
    must(!seen->is_in_file && path.size > 0 && path.size <= WORK_PATH_MAX);
    mix(seen, path.data, path.size);
    seen->count++;
    return 0;
}

static int on_file(void *arg, struct str path, bool is_executable, int64_t mtime, uint64_t size)
{
    struct seen *seen = arg;
    (void) on_directory(arg, path);
    mix(seen, &mtime, sizeof(mtime));
    seen->is_in_file = true;
    seen->left = size;
    seen->total += size;
    return 0;
}

static int on_data(void *arg, const void *data, size_t size)
{
    struct seen *seen = arg;
    must(seen->is_in_file && size > 0 && size <= seen->left);
    seen->left -= size;
    mix(seen, data, size);
    return 0;
}

static int on_file_end(void *arg)
{
    struct seen *seen = arg;
    must(seen->is_in_file && seen->left == 0);
    seen->is_in_file = false;
    return 0;
}

static int on_link(void *arg, struct str path, struct str target)
{
    struct seen *seen = arg;
    (void) on_directory(arg, path);
    must(target.size > 0 && target.size <= WORK_LINK_MAX);
    mix(seen, target.data, target.size);
    return 0;
}

static const struct work_sink sink = {on_directory, on_file, on_data, on_file_end, on_link};

static int read_in(const uint8_t *data, size_t size, size_t step_max, struct seen *seen)
{
    static struct work_stream stream;
    int r = 0;
    *seen = (struct seen){.hash = 14695981039346656037u};
    work_stream_init(&stream, &sink, seen);
    for (size_t at = 0, step = 1; r == 0 && at < size; at += step, step = step % step_max + 1)
        r = work_stream_feed(&stream, data + at, step < size - at ? step : size - at);
    if (r == 0)
        r = work_stream_finish(&stream);
    must(r == 0 || r == -EPROTO);
    if (r == 0 && !stream.is_refused)
        must(!seen->is_in_file && stream.count == seen->count && stream.total == seen->total);
    if (r == 0 && stream.is_refused)
        must(work_reason_text(stream.reason) && stream.path_size <= WORK_PATH_MAX);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen pieces, whole;
    int r = read_in(data, size, 41, &pieces);
    must(r == read_in(data, size, SIZE_MAX, &whole));
    must(pieces.hash == whole.hash && pieces.count == whole.count);
    return 0;
}
