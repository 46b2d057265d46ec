// SPDX-License-Identifier: MIT
//
// Objects of the service's own store, as far as deploying a model from a file needs them: a bucket, an
// upload, a deletion. Everything else is for `aws s3`.
//
// Straight-line blocking calls on a struct client. Errors are those of client_perform and client_check.
#ifndef LAMINA_CLIENT_OBJECT_H
#define LAMINA_CLIENT_OBJECT_H

#include "client/client.h"

// Made if it is not there.
MUST_CHECK int bucket_make(struct client *client, const char *bucket, struct error *err);
// An empty one; -ENOENT, -EBUSY (not empty).
MUST_CHECK int bucket_delete(struct client *client, const char *bucket, struct error *err);

// `size` bytes of a file that can be read again, and then `more` (NULL: nothing). The key is any
// text; *ret_sha256_hex (NULL: not wanted) holds 65 bytes.
struct object_upload {
    int fd;
    uint64_t size;
    const void *more;
    size_t more_size;
    client_progress progress; // NULL: none
    void *progress_arg;
};
MUST_CHECK int object_put(struct client *client, const char *bucket, const char *key,
                          const struct object_upload *upload, char *ret_sha256_hex,
                          struct error *err);
MUST_CHECK int object_delete(struct client *client, const char *bucket, const char *key,
                             struct error *err);

#endif
