// SPDX-License-Identifier: MIT
//
// stream: an answer sent piece by piece, while its handler runs.
//
// One POST with a chunked body: its head leaves with the first piece, each write is a chunk, and
// the end carries the error of a handler that failed in the middle, as trailers (AWS: "Response
// streaming", custom runtimes). Belongs to a session; used again for each invocation.

#ifndef LAMINA_SDK_STREAM_H
#define LAMINA_SDK_STREAM_H

#include "sdk/call.h"
#include "sdk/runtime_client.h"

struct stream {
    struct runtime_client *client; // borrowed: the session's
    struct bytes trailers;
    bool has_begun; // the head was sent
    int error;      // of a send that failed; nothing more is sent then
};

void stream_init(struct stream *stream, struct runtime_client *client);
void stream_done(struct stream *stream);
void stream_reset(struct stream *stream); // before each invocation

// A call_sink; `arg` is the stream.
int stream_write(void *arg, struct call *call, const void *data, size_t size);

// Ends the body, with the call's error when it failed, and reads the platform's answer: its status,
// or the negative errno of the connection.
int stream_end(struct stream *stream, struct call *call);

#endif
