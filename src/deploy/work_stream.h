// SPDX-License-Identifier: MIT
//
// Reads lamina-work's stream (wire/work.h) from pieces of any size. The worker has parsed what a
// stranger made and may have been taken over by it: the stream's order and sizes are checked here,
// names and links by the store, digests are computed by the store. One thread. Internal to deploy/.

#ifndef LAMINA_DEPLOY_WORK_STREAM_H
#define LAMINA_DEPLOY_WORK_STREAM_H

#include "base/compiler.h"
#include "base/str.h"
#include "wire/work.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Each returns 0 or -errno, which ends the reading. Views live during the call.
struct work_sink {
    int (*directory)(void *arg, struct str path);
    int (*file)(void *arg, struct str path, bool is_executable, int64_t mtime, uint64_t size);
    int (*data)(void *arg, const void *data, size_t size);
    int (*file_end)(void *arg); // all of its bytes came
    int (*link)(void *arg, struct str path, struct str target);
};

enum work_stream_state {
    WORK_STREAM_HELLO,
    WORK_STREAM_HEAD, // of a frame
    WORK_STREAM_PATH,
    WORK_STREAM_DATA,
    WORK_STREAM_ENDED, // END or REFUSED came: nothing may follow
};

struct work_stream {
    const struct work_sink *sink; // borrowed
    void *arg;
    enum work_stream_state state;
    size_t used; // bytes of the current part so far
    struct work_frame frame;
    uint64_t file_left; // bytes of the last FILE still to come
    bool is_in_file;
    uint32_t count;
    uint64_t total;
    bool is_refused;
    enum work_reason reason; // is_refused
    uint64_t number;         // is_refused
    size_t path_size;
    char path[WORK_PATH_MAX]; // is_refused: the entry's name, any bytes
    char target[WORK_LINK_MAX];
};

void work_stream_init(struct work_stream *stream, const struct work_sink *sink, void *arg);

// 0; -EPROTO: not a stream that an honest worker writes; what the sink returned.
int work_stream_feed(struct work_stream *stream, const void *data, size_t size) MUST_CHECK;

// At end-of-file. 0 if the stream is whole (is_refused tells the outcome), else -EPROTO.
int work_stream_finish(const struct work_stream *stream) MUST_CHECK;

#endif
