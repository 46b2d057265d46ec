// SPDX-License-Identifier: MIT
//
// The registry's rows in SQLite. Internal to meta/. One thread at a time.

#ifndef LAMINA_META_REGISTRY_ROWS_H
#define LAMINA_META_REGISTRY_ROWS_H

#include "meta/sqlite.h"

struct registry_rows {
    struct sqlite sqlite;
    sqlite3_stmt *savepoint, *release, *undo;
    sqlite3_stmt *select, *put, *remove, *list, *next_revision;
};

int rows_open(struct registry_rows *rows, const char *path, struct error *err) MUST_CHECK;
void rows_close(struct registry_rows *rows); // accepts a zeroed or half-opened one

// A part of a transaction that can be undone alone.
int rows_savepoint(struct registry_rows *rows, struct error *err) MUST_CHECK;
int rows_release(struct registry_rows *rows, struct error *err) MUST_CHECK;
int rows_undo(struct registry_rows *rows, struct error *err) MUST_CHECK;

// The next revision of the whole registry.
int rows_next_revision(struct registry_rows *rows, int64_t *ret_revision,
                       struct error *err) MUST_CHECK;
// *ret_revision is 0 if there is no such row. *ret_value (may be NULL) lives until the next call.
int rows_get(struct registry_rows *rows, const char *kind, const char *key, int64_t *ret_revision,
             struct str *ret_value, struct error *err) MUST_CHECK;
int rows_put(struct registry_rows *rows, const char *kind, const char *key, struct str value,
             int64_t revision, struct error *err) MUST_CHECK;
int rows_remove(struct registry_rows *rows, const char *kind, const char *key,
                struct error *err) MUST_CHECK;
int rows_list(struct registry_rows *rows, const char *kind,
              int (*visit)(void *arg, const char *key, struct str value, int64_t revision),
              void *arg, struct error *err) MUST_CHECK;

#endif
