// SPDX-License-Identifier: MIT
//
// The SQL of the object index, on one connection: one thread at a time. Internal to meta/.
// Functions are those of objects.h, of which each change is a part of the caller's transaction: a
// result that is no error of SQLite's (-ENOENT, -ESTALE, ...) has changed nothing.

#ifndef LAMINA_META_OBJECTS_ROWS_H
#define LAMINA_META_OBJECTS_ROWS_H

#include "meta/objects.h"
#include "meta/sqlite.h"

#define OBJECTS_STATEMENTS 48

struct objects_rows {
    struct sqlite sqlite;
    sqlite3_stmt *statements[OBJECTS_STATEMENTS]; // prepared when first used
};

int objects_rows_open(struct objects_rows *rows, const char *path, struct error *err) MUST_CHECK;
// A connection that only reads what objects_rows_open made.
int objects_rows_open_reader(struct objects_rows *rows, const char *path,
                             struct error *err) MUST_CHECK;
void objects_rows_close(struct objects_rows *rows); // accepts a zeroed one

int objects_rows_bucket_get(struct objects_rows *rows, struct str name,
                            struct objects_bucket *ret_bucket, struct error *err) MUST_CHECK;
int objects_rows_bucket_each(struct objects_rows *rows,
                             int (*visit)(void *arg, const struct objects_bucket *bucket),
                             void *arg, struct error *err) MUST_CHECK;
int objects_rows_bucket_create(struct objects_rows *rows, struct str name, int64_t now_ms,
                               struct error *err) MUST_CHECK;
int objects_rows_bucket_delete(struct objects_rows *rows, int64_t bucket,
                               struct error *err) MUST_CHECK;
int objects_rows_bucket_set_versioning(struct objects_rows *rows, int64_t bucket,
                                       enum objects_versioning versioning,
                                       struct error *err) MUST_CHECK;

int objects_rows_get(struct objects_rows *rows, int64_t bucket, struct str key, struct str name,
                     struct objects_version *ret_version, struct error *err) MUST_CHECK;
int objects_rows_put(struct objects_rows *rows, int64_t bucket,
                     const struct objects_version *version,
                     const struct objects_condition *condition, struct objects_added *ret_added,
                     struct error *err) MUST_CHECK;
int objects_rows_delete(struct objects_rows *rows, int64_t bucket,
                        struct objects_deletion *deletion, int64_t now_ms,
                        struct error *err) MUST_CHECK;
int objects_rows_set_tags(struct objects_rows *rows, int64_t bucket, struct str key,
                          struct str name, struct str tags, struct error *err) MUST_CHECK;
int objects_rows_list(struct objects_rows *rows, const struct objects_page *page,
                      const struct objects_visitor *visitor, struct error *err) MUST_CHECK;
int objects_rows_has_digest(struct objects_rows *rows, const struct digest *digest) MUST_CHECK;

int objects_rows_upload_create(struct objects_rows *rows, const struct objects_upload *upload,
                               struct error *err) MUST_CHECK;
int objects_rows_upload_get(struct objects_rows *rows, struct str id,
                            struct objects_upload *ret_upload, struct error *err) MUST_CHECK;
int objects_rows_upload_abort(struct objects_rows *rows, struct str id,
                              struct error *err) MUST_CHECK;
int objects_rows_upload_list(struct objects_rows *rows, const struct objects_page *page,
                             int (*visit)(void *arg, const struct objects_upload *upload),
                             int (*prefix)(void *arg, struct str prefix), void *arg,
                             struct error *err) MUST_CHECK;
int objects_rows_part_put(struct objects_rows *rows, struct str upload,
                          const struct objects_part *part, uint64_t part_size,
                          char ret_file[OBJECTS_UPLOAD_SIZE], struct error *err) MUST_CHECK;
int objects_rows_part_each(struct objects_rows *rows, struct str upload, unsigned after,
                           int (*visit)(void *arg, const struct objects_part *part), void *arg,
                           struct error *err) MUST_CHECK;
int objects_rows_file_each(struct objects_rows *rows, int (*visit)(void *arg, struct str file),
                           void *arg, struct error *err) MUST_CHECK;

#endif
