// SPDX-License-Identifier: MIT
//
// Object stores beside the embedded one, as the administrator named them in the configuration file:
//
//     [s3_origin minio]
//     endpoint = https://minio.example:9000     scheme://host[:port], nothing behind it
//     region = us-east-1                        of the signature (default: us-east-1)
//     style = path                              path | virtual (default: path)
//     credentials_file = /etc/lamina/minio      AWS shared-credentials format, section [default]; none: unsigned
//     ca_file = /etc/lamina/ca.pem              who signed its certificate (default: the system's)
//     stall_s = 20                              a connection that brings less than 1 kB/s for so long is given up
//     buckets = models, more                    what is fetched there; all other buckets are the embedded store's
//
// An endpoint that stands here is the administrator's word: it may be loopback or on the local
// network. Where a store redirects to is not (s3_client.h).
//
// Made at start, read-only afterwards: any thread. Limits: ORIGINS_MAX, ORIGIN_BUCKETS_MAX each.

#ifndef LAMINA_FETCH_ORIGIN_H
#define LAMINA_FETCH_ORIGIN_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"
#include "fetch/s3_uri.h"

#include <stdbool.h>
#include <stddef.h>

#define ORIGINS_MAX 32
#define ORIGIN_BUCKETS_MAX 256
#define ORIGIN_TEXT_MAX 256
#define ORIGIN_SECRET_MAX 256
#define ORIGIN_TOKEN_MAX 2048
#define ORIGIN_STALL_S 20
#define ORIGIN_STALL_MAX_S 3600

struct origin {
    char name[64];
    char endpoint[ORIGIN_TEXT_MAX]; // as given, without a slash at its end
    bool is_https;
    char host[ORIGIN_TEXT_MAX]; // with the port if it is not the scheme's
    char host_only[ORIGIN_TEXT_MAX];
    unsigned port;
    char region[64];
    bool is_virtual;
    unsigned stall_s; // 0 (no section): never given up
    char credentials_file[ORIGIN_TEXT_MAX];
    char ca_file[ORIGIN_TEXT_MAX];
    char access_key[128];
    char secret[ORIGIN_SECRET_MAX];
    char token[ORIGIN_TOKEN_MAX + 1];
    char (*buckets)[S3_BUCKET_MAX + 1];
    size_t bucket_count;
};

struct origins {
    struct origin *all;
    size_t count;
};

// Reads the sections' text (other lines must not be in it) and their credentials files.
// -EINVAL, -ENOENT, -EACCES with what is wrong where; -ENOMEM.
int origins_parse(struct str text, struct origins *ret_origins, struct error *err) MUST_CHECK;
void origins_done(struct origins *origins); // wipes the secrets

// Whose bucket it is; NULL: the embedded store's.
const struct origin *origins_find(const struct origins *origins, struct str bucket) MUST_CHECK;

// One endpoint without a section: `url` as above. For tests and lamina-model's kin. -EINVAL.
int origin_set_endpoint(struct origin *origin, struct str url, struct error *err) MUST_CHECK;

#endif
