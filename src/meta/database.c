// SPDX-License-Identifier: MIT

#include "meta/database.h"

#include "meta/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// A process that holds the file is one that ought not to be there: the store's lock has been taken.
#define BUSY_TIMEOUT_MS 2000
// Pages in the log before a commit also checkpoints: 4 MB.
#define CHECKPOINT_PAGES 1000

static int code_of(int sqlite_code)
{
    switch (sqlite_code & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EUCLEAN;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_TOOBIG:
        return -E2BIG;
    default:
        return -EIO; // SQLITE_IOERR, SQLITE_CANTOPEN and what is our own fault
    }
}

// A full disk shows itself as an I/O error too, with the system's errno beside it.
static int database_fail(struct database *database, int sqlite_code, const char *what,
                         struct error *err)
{
    int code = code_of(sqlite_code);
    int system = database->handle ? sqlite3_system_errno(database->handle) : 0;
    if (code == -EIO && (system == ENOSPC || system == EDQUOT))
        code = -ENOSPC;
    return error_set(err, code, "%s: %s", what,
                     database->handle ? sqlite3_errmsg(database->handle)
                                      : sqlite3_errstr(sqlite_code));
}

static int run(struct database *database, sqlite3_stmt *statement, const char *what,
               struct error *err)
{
    int code = sqlite3_step(statement);
    int r =
        code == SQLITE_DONE || code == SQLITE_ROW ? 0 : database_fail(database, code, what, err);
    sqlite3_reset(statement);
    return r;
}

