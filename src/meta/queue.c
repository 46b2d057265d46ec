// SPDX-License-Identifier: MIT

#include "meta/queue.h"

#include "base/mem.h"
#include "meta/queue_rows.h"
#include "meta/writer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct queue {
    struct queue_rows rows; // the writer's thread's, once it runs
    struct writer *writer;
    struct queue_stats stats; // loop thread
};

// An event whose texts are one block of its own.
struct owned_event {
    struct queue_event event;
    char *block;
};

enum verb { PUBLISH, CLAIM, SETTLE, FORGET, LIST, REVIVE, PURGE };

// What the loop asked for, and later its answer.
#define PRUNE_AHEAD 1024 // more than are ever buried at once

struct request {
    struct writer_request head;
    struct queue *queue;
    enum verb verb;
    struct owned_event event; // PUBLISH, SETTLE; else only its topic and id
    struct owned_event also;  // SETTLE
    bool has_also;
    enum queue_fate fate;
    bool with_dead, may_prune;
    int64_t now_ms; // CLAIM, REVIVE; LIST: after
    size_t max;
    union {
        queue_cb *plain;
        queue_count_cb *count;
        queue_claim_cb *claim;
        queue_list_cb *list;
    } cb;
    void *arg;
    struct queue_event *found; // CLAIM, LIST: owned, and the blocks of their texts
    char **blocks;
    size_t found_count, found_capacity, found_bytes;
    int64_t next_due_ms;
    uint64_t changed, changed_dead;
};

// ---- Copies

static void texts_of(struct queue_event *event, struct str *texts[9])
{
    struct str *all[9] = {&event->topic,   &event->qualifier, &event->request_id,
                          &event->arn,     &event->trace_id,  &event->context,
                          &event->payload, &event->reason,    &event->response};
    memcpy(texts, all, sizeof(all));
}

static size_t event_bytes(const struct queue_event *event)
{
    struct queue_event copy = *event;
    struct str *texts[9];
    size_t size = 0;
    texts_of(&copy, texts);
    for (size_t i = 0; i < 9; i++)
        size += texts[i]->size;
    return size;
}

// -E2BIG, -ENOMEM.
static int event_copy(const struct queue_event *from, struct owned_event *to)
{
    struct str *texts[9];
    size_t used = 0, size = event_bytes(from);
    if (size > QUEUE_PAYLOAD_MAX)
        return -E2BIG;
    to->event = *from;
    to->block = malloc(size + 1);
    if (!to->block)
        return -ENOMEM;
    texts_of(&to->event, texts);
    for (size_t i = 0; i < 9; i++) {
        if (texts[i]->size)
            memcpy(to->block + used, texts[i]->data, texts[i]->size);
        texts[i]->data = to->block + used;
        used += texts[i]->size;
    }
    return 0;
}

static void request_free(struct request *request)
{
    for (size_t i = 0; i < request->found_count; i++)
        free(request->blocks[i]);
    free(request->blocks);
    free(request->found);
    free(request->event.block);
    free(request->also.block);
    free(request);
}

// One more found event. 1: it would be too much together.
static int request_take(void *arg, const struct queue_event *event)
{
    struct request *request = arg;
    struct owned_event copy = {0};
    if (request->found_count > 0 && request->found_bytes + event_bytes(event) > QUEUE_CLAIM_BYTES)
        return 1;
    if (request->found_count == request->found_capacity) {
        size_t capacity = request->found_capacity ? 2 * request->found_capacity : 16;
        struct queue_event *found = reallocarray(request->found, capacity, sizeof(found[0]));
        if (!found)
            return -ENOMEM;
        request->found = found;
        char **blocks = reallocarray(request->blocks, capacity, sizeof(blocks[0]));
        if (!blocks)
            return -ENOMEM;
        request->blocks = blocks;
        request->found_capacity = capacity;
    }
    int r = event_copy(event, &copy);
    if (r < 0)
        return r;
    request->found_bytes += event_bytes(event);
    request->found[request->found_count] = copy.event;
    request->blocks[request->found_count++] = copy.block;
    return 0;
}

// ---- The database thread

