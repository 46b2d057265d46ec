// SPDX-License-Identifier: MIT

#include "meta/objects_rows.h"

#include "base/buf.h"
#include "base/mem.h"
#include "objects_schema.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VERSION_COLUMNS                                                                            \
    "number, key, name, is_current, is_marker, size, digest, etag, modified_ms, headers, "         \
    "checksum, parts, tags, upload"

// A table reads by its rows.
enum statement {
    BUCKET_GET,
    BUCKET_BY_ID,
    BUCKET_EACH,
    BUCKET_COUNT,
    BUCKET_CREATE,
    BUCKET_HAS_VERSION,
    BUCKET_DROP_PARTS,
    BUCKET_DROP_UPLOADS,
    BUCKET_DELETE,
    BUCKET_SET_VERSIONING,
    VERSION_CURRENT,
    VERSION_BY_NAME,
    VERSION_HIDE,
    VERSION_PROMOTE,
    VERSION_INSERT,
    VERSION_DELETE,
    VERSION_DELETE_NAME,
    VERSION_SET_TAGS,
    VERSION_LISTED,
    VERSION_ALL,
    VERSION_OLDER,
    VERSION_HAS_DIGEST,
    UPLOAD_CREATE,
    UPLOAD_GET,
    UPLOAD_SIZE,
    UPLOAD_DELETE,
    UPLOAD_LIST,
    UPLOAD_LATER,
    PART_GET,
    PART_PUT,
    PART_EACH,
    PART_DELETE_ALL,
    FILE_EACH,
    STATEMENT_COUNT
};

static const char *const statements[STATEMENT_COUNT] = {
    [BUCKET_GET] = "SELECT id, name, created_ms, versioning FROM bucket WHERE name = ?1",
    [BUCKET_BY_ID] = "SELECT versioning FROM bucket WHERE id = ?1",
    [BUCKET_EACH] = "SELECT id, name, created_ms, versioning FROM bucket ORDER BY name",
    [BUCKET_COUNT] = "SELECT count(*) FROM bucket",
    [BUCKET_CREATE] = "INSERT INTO bucket (name, created_ms) VALUES (?1, ?2)",
    [BUCKET_HAS_VERSION] = "SELECT 1 FROM version WHERE bucket = ?1 LIMIT 1",
    [BUCKET_DROP_PARTS] =
        "DELETE FROM part WHERE upload IN (SELECT id FROM upload WHERE bucket = ?1)",
    [BUCKET_DROP_UPLOADS] = "DELETE FROM upload WHERE bucket = ?1",
    [BUCKET_DELETE] = "DELETE FROM bucket WHERE id = ?1",
    [BUCKET_SET_VERSIONING] = "UPDATE bucket SET versioning = ?2 WHERE id = ?1",
    [VERSION_CURRENT] =
        "SELECT " VERSION_COLUMNS " FROM version WHERE bucket = ?1 AND key = ?2 AND is_current = 1",
    [VERSION_BY_NAME] =
        "SELECT " VERSION_COLUMNS " FROM version WHERE bucket = ?1 AND key = ?2 AND name = ?3",
    [VERSION_HIDE] = "UPDATE version SET is_current = 0 "
                     "WHERE bucket = ?1 AND key = ?2 AND is_current = 1",
    [VERSION_PROMOTE] = "UPDATE version SET is_current = 1 WHERE number = "
                        "(SELECT max(number) FROM version WHERE bucket = ?1 AND key = ?2)",
    [VERSION_INSERT] =
        "INSERT INTO version (bucket, key, name, is_current, is_marker, size, digest, etag, "
        "modified_ms, headers, checksum, parts, tags, upload) "
        "VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    [VERSION_DELETE] = "DELETE FROM version WHERE number = ?1",
    [VERSION_DELETE_NAME] = "DELETE FROM version WHERE bucket = ?1 AND key = ?2 AND name = ?3",
    [VERSION_SET_TAGS] = "UPDATE version SET tags = ?2 WHERE number = ?1",
    [VERSION_LISTED] = "SELECT " VERSION_COLUMNS
                       " FROM version INDEXED BY version_listed WHERE bucket = ?1 AND key >= ?2 "
                       "AND is_current = 1 AND is_marker = 0 ORDER BY key",
    [VERSION_ALL] = "SELECT " VERSION_COLUMNS
                    " FROM version INDEXED BY version_order WHERE bucket = ?1 AND key >= ?2 "
                    "ORDER BY key, number DESC",
    [VERSION_OLDER] = "SELECT " VERSION_COLUMNS
                      " FROM version INDEXED BY version_order WHERE bucket = ?1 AND key = ?2 "
                      "AND number < ?3 ORDER BY number DESC",
    [VERSION_HAS_DIGEST] = "SELECT 1 FROM version WHERE digest = ?1 LIMIT 1",
    [UPLOAD_CREATE] = "INSERT INTO upload (id, bucket, key, created_ms, headers, tags, checksum) "
                      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [UPLOAD_GET] = "SELECT id, bucket, key, created_ms, headers, tags, checksum, part_size "
                   "FROM upload WHERE id = ?1",
    [UPLOAD_SIZE] = "UPDATE upload SET part_size = ?2 WHERE id = ?1 AND part_size = 0",
    [UPLOAD_DELETE] = "DELETE FROM upload WHERE id = ?1",
    [UPLOAD_LIST] = "SELECT id, bucket, key, created_ms, headers, tags, checksum, part_size "
                    "FROM upload WHERE bucket = ?1 AND key >= ?2 ORDER BY key, id",
    [UPLOAD_LATER] = "SELECT id, bucket, key, created_ms, headers, tags, checksum, part_size "
                     "FROM upload WHERE bucket = ?1 AND key = ?2 AND id > ?3 ORDER BY id",
    [PART_GET] = "SELECT file FROM part WHERE upload = ?1 AND number = ?2",
    [PART_PUT] = "INSERT OR REPLACE INTO part (upload, number, size, etag, modified_ms, checksum, "
                 "file) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [PART_EACH] = "SELECT number, size, etag, modified_ms, checksum, file FROM part "
                  "WHERE upload = ?1 AND number > ?2 ORDER BY number",
    [PART_DELETE_ALL] = "DELETE FROM part WHERE upload = ?1",
    [FILE_EACH] = "SELECT id FROM upload UNION ALL SELECT file FROM part WHERE file <> ''",
};

