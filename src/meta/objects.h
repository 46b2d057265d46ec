// SPDX-License-Identifier: MIT
//
// The index of the embedded object store: which buckets, keys and versions exist, and which content
// each has; uploads in parts that are under way. In DIR/objects.db (SQLite, WAL, synchronous=FULL).
// Nothing above this header knows SQLite; beyond one machine another body takes its place.
//
//     a thread that changes something          a thread that reads
//       waits for its turn: the first            takes one of OBJECTS_READERS connections
//       of those that wait commits for all         and sees what was committed
//
// Every function blocks and may be called on any thread but the loop's. A change that returned 0 is
// on the disk and survives a power cut; it is all or nothing. After an I/O error every further
// change is
// -EIO: what a failed fsync left on the disk is not known; the service must be started again.
//
// Contents are named by their digest only; whoever commits a version holds the content's pin until
// the commit returned (store/stage.h), and the store's collection asks objects_has_digest().
//
// Keys are bytes, in the order of memcmp. Limits: OBJECTS_KEY_MAX bytes of a key,
// OBJECTS_HEADERS_MAX of headers. Errors beside those named: -ENOSPC, -EIO, -ENOMEM, -EAGAIN (too
// many wait).

#ifndef LAMINA_META_OBJECTS_H
#define LAMINA_META_OBJECTS_H

#include "base/compiler.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct objects;

#define OBJECTS_READERS 4
#define OBJECTS_WAITING_MAX 4096
#define OBJECTS_BUCKET_MAX 63
#define OBJECTS_BUCKETS_MAX 10000
#define OBJECTS_KEY_MAX 1024
#define OBJECTS_HEADERS_MAX (16 * 1024)
#define OBJECTS_VERSION_SIZE 33 // with the NUL
#define OBJECTS_UPLOAD_SIZE 33
#define OBJECTS_NULL "null" // the version of a key whose bucket keeps no versions

int objects_open(const char *data_dir, struct objects **ret_objects, struct error *err) MUST_CHECK;
void objects_close(struct objects *objects); // no call may be running; accepts NULL

// ---- Buckets

enum objects_versioning { OBJECTS_UNVERSIONED, OBJECTS_VERSIONED, OBJECTS_SUSPENDED };

struct objects_bucket {
    int64_t id; // never used again
    char name[OBJECTS_BUCKET_MAX + 1];
    int64_t created_ms;
    enum objects_versioning versioning;
};

int objects_bucket_get(struct objects *objects, struct str name, struct objects_bucket *ret_bucket,
                       struct error *err) MUST_CHECK; // -ENOENT
int objects_bucket_each(struct objects *objects,
                        int (*visit)(void *arg, const struct objects_bucket *bucket), void *arg,
                        struct error *err) MUST_CHECK; // by name; a negative result ends it
// -EEXIST; -E2BIG: OBJECTS_BUCKETS_MAX.
int objects_bucket_create(struct objects *objects, struct str name, int64_t now_ms,
                          struct error *err) MUST_CHECK;
// -ENOENT; -ENOTEMPTY: a version is left. Uploads under way go with it.
int objects_bucket_delete(struct objects *objects, int64_t bucket, struct error *err) MUST_CHECK;
int objects_bucket_set_versioning(struct objects *objects, int64_t bucket,
                                  enum objects_versioning versioning,
                                  struct error *err) MUST_CHECK; // -ENOENT

// ---- Versions

struct objects_version {
    int64_t number; // grows with every commit
    struct str key;
    struct str name; // the version id; OBJECTS_NULL
    bool is_current; // the newest of its key
    bool is_marker;  // says that the key is deleted
    uint64_t size;
    struct digest digest; // of a content with size > 0
    struct str etag;      // without quotes
    int64_t modified_ms;
    struct str headers;  // "name:value\n" for each that the answer of GET will have
    struct str checksum; // "CRC32 <base64> FULL_OBJECT", or ""
    struct str parts;    // of an upload in parts: "<size>[:<checksum>]" with spaces between, or ""
    struct str tags;     // "key=value&..." percent-encoded, or ""
    struct str upload;   // the upload that it came by, or ""
    char *block;         // owned: what the views point into, or NULL
};

void objects_version_done(struct objects_version *version);

// `name` {NULL, 0}: the newest (a marker, too). -ENOENT. The caller frees with
// objects_version_done.
int objects_get(struct objects *objects, int64_t bucket, struct str key, struct str name,
                struct objects_version *ret_version, struct error *err) MUST_CHECK;

// What must hold of the key's newest version when the change is made.
struct objects_condition {
    bool is_absent;      // If-None-Match: *
    struct str has_etag; // If-Match, without quotes; data == NULL: whatever
};

struct objects_added {
    char name[OBJECTS_VERSION_SIZE]; // the version id; "" in a bucket that never had versions
    bool has_replaced;               // a version went: its content may have lost its last name
};

