// SPDX-License-Identifier: MIT
//
// s3: the embedded object store, without its HTTP (api/s3_*.c). Buckets and keys are rows of
// meta/objects.h, contents are objects of store/store.h: a model that was uploaded and the same
// model in a package are one file.
//
//     PUT   receive.h: body ─► tmp/ ─► objects/<sha256> ─► row ─► 200
//     parts parts.h:   bodies ─► uploads/<id>, each at its place ─► objects/<sha256> ─► row ─► 200
//     GET   s3_lookup ─► store_blob_open
//
// Order at every step: content synced, its name synced, then the row: what was answered is there
// after a kill -9 or a power cut. A request that was cut leaves a file in tmp/ (emptied at start),
// or an object that no row names (store_collect asks s3_names).
//
// Threads: s3_new and s3_free on the loop thread, before and after it runs; the rest as it says.
// Limits: keys of 1,024 bytes, 10,000 parts, RECEIVES_MAX bodies at once; objects as large as the
// disk.

#ifndef LAMINA_S3_S3_H
#define LAMINA_S3_S3_H

#include "base/compiler.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/str.h"
#include "meta/objects.h"

#include <stdint.h>

struct loop;
struct job_pool;
struct store;
struct s3;

struct s3_config {
    struct loop *loop;   // borrowed
    struct store *store; // borrowed
    const char *data_dir;
    // A content may have lost its last name: collect soon. Loop thread.
    void (*dropped)(void *arg);
    void *arg;
};

// Opens or makes DIR/objects.db; removes files of uploads that it does not know.
int s3_new(const struct s3_config *config, struct s3 **ret_s3, struct error *err) MUST_CHECK;
// Waits for the jobs. Accepts NULL.
void s3_free(struct s3 *s3);

// Any thread.
struct objects *s3_objects(struct s3 *s3);
struct store *s3_store(struct s3 *s3);
// Loop thread: for job_submit.
struct job_pool *s3_jobs(struct s3 *s3);
// Loop thread.
void s3_dropped(struct s3 *s3);

// Bodies that are being taken now. Loop thread.
size_t s3_receives(const struct s3 *s3);

// For store_live.is_named: 1 when a bucket has this content, 0, or -errno. A thread that may block.
int s3_names(void *s3, const struct digest *digest);

// ---- Reading without HTTP: for code and models in this store's own buckets

struct s3_found {
    struct digest digest; // store_blob_open(digest) has the content; an empty one has none
    uint64_t size;
    int64_t modified_ms;
    char etag[40];                      // without quotes
    char version[OBJECTS_VERSION_SIZE]; // "" in a bucket without versions
};

// A thread that may block. `version` {NULL, 0}: the newest. -ENOENT with AWS's words:
// "NoSuchBucket: ...", "NoSuchKey: ...", "NoSuchVersion: ...". The content can be collected as soon
// as its key is overwritten or deleted: open it, or pin it (store_stage_pin) and look again if it
// is gone.
int s3_lookup(struct s3 *s3, struct str bucket, struct str key, struct str version,
              struct s3_found *ret_found, struct error *err) MUST_CHECK;

#endif
