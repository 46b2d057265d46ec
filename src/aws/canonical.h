// SPDX-License-Identifier: MIT
//
// The canonical forms that SigV4 hashes. Private to aws/; every function appends to `text` and
// returns 0 or a negative errno (-EINVAL: does not decode, -E2BIG: too many parts).

#ifndef LAMINA_AWS_CANONICAL_H
#define LAMINA_AWS_CANONICAL_H

#include "aws/sigv4.h"

// S3's paths are taken as received; every other service's are normalised and encoded once more.
int canonical_path(struct str path, bool is_s3, struct buf *text) MUST_CHECK;

// Pairs decoded and encoded anew, sorted; X-Amz-Signature left out.
int canonical_query(struct str query, struct buf *text) MUST_CHECK;

// "name:value\n" for each name in `signed_headers`. A name that no header has: -EBADMSG.
int canonical_headers(const struct sigv4_request *request, struct str signed_headers,
                      struct buf *text) MUST_CHECK;

#endif
