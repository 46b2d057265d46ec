// SPDX-License-Identifier: MIT
//
// The queue's rows in SQLite. Internal to meta/. One thread at a time. Every function runs inside a
// transaction of the writer's.

#ifndef LAMINA_META_QUEUE_ROWS_H
#define LAMINA_META_QUEUE_ROWS_H

#include "meta/queue.h"
#include "meta/sqlite.h"

struct queue_rows {
    struct sqlite sqlite;
    sqlite3_stmt *insert, *due, *claim, *next_due, *remove, *retry, *bury, *forget, *forget_dead;
    sqlite3_stmt *list, *revive, *purge, *prune;
    uint64_t waiting_at_open, dead_at_open;
};

// Makes every claimed event wait again.
int queue_rows_open(struct queue_rows *rows, const char *path, struct error *err) MUST_CHECK;
void queue_rows_close(struct queue_rows *rows); // accepts a zeroed or half-opened one

int queue_rows_topics(struct queue_rows *rows, int (*visit)(void *arg, const char *topic),
                      void *arg, struct error *err) MUST_CHECK;

int queue_rows_publish(struct queue_rows *rows, const struct queue_event *event,
                       struct error *err) MUST_CHECK;

// Calls `take` for each event that is due, oldest first, until it returns 1 (not this one: enough) or
// fails; those that it took (0) are claimed. Texts live during the call.
int queue_rows_claim(struct queue_rows *rows, struct str topic, int64_t now_ms, size_t max,
                     int (*take)(void *arg, const struct queue_event *event), void *arg,
                     int64_t *ret_next_due_ms, struct error *err) MUST_CHECK;

int queue_rows_remove(struct queue_rows *rows, int64_t id, struct error *err) MUST_CHECK;
int queue_rows_retry(struct queue_rows *rows, const struct queue_event *event,
                     struct error *err) MUST_CHECK;
// Also removes it, and the oldest dead letters above `dead_max` (0: without counting them). Tells how many those were.
int queue_rows_bury(struct queue_rows *rows, const struct queue_event *event, uint64_t dead_max,
                    uint64_t *ret_pruned, struct error *err) MUST_CHECK;

// The next three tell how many rows they changed.
int queue_rows_forget(struct queue_rows *rows, struct str topic, bool with_dead,
                      uint64_t *ret_events, uint64_t *ret_dead, struct error *err) MUST_CHECK;
int queue_rows_revive(struct queue_rows *rows, struct str topic, int64_t id, int64_t now_ms,
                      uint64_t *ret_count, struct error *err) MUST_CHECK;
int queue_rows_purge(struct queue_rows *rows, struct str topic, int64_t id, uint64_t *ret_count,
                     struct error *err) MUST_CHECK;

int queue_rows_list(struct queue_rows *rows, struct str topic, int64_t after, size_t max,
                    int (*take)(void *arg, const struct queue_event *event), void *arg,
                    struct error *err) MUST_CHECK;

#endif
