// SPDX-License-Identifier: MIT
//
// The registry's SQLite file. Internal to meta/; only its body includes sqlite3.h. One thread at
// a time. SQLite's codes become -errno here, once.

#ifndef LAMINA_META_DATABASE_H
#define LAMINA_META_DATABASE_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"

#include <stdint.h>

struct sqlite3;
struct sqlite3_stmt;

struct database {
    struct sqlite3 *handle;
    struct sqlite3_stmt *begin, *commit, *rollback, *savepoint, *release, *undo;
    struct sqlite3_stmt *select, *put, *remove, *list, *next_revision;
};

// Opens or makes `path`, checks it, brings the schema up to date. Errors as registry_open's.
int database_open(struct database *database, const char *path, struct error *err) MUST_CHECK;
// Checkpoints and closes; accepts a zeroed or half-opened one.
void database_close(struct database *database);

int database_begin(struct database *database, struct error *err) MUST_CHECK;
int database_commit(struct database *database, struct error *err) MUST_CHECK;
void database_rollback(struct database *database);

// A part of a transaction that can be undone alone.
int database_savepoint(struct database *database, struct error *err) MUST_CHECK;
int database_release(struct database *database, struct error *err) MUST_CHECK;
int database_undo(struct database *database, struct error *err) MUST_CHECK;

// The next revision of the whole registry.
int database_next_revision(struct database *database, int64_t *ret_revision,
                           struct error *err) MUST_CHECK;
// *ret_revision is 0 if there is no such row. *ret_value (may be NULL) lives until the next call.
int database_get(struct database *database, const char *kind, const char *key,
                 int64_t *ret_revision, struct str *ret_value, struct error *err) MUST_CHECK;
int database_put(struct database *database, const char *kind, const char *key, struct str value,
                 int64_t revision, struct error *err) MUST_CHECK;
int database_remove(struct database *database, const char *kind, const char *key,
                    struct error *err) MUST_CHECK;
int database_list(struct database *database, const char *kind,
                  int (*visit)(void *arg, const char *key, struct str value, int64_t revision),
                  void *arg, struct error *err) MUST_CHECK;

#endif