static int settle_apply(struct request *request, struct queue_rows *rows, struct error *err)
{
    const struct queue_event *event = &request->event.event;
    int r = request->fate == QUEUE_REMOVE ? queue_rows_remove(rows, event->id, err)
            : request->fate == QUEUE_RETRY
                ? queue_rows_retry(rows, event, err)
                : queue_rows_bury(rows, event, request->may_prune ? QUEUE_DEAD_MAX : 0,
                                  &request->changed_dead, err);
    return r == 0 && request->has_also ? queue_rows_publish(rows, &request->also.event, err) : r;
}

static int request_apply(struct writer_request *head, void *arg)
{
    struct request *request = container_of(head, struct request, head);
    const struct queue_event *event = &request->event.event;
    struct queue_rows *rows = arg;
    struct error *err = &head->err;
    switch (request->verb) {
    case PUBLISH:
        return queue_rows_publish(rows, event, err);
    case CLAIM:
        return queue_rows_claim(rows, event->topic, request->now_ms, request->max, request_take,
                                request, &request->next_due_ms, err);
    case SETTLE:
        return settle_apply(request, rows, err);
    case FORGET:
        return queue_rows_forget(rows, event->topic, request->with_dead, &request->changed,
                                 &request->changed_dead, err);
    case LIST:
        return queue_rows_list(rows, event->topic, request->now_ms, request->max, request_take,
                               request, err);
    case REVIVE:
        return queue_rows_revive(rows, event->topic, event->id, request->now_ms, &request->changed,
                                 err);
    default:
        return queue_rows_purge(rows, event->topic, event->id, &request->changed, err);
    }
}

// ---- The loop thread

static void request_count(const struct request *request, struct queue_stats *stats)
{
    switch (request->verb) {
    case PUBLISH:
        stats->waiting++;
        stats->published++;
        break;
    case SETTLE:
        stats->waiting += request->has_also;
        stats->published += request->has_also;
        stats->waiting -= request->fate != QUEUE_RETRY;
        stats->dead += request->fate == QUEUE_BURY;
        stats->dead -= request->changed_dead;
        break;
    case FORGET:
        stats->waiting -= request->changed;
        stats->dead -= request->changed_dead;
        break;
    case REVIVE:
        stats->waiting += request->changed;
        stats->dead -= request->changed;
        break;
    case PURGE:
        stats->dead -= request->changed;
        break;
    default:
        break;
    }
}

static void request_answer(struct writer_request *head)
{
    struct request *request = container_of(head, struct request, head);
    const struct error *err = head->err.code < 0 ? &head->err : NULL;
    size_t found = err ? 0 : request->found_count;
    if (!err)
        request_count(request, &request->queue->stats);
    switch (request->verb) {
    case PUBLISH:
    case SETTLE:
        request->cb.plain(request->arg, err);
        break;
    case CLAIM:
        request->cb.claim(request->arg, err, request->found, found, request->next_due_ms);
        break;
    case LIST:
        request->cb.list(request->arg, err, request->found, found);
        break;
    default:
        request->cb.count(request->arg, err, request->changed);
        break;
    }
    request_free(request);
}

int queue_open(const char *data_dir, struct loop *loop, struct queue **ret_queue, struct error *err)
{
    char path[4096];
    int size = snprintf(path, sizeof(path), "%s/queue.db", data_dir);
    if (size < 0 || (size_t) size >= sizeof(path))
        return error_set(err, -ENAMETOOLONG, "the data directory's name is too long");
    struct queue *queue = mem_new(struct queue);
    if (!queue)
        return error_set(err, -ENOMEM, "no memory for the queue");
    int r = queue_rows_open(&queue->rows, path, err);
    if (r == 0) {
        r = writer_new(loop, &queue->rows.sqlite, "queue", QUEUE_REQUESTS_MAX, &queue->rows,
                       &queue->writer);
        if (r < 0)
            error_set(err, r, "no memory for the queue");
    }
    if (r < 0) {
        queue_close(queue);
        return r;
    }
    queue->stats.waiting = queue->rows.waiting_at_open;
    queue->stats.dead = queue->rows.dead_at_open;
    *ret_queue = queue;
    return 0;
}

void queue_close(struct queue *queue)
{
    if (!queue)
        return;
    writer_free(queue->writer);
    queue_rows_close(&queue->rows);
    free(queue);
}

int queue_topics(struct queue *queue, int (*visit)(void *arg, const char *topic), void *arg,
                 struct error *err)
{
    return queue_rows_topics(&queue->rows, visit, arg, err);
}

