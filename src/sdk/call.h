// SPDX-License-Identifier: MIT
//
// call: one invocation as the library sees it, around the part of it that lamina.h shows.
//
// Owned by lamina_run, used again for each invocation.
#ifndef LAMINA_SDK_CALL_H
#define LAMINA_SDK_CALL_H

#include "lamina.h"
#include "sdk/bytes.h"

#include <stdbool.h>

#define CALL_REQUEST_ID_BYTES 128
#define CALL_TYPE_BYTES 128
#define CALL_MESSAGE_BYTES 8192

struct call;

// Takes a stream's bytes while the handler runs. 0, or the negative errno that ends the stream.
typedef int (*call_sink)(void *arg, struct call *call, const void *data, size_t size);

struct call {
    struct lamina_call public; // first: lamina.h's functions are given its address
    struct bytes answer;
    int write_error; // of the first write that failed; 0
    bool has_failed;
    bool is_stream; // writes go to the sink as they come, not into `answer`
    call_sink sink;
    void *sink_arg;
    char request_id[CALL_REQUEST_ID_BYTES];
    char content_type[CALL_TYPE_BYTES];
    char error_type[CALL_TYPE_BYTES];
    char error_message[CALL_MESSAGE_BYTES];
};

// `sink` may be NULL: then there are no streams.
void call_init(struct call *call, call_sink sink, void *sink_arg);
void call_done(struct call *call);

// Makes it ready for the next invocation; memory above 256 KiB is given back.
void call_reset(struct call *call);

// Decides, after the handler returned `result`, whether the invocation failed: sets error_type and
// error_message when it did.
void call_settle(struct call *call, int result);

// {"errorMessage": ..., "errorType": ...}, appended to `out`.
int call_error_json(struct bytes *out, const char *type, const char *message);

// Whether `type` can be sent as the Runtime API's error type: (Runtime|Function).Letters.
bool call_is_error_type(const char *type);

#endif
