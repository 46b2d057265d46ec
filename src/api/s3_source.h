/* SPDX-License-Identifier: MIT
 *
 * s3_source: the object that x-amz-copy-source names, for CopyObject and UploadPartCopy.
 */
#ifndef LAMINA_API_S3_SOURCE_H
#define LAMINA_API_S3_SOURCE_H

#include "api/s3_call.h"

struct s3_source {
    struct str bucket, key;
    struct str version_id; /* data == NULL: the newest */
    struct objects_bucket found_bucket;
    struct objects_version version;
    struct store_pin *pin; /* of its content; NULL: it has none */
};

/* Loop thread: reads the header, and asks for the right to read it. For s3_route.check. */
int s3_source_check(struct s3_call *s3) MUST_CHECK;

/* A thread: finds it, holds the x-amz-copy-source-if-* conditions against it, and keeps its content from
 * collection. `source` is that of s3_source_check (s3->work). */
int s3_source_find(struct s3_call *s3, struct s3_source *source) MUST_CHECK;
void s3_source_done(struct s3_source *source);

#endif
