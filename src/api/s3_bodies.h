/* SPDX-License-Identifier: MIT
 *
 * s3_bodies: what clients send as XML, as values. Any thread. Texts are in the arena or views of
 * the body.
 *
 * Errors: -EINVAL (not well-formed, not the element expected, more than the maximum), -ENOMEM.
 */
#ifndef LAMINA_API_S3_BODIES_H
#define LAMINA_API_S3_BODIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/checksum.h"
#include "base/arena.h"
#include "base/compiler.h"
#include "base/str.h"
#include "meta/objects.h"

/* CompleteMultipartUpload: Part, at least one. */
struct s3_named_part {
    uint64_t number;
    struct str etag; /* without quotes */
    struct str checksum;
    enum checksum_kind kind; /* of `checksum` */
};
int s3_body_complete(struct str body, struct arena *arena, struct s3_named_part *parts, size_t max,
                     size_t *ret_count) MUST_CHECK;

/* Delete: Object, at least one, and Quiet. Keys and names within their limits. */
int s3_body_delete(struct str body, struct arena *arena, struct objects_deletion *items, size_t max,
                   size_t *ret_count, bool *ret_is_quiet) MUST_CHECK;

/* The text of <root><name>text</name>...</root>; data == NULL: there is no such element. */
int s3_body_single(struct str body, struct arena *arena, const char *root, const char *name,
                   struct str *ret_text) MUST_CHECK;

#endif
