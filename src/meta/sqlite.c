// SPDX-License-Identifier: MIT

#include "meta/sqlite.h"

#include <errno.h>
#include <fcntl.h>
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
int sqlite_fail(struct sqlite *sqlite, int sqlite_code, const char *what, struct error *err)
{
    int code = code_of(sqlite_code);
    int system = sqlite->handle ? sqlite3_system_errno(sqlite->handle) : 0;
    if (code == -EIO && (system == ENOSPC || system == EDQUOT))
        code = -ENOSPC;
    return error_set(err, code, "%s: %s", what,
                     sqlite->handle ? sqlite3_errmsg(sqlite->handle) : sqlite3_errstr(sqlite_code));
}

int sqlite_prepare(struct sqlite *sqlite, const char *sql, sqlite3_stmt **ret_statement,
                   struct error *err)
{
    int code =
        sqlite3_prepare_v3(sqlite->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, NULL);
    return code == SQLITE_OK ? 0 : sqlite_fail(sqlite, code, "prepare a statement", err);
}

int sqlite_run(struct sqlite *sqlite, sqlite3_stmt *statement, const char *what, struct error *err)
{
    int code = sqlite3_step(statement);
    int r = code == SQLITE_DONE || code == SQLITE_ROW ? 0 : sqlite_fail(sqlite, code, what, err);
    sqlite3_reset(statement);
    return r;
}

static int run_text(struct sqlite *sqlite, const char *sql, struct error *err)
{
    int code = sqlite3_exec(sqlite->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? 0 : sqlite_fail(sqlite, code, "open", err);
}

// ---- Open

static int check_health(struct sqlite *sqlite, struct error *err)
{
    sqlite3_stmt *statement;
    int r = sqlite_prepare(sqlite, "PRAGMA quick_check(1)", &statement, err);
    if (r < 0)
        return r;
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW) {
        r = sqlite_fail(sqlite, code, "check", err);
    } else {
        const char *text = (const char *) sqlite3_column_text(statement, 0);
        if (!text || strcmp(text, "ok") != 0)
            r = error_set(err, -EUCLEAN, "check: %s", text ? text : "no answer");
    }
    sqlite3_finalize(statement);
    return r;
}

static int read_version(struct sqlite *sqlite, int64_t *ret_version, struct error *err)
{
    sqlite3_stmt *statement;
    int r = sqlite_prepare(sqlite, "PRAGMA user_version", &statement, err);
    if (r < 0)
        return r;
    int code = sqlite3_step(statement);
    r = code == SQLITE_ROW ? 0 : sqlite_fail(sqlite, code, "read the schema's version", err);
    if (r == 0)
        *ret_version = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return r;
}

// Each step and the new version number are one transaction.
static int upgrade(struct sqlite *sqlite, const struct sqlite_schema *schema, struct error *err)
{
    int64_t newest = (int64_t) schema->step_count, version = 0;
    int r = read_version(sqlite, &version, err);
    if (r < 0)
        return r;
    if (version > newest)
        return error_set(err, -EPROTO,
                         "the %s has schema %lld, this program knows %lld: a newer Lamina wrote it",
                         schema->what, (long long) version, (long long) newest);
    for (; r == 0 && version < newest; version++) {
        char done[64];
        snprintf(done, sizeof(done), "PRAGMA user_version = %lld", (long long) version + 1);
        r = run_text(sqlite, "BEGIN IMMEDIATE", err);
        if (r == 0)
            r = run_text(sqlite, schema->steps[version], err);
        if (r == 0)
            r = run_text(sqlite, done, err);
        if (r == 0)
            r = run_text(sqlite, "COMMIT", err);
    }
    return r;
}

// FULL: a commit is on the disk when it returns. The log is kept small; the memory too: laminad idles
// in 20 MB.
static int configure(struct sqlite *sqlite, struct error *err)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
             "PRAGMA cache_size = -1024; PRAGMA wal_autocheckpoint = %d;"
             "PRAGMA journal_size_limit = 4194304; PRAGMA trusted_schema = OFF",
             CHECKPOINT_PAGES);
    return run_text(sqlite, sql, err);
}

