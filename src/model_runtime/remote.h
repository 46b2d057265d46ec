// SPDX-License-Identifier: MIT
//
// remote: the parts that remote_model is made of. Internal to it: one thread, blocking.
//
//     remote_address.c    MODEL_URI and the endpoint -> url, host, path, query
//     remote_signature.c  SigV4 of one ranged GET, with the SHA-256 that is here anyway (aws/sigv4 needs libcrypto)
//     remote_part.c       one range: begun, its answer judged, begun again
//     remote_model.c      all ranges at once, into memory; the name that leads there

#ifndef LAMINA_MODEL_RUNTIME_REMOTE_H
#define LAMINA_MODEL_RUNTIME_REMOTE_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"
#include "model_runtime/remote_curl.h"

#include <stdbool.h>
#include <stdint.h>

#define REMOTE_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define REMOTE_BODY_KEPT 2048

// Where the object is, and who asks.
struct remote {
    struct remote_curl curl;
    struct str bucket, key, version; // views of the URI
    char url[8192];
    char host[512];
    char path[4096], query[4096];
    const char *access_key, *secret, *token, *region,
        *ca_file;   // borrowed; access_key NULL: unsigned
    int fd;         // the memfd
    uint64_t total; // 0: not told yet
    char etag[300];
    struct error *err;
};

// -EINVAL: it names no object; -ENAMETOOLONG. `endpoint` NULL: AWS's own.
int remote_address(struct remote *remote, const char *uri, const char *endpoint) MUST_CHECK;

struct remote_signature {
    char time[17];
    char authorization[1024];
};
int remote_sign(const struct remote *remote, const char *range,
                struct remote_signature *ret_signature) MUST_CHECK;

// One range, and the connection that gets it.
struct remote_part {
    struct remote *remote;
    CURL *easy;
    struct curl_slist *headers;
    bool is_busy;
    uint64_t at, end;
    unsigned tries;
    int failure;    // of writing
    long status;    // of this answer
    uint64_t total; // that it told
    char etag[300];
    char body[REMOTE_BODY_KEPT]; // of an error
    size_t body_size;
};

int remote_part_begin(struct remote_part *part, CURLM *multi) MUST_CHECK;
// It has ended. 1: it is to be begun again; 0: all of it came.
int remote_part_judge(struct remote_part *part, CURLcode code) MUST_CHECK;
void remote_part_done(struct remote_part *part, CURLM *multi);

#endif
