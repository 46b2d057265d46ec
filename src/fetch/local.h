// SPDX-License-Identifier: MIT
//
// local: the embedded object store (s3/s3.h) as the fetcher's struct fetch_local. Nothing is copied: a
// model in a bucket of this service is the inode that was uploaded. The state of an object (its mark)
// is its content's digest: uploading the same bytes again is no new model.
//
// Any thread that may block.

#ifndef LAMINA_FETCH_LOCAL_H
#define LAMINA_FETCH_LOCAL_H

#include "fetch/fetcher.h"

struct s3;

struct fetch_local fetch_local_of(struct s3 *s3); // borrowed: outlives the fetcher

#endif