// ---- Open

static const struct sqlite_schema schema = {
    .what = "object index",
    .steps = objects_schema_steps,
    .step_count = ARRAY_SIZE(objects_schema_steps),
};

int objects_rows_open(struct objects_rows *rows, const char *path, struct error *err)
{
    _Static_assert(STATEMENT_COUNT <= OBJECTS_STATEMENTS, "statements have room");
    *rows = (struct objects_rows){0};
    return sqlite_open(&rows->sqlite, path, &schema, err);
}

int objects_rows_open_reader(struct objects_rows *rows, const char *path, struct error *err)
{
    *rows = (struct objects_rows){0};
    return sqlite_open_reader(&rows->sqlite, path, err);
}

void objects_rows_close(struct objects_rows *rows)
{
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(rows->statements[i]);
    sqlite_close(&rows->sqlite);
    *rows = (struct objects_rows){0};
}

// ---- Statements

static int statement_of(struct objects_rows *rows, enum statement which, sqlite3_stmt **ret,
                        struct error *err)
{
    if (!rows->statements[which]) {
        int r = sqlite_prepare(&rows->sqlite, statements[which], &rows->statements[which], err);
        if (r < 0)
            return r;
    }
    *ret = rows->statements[which];
    return 0;
}

// 1: a row is there; 0: none (the statement is reset).
static int step(struct objects_rows *rows, sqlite3_stmt *statement, struct error *err)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return 1;
    int r = code == SQLITE_DONE ? 0 : sqlite_fail(&rows->sqlite, code, "the object index", err);
    sqlite3_reset(statement);
    return r;
}

static int run(struct objects_rows *rows, sqlite3_stmt *statement, struct error *err)
{
    return sqlite_run(&rows->sqlite, statement, "the object index", err);
}

static int run_on_bucket(struct objects_rows *rows, enum statement which, int64_t bucket,
                         struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int r = statement_of(rows, which, &statement, err);
    if (r < 0)
        return r;
    sqlite3_bind_int64(statement, 1, bucket);
    return run(rows, statement, err);
}

// The first column of the only row, as a number. 0: no row.
static int number_of(struct objects_rows *rows, sqlite3_stmt *statement, int64_t *ret_number,
                     struct error *err)
{
    int r = step(rows, statement, err);
    if (r <= 0)
        return r;
    *ret_number = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return 1;
}

// ---- Buckets

static void bucket_read(sqlite3_stmt *statement, struct objects_bucket *bucket)
{
    *bucket = (struct objects_bucket){
        .id = sqlite3_column_int64(statement, 0),
        .created_ms = sqlite3_column_int64(statement, 2),
        .versioning = (enum objects_versioning) sqlite3_column_int(statement, 3),
    };
    struct str name = sqlite_column_str(statement, 1);
    (void) !str_copy(name, bucket->name, sizeof(bucket->name)); // checked before it was written
}

int objects_rows_bucket_get(struct objects_rows *rows, struct str name,
                            struct objects_bucket *ret_bucket, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int r = statement_of(rows, BUCKET_GET, &statement, err);
    if (r < 0)
        return r;
    sqlite_bind_str(statement, 1, name);
    r = step(rows, statement, err);
    if (r == 1) {
        bucket_read(statement, ret_bucket);
        sqlite3_reset(statement);
        return 0;
    }
    return r < 0 ? r : error_set(err, -ENOENT, "there is no such bucket");
}

int objects_rows_bucket_each(struct objects_rows *rows,
                             int (*visit)(void *arg, const struct objects_bucket *bucket),
                             void *arg, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int r = statement_of(rows, BUCKET_EACH, &statement, err);
    if (r < 0)
        return r;
    while ((r = step(rows, statement, err)) == 1) {
        struct objects_bucket bucket;
        bucket_read(statement, &bucket);
        r = visit(arg, &bucket);
        if (r < 0)
            break;
    }
    sqlite3_reset(statement);
    return r;
}

