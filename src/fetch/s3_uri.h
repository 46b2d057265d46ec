// SPDX-License-Identifier: MIT
//
// s3://bucket/key[?versionId=ID]: which object, or, with a key that ends in '/', which objects.
//
// The key is taken byte for byte: nothing in it is decoded, '?' and '#' belong to it; only a
// "?versionId=..." at the very end does not. The bucket's name is S3's: 3 to 63 of a-z 0-9 . -,
// beginning and ending with a letter or digit, no "..", not the form of an IPv4 address.
//
// Pure; any thread. Views point into the text.

#ifndef LAMINA_FETCH_S3_URI_H
#define LAMINA_FETCH_S3_URI_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>

#define S3_BUCKET_MAX 63
#define S3_KEY_MAX 1024
#define S3_VERSION_ID_MAX 1024
#define S3_URI_MAX (5 + S3_BUCKET_MAX + 1 + S3_KEY_MAX + 11 + S3_VERSION_ID_MAX)

struct s3_uri {
    struct str bucket;
    struct str key;        // may be empty only if is_prefix
    struct str version_id; // empty: the newest
    bool is_prefix;        // ends in '/' (or names the whole bucket)
};

// -EINVAL with what is wrong.
int s3_uri_parse(struct str text, struct s3_uri *ret_uri, struct error *err) MUST_CHECK;

bool s3_bucket_is_valid(struct str bucket) MUST_CHECK;

// "arn:aws:s3:::bucket/key", as policies name it. `to` holds S3_ARN_SIZE bytes.
#define S3_ARN_SIZE (13 + S3_BUCKET_MAX + 1 + S3_KEY_MAX + 1)
void s3_uri_arn(const struct s3_uri *uri, char to[S3_ARN_SIZE]);

#endif
