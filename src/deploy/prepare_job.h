// SPDX-License-Identifier: MIT
//
// The straight line of a preparation: one model's bytes -> worker -> an object and a record.
// Blocks, on a job's thread. Internal to deploy/.

#ifndef LAMINA_DEPLOY_PREPARE_JOB_H
#define LAMINA_DEPLOY_PREPARE_JOB_H

#include "deploy/prepare_record.h"

// The format of forms ends here, as ONNX's own does.
#define PREPARE_FORM_BYTES_MAX (UINT64_C(2) * 1024 * 1024 * 1024)

struct prepare_job {
    struct store *store;     // borrowed
    int work_fd;             // borrowed
    struct digest tree_id;   // kept by the caller
    const char *path;        // of the model in it; borrowed
    struct digest model;     // its digest
    bool has_tree;           // its external data is in the tree:
    uint64_t beside_bytes;   // of the tree's other files
    uint64_t form_bytes_max; // 0: PREPARE_FORM_BYTES_MAX
    uint64_t time_limit_ms;  // from the worker's start to its end; 0: by the model's size
};

// What a worker takes for a model of so many bytes, mostly; 0: more than any may.
uint64_t prepare_job_need(uint64_t bytes);

// 0: the record tells all that can be told of the model, for good, and *ret_pin keeps the form, if
// there is one: a model that is PREPARE_FORM_BYTES_MAX or more, with all that lies beside it, is only
// measured. Else nothing is known about the model, only about this attempt: -ENOSPC, -ENOMEM,
// -ETIME, -ECHILD, -EFBIG (no worker may take what it needs), other -errno, with the words.
int prepare_job_run(const struct prepare_job *job, struct prepare_record *ret_record,
                    struct store_pin **ret_pin, struct error *err) MUST_CHECK;

#endif