int objects_rows_bucket_create(struct objects_rows *rows, struct str name, int64_t now_ms,
                               struct error *err)
{
    struct objects_bucket present;
    sqlite3_stmt *statement = NULL;
    int64_t count = 0;
    int r = objects_rows_bucket_get(rows, name, &present, err);
    if (r != -ENOENT)
        return r < 0 ? r : error_set(err, -EEXIST, "the bucket is there already");
    r = statement_of(rows, BUCKET_COUNT, &statement, err);
    if (r == 0)
        r = number_of(rows, statement, &count, err);
    if (r < 0)
        return r;
    if (count >= OBJECTS_BUCKETS_MAX)
        return error_set(err, -E2BIG, "there are %d buckets", OBJECTS_BUCKETS_MAX);
    r = statement_of(rows, BUCKET_CREATE, &statement, err);
    if (r < 0)
        return r;
    sqlite_bind_str(statement, 1, name);
    sqlite3_bind_int64(statement, 2, now_ms);
    return run(rows, statement, err);
}

// -ENODEV: it is gone.
static int bucket_versioning(struct objects_rows *rows, int64_t bucket,
                             enum objects_versioning *ret_versioning, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int64_t number;
    int r = statement_of(rows, BUCKET_BY_ID, &statement, err);
    if (r < 0)
        return r;
    sqlite3_bind_int64(statement, 1, bucket);
    r = number_of(rows, statement, &number, err);
    if (r == 1)
        *ret_versioning = (enum objects_versioning) number;
    if (r == 0)
        return error_set(err, -ENODEV, "there is no such bucket");
    return r < 0 ? r : 0;
}

int objects_rows_bucket_delete(struct objects_rows *rows, int64_t bucket, struct error *err)
{
    static const enum statement steps[] = {BUCKET_DROP_PARTS, BUCKET_DROP_UPLOADS, BUCKET_DELETE};
    enum objects_versioning versioning;
    sqlite3_stmt *statement = NULL;
    int64_t number;
    int r = bucket_versioning(rows, bucket, &versioning, err);
    if (r < 0)
        return r == -ENODEV ? -ENOENT : r;
    r = statement_of(rows, BUCKET_HAS_VERSION, &statement, err);
    if (r < 0)
        return r;
    sqlite3_bind_int64(statement, 1, bucket);
    r = number_of(rows, statement, &number, err);
    if (r == 1)
        return error_set(err, -ENOTEMPTY, "the bucket is not empty");
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++)
        r = run_on_bucket(rows, steps[i], bucket, err);
    return r;
}

int objects_rows_bucket_set_versioning(struct objects_rows *rows, int64_t bucket,
                                       enum objects_versioning versioning, struct error *err)
{
    enum objects_versioning before;
    sqlite3_stmt *statement = NULL;
    int r = bucket_versioning(rows, bucket, &before, err);
    if (r == 0)
        r = statement_of(rows, BUCKET_SET_VERSIONING, &statement, err);
    if (r < 0)
        return r == -ENODEV ? -ENOENT : r;
    sqlite3_bind_int64(statement, 1, bucket);
    sqlite3_bind_int(statement, 2, (int) versioning);
    return run(rows, statement, err);
}

// ---- Versions

static void version_read(sqlite3_stmt *statement, struct objects_version *version)
{
    struct str digest = sqlite_column_str(statement, 6);
    *version = (struct objects_version){
        .number = sqlite3_column_int64(statement, 0),
        .key = sqlite_column_str(statement, 1),
        .name = sqlite_column_str(statement, 2),
        .is_current = sqlite3_column_int(statement, 3) != 0,
        .is_marker = sqlite3_column_int(statement, 4) != 0,
        .size = (uint64_t) sqlite3_column_int64(statement, 5),
        .etag = sqlite_column_str(statement, 7),
        .modified_ms = sqlite3_column_int64(statement, 8),
        .headers = sqlite_column_str(statement, 9),
        .checksum = sqlite_column_str(statement, 10),
        .parts = sqlite_column_str(statement, 11),
        .tags = sqlite_column_str(statement, 12),
        .upload = sqlite_column_str(statement, 13),
    };
    if (digest.size == DIGEST_BYTES)
        memcpy(version->digest.bytes, digest.data, DIGEST_BYTES);
}

// The views become those of one block.
static int texts_copy(struct str **texts, size_t count, char **ret_block)
{
    size_t size = 0, used = 0;
    for (size_t i = 0; i < count; i++)
        size += texts[i]->size;
    char *block = malloc(size + 1);
    if (!block)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if (texts[i]->size)
            memcpy(block + used, texts[i]->data, texts[i]->size);
        texts[i]->data = block + used;
        used += texts[i]->size;
    }
    *ret_block = block;
    return 0;
}

