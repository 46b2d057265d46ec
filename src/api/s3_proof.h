/* SPDX-License-Identifier: MIT
 *
 * s3_proof: who sends an S3 request, and that its body is what was sent.
 *
 * The signature covers the head, and names the body's SHA-256 or how the body proves itself:
 *
 *   x-amz-content-sha256   <64 hex>                        the body's SHA-256
 *                          UNSIGNED-PAYLOAD                nothing
 *                          STREAMING-...                   aws-chunked (aws/chunked.h)
 *   Content-MD5, x-amz-checksum-*                          a checksum besides, in a header
 *   x-amz-trailer: x-amz-checksum-*                        the same behind the body
 *
 * A presigned URL's own x-amz-checksum-* parameters are not looked at: clients compute them of an
 * empty body when they make the URL.
 */
#ifndef LAMINA_API_S3_PROOF_H
#define LAMINA_API_S3_PROOF_H

#include "api/s3_call.h"

/* Loop thread, at the head. 0, or s3->error. */
int s3_proof_begin(struct s3_call *s3) MUST_CHECK; /* the signature */
int s3_proof_read(struct s3_call *s3) MUST_CHECK;  /* what the headers say of the body */
bool s3_proof_is_chunked(const struct s3_call *s3, enum chunked_form *ret_form);

/* A kept body without its framing, then against what was said of it. 0, or s3->error. */
int s3_proof_unframe(struct s3_call *s3, struct buf *body) MUST_CHECK;
int s3_proof_check_kept(struct s3_call *s3) MUST_CHECK;

/* A body that became a file. 0, or s3->error. A thread. */
int s3_proof_check(struct s3_call *s3, const struct receive_result *result) MUST_CHECK;
/* Why a receive ended with this code. */
void s3_proof_explain(struct s3_call *s3, int code);

/* Errors of the parts that all services share, in S3's names. */
void s3_error_from_auth(struct aws_error *error, bool is_presigned);

#endif
