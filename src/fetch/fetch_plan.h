// SPDX-License-Identifier: MIT
//
// fetch_plan: what a URI leads to at this moment, and its way into the store. The two blocking steps
// of the fetcher, each straight-line code on a job thread. Internal to fetch/.

#ifndef LAMINA_FETCH_FETCH_PLAN_H
#define LAMINA_FETCH_FETCH_PLAN_H

#include "fetch/fetcher.h"
#include "fetch/file_source.h"

#include <stdatomic.h>

struct fetch_file {
    char *path;   // in the tree; owned
    char *key;    // owned
    bool is_here; // the store has the content: `digest`
    struct digest digest;
    uint64_t bytes;
    struct store_file *staged; // it was read while looking; owned
};

struct fetch_plan {
    const struct origin *origin; // borrowed; NULL: the embedded store
    struct file_place *place;    // owned; a file of a file system, else NULL
    struct file_question question;
    char *uri; // owned; `parsed` points into it; of a place its key
    struct s3_uri parsed;
    struct fetch_file *files; // owned
    size_t file_count, file_capacity;
    char mark[S3_MARK_MAX];
};

// `uri` is copied. -EINVAL, -ENOMEM.
int fetch_plan_init(struct fetch_plan *plan, struct str uri, const struct origins *origins,
                    struct error *err) MUST_CHECK;
// The same for a file of a file system, copied. -ENOMEM.
int fetch_plan_init_place(struct fetch_plan *plan, const struct file_place *place,
                          struct error *err) MUST_CHECK;
void fetch_plan_done(struct fetch_plan *plan);

// Fills files and mark. Of a place: FILE_AGAIN, to look again after question.again_ms; and what it is
// while its file system is immutable: question.is_in_place, and no files.
int fetch_plan_look(struct fetch_plan *plan, const struct fetch_local *local,
                    struct file_source *source, struct error *err) MUST_CHECK;
// There is content that no other look will find again: it must be fetched even if nobody wants it.
bool fetch_plan_has_staged(const struct fetch_plan *plan) MUST_CHECK;

// Fetches what is not here and commits the tree. Fills result's tree_id, digest, bytes, name, pin.
int fetch_plan_run(struct fetch_plan *plan, struct store *store, const atomic_bool *is_ending,
                   struct fetch_result *result, struct error *err) MUST_CHECK;

// Fills the same from a tree that was made before. -ENOENT: it is gone.
int fetch_result_of_tree(struct store *store, const struct digest *tree_id,
                         struct fetch_result *result, struct error *err) MUST_CHECK;

// The last part of a key as a file's name: one that a tree may have, without control characters.
// Exposed for tests.
void fetch_name_of_key(struct str key, char name[256]);

#endif