static int version_own(struct objects_version *version, struct error *err)
{
    struct str *texts[] = {&version->key,      &version->name,  &version->etag, &version->headers,
                           &version->checksum, &version->parts, &version->tags, &version->upload};
    int r = texts_copy(texts, ARRAY_SIZE(texts), &version->block);
    return r < 0 ? error_set(err, r, "no memory for an object's row") : 0;
}

void objects_version_done(struct objects_version *version)
{
    free(version->block);
    version->block = NULL;
}

// 1: *statement stands on the row, to be reset; 0: none.
static int version_find(struct objects_rows *rows, int64_t bucket, struct str key, struct str name,
                        sqlite3_stmt **statement, struct error *err)
{
    int r = statement_of(rows, name.data ? VERSION_BY_NAME : VERSION_CURRENT, statement, err);
    if (r < 0)
        return r;
    sqlite3_bind_int64(*statement, 1, bucket);
    sqlite_bind_bytes(*statement, 2, key);
    if (name.data)
        sqlite_bind_str(*statement, 3, name);
    return step(rows, *statement, err);
}

int objects_rows_get(struct objects_rows *rows, int64_t bucket, struct str key, struct str name,
                     struct objects_version *ret_version, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int r = version_find(rows, bucket, key, name, &statement, err);
    if (r == 0)
        return error_set(err, -ENOENT, "there is no such key or version");
    if (r < 0)
        return r;
    struct objects_version version;
    version_read(statement, &version);
    r = version_own(&version, err);
    sqlite3_reset(statement);
    if (r == 0)
        *ret_version = version;
    return r;
}

static int condition_check(struct objects_rows *rows, int64_t bucket, struct str key,
                           const struct objects_condition *condition, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    struct objects_version version;
    if (!condition || (!condition->is_absent && !condition->has_etag.data))
        return 0;
    int r = version_find(rows, bucket, key, (struct str){0}, &statement, err);
    if (r < 0)
        return r;
    bool is_there = false, has_etag = false;
    if (r == 1) {
        version_read(statement, &version);
        is_there = !version.is_marker;
        has_etag = str_equal(condition->has_etag, STR("*")) ||
                   str_equal(version.etag, condition->has_etag);
        sqlite3_reset(statement);
    }
    if (condition->has_etag.data && !is_there)
        return error_set(err, -ENOENT, "there is no such key");
    if ((condition->is_absent && is_there) || (condition->has_etag.data && !has_etag))
        return error_set(err, -ESTALE, "the condition does not hold");
    return 0;
}

static int version_run_named(struct objects_rows *rows, enum statement which, int64_t bucket,
                             struct str key, struct str name, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int r = statement_of(rows, which, &statement, err);
    if (r < 0)
        return r;
    sqlite3_bind_int64(statement, 1, bucket);
    sqlite_bind_bytes(statement, 2, key);
    if (name.data)
        sqlite_bind_str(statement, 3, name);
    return run(rows, statement, err);
}

static int version_insert(struct objects_rows *rows, int64_t bucket,
                          const struct objects_version *version, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int r = statement_of(rows, VERSION_INSERT, &statement, err);
    if (r < 0)
        return r;
    sqlite3_bind_int64(statement, 1, bucket);
    sqlite_bind_bytes(statement, 2, version->key);
    sqlite_bind_str(statement, 3, version->name);
    sqlite3_bind_int(statement, 4, version->is_marker);
    sqlite3_bind_int64(statement, 5, (int64_t) version->size);
    if (version->size > 0)
        sqlite3_bind_blob(statement, 6, version->digest.bytes, DIGEST_BYTES, SQLITE_STATIC);
    else
        sqlite3_bind_null(statement, 6);
    sqlite_bind_str(statement, 7, version->etag);
    sqlite3_bind_int64(statement, 8, version->modified_ms);
    sqlite_bind_bytes(statement, 9, version->headers);
    sqlite_bind_str(statement, 10, version->checksum);
    sqlite_bind_str(statement, 11, version->parts);
    sqlite_bind_bytes(statement, 12, version->tags);
    sqlite_bind_str(statement, 13, version->upload);
    return run(rows, statement, err);
}

static void version_name_new(char name[OBJECTS_VERSION_SIZE])
{
    uint8_t random[(OBJECTS_VERSION_SIZE - 1) / 2];
    mem_random(random, sizeof(random));
    hex_encode(random, sizeof(random), name);
}

// The new newest one. In a bucket that keeps no versions (any more) it takes the place of "null".
static int version_add(struct objects_rows *rows, int64_t bucket,
                       enum objects_versioning versioning, struct objects_version *version,
                       struct objects_added *added, struct error *err)
{
    char *name = added->name;
    int r = 0;
    added->has_replaced = false;
    if (versioning == OBJECTS_VERSIONED)
        version_name_new(name);
    else
        (void) snprintf(name, OBJECTS_VERSION_SIZE, OBJECTS_NULL);
    version->name = str_of(name);
    if (versioning != OBJECTS_VERSIONED)
        r = version_run_named(rows, VERSION_DELETE_NAME, bucket, version->key, version->name, err);
    if (r == 0 && versioning != OBJECTS_VERSIONED)
        added->has_replaced = sqlite3_changes(rows->sqlite.handle) > 0;
    if (r == 0)
        r = version_run_named(rows, VERSION_HIDE, bucket, version->key, (struct str){0}, err);
    if (r == 0)
        r = version_insert(rows, bucket, version, err);
    if (r == 0 && versioning == OBJECTS_UNVERSIONED)
        name[0] = 0;
    return r;
}

