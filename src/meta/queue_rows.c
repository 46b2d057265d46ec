// SPDX-License-Identifier: MIT

#include "meta/queue_rows.h"

#include "meta/queue_schema.h"

#include <errno.h>

#define TEXTS "topic, qualifier, request_id, arn, trace_id, context, payload"

static int rows_prepare(struct queue_rows *rows, struct error *err)
{
    const struct {
        sqlite3_stmt **statement;
        const char *sql;
    } table[] = {
        {&rows->insert, "INSERT INTO event (" TEXTS ", accepted_ms, due_ms, tries, returns, depth) "
                        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"},
        {&rows->due,
         "SELECT " TEXTS ", accepted_ms, tries, returns, id, due_ms, depth FROM event "
         "WHERE topic = ?1 AND claimed = 0 AND due_ms <= ?2 ORDER BY due_ms, id LIMIT ?3"},
        {&rows->claim, "UPDATE event SET claimed = 1 WHERE id = ?1"},
        {&rows->next_due, "SELECT min(due_ms) FROM event WHERE topic = ?1 AND claimed = 0"},
        {&rows->remove, "DELETE FROM event WHERE id = ?1"},
        {&rows->retry, "UPDATE event SET claimed = 0, due_ms = ?2, tries = ?3, returns = ?4 "
                       "WHERE id = ?1"},
        {&rows->bury,
         "INSERT INTO dead SELECT id, " TEXTS ", accepted_ms, ?2, ?3, ?4, ?5, ?6, depth "
         "FROM event WHERE id = ?1"},
        {&rows->prune, "DELETE FROM dead WHERE id IN (SELECT id FROM dead ORDER BY id "
                       "LIMIT max(0, (SELECT count(*) FROM dead) - ?1))"},
        {&rows->forget, "DELETE FROM event WHERE topic = ?1 AND claimed = 0"},
        {&rows->forget_dead, "DELETE FROM dead WHERE topic = ?1"},
        {&rows->list, "SELECT " TEXTS ", accepted_ms, tries, returns, id, 0, reason, response, "
                      "died_ms FROM dead WHERE topic = ?1 AND id > ?2 ORDER BY id LIMIT ?3"},
        {&rows->revive, "INSERT INTO event (" TEXTS ", accepted_ms, due_ms, tries, returns, depth) "
                        "SELECT " TEXTS ", ?3, ?3, 0, 0, depth FROM dead "
                        "WHERE topic = ?1 AND (?2 = 0 OR id = ?2) ORDER BY id"},
        {&rows->purge, "DELETE FROM dead WHERE topic = ?1 AND (?2 = 0 OR id = ?2)"},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(table); i++)
        r = sqlite_prepare(&rows->sqlite, table[i].sql, table[i].statement, err);
    return r;
}

static int rows_count(struct queue_rows *rows, const char *sql, uint64_t *ret_count,
                      struct error *err)
{
    sqlite3_stmt *statement;
    int r = sqlite_prepare(&rows->sqlite, sql, &statement, err);
    if (r < 0)
        return r;
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *ret_count = (uint64_t) sqlite3_column_int64(statement, 0);
    else
        r = sqlite_fail(&rows->sqlite, code, "count", err);
    sqlite3_finalize(statement);
    return r;
}

static int rows_unclaim(struct queue_rows *rows, struct error *err)
{
    sqlite3_stmt *statement;
    int r = sqlite_prepare(&rows->sqlite, "UPDATE event SET claimed = 0 WHERE claimed = 1",
                           &statement, err);
    if (r < 0)
        return r;
    r = sqlite_run(&rows->sqlite, statement, "let claimed events wait again", err);
    sqlite3_finalize(statement);
    return r;
}

int queue_rows_open(struct queue_rows *rows, const char *path, struct error *err)
{
    static const struct sqlite_schema schema = {"queue", queue_schema_steps,
                                                ARRAY_SIZE(queue_schema_steps)};
    *rows = (struct queue_rows){0};
    int r = sqlite_open(&rows->sqlite, path, &schema, err);
    if (r == 0)
        r = rows_prepare(rows, err);
    if (r == 0)
        r = rows_unclaim(rows, err);
    if (r == 0)
        r = rows_count(rows, "SELECT count(*) FROM event", &rows->waiting_at_open, err);
    if (r == 0)
        r = rows_count(rows, "SELECT count(*) FROM dead", &rows->dead_at_open, err);
    if (r < 0)
        queue_rows_close(rows);
    return r;
}

void queue_rows_close(struct queue_rows *rows)
{
    sqlite3_stmt *statements[] = {rows->insert, rows->due,         rows->claim, rows->next_due,
                                  rows->remove, rows->retry,       rows->bury,  rows->prune,
                                  rows->forget, rows->forget_dead, rows->list,  rows->revive,
                                  rows->purge};
    for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
        sqlite3_finalize(statements[i]);
    sqlite_close(&rows->sqlite);
    *rows = (struct queue_rows){0};
}

int queue_rows_topics(struct queue_rows *rows, int (*visit)(void *arg, const char *topic),
                      void *arg, struct error *err)
{
    sqlite3_stmt *statement;
    int code = SQLITE_DONE;
    int r = sqlite_prepare(&rows->sqlite, "SELECT topic FROM event UNION SELECT topic FROM dead",
                           &statement, err);
    if (r < 0)
        return r;
    while (r >= 0 && (code = sqlite3_step(statement)) == SQLITE_ROW)
        r = visit(arg, (const char *) sqlite3_column_text(statement, 0));
    if (r >= 0)
        r = code == SQLITE_DONE ? 0 : sqlite_fail(&rows->sqlite, code, "list topics", err);
    sqlite3_finalize(statement);
    return r;
}

int queue_rows_publish(struct queue_rows *rows, const struct queue_event *event, struct error *err)
{
    sqlite3_stmt *statement = rows->insert;
    const struct str texts[] = {event->topic, event->qualifier, event->request_id, event->arn,
                                event->trace_id};
    for (int i = 0; i < 5; i++)
        sqlite_bind_str(statement, i + 1, texts[i]);
    sqlite_bind_bytes(statement, 6, event->context);
    sqlite_bind_bytes(statement, 7, event->payload);
    sqlite3_bind_int64(statement, 8, event->accepted_ms);
    sqlite3_bind_int64(statement, 9, event->due_ms);
    sqlite3_bind_int64(statement, 10, event->tries);
    sqlite3_bind_int64(statement, 11, event->returns);
    sqlite3_bind_int64(statement, 12, event->depth);
    return sqlite_run(&rows->sqlite, statement, "write an event", err);
}

// Columns: TEXTS, accepted_ms, tries, returns, id, due_ms.
static struct queue_event event_of(sqlite3_stmt *statement)
{
    return (struct queue_event){
        .topic = sqlite_column_str(statement, 0),
        .qualifier = sqlite_column_str(statement, 1),
        .request_id = sqlite_column_str(statement, 2),
        .arn = sqlite_column_str(statement, 3),
        .trace_id = sqlite_column_str(statement, 4),
        .context = sqlite_column_str(statement, 5),
        .payload = sqlite_column_str(statement, 6),
        .accepted_ms = sqlite3_column_int64(statement, 7),
        .tries = (uint32_t) sqlite3_column_int64(statement, 8),
        .returns = (uint32_t) sqlite3_column_int64(statement, 9),
        .id = sqlite3_column_int64(statement, 10),
        .due_ms = sqlite3_column_int64(statement, 11),
    };
}

static int claim_one(struct queue_rows *rows, int64_t id, struct error *err)
{
    sqlite3_bind_int64(rows->claim, 1, id);
    return sqlite_run(&rows->sqlite, rows->claim, "claim an event", err);
}

static int read_next_due(struct queue_rows *rows, struct str topic, int64_t *ret_due_ms,
                         struct error *err)
{
    sqlite_bind_str(rows->next_due, 1, topic);
    int code = sqlite3_step(rows->next_due);
    int r = code == SQLITE_ROW ? 0 : sqlite_fail(&rows->sqlite, code, "look at the queue", err);
    if (r == 0)
        *ret_due_ms = sqlite3_column_int64(rows->next_due, 0); // NULL reads as 0
    sqlite3_reset(rows->next_due);
    return r;
}

int queue_rows_claim(struct queue_rows *rows, struct str topic, int64_t now_ms, size_t max,
                     int (*take)(void *arg, const struct queue_event *event), void *arg,
                     int64_t *ret_next_due_ms, struct error *err)
{
    int64_t ids[QUEUE_CLAIM_MAX];
    size_t count = 0;
    int code = SQLITE_DONE, r = 0;
    sqlite_bind_str(rows->due, 1, topic);
    sqlite3_bind_int64(rows->due, 2, now_ms);
    sqlite3_bind_int64(rows->due, 3, (int64_t) (max < QUEUE_CLAIM_MAX ? max : QUEUE_CLAIM_MAX));
    // The ids first: claiming changes the index that is being walked.
    while (r == 0 && (code = sqlite3_step(rows->due)) == SQLITE_ROW) {
        struct queue_event event = event_of(rows->due);
        event.depth = (uint32_t) sqlite3_column_int64(rows->due, 12);
        r = take(arg, &event);
        if (r == 0)
            ids[count++] = event.id;
    }
    if (r == 0 && code != SQLITE_DONE)
        r = sqlite_fail(&rows->sqlite, code, "read events", err);
    else if (r < 0)
        error_set(err, r, "no memory for events");
    sqlite3_reset(rows->due);
    for (size_t i = 0; r >= 0 && i < count; i++)
        r = claim_one(rows, ids[i], err);
    return r < 0 ? r : read_next_due(rows, topic, ret_next_due_ms, err);
}

int queue_rows_remove(struct queue_rows *rows, int64_t id, struct error *err)
{
    sqlite3_bind_int64(rows->remove, 1, id);
    return sqlite_run(&rows->sqlite, rows->remove, "remove an event", err);
}

int queue_rows_retry(struct queue_rows *rows, const struct queue_event *event, struct error *err)
{
    sqlite3_bind_int64(rows->retry, 1, event->id);
    sqlite3_bind_int64(rows->retry, 2, event->due_ms);
    sqlite3_bind_int64(rows->retry, 3, event->tries);
    sqlite3_bind_int64(rows->retry, 4, event->returns);
    return sqlite_run(&rows->sqlite, rows->retry, "let an event wait again", err);
}

static int run_counted(struct queue_rows *rows, sqlite3_stmt *statement, const char *what,
                       uint64_t *ret_count, struct error *err)
{
    int r = sqlite_run(&rows->sqlite, statement, what, err);
    if (r == 0)
        *ret_count = (uint64_t) sqlite3_changes64(rows->sqlite.handle);
    return r;
}

int queue_rows_bury(struct queue_rows *rows, const struct queue_event *event, uint64_t dead_max,
                    uint64_t *ret_pruned, struct error *err)
{
    sqlite3_bind_int64(rows->bury, 1, event->id);
    sqlite3_bind_int64(rows->bury, 2, event->tries);
    sqlite3_bind_int64(rows->bury, 3, event->returns);
    sqlite_bind_str(rows->bury, 4, event->reason);
    sqlite_bind_bytes(rows->bury, 5, event->response);
    sqlite3_bind_int64(rows->bury, 6, event->died_ms);
    int r = sqlite_run(&rows->sqlite, rows->bury, "bury an event", err);
    if (r == 0)
        r = queue_rows_remove(rows, event->id, err);
    *ret_pruned = 0;
    if (r < 0 || dead_max == 0)
        return r;
    sqlite3_bind_int64(rows->prune, 1, (int64_t) dead_max);
    return run_counted(rows, rows->prune, "drop the oldest dead letters", ret_pruned, err);
}

int queue_rows_forget(struct queue_rows *rows, struct str topic, bool with_dead,
                      uint64_t *ret_events, uint64_t *ret_dead, struct error *err)
{
    *ret_dead = 0;
    sqlite_bind_str(rows->forget, 1, topic);
    sqlite_bind_str(rows->forget_dead, 1, topic);
    int r = run_counted(rows, rows->forget, "drop events", ret_events, err);
    if (r == 0 && with_dead)
        r = run_counted(rows, rows->forget_dead, "drop dead letters", ret_dead, err);
    return r;
}

int queue_rows_purge(struct queue_rows *rows, struct str topic, int64_t id, uint64_t *ret_count,
                     struct error *err)
{
    sqlite_bind_str(rows->purge, 1, topic);
    sqlite3_bind_int64(rows->purge, 2, id);
    return run_counted(rows, rows->purge, "purge dead letters", ret_count, err);
}

int queue_rows_revive(struct queue_rows *rows, struct str topic, int64_t id, int64_t now_ms,
                      uint64_t *ret_count, struct error *err)
{
    sqlite_bind_str(rows->revive, 1, topic);
    sqlite3_bind_int64(rows->revive, 2, id);
    sqlite3_bind_int64(rows->revive, 3, now_ms);
    int r = sqlite_run(&rows->sqlite, rows->revive, "revive dead letters", err);
    return r < 0 ? r : queue_rows_purge(rows, topic, id, ret_count, err);
}

int queue_rows_list(struct queue_rows *rows, struct str topic, int64_t after, size_t max,
                    int (*take)(void *arg, const struct queue_event *event), void *arg,
                    struct error *err)
{
    int code = SQLITE_DONE, r = 0;
    sqlite_bind_str(rows->list, 1, topic);
    sqlite3_bind_int64(rows->list, 2, after);
    sqlite3_bind_int64(rows->list, 3, (int64_t) max);
    while (r == 0 && (code = sqlite3_step(rows->list)) == SQLITE_ROW) {
        struct queue_event event = event_of(rows->list);
        event.reason = sqlite_column_str(rows->list, 12);
        event.response = sqlite_column_str(rows->list, 13);
        event.died_ms = sqlite3_column_int64(rows->list, 14);
        r = take(arg, &event);
    }
    if (r == 0 && code != SQLITE_DONE)
        r = sqlite_fail(&rows->sqlite, code, "list dead letters", err);
    else if (r < 0)
        error_set(err, r, "no memory for dead letters");
    sqlite3_reset(rows->list);
    return r < 0 ? r : 0;
}