static int run_text(struct database *database, const char *sql, struct error *err)
{
    int code = sqlite3_exec(database->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? 0 : database_fail(database, code, "prepare the registry", err);
}

// ---- Open

static int number_of(struct database *database, const char *sql, int64_t *ret_number,
                     struct error *err)
{
    sqlite3_stmt *statement;
    int code = sqlite3_prepare_v2(database->handle, sql, -1, &statement, NULL);
    if (code != SQLITE_OK)
        return database_fail(database, code, "read the registry", err);
    code = sqlite3_step(statement);
    int r = code == SQLITE_ROW ? 0 : database_fail(database, code, "read the registry", err);
    if (r == 0)
        *ret_number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return r;
}

static int check_health(struct database *database, struct error *err)
{
    sqlite3_stmt *statement;
    int code = sqlite3_prepare_v2(database->handle, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (code != SQLITE_OK)
        return database_fail(database, code, "check the registry", err);
    code = sqlite3_step(statement);
    int r = 0;
    if (code != SQLITE_ROW) {
        r = database_fail(database, code, "check the registry", err);
    } else {
        const char *text = (const char *) sqlite3_column_text(statement, 0);
        if (!text || strcmp(text, "ok") != 0)
            r = error_set(err, -EUCLEAN, "check the registry: %s", text ? text : "no answer");
    }
    sqlite3_finalize(statement);
    return r;
}

// Each step and the new version number are one transaction.
static int upgrade(struct database *database, struct error *err)
{
    const int64_t newest = sizeof(schema_steps) / sizeof(schema_steps[0]);
    int64_t version = 0;
    int r = number_of(database, "PRAGMA user_version", &version, err);
    if (r < 0)
        return r;
    if (version > newest)
        return error_set(err, -EPROTO,
                         "the registry has schema %lld, this program knows %lld: a newer Lamina "
                         "wrote it",
                         (long long) version, (long long) newest);
    for (; r == 0 && version < newest; version++) {
        char done[64];
        snprintf(done, sizeof(done), "PRAGMA user_version = %lld", (long long) version + 1);
        r = run_text(database, "BEGIN IMMEDIATE", err);
        if (r == 0)
            r = run_text(database, schema_steps[version], err);
        if (r == 0)
            r = run_text(database, done, err);
        if (r == 0)
            r = run_text(database, "COMMIT", err);
    }
    return r;
}

static int prepare(struct database *database, struct error *err)
{
    struct {
        sqlite3_stmt **statement;
        const char *sql;
    } table[] = {
        {&database->begin, "BEGIN IMMEDIATE"},
        {&database->commit, "COMMIT"},
        {&database->rollback, "ROLLBACK"},
        {&database->savepoint, "SAVEPOINT change"},
        {&database->release, "RELEASE change"},
        {&database->undo, "ROLLBACK TO change"},
        {&database->select, "SELECT revision, value FROM registry WHERE kind = ?1 AND key = ?2"},
        {&database->put, "INSERT INTO registry (kind, key, value, revision) "
                         "VALUES (?1, ?2, ?3, ?4) ON CONFLICT (kind, key) "
                         "DO UPDATE SET value = excluded.value, revision = excluded.revision"},
        {&database->remove, "DELETE FROM registry WHERE kind = ?1 AND key = ?2"},
        {&database->list, "SELECT key, value, revision FROM registry WHERE kind = ?1 ORDER BY key"},
        {&database->next_revision, "UPDATE counter SET value = value + 1 "
                                   "WHERE name = 'revision' RETURNING value"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        int code = sqlite3_prepare_v3(database->handle, table[i].sql, -1, SQLITE_PREPARE_PERSISTENT,
                                      table[i].statement, NULL);
        if (code != SQLITE_OK)
            return database_fail(database, code, "prepare the registry", err);
    }
    return 0;
}

// FULL: a commit is on the disk when it returns. The log is kept small; the memory too: laminad idles
// in 20 MB.
static int configure(struct database *database, struct error *err)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
             "PRAGMA cache_size = -1024; PRAGMA wal_autocheckpoint = %d;"
             "PRAGMA journal_size_limit = 4194304; PRAGMA trusted_schema = OFF",
             CHECKPOINT_PAGES);
    return run_text(database, sql, err);
}

static int open_checked(struct database *database, const char *path, struct error *err)
{
    // Made by us, so that it is nobody else's to read.
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set_errno(err, -errno, "open '%s'", path);
    close(fd);
    int code =
        sqlite3_open_v2(path, &database->handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
    if (code != SQLITE_OK)
        return database_fail(database, code, "open the registry", err);
    sqlite3_extended_result_codes(database->handle, 1);
    sqlite3_busy_timeout(database->handle, BUSY_TIMEOUT_MS);
    int r = configure(database, err);
    if (r == 0)
        r = check_health(database, err);
    if (r == 0)
        r = upgrade(database, err);
    return r < 0 ? r : prepare(database, err);
}

int database_open(struct database *database, const char *path, struct error *err)
{
    *database = (struct database){0};
    int r = open_checked(database, path, err);
    if (r < 0)
        database_close(database);
    if (r == -EUCLEAN) {
        struct error cause = *err;
        return error_set(err, r,
                         "the registry '%s' is damaged (%.200s): put a copy in its place, or move "
                         "it and its -wal file away to start without functions",
                         path, cause.text);
    }
    return r;
}

void database_close(struct database *database)
{
    sqlite3_stmt *statements[] = {
        database->begin,   database->commit, database->rollback,      database->savepoint,
        database->release, database->undo,   database->select,        database->put,
        database->remove,  database->list,   database->next_revision,
    };
    for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
        sqlite3_finalize(statements[i]);
    sqlite3_close(database->handle);
    *database = (struct database){0};
}

// ---- Transactions

int database_begin(struct database *database, struct error *err)
{
    return run(database, database->begin, "begin a commit", err);
}

int database_commit(struct database *database, struct error *err)
{
    return run(database, database->commit, "commit", err);
}

// After some errors SQLite has rolled back by itself; a second time does no harm.
void database_rollback(struct database *database)
{
    if (!sqlite3_get_autocommit(database->handle))
        (void) !run(database, database->rollback, "roll back", NULL);
}

int database_savepoint(struct database *database, struct error *err)
{
    return run(database, database->savepoint, "begin a change", err);
}

int database_release(struct database *database, struct error *err)
{
    return run(database, database->release, "end a change", err);
}

int database_undo(struct database *database, struct error *err)
{
    int r = run(database, database->undo, "undo a change", err);
    return r < 0 ? r : database_release(database, err);
}

// ---- Rows

static void bind_key(sqlite3_stmt *statement, const char *kind, const char *key)
{
    sqlite3_bind_text(statement, 1, kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, key, -1, SQLITE_STATIC);
}

int database_next_revision(struct database *database, int64_t *ret_revision, struct error *err)
{
    sqlite3_stmt *statement = database->next_revision;
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW) {
        int r = code == SQLITE_DONE ? error_set(err, -EUCLEAN, "the registry has no counter")
                                    : database_fail(database, code, "take a revision", err);
        sqlite3_reset(statement);
        return r;
    }
    *ret_revision = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return 0;
}

int database_get(struct database *database, const char *kind, const char *key,
                 int64_t *ret_revision, struct str *ret_value, struct error *err)
{
    sqlite3_stmt *statement = database->select;
    sqlite3_reset(statement);
    bind_key(statement, kind, key);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *ret_revision = sqlite3_column_int64(statement, 0);
        if (ret_value)
            *ret_value = str_of_data(sqlite3_column_blob(statement, 1),
                                     (size_t) sqlite3_column_bytes(statement, 1));
        else
            sqlite3_reset(statement);
        return 0;
    }
    sqlite3_reset(statement);
    if (code != SQLITE_DONE)
        return database_fail(database, code, "read a row", err);
    *ret_revision = 0;
    if (ret_value)
        *ret_value = (struct str){0};
    return 0;
}

int database_put(struct database *database, const char *kind, const char *key, struct str value,
                 int64_t revision, struct error *err)
{
    bind_key(database->put, kind, key);
    sqlite3_bind_blob(database->put, 3, value.data ? value.data : "", (int) value.size,
                      SQLITE_STATIC);
    sqlite3_bind_int64(database->put, 4, revision);
    return run(database, database->put, "write a row", err);
}

int database_remove(struct database *database, const char *kind, const char *key, struct error *err)
{
    bind_key(database->remove, kind, key);
    return run(database, database->remove, "remove a row", err);
}

int database_list(struct database *database, const char *kind,
                  int (*visit)(void *arg, const char *key, struct str value, int64_t revision),
                  void *arg, struct error *err)
{
    sqlite3_stmt *statement = database->list;
    sqlite3_bind_text(statement, 1, kind, -1, SQLITE_STATIC);
    int code, r = 0;
    while (r >= 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct str value = {sqlite3_column_blob(statement, 1),
                            (size_t) sqlite3_column_bytes(statement, 1)};
        r = visit(arg, (const char *) sqlite3_column_text(statement, 0), value,
                  sqlite3_column_int64(statement, 2));
    }
    if (r >= 0)
        r = code == SQLITE_DONE ? 0 : database_fail(database, code, "list the registry", err);
    sqlite3_reset(statement);
    return r;
}