// ---- Uploads, as far as objects_put ends them

static int upload_run(struct objects_rows *rows, enum statement which, struct str id,
                      struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int r = statement_of(rows, which, &statement, err);
    if (r < 0)
        return r;
    sqlite_bind_str(statement, 1, id);
    return run(rows, statement, err);
}

// 1: it is there.
static int upload_is_there(struct objects_rows *rows, struct str id, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int r = statement_of(rows, UPLOAD_GET, &statement, err);
    if (r < 0)
        return r;
    sqlite_bind_str(statement, 1, id);
    r = step(rows, statement, err);
    if (r == 1)
        sqlite3_reset(statement);
    return r;
}

static int upload_drop(struct objects_rows *rows, struct str id, struct error *err)
{
    int r = upload_run(rows, PART_DELETE_ALL, id, err);
    return r < 0 ? r : upload_run(rows, UPLOAD_DELETE, id, err);
}

int objects_rows_put(struct objects_rows *rows, int64_t bucket,
                     const struct objects_version *version,
                     const struct objects_condition *condition, struct objects_added *ret_added,
                     struct error *err)
{
    enum objects_versioning versioning;
    struct objects_version row = *version;
    struct objects_added added;
    row.is_marker = false;
    int r = bucket_versioning(rows, bucket, &versioning, err);
    if (r == 0)
        r = condition_check(rows, bucket, version->key, condition, err);
    if (r == 0 && version->upload.size > 0) {
        r = upload_is_there(rows, version->upload, err);
        if (r == 0)
            return error_set(err, -ENOLINK, "there is no such upload");
        if (r == 1)
            r = upload_drop(rows, version->upload, err);
    }
    if (r == 0)
        r = version_add(rows, bucket, versioning, &row, &added, err);
    if (r == 0)
        *ret_added = added;
    return r;
}

// ---- Deletions

static int delete_version(struct objects_rows *rows, int64_t bucket,
                          struct objects_deletion *deletion, struct error *err)
{
    sqlite3_stmt *statement = NULL, *by_number = NULL;
    struct objects_version version;
    (void) !str_copy(deletion->name, deletion->version, sizeof(deletion->version));
    int r = version_find(rows, bucket, deletion->key, deletion->name, &statement, err);
    if (r <= 0)
        return r;
    version_read(statement, &version);
    deletion->is_marker = version.is_marker;
    deletion->has_gone = version.size > 0;
    int64_t number = version.number;
    bool is_current = version.is_current;
    sqlite3_reset(statement);
    r = statement_of(rows, VERSION_DELETE, &by_number, err);
    if (r < 0)
        return r;
    sqlite3_bind_int64(by_number, 1, number);
    r = run(rows, by_number, err);
    if (r == 0 && is_current)
        r = version_run_named(rows, VERSION_PROMOTE, bucket, deletion->key, (struct str){0}, err);
    return r;
}

static int delete_key(struct objects_rows *rows, int64_t bucket, enum objects_versioning versioning,
                      struct objects_deletion *deletion, int64_t now_ms, struct error *err)
{
    struct objects_version marker = {
        .key = deletion->key, .is_marker = true, .modified_ms = now_ms};
    struct objects_added added;
    if (versioning == OBJECTS_UNVERSIONED) {
        int r = version_run_named(rows, VERSION_DELETE_NAME, bucket, deletion->key,
                                  STR(OBJECTS_NULL), err);
        deletion->has_gone = r == 0 && sqlite3_changes(rows->sqlite.handle) > 0;
        return r;
    }
    int r = version_add(rows, bucket, versioning, &marker, &added, err);
    if (r == 0) {
        deletion->is_marker = true;
        deletion->has_gone = added.has_replaced;
        memcpy(deletion->version, added.name, sizeof(added.name));
    }
    return r;
}

int objects_rows_delete(struct objects_rows *rows, int64_t bucket,
                        struct objects_deletion *deletion, int64_t now_ms, struct error *err)
{
    enum objects_versioning versioning;
    struct objects_condition condition = {.has_etag = deletion->has_etag};
    deletion->status = 0;
    deletion->is_marker = deletion->has_gone = false;
    deletion->version[0] = 0;
    int r = bucket_versioning(rows, bucket, &versioning, err);
    if (r < 0)
        return r;
    r = condition_check(rows, bucket, deletion->key, &condition, err);
    if (r == -ESTALE || r == -ENOENT) {
        deletion->status = r;
        return 0;
    }
    if (r < 0)
        return r;
    return deletion->name.data ? delete_version(rows, bucket, deletion, err)
                               : delete_key(rows, bucket, versioning, deletion, now_ms, err);
}

