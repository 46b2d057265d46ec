/* SPDX-License-Identifier: MIT
 *
 * The operations of the object store, for its route table. Each runs on a thread (s3_call.h: run);
 * the _check ones on the loop thread. One operation or a few of one noun a file.
 */
#ifndef LAMINA_API_S3_OPERATIONS_H
#define LAMINA_API_S3_OPERATIONS_H

#include "api/s3_call.h"

/* s3_bucket.c */
int s3_list_buckets(struct s3_call *s3);
int s3_create_bucket(struct s3_call *s3);
int s3_head_bucket(struct s3_call *s3);
int s3_delete_bucket(struct s3_call *s3);
int s3_get_bucket_location(struct s3_call *s3);
int s3_get_versioning(struct s3_call *s3);
int s3_put_versioning(struct s3_call *s3);

/* s3_list.c */
int s3_list_objects_v2(struct s3_call *s3);
int s3_list_objects(struct s3_call *s3);
int s3_list_object_versions(struct s3_call *s3);

/* s3_get.c: GetObject and HeadObject */
int s3_get(struct s3_call *s3);

/* s3_put.c */
int s3_put_open(struct s3_call *s3, int *ret_fd, uint64_t *ret_offset);
int s3_put_finish(struct s3_call *s3, const struct receive_result *result);
void s3_put_drop(struct s3_call *s3);
int s3_put(struct s3_call *s3);

/* s3_delete.c */
int s3_delete_object(struct s3_call *s3);
int s3_delete_objects_check(struct s3_call *s3);
int s3_delete_objects(struct s3_call *s3);

/* s3_copy.c */
int s3_copy(struct s3_call *s3);

/* s3_upload.c */
int s3_create_upload(struct s3_call *s3);
int s3_abort_upload(struct s3_call *s3);
int s3_list_parts(struct s3_call *s3);
int s3_list_uploads(struct s3_call *s3);

/* s3_part.c */
int s3_part_open(struct s3_call *s3, int *ret_fd, uint64_t *ret_offset);
int s3_part_finish(struct s3_call *s3, const struct receive_result *result);
void s3_part_drop(struct s3_call *s3);
int s3_part(struct s3_call *s3);
int s3_part_copy(struct s3_call *s3);

/* s3_complete.c */
int s3_complete_upload(struct s3_call *s3);

/* s3_attributes.c */
int s3_get_attributes(struct s3_call *s3);
int s3_get_tagging(struct s3_call *s3);
int s3_put_tagging(struct s3_call *s3);
int s3_delete_tagging(struct s3_call *s3);

#endif
