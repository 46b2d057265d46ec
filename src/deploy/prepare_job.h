// SPDX-License-Identifier: MIT
//
// The straight line of a preparation: one model's bytes -> worker -> an object and a record.
// Blocks, on a job's thread. Internal to deploy/.

#ifndef LAMINA_DEPLOY_PREPARE_JOB_H
#define LAMINA_DEPLOY_PREPARE_JOB_H

#include "deploy/prepare_record.h"

struct prepare_job {
    struct store *store;   // borrowed
    int work_fd;           // borrowed
    struct digest tree_id; // kept by the caller
    const char *path;      // of the model in it; borrowed
    struct digest model;   // its digest
    bool has_tree;         // its external data is in the tree:
    uint64_t beside_bytes; // of the tree's other files
};

// 0: the record tells all that can be told of the model, for good, and *ret_pin keeps the form, if
// there is one. Else nothing is known about the model, only about this attempt: -ENOSPC, -ENOMEM,
// -ETIME, -ECHILD, -EFBIG (no worker may take what it needs), other -errno, with the words.
int prepare_job_run(const struct prepare_job *job, struct prepare_record *ret_record,
                    struct store_pin **ret_pin, struct error *err) MUST_CHECK;

// The file that is the model: `path`, or the only one whose name says so, at most three folders
// deep. -ENOENT: it is not there, none is, or several are.
struct prepare_found {
    char path[PREPARE_PATH_MAX + 1];
    struct digest digest;
    uint64_t bytes;
    uint64_t beside_bytes; // of the tree's other files: its external data may be among them
};
int prepare_find(struct store *store, const struct digest *tree_id, const char *path,
                 struct prepare_found *ret_found, struct error *err) MUST_CHECK;

#endif
