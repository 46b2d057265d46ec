// SPDX-License-Identifier: MIT

#include "s3/s3.h"

#include "base/mem.h"
#include "loop/job.h"
#include "s3/s3_private.h"
#include "store/stage.h"

#include <errno.h>
#include <string.h>

#define JOB_THREADS 8
#define BODY_THREADS 8 // most of them wait for the disk
#define WAITING_MAX 4096
#define FILES_MAX 1000000

// ---- At start: files of uploads that ended as the last process did

static int note_file(void *arg, struct str file)
{
    int r = map_put(arg, file, arg);
    return r == -EEXIST ? 0 : r;
}

struct sweep {
    struct s3 *s3;
    struct map known;
};

static int sweep_file(void *arg, const char *name)
{
    struct sweep *sweep = arg;
    if (map_get_text(&sweep->known, name))
        return 0;
    return store_stage_remove(sweep->s3->config.store, STORE_UPLOADS, name);
}

static int sweep_uploads(struct s3 *s3, struct error *err)
{
    struct sweep sweep = {.s3 = s3};
    map_init(&sweep.known, SIZE_MAX); // as many as there are rows: none of them may stop a start
    int r = objects_file_each(s3->objects, note_file, &sweep.known, err);
    if (r == 0)
        r = store_stage_each(s3->config.store, sweep_file, &sweep, err);
    map_done(&sweep.known, NULL);
    return r < 0 ? error_wrap(err, r, "look at the uploads that were under way") : 0;
}

int s3_new(const struct s3_config *config, struct s3 **ret_s3, struct error *err)
{
    struct s3 *s3 = mem_new(struct s3);
    if (!s3)
        return error_set(err, -ENOMEM, "no memory for the object store");
    s3->config = *config;
    pthread_mutex_init(&s3->uploads_lock, NULL);
    map_init(&s3->uploads, FILES_MAX);
    int r = objects_open(config->data_dir, &s3->objects, err);
    if (r == 0)
        r = sweep_uploads(s3, err);
    if (r == 0) {
        r = job_pool_new(config->loop, "s3", JOB_THREADS, WAITING_MAX, &s3->jobs);
        if (r == 0)
            r = job_pool_new(config->loop, "s3-body", BODY_THREADS, WAITING_MAX, &s3->bodies);
        if (r < 0)
            error_set_errno(err, r, "start the object store's threads");
    }
    if (r < 0) {
        s3_free(s3);
        return r;
    }
    *ret_s3 = s3;
    return 0;
}

void s3_free(struct s3 *s3)
{
    if (!s3)
        return;
    job_pool_free(s3->bodies);
    job_pool_free(s3->jobs);
    uploads_done(s3);
    objects_close(s3->objects);
    pthread_mutex_destroy(&s3->uploads_lock);
    free(s3);
}

struct objects *s3_objects(struct s3 *s3)
{
    return s3->objects;
}

struct store *s3_store(struct s3 *s3)
{
    return s3->config.store;
}

struct job_pool *s3_jobs(struct s3 *s3)
{
    return s3->jobs;
}

void s3_dropped(struct s3 *s3)
{
    if (s3->config.dropped)
        s3->config.dropped(s3->config.arg);
}

size_t s3_receives(const struct s3 *s3)
{
    return s3->receives;
}

int s3_names(void *arg, const struct digest *digest)
{
    const struct s3 *s3 = arg;
    return objects_has_digest(s3->objects, digest);
}

// ---- Reading

int s3_lookup(struct s3 *s3, struct str bucket_name, struct str key, struct str version_name,
              struct s3_found *ret_found, struct error *err)
{
    struct objects_bucket bucket;
    struct objects_version version;
    int r = objects_bucket_get(s3->objects, bucket_name, &bucket, err);
    if (r == -ENOENT)
        return error_set(err, r, "NoSuchBucket: The specified bucket does not exist");
    if (r == 0)
        r = objects_get(s3->objects, bucket.id, key, version_name, &version, err);
    if (r == -ENOENT && version_name.data)
        return error_set(err, r, "NoSuchVersion: The specified version does not exist.");
    if (r == -ENOENT)
        return error_set(err, r, "NoSuchKey: The specified key does not exist.");
    if (r < 0)
        return r;
    struct s3_found found = {
        .digest = version.digest, .size = version.size, .modified_ms = version.modified_ms};
    (void) !str_copy(version.etag, found.etag, sizeof(found.etag));
    if (bucket.versioning != OBJECTS_UNVERSIONED)
        (void) !str_copy(version.name, found.version, sizeof(found.version));
    bool is_marker = version.is_marker;
    objects_version_done(&version);
    if (is_marker)
        return error_set(err, -ENOENT, "NoSuchKey: The specified key does not exist.");
    *ret_found = found;
    return 0;
}