int objects_rows_set_tags(struct objects_rows *rows, int64_t bucket, struct str key,
                          struct str name, struct str tags, struct error *err)
{
    sqlite3_stmt *found = NULL, *statement = NULL;
    int r = version_find(rows, bucket, key, name, &found, err);
    if (r == 0)
        return error_set(err, -ENOENT, "there is no such key or version");
    if (r < 0)
        return r;
    int64_t number = sqlite3_column_int64(found, 0);
    bool is_marker = sqlite3_column_int(found, 4) != 0;
    sqlite3_reset(found);
    if (is_marker)
        return error_set(err, -ENOENT, "the key is deleted");
    r = statement_of(rows, VERSION_SET_TAGS, &statement, err);
    if (r < 0)
        return r;
    sqlite3_bind_int64(statement, 1, number);
    sqlite_bind_bytes(statement, 2, tags);
    return run(rows, statement, err);
}

int objects_rows_has_digest(struct objects_rows *rows, const struct digest *digest)
{
    sqlite3_stmt *statement = NULL;
    int64_t number;
    int r = statement_of(rows, VERSION_HAS_DIGEST, &statement, NULL);
    if (r < 0)
        return r;
    sqlite3_bind_blob(statement, 1, digest->bytes, DIGEST_BYTES, SQLITE_STATIC);
    return number_of(rows, statement, &number, NULL);
}

// ---- Lists
//
// One walk over the index for all three: keys with their newest version, keys with all versions,
// uploads. A common prefix costs one seek, however many keys it stands for: the walk goes on behind
// the last key that has it.

// The first key that has not this prefix and comes behind those that have. Empty: there is none
// (the prefix is 0xff bytes only).
static int key_behind(struct str prefix, struct buf *key)
{
    size_t size = prefix.size;
    while (size > 0 && (uint8_t) prefix.data[size - 1] == 0xff)
        size--;
    buf_clear(key);
    buf_append(key, prefix.data, size);
    if (size > 0)
        key->data[size - 1] = (char) ((uint8_t) key->data[size - 1] + 1);
    return buf_status(key);
}

// The part of the key up to the delimiter behind the prefix; {NULL, 0}: there is none.
static struct str common_prefix(const struct objects_page *page, struct str key)
{
    size_t delimiter = page->delimiter.size;
    if (delimiter == 0 || !str_has_prefix(key, page->prefix))
        return (struct str){0};
    for (size_t i = page->prefix.size; i + delimiter <= key.size; i++)
        if (memcmp(key.data + i, page->delimiter.data, delimiter) == 0)
            return str_part(key, 0, i + delimiter);
    return (struct str){0};
}

struct walk {
    struct objects_rows *rows;
    const struct objects_page *page;
    enum statement main; // (bucket, first key)
    int key_column;
    struct buf from; // the first key that is looked at
    size_t count;
    int (*row)(struct walk *walk, sqlite3_stmt *statement);
    int (*prefix)(void *arg, struct str prefix);
    void *arg;
    const void *visitor;
    struct error *err;
};

static int walk_begin(struct walk *walk)
{
    const struct objects_page *page = walk->page;
    buf_init(&walk->from, OBJECTS_KEY_MAX + 2);
    if (str_compare(page->after, page->prefix) < 0)
        return buf_append_str(&walk->from, page->prefix);
    struct str common = common_prefix(page, page->after);
    if (common.data && common.size == page->after.size)
        return key_behind(common, &walk->from);
    buf_append_str(&walk->from, page->after);
    // Behind it: the next key in the order of bytes. Nothing comes before the empty one.
    return page->after.size > 0 ? buf_append_byte(&walk->from, 0) : buf_status(&walk->from);
}

// 1: the page is full and this one is beyond it.
static int walk_row(struct walk *walk, sqlite3_stmt *statement)
{
    if (walk->count == walk->page->max)
        return 1;
    walk->count++;
    return walk->row(walk, statement);
}

// 1: the list goes on behind the page; 0: it is at its end; 2: seek again.
static int walk_step(struct walk *walk, sqlite3_stmt *statement)
{
    struct str key = sqlite_column_str(statement, walk->key_column);
    if (!str_has_prefix(key, walk->page->prefix))
        return 0;
    struct str common = common_prefix(walk->page, key);
    if (!common.data) {
        int r = walk_row(walk, statement);
        return r == 0 ? 3 : r;
    }
    if (walk->count == walk->page->max)
        return 1;
    walk->count++;
    int r = walk->prefix(walk->arg, common);
    if (r == 0)
        r = key_behind(common, &walk->from);
    if (r < 0)
        return r;
    return walk->from.size > 0 ? 2 : 0;
}

static int walk_on(struct walk *walk)
{
    sqlite3_stmt *statement = NULL;
    int r = statement_of(walk->rows, walk->main, &statement, walk->err);
    while (r >= 0) {
        sqlite3_bind_int64(statement, 1, walk->page->bucket);
        sqlite_bind_bytes(statement, 2, buf_str(&walk->from));
        r = 3;
        while (r == 3) {
            r = step(walk->rows, statement, walk->err);
            if (r == 1)
                r = walk_step(walk, statement);
            else if (r == 0)
                break;
        }
        sqlite3_reset(statement);
        if (r != 2)
            break;
    }
    return r;
}

