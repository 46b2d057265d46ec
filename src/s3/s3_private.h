// SPDX-License-Identifier: MIT
//
// What the files of s3/ share. Internal.

#ifndef LAMINA_S3_S3_PRIVATE_H
#define LAMINA_S3_S3_PRIVATE_H

#include "base/map.h"
#include "s3/s3.h"

#include <pthread.h>

struct s3 {
    struct s3_config config;
    struct objects *objects;
    struct job_pool *jobs;   // what a request asks of the index
    struct job_pool *bodies; // batches of bodies
    size_t receives;         // loop thread

    pthread_mutex_t uploads_lock;
    struct map uploads; // id -> struct upload: those that this process has had a part of
};

void uploads_done(struct s3 *s3);

#endif