static int open_checked(struct sqlite *sqlite, const char *path, const struct sqlite_schema *schema,
                        struct error *err)
{
    // Made by us, so that it is nobody else's to read.
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set_errno(err, -errno, "open '%s'", path);
    close(fd);
    int code =
        sqlite3_open_v2(path, &sqlite->handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
    if (code != SQLITE_OK)
        return sqlite_fail(sqlite, code, "open", err);
    sqlite3_extended_result_codes(sqlite->handle, 1);
    sqlite3_busy_timeout(sqlite->handle, BUSY_TIMEOUT_MS);
    int r = configure(sqlite, err);
    if (r == 0)
        r = check_health(sqlite, err);
    if (r == 0)
        r = upgrade(sqlite, schema, err);
    if (r == 0)
        r = sqlite_prepare(sqlite, "BEGIN IMMEDIATE", &sqlite->begin, err);
    if (r == 0)
        r = sqlite_prepare(sqlite, "COMMIT", &sqlite->commit, err);
    return r < 0 ? r : sqlite_prepare(sqlite, "ROLLBACK", &sqlite->rollback, err);
}

int sqlite_open(struct sqlite *sqlite, const char *path, const struct sqlite_schema *schema,
                struct error *err)
{
    struct error cause = {0};
    *sqlite = (struct sqlite){0};
    int r = open_checked(sqlite, path, schema, &cause);
    if (r == 0)
        return 0;
    sqlite_close(sqlite);
    if (r == -EUCLEAN)
        return error_set(err, r,
                         "the %s '%s' is damaged (%.200s): put a copy in its place, or move it and "
                         "its -wal file away to start with an empty one",
                         schema->what, path, cause.text);
    return error_set(err, r, "the %s '%s': %.300s", schema->what, path, cause.text);
}

int sqlite_open_reader(struct sqlite *sqlite, const char *path, struct error *err)
{
    *sqlite = (struct sqlite){0};
    int code =
        sqlite3_open_v2(path, &sqlite->handle,
                        SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
    int r = code == SQLITE_OK ? 0 : sqlite_fail(sqlite, code, "open to read", err);
    if (r == 0) {
        sqlite3_extended_result_codes(sqlite->handle, 1);
        sqlite3_busy_timeout(sqlite->handle, BUSY_TIMEOUT_MS);
        r = run_text(sqlite, "PRAGMA query_only = ON; PRAGMA cache_size = -1024", err);
    }
    if (r < 0)
        sqlite_close(sqlite);
    return r;
}

void sqlite_close(struct sqlite *sqlite)
{
    sqlite3_finalize(sqlite->begin);
    sqlite3_finalize(sqlite->commit);
    sqlite3_finalize(sqlite->rollback);
    sqlite3_close(sqlite->handle);
    *sqlite = (struct sqlite){0};
}

// ---- Transactions

int sqlite_begin(struct sqlite *sqlite, struct error *err)
{
    return sqlite_run(sqlite, sqlite->begin, "begin a commit", err);
}

int sqlite_commit(struct sqlite *sqlite, struct error *err)
{
    return sqlite_run(sqlite, sqlite->commit, "commit", err);
}

// After some errors SQLite has rolled back by itself; a second time does no harm.
void sqlite_rollback(struct sqlite *sqlite)
{
    if (!sqlite3_get_autocommit(sqlite->handle))
        (void) !sqlite_run(sqlite, sqlite->rollback, "roll back", NULL);
}

// ---- Values

void sqlite_bind_str(sqlite3_stmt *statement, int position, struct str text)
{
    sqlite3_bind_text(statement, position, text.data ? text.data : "", (int) text.size,
                      SQLITE_STATIC);
}

void sqlite_bind_bytes(sqlite3_stmt *statement, int position, struct str bytes)
{
    sqlite3_bind_blob(statement, position, bytes.data ? bytes.data : "", (int) bytes.size,
                      SQLITE_STATIC);
}

struct str sqlite_column_str(sqlite3_stmt *statement, int column)
{
    const void *data = sqlite3_column_blob(statement, column);
    return str_of_data(data, (size_t) sqlite3_column_bytes(statement, column));
}