// What is left of `after` itself: its older versions, or later uploads of the same key.
static int walk_rest(struct walk *walk, sqlite3_stmt *statement)
{
    int r;
    while ((r = step(walk->rows, statement, walk->err)) == 1) {
        r = walk_row(walk, statement);
        if (r != 0)
            break;
    }
    sqlite3_reset(statement);
    return r;
}

static int version_row(struct walk *walk, sqlite3_stmt *statement)
{
    const struct objects_visitor *visitor = walk->visitor;
    struct objects_version version;
    version_read(statement, &version);
    return visitor->version(visitor->arg, &version);
}

static int list_older(struct walk *walk)
{
    const struct objects_page *page = walk->page;
    sqlite3_stmt *found = NULL, *statement = NULL;
    int r =
        version_find(walk->rows, page->bucket, page->after, page->after_name, &found, walk->err);
    if (r <= 0)
        return r; // that version is gone: the next key
    int64_t number = sqlite3_column_int64(found, 0);
    sqlite3_reset(found);
    r = statement_of(walk->rows, VERSION_OLDER, &statement, walk->err);
    if (r < 0)
        return r;
    sqlite3_bind_int64(statement, 1, page->bucket);
    sqlite_bind_bytes(statement, 2, page->after);
    sqlite3_bind_int64(statement, 3, number);
    return walk_rest(walk, statement);
}

int objects_rows_list(struct objects_rows *rows, const struct objects_page *page,
                      const struct objects_visitor *visitor, struct error *err)
{
    struct walk walk = {
        .rows = rows,
        .page = page,
        .main = page->with_versions ? VERSION_ALL : VERSION_LISTED,
        .key_column = 1,
        .row = version_row,
        .prefix = visitor->prefix,
        .arg = visitor->arg,
        .visitor = visitor,
        .err = err,
    };
    int r = walk_begin(&walk);
    if (r == 0 && page->with_versions && page->has_after_name)
        r = list_older(&walk);
    if (r == 0 && (walk.from.size > 0 || page->after.size == 0))
        r = walk_on(&walk);
    buf_done(&walk.from);
    return r;
}

// ---- Uploads

static void upload_read(sqlite3_stmt *statement, struct objects_upload *upload)
{
    *upload = (struct objects_upload){
        .bucket = sqlite3_column_int64(statement, 1),
        .key = sqlite_column_str(statement, 2),
        .created_ms = sqlite3_column_int64(statement, 3),
        .headers = sqlite_column_str(statement, 4),
        .tags = sqlite_column_str(statement, 5),
        .checksum = sqlite_column_str(statement, 6),
        .part_size = (uint64_t) sqlite3_column_int64(statement, 7),
    };
    (void) !str_copy(sqlite_column_str(statement, 0), upload->id, sizeof(upload->id));
}

void objects_upload_done(struct objects_upload *upload)
{
    free(upload->block);
    upload->block = NULL;
}

int objects_rows_upload_create(struct objects_rows *rows, const struct objects_upload *upload,
                               struct error *err)
{
    enum objects_versioning versioning;
    sqlite3_stmt *statement = NULL;
    int r = bucket_versioning(rows, upload->bucket, &versioning, err);
    if (r == 0)
        r = statement_of(rows, UPLOAD_CREATE, &statement, err);
    if (r < 0)
        return r;
    sqlite_bind_str(statement, 1, str_of(upload->id));
    sqlite3_bind_int64(statement, 2, upload->bucket);
    sqlite_bind_bytes(statement, 3, upload->key);
    sqlite3_bind_int64(statement, 4, upload->created_ms);
    sqlite_bind_bytes(statement, 5, upload->headers);
    sqlite_bind_bytes(statement, 6, upload->tags);
    sqlite_bind_str(statement, 7, upload->checksum);
    return run(rows, statement, err);
}

int objects_rows_upload_get(struct objects_rows *rows, struct str id,
                            struct objects_upload *ret_upload, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int r = statement_of(rows, UPLOAD_GET, &statement, err);
    if (r < 0)
        return r;
    sqlite_bind_str(statement, 1, id);
    r = step(rows, statement, err);
    if (r == 0)
        return error_set(err, -ENOENT, "there is no such upload");
    if (r < 0)
        return r;
    struct objects_upload upload;
    upload_read(statement, &upload);
    struct str *texts[] = {&upload.key, &upload.headers, &upload.tags, &upload.checksum};
    r = texts_copy(texts, ARRAY_SIZE(texts), &upload.block);
    sqlite3_reset(statement);
    if (r < 0)
        return error_set(err, r, "no memory for an upload's row");
    *ret_upload = upload;
    return 0;
}

int objects_rows_upload_abort(struct objects_rows *rows, struct str id, struct error *err)
{
    int r = upload_is_there(rows, id, err);
    if (r == 0)
        return error_set(err, -ENOENT, "there is no such upload");
    return r < 0 ? r : upload_drop(rows, id, err);
}

