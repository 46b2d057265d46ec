// SPDX-License-Identifier: MIT
//
// Where the service is, and who is asking.
//
// A target is resolved once from flags, the environment and files, and is a plain value from
// then on: nothing to free, safe to share between threads that only read it.
//
//   endpoint     --endpoint-url, AWS_ENDPOINT_URL_LAMBDA, AWS_ENDPOINT_URL, DATA_DIR/endpoint,
//                http://127.0.0.1:4566
//   credentials  --data-dir's credentials file; --profile; AWS_ACCESS_KEY_ID and _SECRET_ACCESS_KEY;
//                AWS_PROFILE or AWS_SHARED_CREDENTIALS_FILE; DATA_DIR/credentials
//   CA bundle    AWS_CA_BUNDLE (a PEM file, for https endpoints), the system's certificates
//   region       --region, AWS_REGION, AWS_DEFAULT_REGION, LAMINA_REGION, us-east-1
//   DATA_DIR     --data-dir, LAMINA_DATA_DIR, /var/lib/lamina
//
// Each list is in order of precedence. A --data-dir flag beats the environment for both its
// endpoint and its credentials, because who names a service on the command line means that one.
// ~/.aws/credentials is read only when a profile is named: a key of somebody's AWS account is
// never sent to Lamina by accident. For the same reason there is no default endpoint at AWS.
//
// Every value remembers where it came from, so that an error can name the place to correct.
#ifndef LAMINA_CLIENT_TARGET_H
#define LAMINA_CLIENT_TARGET_H

#include "base/error.h"

#define TARGET_DATA_DIR_DEFAULT "/var/lib/lamina"
#define TARGET_URL_BYTES_MAX 512
#define TARGET_KEY_BYTES_MAX 128
#define TARGET_SECRET_BYTES_MAX 256
#define TARGET_TOKEN_BYTES_MAX 2049 // what a signature has room for, with the NUL
#define TARGET_REGION_BYTES_MAX 64
#define TARGET_SOURCE_BYTES_MAX 320

// What the command line says; NULL is "not said".
struct target_options {
    const char *endpoint_url;
    const char *data_dir;
    const char *profile;
    const char *region;
};

struct target_credentials {
    char access_key[TARGET_KEY_BYTES_MAX];
    char secret_key[TARGET_SECRET_BYTES_MAX];
    char session_token[TARGET_TOKEN_BYTES_MAX]; // empty: none
    char region[TARGET_REGION_BYTES_MAX];       // empty: the file names none
};

struct target {
    char endpoint[TARGET_URL_BYTES_MAX]; // scheme://host[:port], without a slash at the end
    char host[TARGET_URL_BYTES_MAX];     // host[:port], as the Host header carries it
    char data_dir[TARGET_URL_BYTES_MAX];
    char region[TARGET_REGION_BYTES_MAX];
    char ca_bundle[TARGET_URL_BYTES_MAX]; // empty: the system's certificates
    struct target_credentials credentials;
    char endpoint_source[TARGET_SOURCE_BYTES_MAX];    // "AWS_ENDPOINT_URL", "the default", ...
    char credentials_source[TARGET_SOURCE_BYTES_MAX]; // "AWS_ACCESS_KEY_ID", a file's path, ...
};

// Fills *ret. Errors: -EINVAL (a URL, a file or a setting that cannot be used), -ENOENT (no
// credentials anywhere: the text says where was looked), -EACCES (a file that we may not read).
MUST_CHECK int target_resolve(const struct target_options *options, struct target *ret,
                              struct error *err);

// The endpoint and host of target from scheme://host[:port]; -EINVAL for anything else. 0.0.0.0 and
// [::] become the loopback addresses.
MUST_CHECK int target_parse_endpoint(const char *url, struct target *target);

// Only the endpoint, the region and the data directory: for calls that need no signature.
MUST_CHECK int target_resolve_endpoint(const struct target_options *options, struct target *ret,
                                       struct error *err);

#endif