// Makes `version` the newest of its key; number, name, is_current, is_marker are not looked at. In
// a bucket without versions the one that was there goes. `version->upload` not empty: the upload
// ends with it.
// -ENODEV: no such bucket (any more); -ESTALE: the condition does not hold; -ENOENT: has_etag and
// there is nothing; -ENOLINK: there is no such upload (any more).
int objects_put(struct objects *objects, int64_t bucket, const struct objects_version *version,
                const struct objects_condition *condition, struct objects_added *ret_added,
                struct error *err) MUST_CHECK;

struct objects_deletion {
    struct str key;
    struct str name; // one version of it; data == NULL: the key, as the bucket's versioning says
    struct str has_etag;                // as in a condition
    int status;                         // 0; -ESTALE
    bool is_marker;                     // a marker was made, or was what was deleted
    bool has_gone;                      // a content may have lost its last name
    char version[OBJECTS_VERSION_SIZE]; // what was made or deleted; "" without versions
};

// Each for itself, in one commit. What is not there is deleted, too. -ENODEV.
int objects_delete(struct objects *objects, int64_t bucket, struct objects_deletion *deletions,
                   size_t count, struct error *err) MUST_CHECK;

// -ENOENT. `name` as in objects_get.
int objects_set_tags(struct objects *objects, int64_t bucket, struct str key, struct str name,
                     struct str tags, struct error *err) MUST_CHECK;

// ---- Lists

struct objects_page {
    int64_t bucket;
    struct str prefix;
    struct str delimiter;  // "": none. Keys that have it behind the prefix are one common prefix
    struct str after;      // only what comes behind it: a key or a common prefix
    struct str after_name; // with versions: behind this version (or upload) of `after`
    bool has_after_name;
    bool with_versions; // every version and marker, a key's newest first
    size_t max;
};

struct objects_visitor {
    // Views live during the call; a negative result ends the list and is returned.
    int (*version)(void *arg, const struct objects_version *version);
    int (*prefix)(void *arg, struct str prefix);
    void *arg;
};

// 1: there is more behind the last one visited; 0: that was all.
int objects_list(struct objects *objects, const struct objects_page *page,
                 const struct objects_visitor *visitor, struct error *err) MUST_CHECK;

// Whether a version of any bucket has this content. -errno: not known.
int objects_has_digest(struct objects *objects, const struct digest *digest) MUST_CHECK;

// ---- Uploads in parts

struct objects_upload {
    char id[OBJECTS_UPLOAD_SIZE];
    int64_t bucket;
    struct str key;
    int64_t created_ms;
    struct str headers, tags;
    struct str checksum; // "CRC32 COMPOSITE", or ""
    uint64_t part_size;  // of the parts that lie in the upload's own file; 0: none yet
    char *block;         // owned, or NULL
};

struct objects_part {
    unsigned number; // 1 to 10,000
    uint64_t size;
    struct str etag;
    int64_t modified_ms;
    struct str checksum; // base64, or ""
    struct str file;     // a file of its own; "": at (number - 1) * part_size of the upload's
};

void objects_upload_done(struct objects_upload *upload);

int objects_upload_create(struct objects *objects, const struct objects_upload *upload,
                          struct error *err) MUST_CHECK; // -ENODEV
int objects_upload_get(struct objects *objects, struct str id, struct objects_upload *ret_upload,
                       struct error *err) MUST_CHECK; // -ENOENT
// The upload's file is removed by the caller, with those of the parts. -ENOENT.
int objects_upload_abort(struct objects *objects, struct str id, struct error *err) MUST_CHECK;
// In the order of keys, then ids. 1: there is more.
int objects_upload_list(struct objects *objects, const struct objects_page *page,
                        int (*visit)(void *arg, const struct objects_upload *upload),
                        int (*prefix)(void *arg, struct str prefix), void *arg,
                        struct error *err) MUST_CHECK;

// Replaces one of that number. `part_size` becomes the upload's when it has none. *ret_file: the
// file of the one that was replaced ("": none). -ENOENT: no such upload (any more).
int objects_part_put(struct objects *objects, struct str upload, const struct objects_part *part,
                     uint64_t part_size, char ret_file[OBJECTS_UPLOAD_SIZE],
                     struct error *err) MUST_CHECK;
// Those with a number above `after`, in order; a positive result of `visit` ends it and is
// returned.
int objects_part_each(struct objects *objects, struct str upload, unsigned after,
                      int (*visit)(void *arg, const struct objects_part *part), void *arg,
                      struct error *err) MUST_CHECK;

// The names of all files that uploads and their parts have.
int objects_file_each(struct objects *objects, int (*visit)(void *arg, struct str file), void *arg,
                      struct error *err) MUST_CHECK;

// ---- For /metrics

struct objects_stats {
    uint64_t changes, commits, failures;
};
void objects_stats(struct objects *objects, struct objects_stats *ret_stats);

#endif
