// SPDX-License-Identifier: MIT
//
// The queue: events that were accepted and wait to be handled, and those that could not be (dead
// letters). Rows of DIR/queue.db (SQLite, WAL, synchronous=FULL) behind a thread of its own with one
// connection and group commit, as the registry's. Nothing above this header knows SQLite; beyond one
// machine another body takes its place.
//
//     publish ---> waiting ---- claim ----> claimed ---- remove (done) ----> gone
//                     ^                        |
//                     +-------- retry ---------+------- bury -------> dead ---- revive / purge
//
// A callback without error means: on the disk. An event is claimed by one process and until it ends:
// opening the queue makes every claimed event wait again, so an event is handled at least once.
//
// Threads: queue_open before the loop runs (it blocks); everything else on the loop thread. Callbacks
// come on the loop thread, in the order of submission, never from inside. -EAGAIN: QUEUE_REQUESTS_MAX
// requests wait; -ENOSPC at QUEUE_EVENTS_MAX events, and when the disk is full.

#ifndef LAMINA_META_QUEUE_H
#define LAMINA_META_QUEUE_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue;

#define QUEUE_REQUESTS_MAX 16384
#define QUEUE_EVENTS_MAX 1000000            // waiting and claimed
#define QUEUE_DEAD_MAX 100000               // dead letters; the oldest go first
#define QUEUE_PAYLOAD_MAX (2 * 1024 * 1024) // bytes of an event's texts together

// One event. Texts are views: the caller's until a call returns, the queue's during a callback.
struct queue_event {
    int64_t id;            // given by the queue; rises with acceptance
    struct str topic;      // the function's name: claims are by topic
    struct str qualifier;  // "" if the caller named none
    struct str request_id; // the same for all tries
    struct str arn;        // as the caller named the function
    struct str trace_id;
    struct str context; // client context, or empty
    struct str payload;
    int64_t accepted_ms; // since 1970
    int64_t due_ms;      // not before
    uint32_t tries;      // ended by an error of the function
    uint32_t depth;      // functions that called one another before this event
    uint32_t returns;    // given back without a try: throttled, no sandbox
    // dead letters only
    struct str reason;   // RetriesExhausted, EventAgeExceeded, ...
    struct str response; // what the last try answered
    int64_t died_ms;
};

typedef void queue_cb(void *arg, const struct error *err);
typedef void queue_count_cb(void *arg, const struct error *err, uint64_t count);

// Opens or makes DIR/queue.db. Errors as registry_open's.
int queue_open(const char *data_dir, struct loop *loop, struct queue **ret_queue,
               struct error *err) MUST_CHECK;
void queue_close(struct queue *queue); // accepts NULL; commits what waits first

// Every topic that has events or dead letters, at start. Before the loop runs.
int queue_topics(struct queue *queue, int (*visit)(void *arg, const char *topic), void *arg,
                 struct error *err) MUST_CHECK;

int queue_publish(struct queue *queue, const struct queue_event *event, queue_cb *cb,
                  void *arg) MUST_CHECK;

// The oldest events of the topic that are due, at most `max` and about QUEUE_CLAIM_BYTES; they are
// claimed. `next_due_ms`: when the next one that was not claimed is due (maybe past), 0 if none waits.
#define QUEUE_CLAIM_MAX 64
#define QUEUE_CLAIM_BYTES (8 * 1024 * 1024)
typedef void queue_claim_cb(void *arg, const struct error *err, const struct queue_event *events,
                            size_t count, int64_t next_due_ms);
int queue_claim(struct queue *queue, struct str topic, int64_t now_ms, size_t max,
                queue_claim_cb *cb, void *arg) MUST_CHECK;

// What becomes of a claimed event, in one step that is whole or not at all: it is removed, retried at
// event->due_ms with its new counts, or buried with reason and response; and `also`, unless NULL, is
// published (a destination's record).
enum queue_fate { QUEUE_REMOVE, QUEUE_RETRY, QUEUE_BURY };
int queue_settle(struct queue *queue, enum queue_fate fate, const struct queue_event *event,
                 const struct queue_event *also, queue_cb *cb, void *arg) MUST_CHECK;

// Drops every event of the topic that is not claimed, and its dead letters if `with_dead`.
int queue_forget(struct queue *queue, struct str topic, bool with_dead, queue_count_cb *cb,
                 void *arg) MUST_CHECK;

// ---- Dead letters

// At most `max` of the topic with an id above `after`, in the order of ids.
typedef void queue_list_cb(void *arg, const struct error *err, const struct queue_event *events,
                           size_t count);
int queue_list_dead(struct queue *queue, struct str topic, int64_t after, size_t max,
                    queue_list_cb *cb, void *arg) MUST_CHECK;
// One (id) or all (0) wait again from the beginning: due now, accepted now, no tries; the depth stays, so that
// functions that call one another do not begin anew by it.
int queue_revive(struct queue *queue, struct str topic, int64_t id, int64_t now_ms,
                 queue_count_cb *cb, void *arg) MUST_CHECK;
int queue_purge(struct queue *queue, struct str topic, int64_t id, queue_count_cb *cb,
                void *arg) MUST_CHECK;

struct queue_stats {
    uint64_t waiting, dead; // events: waiting and claimed; dead letters
    uint64_t published, commits;
};
void queue_stats(const struct queue *queue, struct queue_stats *ret_stats);

#endif
