// SPDX-License-Identifier: MIT

#include "meta/registry_rows.h"

#include "meta/schema.h"

#include <errno.h>

static int rows_prepare(struct registry_rows *rows, struct error *err)
{
    const struct {
        sqlite3_stmt **statement;
        const char *sql;
    } table[] = {
        {&rows->savepoint, "SAVEPOINT change"},
        {&rows->release, "RELEASE change"},
        {&rows->undo, "ROLLBACK TO change"},
        {&rows->select, "SELECT revision, value FROM registry WHERE kind = ?1 AND key = ?2"},
        {&rows->put, "INSERT INTO registry (kind, key, value, revision) VALUES (?1, ?2, ?3, ?4) "
                     "ON CONFLICT (kind, key) "
                     "DO UPDATE SET value = excluded.value, revision = excluded.revision"},
        {&rows->remove, "DELETE FROM registry WHERE kind = ?1 AND key = ?2"},
        {&rows->list, "SELECT key, value, revision FROM registry WHERE kind = ?1 ORDER BY key"},
        {&rows->next_revision, "UPDATE counter SET value = value + 1 WHERE name = 'revision' "
                               "RETURNING value"},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(table); i++)
        r = sqlite_prepare(&rows->sqlite, table[i].sql, table[i].statement, err);
    return r;
}

int rows_open(struct registry_rows *rows, const char *path, struct error *err)
{
    static const struct sqlite_schema schema = {"registry", schema_steps, ARRAY_SIZE(schema_steps)};
    *rows = (struct registry_rows){0};
    int r = sqlite_open(&rows->sqlite, path, &schema, err);
    if (r == 0)
        r = rows_prepare(rows, err);
    if (r < 0)
        rows_close(rows);
    return r;
}

void rows_close(struct registry_rows *rows)
{
    sqlite3_stmt *statements[] = {rows->savepoint, rows->release, rows->undo, rows->select,
                                  rows->put,       rows->remove,  rows->list, rows->next_revision};
    for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
        sqlite3_finalize(statements[i]);
    sqlite_close(&rows->sqlite);
    *rows = (struct registry_rows){0};
}

int rows_savepoint(struct registry_rows *rows, struct error *err)
{
    return sqlite_run(&rows->sqlite, rows->savepoint, "begin a change", err);
}

int rows_release(struct registry_rows *rows, struct error *err)
{
    return sqlite_run(&rows->sqlite, rows->release, "end a change", err);
}

int rows_undo(struct registry_rows *rows, struct error *err)
{
    int r = sqlite_run(&rows->sqlite, rows->undo, "undo a change", err);
    return r < 0 ? r : rows_release(rows, err);
}

static void bind_key(sqlite3_stmt *statement, const char *kind, const char *key)
{
    sqlite3_bind_text(statement, 1, kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, key, -1, SQLITE_STATIC);
}

int rows_next_revision(struct registry_rows *rows, int64_t *ret_revision, struct error *err)
{
    sqlite3_stmt *statement = rows->next_revision;
    int code = sqlite3_step(statement);
    int r = code == SQLITE_ROW    ? 0
            : code == SQLITE_DONE ? error_set(err, -EUCLEAN, "the registry has no counter")
                                  : sqlite_fail(&rows->sqlite, code, "take a revision", err);
    if (r == 0)
        *ret_revision = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return r;
}

int rows_get(struct registry_rows *rows, const char *kind, const char *key, int64_t *ret_revision,
             struct str *ret_value, struct error *err)
{
    sqlite3_stmt *statement = rows->select;
    sqlite3_reset(statement);
    bind_key(statement, kind, key);
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        int r = sqlite_fail(&rows->sqlite, code, "read a row", err);
        sqlite3_reset(statement);
        return r;
    }
    *ret_revision = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    if (ret_value)
        *ret_value = code == SQLITE_ROW ? sqlite_column_str(statement, 1) : (struct str){0};
    if (!ret_value || code == SQLITE_DONE)
        sqlite3_reset(statement);
    return 0;
}

int rows_put(struct registry_rows *rows, const char *kind, const char *key, struct str value,
             int64_t revision, struct error *err)
{
    bind_key(rows->put, kind, key);
    sqlite_bind_bytes(rows->put, 3, value);
    sqlite3_bind_int64(rows->put, 4, revision);
    return sqlite_run(&rows->sqlite, rows->put, "write a row", err);
}

int rows_remove(struct registry_rows *rows, const char *kind, const char *key, struct error *err)
{
    bind_key(rows->remove, kind, key);
    return sqlite_run(&rows->sqlite, rows->remove, "remove a row", err);
}

int rows_list(struct registry_rows *rows, const char *kind,
              int (*visit)(void *arg, const char *key, struct str value, int64_t revision),
              void *arg, struct error *err)
{
    sqlite3_stmt *statement = rows->list;
    sqlite3_bind_text(statement, 1, kind, -1, SQLITE_STATIC);
    int code = SQLITE_DONE, r = 0;
    while (r >= 0 && (code = sqlite3_step(statement)) == SQLITE_ROW)
        r = visit(arg, (const char *) sqlite3_column_text(statement, 0),
                  sqlite_column_str(statement, 1), sqlite3_column_int64(statement, 2));
    if (r >= 0)
        r = code == SQLITE_DONE ? 0 : sqlite_fail(&rows->sqlite, code, "list the registry", err);
    sqlite3_reset(statement);
    return r;
}
