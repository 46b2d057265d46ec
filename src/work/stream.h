// SPDX-License-Identifier: MIT
//
// Writes the stream of wire/work.h to a descriptor. Small frames are gathered; content goes out
// without a copy. A reader that has gone is -EPIPE (SIGPIPE is ignored in main). One thread.

#ifndef LAMINA_WORK_STREAM_H
#define LAMINA_WORK_STREAM_H

#include "base/compiler.h"
#include "work/zip.h"

#include <stddef.h>
#include <stdint.h>

#define STREAM_BUFFER_SIZE (64 * 1024)

struct stream {
    int fd;         // borrowed
    uint32_t count; // entries sent
    uint64_t total; // bytes of files promised
    size_t used;
    uint8_t buffer[STREAM_BUFFER_SIZE];
};

int stream_begin(struct stream *stream, int fd) MUST_CHECK;
int stream_directory(struct stream *stream, const struct zip_entry *entry) MUST_CHECK;
int stream_file(struct stream *stream, const struct zip_entry *entry) MUST_CHECK;
int stream_data(struct stream *stream, const void *data, size_t size) MUST_CHECK;
int stream_link(struct stream *stream, const struct zip_entry *entry, const void *target,
                size_t size) MUST_CHECK;
// The last frame; everything is written out.
int stream_end(struct stream *stream) MUST_CHECK;
int stream_refused(struct stream *stream, const struct zip_refusal *refusal) MUST_CHECK;

#endif
