// SPDX-License-Identifier: MIT
//
// One SQLite file of ours: opening, checking, bringing its schema up to date, transactions, and the
// translation of SQLite's codes into -errno, once. Internal to meta/. One thread at a time.

#ifndef LAMINA_META_SQLITE_H
#define LAMINA_META_SQLITE_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

struct sqlite {
    sqlite3 *handle;
    sqlite3_stmt *begin, *commit, *rollback;
};

struct sqlite_schema {
    const char *what;         // "registry", for messages
    const char *const *steps; // SQL, from version 0 up
    size_t step_count;
};

// Opens or makes `path` (0600). -EUCLEAN when it is damaged (the text says what to do), -EPROTO when a
// newer Lamina wrote it, -EBUSY when another process uses it. Durable commits (WAL, FULL).
int sqlite_open(struct sqlite *sqlite, const char *path, const struct sqlite_schema *schema,
                struct error *err) MUST_CHECK;
// A further connection to what sqlite_open made, which only reads, sees what was committed, and never
// checkpoints. sqlite_begin and the others are not for it.
int sqlite_open_reader(struct sqlite *sqlite, const char *path, struct error *err) MUST_CHECK;
// All other statements must be finalized. Accepts a zeroed or half-opened one.
void sqlite_close(struct sqlite *sqlite);

int sqlite_begin(struct sqlite *sqlite, struct error *err) MUST_CHECK;
int sqlite_commit(struct sqlite *sqlite, struct error *err) MUST_CHECK;
void sqlite_rollback(struct sqlite *sqlite);

// -errno for a code of SQLite's; the text is `what` and SQLite's words.
int sqlite_fail(struct sqlite *sqlite, int code, const char *what, struct error *err);

int sqlite_prepare(struct sqlite *sqlite, const char *sql, sqlite3_stmt **ret_statement,
                   struct error *err) MUST_CHECK;
// Steps a statement that yields no row (a row is ignored) and resets it.
int sqlite_run(struct sqlite *sqlite, sqlite3_stmt *statement, const char *what,
               struct error *err) MUST_CHECK;

void sqlite_bind_str(sqlite3_stmt *statement, int position, struct str text); // as text, borrowed
void sqlite_bind_bytes(sqlite3_stmt *statement, int position, struct str bytes);
struct str sqlite_column_str(sqlite3_stmt *statement, int column); // lives until the next step

#endif