// A request with a copy of the event; `topic` alone where that is all it needs.
static int request_new(struct queue *queue, enum verb verb, const struct queue_event *event,
                       void *arg, struct request **ret_request)
{
    struct request *request = mem_new(struct request);
    if (!request)
        return -ENOMEM;
    request->queue = queue;
    request->verb = verb;
    request->arg = arg;
    request->head.apply = request_apply;
    request->head.answer = request_answer;
    int r = event_copy(event, &request->event);
    if (r < 0) {
        request_free(request);
        return r;
    }
    *ret_request = request;
    return 0;
}

static int request_submit(struct request *request)
{
    int r = writer_submit(request->queue->writer, &request->head);
    if (r < 0)
        request_free(request);
    return r;
}

int queue_publish(struct queue *queue, const struct queue_event *event, queue_cb *cb, void *arg)
{
    struct request *request;
    if (queue->stats.waiting >= QUEUE_EVENTS_MAX)
        return -ENOSPC;
    int r = request_new(queue, PUBLISH, event, arg, &request);
    if (r < 0)
        return r;
    request->cb.plain = cb;
    return request_submit(request);
}

int queue_claim(struct queue *queue, struct str topic, int64_t now_ms, size_t max,
                queue_claim_cb *cb, void *arg)
{
    struct request *request;
    int r = request_new(queue, CLAIM, &(struct queue_event){.topic = topic}, arg, &request);
    if (r < 0)
        return r;
    request->cb.claim = cb;
    request->now_ms = now_ms;
    request->max = max;
    return request_submit(request);
}

int queue_settle(struct queue *queue, enum queue_fate fate, const struct queue_event *event,
                 const struct queue_event *also, queue_cb *cb, void *arg)
{
    struct request *request;
    struct queue_event needed = *event;
    needed.payload = needed.context = (struct str){0}; // the row has them
    int r = request_new(queue, SETTLE, &needed, arg, &request);
    if (r < 0)
        return r;
    request->fate = fate;
    // The thread counts, as others may be buried or purged before; that takes long, so only when there are many.
    request->may_prune = queue->stats.dead >= QUEUE_DEAD_MAX - PRUNE_AHEAD;
    request->cb.plain = cb;
    request->has_also = also != NULL;
    r = also ? event_copy(also, &request->also) : 0;
    if (r < 0) {
        request_free(request);
        return r;
    }
    return request_submit(request);
}

static int submit_counted(struct queue *queue, enum verb verb, struct str topic, int64_t id,
                          int64_t now_ms, bool with_dead, queue_count_cb *cb, void *arg)
{
    struct request *request;
    int r =
        request_new(queue, verb, &(struct queue_event){.topic = topic, .id = id}, arg, &request);
    if (r < 0)
        return r;
    request->now_ms = now_ms;
    request->with_dead = with_dead;
    request->cb.count = cb;
    return request_submit(request);
}

int queue_forget(struct queue *queue, struct str topic, bool with_dead, queue_count_cb *cb,
                 void *arg)
{
    return submit_counted(queue, FORGET, topic, 0, 0, with_dead, cb, arg);
}

int queue_revive(struct queue *queue, struct str topic, int64_t id, int64_t now_ms,
                 queue_count_cb *cb, void *arg)
{
    return submit_counted(queue, REVIVE, topic, id, now_ms, false, cb, arg);
}

int queue_purge(struct queue *queue, struct str topic, int64_t id, queue_count_cb *cb, void *arg)
{
    return submit_counted(queue, PURGE, topic, id, 0, false, cb, arg);
}

int queue_list_dead(struct queue *queue, struct str topic, int64_t after, size_t max,
                    queue_list_cb *cb, void *arg)
{
    struct request *request;
    int r = request_new(queue, LIST, &(struct queue_event){.topic = topic}, arg, &request);
    if (r < 0)
        return r;
    request->now_ms = after;
    request->max = max;
    request->cb.list = cb;
    return request_submit(request);
}

void queue_stats(const struct queue *queue, struct queue_stats *ret_stats)
{
    struct writer_stats stats;
    writer_stats(queue->writer, &stats);
    *ret_stats = queue->stats;
    ret_stats->commits = stats.commits;
}
