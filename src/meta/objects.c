// SPDX-License-Identifier: MIT

#include "meta/objects.h"

#include "base/clock.h"
#include "base/mem.h"
#include "meta/objects_rows.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

struct change {
    struct change *next;
    int (*apply)(struct change *change, struct objects_rows *rows, struct error *err);
    const void *argument;
    int code;
    struct error err;
    bool is_done;
};

struct objects {
    struct objects_rows rows; // of whoever commits
    pthread_mutex_t lock;
    pthread_cond_t done; // a group is committed
    struct change *waiting, **waiting_end;
    size_t waiting_count;
    bool is_committing;
    bool is_broken;
    struct objects_stats stats;

    pthread_mutex_t readers_lock;
    pthread_cond_t reader_free;
    struct objects_rows readers[OBJECTS_READERS];
    bool is_taken[OBJECTS_READERS];
};

int objects_open(const char *data_dir, struct objects **ret_objects, struct error *err)
{
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/objects.db", data_dir) >= (int) sizeof(path))
        return error_set(err, -ENAMETOOLONG, "the data directory's path is too long");
    struct objects *objects = mem_new(struct objects);
    if (!objects)
        return error_set(err, -ENOMEM, "no memory for the object index");
    pthread_mutex_init(&objects->lock, NULL);
    pthread_cond_init(&objects->done, NULL);
    pthread_mutex_init(&objects->readers_lock, NULL);
    pthread_cond_init(&objects->reader_free, NULL);
    objects->waiting_end = &objects->waiting;
    int r = objects_rows_open(&objects->rows, path, err);
    for (size_t i = 0; r == 0 && i < OBJECTS_READERS; i++)
        r = objects_rows_open_reader(&objects->readers[i], path, err);
    if (r < 0) {
        objects_close(objects);
        return r;
    }
    *ret_objects = objects;
    return 0;
}

void objects_close(struct objects *objects)
{
    if (!objects)
        return;
    // The readers first: the last connection to close checkpoints, and that must be the one that
    // writes.
    for (size_t i = 0; i < OBJECTS_READERS; i++)
        objects_rows_close(&objects->readers[i]);
    objects_rows_close(&objects->rows);
    pthread_cond_destroy(&objects->reader_free);
    pthread_mutex_destroy(&objects->readers_lock);
    pthread_cond_destroy(&objects->done);
    pthread_mutex_destroy(&objects->lock);
    free(objects);
}

void objects_stats(struct objects *objects, struct objects_stats *ret_stats)
{
    pthread_mutex_lock(&objects->lock);
    *ret_stats = objects->stats;
    pthread_mutex_unlock(&objects->lock);
}

// ---- Changes: group commit
//
// Whoever finds nobody committing commits for all that wait. Those that come meanwhile are the next
// group. A refusal (no such key, ...) is a change's own and has changed nothing; an error of
// SQLite's takes the whole group back.

static bool is_refusal(int code)
{
    return code == -ENOENT || code == -ENODEV || code == -ESTALE || code == -ENOLINK ||
           code == -EEXIST || code == -ENOTEMPTY || code == -E2BIG;
}

static int group_apply(struct objects_rows *rows, struct change *group, struct error *err)
{
    int r = sqlite_begin(&rows->sqlite, err);
    for (struct change *each = group; r == 0 && each; each = each->next) {
        each->code = each->apply(each, rows, &each->err);
        if (each->code < 0 && !is_refusal(each->code)) {
            r = each->code;
            *err = each->err;
        }
    }
    if (r == 0)
        r = sqlite_commit(&rows->sqlite, err);
    if (r < 0)
        sqlite_rollback(&rows->sqlite);
    return r;
}

// Without the lock; nobody else commits.
static size_t group_run(struct objects *objects, struct change *group)
{
    struct error err = {0};
    size_t failed = 0;
    int r = objects->is_broken
                ? error_set(&err, -EIO, "the object index had an I/O error: restart the service")
                : group_apply(&objects->rows, group, &err);
    if (r == 0)
        return 0;
    if (r == -EIO || r == -EUCLEAN)
        objects->is_broken = true;
    for (struct change *each = group; each; each = each->next, failed++) {
        each->code = r;
        each->err = err;
    }
    return failed;
}

static void commit_waiting(struct objects *objects)
{
    struct change *group = objects->waiting;
    objects->waiting = NULL;
    objects->waiting_end = &objects->waiting;
    objects->waiting_count = 0;
    objects->is_committing = true;
    pthread_mutex_unlock(&objects->lock);
    size_t failed = group_run(objects, group);
    pthread_mutex_lock(&objects->lock);
    objects->is_committing = false;
    objects->stats.commits++;
    objects->stats.failures += failed;
    while (group) {
        struct change *next = group->next; // its owner may free it as soon as it is done
        group->is_done = true;
        objects->stats.changes++;
        group = next;
    }
    pthread_cond_broadcast(&objects->done);
}

