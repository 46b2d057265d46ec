// SPDX-License-Identifier: MIT
//
// lamina.h: write an AWS Lambda function in C.
//
//     #include <lamina.h>
//
//     static int hello(struct lamina_call *call, void *data)
//     {
//         (void) data;
//         return lamina_printf(call, "{\"hello\": %s}", call->payload);
//     }
//
//     int main(void)
//     {
//         return lamina_run(hello, NULL);
//     }
//
// Link it with liblamina.a (libc only), name the program `bootstrap`, put it into a zip, and deploy
// it with the runtime `provided.al2023` on Lamina or on AWS Lambda: it is the same program. Link
// with -static to be free of the host's C library.
//
// What the library does: it speaks the Lambda Runtime API (the address is $AWS_LAMBDA_RUNTIME_API)
// over one kept-alive connection, hands one invocation at a time to the handler, and reports its
// answer or its failure.
//
// Rules:
// - One thread calls lamina_run and the handler runs on that thread. Nothing here is thread-safe,
//   and a `call` and all that it points to live until the handler returns.
// - Functions return 0, or a negative errno. The library never aborts, never exits, installs no
//   signal handler and writes to stderr only when the Runtime API itself fails. Out of memory is an
//   answer (errorType `Runtime.OutOfMemory`), not an end.
// - Limits: a payload or an answer of 6,291,556 bytes (AWS's own: 6 MiB and 100 bytes), response
//   headers of the Runtime API of 128 KiB, an error message of 8 KiB. Buffers above 256 KiB are
//   given back after the call that needed them.
#ifndef LAMINA_H
#define LAMINA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LAMINA_PAYLOAD_BYTES_MAX 6291556

// One invocation. Strings are never NULL: what was not sent is "".
struct lamina_call {
    const char *payload; // the event, `size` bytes and a NUL after them that is not counted
    size_t size;
    const char *request_id;
    const char *function_arn;
    const char *trace_id; // also in the environment as _X_AMZN_TRACE_ID while the handler runs
    const char *client_context;   // JSON, as the caller's X-Amz-Client-Context held it
    const char *cognito_identity; // JSON
    int64_t deadline_ms;          // when it times out, milliseconds since 1970; 0: not told
};

// Returns 0 when the answer is what was written with lamina_write and its kin (nothing written: an
// empty answer). Any other value makes the invocation a function error: the one given to
// lamina_fail, or else errorType `Function.HandlerFailed` with the value in its message.
typedef int (*lamina_handler)(struct lamina_call *call, void *data);

// Serves invocations until the platform ends the process. Returns only when the Runtime API cannot
// be used (not set, not there after three tries, or told us to exit): then 1, after a line on
// stderr, to be main's exit status. `data` is handed to each call of `handler`.
int lamina_run(lamina_handler handler, void *data);

// Append to the answer. -EMSGSIZE when it would exceed LAMINA_PAYLOAD_BYTES_MAX, -ENOMEM without
// memory; the invocation then fails with errorType `Function.ResponseSizeTooLarge` or
// `Runtime.OutOfMemory` whatever the handler returns, so that a handler may ignore the result of
// all writes but need not.
int lamina_write(struct lamina_call *call, const void *bytes, size_t size);
int lamina_printf(struct lamina_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Appends `size` bytes of UTF-8 as a JSON string with its quotes. What is not UTF-8 becomes U+FFFD.
int lamina_json_string(struct lamina_call *call, const char *bytes, size_t size);

// Makes the invocation a function error, whatever was written: the caller gets {"errorMessage",
// "errorType"} and X-Amz-Function-Error. `type` is `Function.Something` or `Runtime.Something`
// (letters only), as AWS asks for. Returns -1, to be the handler's `return lamina_fail(call,
// "Function.BadInput", "...")`. The last call counts.
int lamina_fail(struct lamina_call *call, const char *type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// From now on the answer is a stream: what was written and what will be is sent on at once, each write
// as it comes, without a maximum. Callers of InvokeWithResponseStream and of streaming function URLs
// see it arrive; others get it whole, within the limit of an answer. Set the content type before. A
// handler that fails after this ends the stream with the error. 0 also when it is one already.
// In a stream lamina_write and its kin fail with the connection's error when nobody takes it any more;
// a handler may then stop.
int lamina_stream(struct lamina_call *call);

// The answer's content type, at most 127 characters; `application/json` when not set. -EINVAL: too
// long, or a control character.
int lamina_content_type(struct lamina_call *call, const char *type);

// Milliseconds left before the invocation times out: 0 when past it, INT64_MAX when there is no
// deadline.
int64_t lamina_remaining_ms(const struct lamina_call *call);

// ---- Models out of object stores

// Opens a model for reading: the function's own ($MODEL_PATH) for NULL or its MODEL_URI, otherwise the
// object that `uri` (s3://bucket/key[?versionId=]) names, which Lamina fetches first, with the rights of
// the function's role, once for all who ask. The descriptor is the caller's: map it, read it, close it.
// Blocks while the object is fetched; any thread. Negative errno: -EINVAL (no such URI), -EACCES,
// -ENOENT (nothing there; or not on Lamina), -ENOSPC, -EAGAIN, -EIO (the store), -ENOSYS (no platform).
int lamina_model_open(const char *uri);

// ---- Instances as forks (SnapStart)

// On Lamina a function can be initialised once, and its instances be forks of that process: for
// `provided.*` with SnapStart {"ApplyOn": "PublishedVersions"}. Whatever main did before lamina_run is
// then done for all of them; lamina_run waits to be forked, and goes on in each fork, which has random
// state (libc, OpenSSL), environment and credentials of its own. Such a process must have one thread, no
// sockets, pipes or files open for writing when it calls lamina_run; otherwise the platform says what it
// found, and starts the function in the ordinary way. main's frames are never returned to in a fork:
// its exit status is lamina_run's result.
//
// Hooks are for what a fork must do anew: connections, generators of one's own, threads. Each may be
// NULL; they are kept by value.
struct lamina_snapshot {
    void (*before)(void *data);               // the last thing before it may be forked
    void (*forked)(void *data, int is_spare); // in each fork at once, while its environment is still
                                              // the first process's; a spare: nobody waits for it yet
    void (*restored)(void *data);             // in each fork, before its first invocation
    void *data;
};

// Call it before lamina_run. 1: this process waits to be forked; 0: it serves invocations itself, and
// none of the hooks is called, as on AWS.
int lamina_snapshot_hooks(const struct lamina_snapshot *snapshot);

// ---- For runtimes built on this library (lamina-model is one) ----

// Tells the platform that the function cannot start (POST /init/error) and puts the same line on
// stderr. Call it instead of lamina_run, and at most once. Returns 1, to be main's exit status.
int lamina_init_fail(const char *type, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Reports how long a phase of the start took; names are letters, digits and '_', at most 8 phases.
// They travel on the first request for work, as the header `Lamina-Init-Phases:
// load=12.345;warm=0.678` (milliseconds). AWS ignores it.
void lamina_init_phase(const char *name, double milliseconds);

// The SHA-256, in hex, of the model that answers from now on: sent with each answer as
// `Lamina-Model-Digest`, which the platform hands to the caller as X-Lamina-Model-Digest and puts
// into the REPORT line. NULL: none.
void lamina_model_digest(const char *hex);

// A digest, in hex, of what the model's inputs are (names, types, shapes). It travels on the first
// request for work, as `Lamina-Model-Signature`: a platform that changes a running function's model
// for a newer one refuses one that callers' requests would not fit. NULL: none. AWS ignores it.
void lamina_model_signature(const char *hex);

#ifdef __cplusplus
}
#endif
#endif
