// SPDX-License-Identifier: MIT

#include "work/unzip.h"

#include "base/mem.h"
#include "work/stream.h"

#include <errno.h>
#include <string.h>

struct link_target {
    size_t size;
    char text[WORK_LINK_MAX];
};

static int link_target_append(void *arg, const void *data, size_t size)
{
    struct link_target *target = arg;
    if (size > sizeof(target->text) - target->size)
        return -E2BIG; // zip_open has refused longer ones
    memcpy(target->text + target->size, data, size);
    target->size += size;
    return 0;
}

static int file_append(void *arg, const void *data, size_t size)
{
    return stream_data(arg, data, size);
}

static int unzip_link(const struct zip *zip, const struct zip_entry *entry, struct stream *stream,
                      struct zip_refusal *refusal)
{
    struct link_target target = {0};
    int r = zip_unpack(zip, entry, link_target_append, &target, refusal);
    if (r < 0)
        return r;
    if (!zip_link_stays_inside(entry->path, entry->path_size, target.text, target.size))
        return zip_refuse(refusal, WORK_REASON_LINK_OUT, entry, entry->position);
    return stream_link(stream, entry, target.text, target.size);
}

static int unzip_entry(const struct zip *zip, const struct zip_entry *entry, struct stream *stream,
                       struct zip_refusal *refusal)
{
    if (entry->path_size == 0)
        return 0; // "./": the package's own root
    if (entry->type == ZIP_DIRECTORY)
        return stream_directory(stream, entry);
    if (entry->type == ZIP_LINK)
        return unzip_link(zip, entry, stream, refusal);
    int r = stream_file(stream, entry);
    return r < 0 ? r : zip_unpack(zip, entry, file_append, stream, refusal);
}

static int unzip_stream(const struct zip_source *source, const struct zip_limits *limits,
                        struct stream *stream, struct zip_refusal *refusal)
{
    struct zip zip;
    int r = zip_open(&zip, source, limits, refusal);
    for (size_t i = 0; r == 0 && i < zip.entry_count; i++)
        r = unzip_entry(&zip, &zip.entries[i], stream, refusal);
    if (r == 0 && stream->count == 0)
        r = zip_refuse_whole(refusal, WORK_REASON_EMPTY, 0);
    zip_done(&zip);
    return r;
}

int unzip_run(const struct zip_source *source, const struct zip_limits *limits, int output)
{
    AUTO_FREE struct stream *stream = malloc(sizeof(*stream));
    AUTO_FREE struct zip_refusal *refusal = calloc(1, sizeof(*refusal));
    if (!stream || !refusal)
        return -ENOMEM;
    int r = stream_begin(stream, output);
    if (r < 0)
        return r;
    r = unzip_stream(source, limits, stream, refusal);
    if (r == -EBADMSG)
        return stream_refused(stream, refusal);
    return r < 0 ? r : stream_end(stream);
}