static int change_commit(struct objects *objects,
                         int (*apply)(struct change *change, struct objects_rows *rows,
                                      struct error *err),
                         const void *argument, struct error *err)
{
    struct change change = {.apply = apply, .argument = argument};
    pthread_mutex_lock(&objects->lock);
    if (objects->waiting_count == OBJECTS_WAITING_MAX) {
        pthread_mutex_unlock(&objects->lock);
        return error_set(err, -EAGAIN, "too many changes of the object index wait");
    }
    *objects->waiting_end = &change;
    objects->waiting_end = &change.next;
    objects->waiting_count++;
    while (!change.is_done) {
        if (!objects->is_committing)
            commit_waiting(objects);
        else
            pthread_cond_wait(&objects->done, &objects->lock);
    }
    pthread_mutex_unlock(&objects->lock);
    if (change.code < 0 && err)
        *err = change.err;
    return change.code;
}

// ---- Readers

static struct objects_rows *reader_take(struct objects *objects)
{
    pthread_mutex_lock(&objects->readers_lock);
    for (;;) {
        for (size_t i = 0; i < OBJECTS_READERS; i++) {
            if (!objects->is_taken[i]) {
                objects->is_taken[i] = true;
                pthread_mutex_unlock(&objects->readers_lock);
                return &objects->readers[i];
            }
        }
        pthread_cond_wait(&objects->reader_free, &objects->readers_lock);
    }
}

static void reader_give(struct objects *objects, struct objects_rows *reader)
{
    pthread_mutex_lock(&objects->readers_lock);
    objects->is_taken[reader - objects->readers] = false;
    pthread_cond_signal(&objects->reader_free);
    pthread_mutex_unlock(&objects->readers_lock);
}

// `call` uses `reader`.
#define READ(objects, call)                                                                        \
    __extension__({                                                                                \
        struct objects_rows *reader = reader_take(objects);                                        \
        int read_result_ = (call);                                                                 \
        reader_give(objects, reader);                                                              \
        read_result_;                                                                              \
    })

// ---- Buckets

struct bucket_change {
    int64_t bucket;
    struct str name;
    int64_t now_ms;
    enum objects_versioning versioning;
};

int objects_bucket_get(struct objects *objects, struct str name, struct objects_bucket *ret_bucket,
                       struct error *err)
{
    return READ(objects, objects_rows_bucket_get(reader, name, ret_bucket, err));
}

int objects_bucket_each(struct objects *objects,
                        int (*visit)(void *arg, const struct objects_bucket *bucket), void *arg,
                        struct error *err)
{
    return READ(objects, objects_rows_bucket_each(reader, visit, arg, err));
}

static int apply_bucket_create(struct change *change, struct objects_rows *rows, struct error *err)
{
    const struct bucket_change *what = change->argument;
    return objects_rows_bucket_create(rows, what->name, what->now_ms, err);
}

int objects_bucket_create(struct objects *objects, struct str name, int64_t now_ms,
                          struct error *err)
{
    struct bucket_change what = {.name = name, .now_ms = now_ms};
    return change_commit(objects, apply_bucket_create, &what, err);
}

static int apply_bucket_delete(struct change *change, struct objects_rows *rows, struct error *err)
{
    const struct bucket_change *what = change->argument;
    return objects_rows_bucket_delete(rows, what->bucket, err);
}

int objects_bucket_delete(struct objects *objects, int64_t bucket, struct error *err)
{
    struct bucket_change what = {.bucket = bucket};
    return change_commit(objects, apply_bucket_delete, &what, err);
}

static int apply_bucket_versioning(struct change *change, struct objects_rows *rows,
                                   struct error *err)
{
    const struct bucket_change *what = change->argument;
    return objects_rows_bucket_set_versioning(rows, what->bucket, what->versioning, err);
}

int objects_bucket_set_versioning(struct objects *objects, int64_t bucket,
                                  enum objects_versioning versioning, struct error *err)
{
    struct bucket_change what = {.bucket = bucket, .versioning = versioning};
    return change_commit(objects, apply_bucket_versioning, &what, err);
}

// ---- Versions

struct version_change {
    int64_t bucket;
    const struct objects_version *version;
    const struct objects_condition *condition;
    struct objects_added *ret_added;
    struct objects_deletion *deletions;
    size_t count;
    struct str key, name, tags;
};

int objects_get(struct objects *objects, int64_t bucket, struct str key, struct str name,
                struct objects_version *ret_version, struct error *err)
{
    return READ(objects, objects_rows_get(reader, bucket, key, name, ret_version, err));
}

static int apply_put(struct change *change, struct objects_rows *rows, struct error *err)
{
    const struct version_change *what = change->argument;
    return objects_rows_put(rows, what->bucket, what->version, what->condition, what->ret_added,
                            err);
}

