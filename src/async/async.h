// SPDX-License-Identifier: MIT
//
// Asynchronous invocation (InvocationType Event): the caller hears 202 when its event is on the disk;
// then the event is tried until it is handled, or buried as a dead letter.
//
//     async_submit -> queue (durable) -> cb -> 202
//                       |
//                     claim, oldest first, at most ASYNC_RUNNING_MAX of one function
//                       |
//                     invocation_start ---- answered ----------------> OnSuccess destination, removed
//                       |      ^   |
//                       |      |   +------- error of the function ---> again after 1 min, 2 min; then
//                       |      |                                       OnFailure destination, or buried
//                       |      +----------- throttled, no sandbox ---> again after 1 s .. 5 min
//                       +------------------ too old -----------------> OnFailure destination, or buried
//
// At least once: a service that is killed in the middle of a try tries again after its start, with the
// same request id. Events of a function that was deleted are dropped.
//
// A destination is called while the role of the function may call it, while it is there, and while no
// more than LIMIT_INVOKE_DEPTH functions have called one another. Otherwise, as in AWS, its record is not
// made, and counted (undelivered); an event that failed is buried then.
//
// Thread: the loop thread. Nothing blocks. Source of the times and the record's form: AWS Lambda
// Developer Guide, "Asynchronous invocation".

#ifndef LAMINA_ASYNC_ASYNC_H
#define LAMINA_ASYNC_ASYNC_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"
#include "meta/queue.h"

#include <stddef.h>
#include <stdint.h>

struct async;
struct catalog;
struct loop;
struct roles;
struct scheduler;

#define ASYNC_RUNNING_MAX 16         // tries of one function at once
#define ASYNC_RUNNING_TOTAL_MAX 128  // of all functions
#define ASYNC_RETRY_MS_DEFAULT 60000 // before the second try; twice as long before the third

struct async_config {
    struct loop *loop; // all borrowed
    struct queue *queue;
    struct catalog *catalog;
    struct scheduler *scheduler;
    struct roles *roles;
    int64_t retry_ms; // LAMINA_ASYNC_RETRY_MS; 0: the default
};

// Before the loop runs, after the catalog is loaded; tries begin with the loop.
int async_new(const struct async_config *config, struct async **ret_async,
              struct error *err) MUST_CHECK;
// No new tries begin. `done` is called, never from inside, when those under way are settled.
void async_stop(struct async *async, void (*done)(void *arg), void *arg);
// After the loop, and after queue_close. A try that is still under way is made again at the next start.
// Accepts NULL.
void async_free(struct async *async);

// Views: needed during the call only.
struct async_event {
    struct str function;   // name
    struct str qualifier;  // empty if the caller named none
    struct str arn;        // as invocation_spec's invoked_arn
    struct str request_id; // the answer's x-amzn-RequestId: the function sees the same
    struct str trace_id;
    struct str context; // decoded client context, or empty
    unsigned depth;     // functions that called one another before it: 0 for a client's
    struct str payload; // JSON, at most LIMIT_PAYLOAD_ASYNC_MAX (the API has checked both)
};

// 0 and one call of `cb` later: err NULL: accepted for good. -EAGAIN (too many requests wait: 429),
// -ENOMEM and no call. In cb: -ENOSPC: queue or disk full.
int async_submit(struct async *async, const struct async_event *event,
                 void (*cb)(void *arg, const struct error *err), void *arg) MUST_CHECK;

// The function was deleted: what waits for it is dropped, its dead letters too.
void async_forget(struct async *async, struct str function);
// Dead letters wait again, from the beginning: the one with this id, or all (0). List and purge are
// the queue's own (queue_list_dead, queue_purge). Errors as queue_revive.
int async_revive(struct async *async, struct str function, int64_t id, queue_count_cb *cb,
                 void *arg) MUST_CHECK;

struct async_stats {
    uint64_t accepted, succeeded, retried, returned, buried, dropped, undelivered;
    uint32_t running;
};
void async_stats(const struct async *async, struct async_stats *ret_stats);

#endif
