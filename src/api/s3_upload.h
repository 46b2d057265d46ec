/* SPDX-License-Identifier: MIT
 *
 * s3_upload: what the operations on uploads in parts share. A thread.
 */
#ifndef LAMINA_API_S3_UPLOAD_H
#define LAMINA_API_S3_UPLOAD_H

#include "api/s3_call.h"
#include "s3/parts.h"

/* The upload that ?uploadId names, of this bucket and key. NoSuchUpload. To be freed with
 * objects_upload_done. */
int s3_upload_find(struct s3_call *s3, struct objects_bucket *ret_bucket,
                   struct objects_upload *ret_upload) MUST_CHECK;
int s3_upload_gone(struct s3_call *s3); /* NoSuchUpload */

/* ?partNumber: 1 to PARTS_MAX. */
int s3_upload_part_number(struct s3_call *s3, unsigned *ret_number) MUST_CHECK;

/* All parts of it, in the arena. */
int s3_upload_parts(struct s3_call *s3, const struct objects_upload *upload,
                    struct objects_part **ret_parts, size_t *ret_count) MUST_CHECK;

/* "CRC32 COMPOSITE" as kind and whether it is of the whole object. */
enum checksum_kind s3_upload_checksum(const struct objects_upload *upload, bool *ret_is_whole);

#endif