int objects_put(struct objects *objects, int64_t bucket, const struct objects_version *version,
                const struct objects_condition *condition, struct objects_added *ret_added,
                struct error *err)
{
    struct objects_added added;
    struct version_change what = {
        .bucket = bucket, .version = version, .condition = condition, .ret_added = &added};
    int r = change_commit(objects, apply_put, &what, err);
    if (r == 0)
        *ret_added = added;
    return r;
}

static int apply_delete(struct change *change, struct objects_rows *rows, struct error *err)
{
    const struct version_change *what = change->argument;
    int64_t now_ms = clock_wall_ms();
    for (size_t i = 0; i < what->count; i++) {
        int r = objects_rows_delete(rows, what->bucket, &what->deletions[i], now_ms, err);
        if (r < 0)
            return r; // only the first can be refused: the bucket is gone
    }
    return 0;
}

int objects_delete(struct objects *objects, int64_t bucket, struct objects_deletion *deletions,
                   size_t count, struct error *err)
{
    struct version_change what = {.bucket = bucket, .deletions = deletions, .count = count};
    return change_commit(objects, apply_delete, &what, err);
}

static int apply_set_tags(struct change *change, struct objects_rows *rows, struct error *err)
{
    const struct version_change *what = change->argument;
    return objects_rows_set_tags(rows, what->bucket, what->key, what->name, what->tags, err);
}

int objects_set_tags(struct objects *objects, int64_t bucket, struct str key, struct str name,
                     struct str tags, struct error *err)
{
    struct version_change what = {.bucket = bucket, .key = key, .name = name, .tags = tags};
    return change_commit(objects, apply_set_tags, &what, err);
}

int objects_list(struct objects *objects, const struct objects_page *page,
                 const struct objects_visitor *visitor, struct error *err)
{
    return READ(objects, objects_rows_list(reader, page, visitor, err));
}

int objects_has_digest(struct objects *objects, const struct digest *digest)
{
    return READ(objects, objects_rows_has_digest(reader, digest));
}

// ---- Uploads

struct upload_change {
    const struct objects_upload *upload;
    struct str id;
    const struct objects_part *part;
    uint64_t part_size;
    char *ret_file;
};

static int apply_upload_create(struct change *change, struct objects_rows *rows, struct error *err)
{
    const struct upload_change *what = change->argument;
    return objects_rows_upload_create(rows, what->upload, err);
}

int objects_upload_create(struct objects *objects, const struct objects_upload *upload,
                          struct error *err)
{
    struct upload_change what = {.upload = upload};
    return change_commit(objects, apply_upload_create, &what, err);
}

int objects_upload_get(struct objects *objects, struct str id, struct objects_upload *ret_upload,
                       struct error *err)
{
    return READ(objects, objects_rows_upload_get(reader, id, ret_upload, err));
}

static int apply_upload_abort(struct change *change, struct objects_rows *rows, struct error *err)
{
    const struct upload_change *what = change->argument;
    return objects_rows_upload_abort(rows, what->id, err);
}

int objects_upload_abort(struct objects *objects, struct str id, struct error *err)
{
    struct upload_change what = {.id = id};
    return change_commit(objects, apply_upload_abort, &what, err);
}

int objects_upload_list(struct objects *objects, const struct objects_page *page,
                        int (*visit)(void *arg, const struct objects_upload *upload),
                        int (*prefix)(void *arg, struct str prefix), void *arg, struct error *err)
{
    return READ(objects, objects_rows_upload_list(reader, page, visit, prefix, arg, err));
}

static int apply_part_put(struct change *change, struct objects_rows *rows, struct error *err)
{
    const struct upload_change *what = change->argument;
    return objects_rows_part_put(rows, what->id, what->part, what->part_size, what->ret_file, err);
}

int objects_part_put(struct objects *objects, struct str upload, const struct objects_part *part,
                     uint64_t part_size, char ret_file[OBJECTS_UPLOAD_SIZE], struct error *err)
{
    char file[OBJECTS_UPLOAD_SIZE];
    struct upload_change what = {
        .id = upload, .part = part, .part_size = part_size, .ret_file = file};
    int r = change_commit(objects, apply_part_put, &what, err);
    if (r == 0)
        memcpy(ret_file, file, sizeof(file));
    return r;
}

int objects_part_each(struct objects *objects, struct str upload, unsigned after,
                      int (*visit)(void *arg, const struct objects_part *part), void *arg,
                      struct error *err)
{
    return READ(objects, objects_rows_part_each(reader, upload, after, visit, arg, err));
}

int objects_file_each(struct objects *objects, int (*visit)(void *arg, struct str file), void *arg,
                      struct error *err)
{
    return READ(objects, objects_rows_file_each(reader, visit, arg, err));
}
