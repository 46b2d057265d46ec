/* SPDX-License-Identifier: MIT
 *
 * s3_object: what the operations on objects share: finding one, its headers, conditions. A thread.
 */
#ifndef LAMINA_API_S3_OBJECT_H
#define LAMINA_API_S3_OBJECT_H

#include "api/s3_call.h"

#define S3_METADATA_MAX 2048 /* bytes of x-amz-meta-* names (behind the prefix) and values */

/* The object that bucket, key and ?versionId name. A marker is NoSuchKey, or MethodNotAllowed when it was
 * named. To be freed with objects_version_done. */
int s3_object_find(struct s3_call *s3, struct objects_bucket *ret_bucket,
                   struct objects_version *ret_version) MUST_CHECK;

/* ?versionId; data == NULL: absent. */
int s3_object_version_id(struct s3_call *s3, struct str *ret_name) MUST_CHECK;

/* The request's headers that are kept: "name:value\n" each. In the arena. */
int s3_object_headers(struct s3_call *s3, struct str *ret_headers) MUST_CHECK;
/* x-amz-tagging, checked. */
int s3_object_tags(struct s3_call *s3, struct str *ret_tags) MUST_CHECK;

/* ETag, Last-Modified, the kept headers and the version, into the answer. */
void s3_object_answer(struct s3_call *s3, const struct objects_bucket *bucket,
                      const struct objects_version *version);
void s3_object_answer_version(struct s3_call *s3, const struct objects_bucket *bucket,
                              const char *name);
/* x-amz-checksum-* of "CRC32 <base64> <type>". */
void s3_object_answer_checksum(struct s3_call *s3, struct str checksum);

/* If-Match and the others, whose names begin with `prefix` ("" or "x-amz-copy-source-"). 0, or -EREMOTEIO
 * with PreconditionFailed or NotModified. */
int s3_object_check(struct s3_call *s3, const char *prefix,
                    const struct objects_version *version) MUST_CHECK;
/* If-Match and If-None-Match of a PUT: for the commit. */
int s3_object_condition(struct s3_call *s3, struct objects_condition *ret_condition) MUST_CHECK;
/* Whether the disk has so much room beside its reserve: before a byte of it is taken. */
int s3_object_check_room(struct s3_call *s3, uint64_t bytes) MUST_CHECK;
/* What objects_put said. */
int s3_object_put_failed(struct s3_call *s3, int code, const struct error *err);

/* "CRC32 <base64> FULL_OBJECT" of a body whose proof was good; "" without a checksum. */
struct str s3_object_checksum(struct s3_call *s3);

#endif