struct upload_visitor {
    int (*visit)(void *arg, const struct objects_upload *upload);
    void *arg;
};

static int upload_row(struct walk *walk, sqlite3_stmt *statement)
{
    const struct upload_visitor *visitor = walk->visitor;
    struct objects_upload upload;
    upload_read(statement, &upload);
    return visitor->visit(visitor->arg, &upload);
}

static int list_later(struct walk *walk)
{
    sqlite3_stmt *statement = NULL;
    int r = statement_of(walk->rows, UPLOAD_LATER, &statement, walk->err);
    if (r < 0)
        return r;
    sqlite3_bind_int64(statement, 1, walk->page->bucket);
    sqlite_bind_bytes(statement, 2, walk->page->after);
    sqlite_bind_str(statement, 3, walk->page->after_name);
    return walk_rest(walk, statement);
}

int objects_rows_upload_list(struct objects_rows *rows, const struct objects_page *page,
                             int (*visit)(void *arg, const struct objects_upload *upload),
                             int (*prefix)(void *arg, struct str prefix), void *arg,
                             struct error *err)
{
    struct upload_visitor visitor = {visit, arg};
    struct walk walk = {
        .rows = rows,
        .page = page,
        .main = UPLOAD_LIST,
        .key_column = 2,
        .row = upload_row,
        .prefix = prefix,
        .arg = arg,
        .visitor = &visitor,
        .err = err,
    };
    int r = walk_begin(&walk);
    if (r == 0 && page->has_after_name)
        r = list_later(&walk);
    if (r == 0 && (walk.from.size > 0 || page->after.size == 0))
        r = walk_on(&walk);
    buf_done(&walk.from);
    return r;
}

// ---- Parts

int objects_rows_part_put(struct objects_rows *rows, struct str upload,
                          const struct objects_part *part, uint64_t part_size,
                          char ret_file[OBJECTS_UPLOAD_SIZE], struct error *err)
{
    sqlite3_stmt *statement = NULL;
    char file[OBJECTS_UPLOAD_SIZE] = "";
    int r = upload_is_there(rows, upload, err);
    if (r == 0)
        return error_set(err, -ENOENT, "there is no such upload");
    if (r == 1)
        r = statement_of(rows, PART_GET, &statement, err);
    if (r < 0)
        return r;
    sqlite_bind_str(statement, 1, upload);
    sqlite3_bind_int64(statement, 2, part->number);
    r = step(rows, statement, err);
    if (r == 1) {
        (void) !str_copy(sqlite_column_str(statement, 0), file, sizeof(file));
        sqlite3_reset(statement);
    }
    if (r < 0)
        return r;
    r = statement_of(rows, PART_PUT, &statement, err);
    if (r < 0)
        return r;
    sqlite_bind_str(statement, 1, upload);
    sqlite3_bind_int64(statement, 2, part->number);
    sqlite3_bind_int64(statement, 3, (int64_t) part->size);
    sqlite_bind_str(statement, 4, part->etag);
    sqlite3_bind_int64(statement, 5, part->modified_ms);
    sqlite_bind_str(statement, 6, part->checksum);
    sqlite_bind_str(statement, 7, part->file);
    r = run(rows, statement, err);
    if (r == 0 && part_size > 0)
        r = statement_of(rows, UPLOAD_SIZE, &statement, err);
    if (r == 0 && part_size > 0) {
        sqlite_bind_str(statement, 1, upload);
        sqlite3_bind_int64(statement, 2, (int64_t) part_size);
        r = run(rows, statement, err);
    }
    if (r == 0)
        memcpy(ret_file, file, sizeof(file));
    return r;
}

int objects_rows_part_each(struct objects_rows *rows, struct str upload, unsigned after,
                           int (*visit)(void *arg, const struct objects_part *part), void *arg,
                           struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int r = statement_of(rows, PART_EACH, &statement, err);
    if (r < 0)
        return r;
    sqlite_bind_str(statement, 1, upload);
    sqlite3_bind_int64(statement, 2, after);
    while ((r = step(rows, statement, err)) == 1) {
        struct objects_part part = {
            .number = (unsigned) sqlite3_column_int64(statement, 0),
            .size = (uint64_t) sqlite3_column_int64(statement, 1),
            .etag = sqlite_column_str(statement, 2),
            .modified_ms = sqlite3_column_int64(statement, 3),
            .checksum = sqlite_column_str(statement, 4),
            .file = sqlite_column_str(statement, 5),
        };
        r = visit(arg, &part);
        if (r != 0)
            break;
    }
    sqlite3_reset(statement);
    return r;
}

int objects_rows_file_each(struct objects_rows *rows, int (*visit)(void *arg, struct str file),
                           void *arg, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int r = statement_of(rows, FILE_EACH, &statement, err);
    if (r < 0)
        return r;
    while ((r = step(rows, statement, err)) == 1) {
        r = visit(arg, sqlite_column_str(statement, 0));
        if (r < 0)
            break;
    }
    sqlite3_reset(statement);
    return r;
}
