// SPDX-License-Identifier: MIT
//
// Who is calling: SigV4 on every call, in two steps, because a body's hash is known last.
//
//   on_head:  auth_begin ─► the claim's form, its key, time, region and service are right. If the
//             client named its body's hash (x-amz-content-sha256), the signature is verified here
//             already, before a byte of body is taken: ticket.is_proven.
//             It also asks the server to hash the body (http_request_hash_body).
//   body end: auth_finish ─► the body is what was signed; without a named hash, the signature.
//
// No effect that matters may happen before auth_finish() said 0. Errors come as AWS's JSON services
// put them; the texts never repeat a secret, a derived key or the right signature.
//
// Loop thread.

#ifndef LAMINA_API_AUTH_H
#define LAMINA_API_AUTH_H

#include "aws/chunked.h"
#include "aws/error.h"
#include "aws/sigv4.h"
#include "base/compiler.h"
#include "http/server.h"

#include <stdbool.h>

struct auth;

struct auth_config {
    const char *access_key; // copied
    const char *secret;     // copied
    const char *region;     // the only one accepted in a scope; copied
};

int auth_new(const struct auth_config *config, struct auth **ret_auth) MUST_CHECK; // -ENOMEM
void auth_free(struct auth *auth); // wipes; accepts NULL

#define AUTH_KEYS_MAX 1000

// Further access keys, beside the service's own: people's. Whose a key is, and what it may do, is the
// router's business (users.h). -ENOMEM; -E2BIG beyond AUTH_KEYS_MAX. What was begun with a key that is
// then removed is refused at its end.
int auth_add_key(struct auth *auth, const char *access_key, const char *secret) MUST_CHECK;
void auth_remove_key(struct auth *auth, const char *access_key);
// Whether it is the service's own key, which may do everything.
bool auth_is_own_key(const struct auth *auth, struct str access_key) MUST_CHECK;
// For writing a user's row again. Empty: no such key. A view until the keys change.
struct str auth_secret(const struct auth *auth, struct str access_key) MUST_CHECK;

enum auth_service {
    AUTH_SERVICE_LAMBDA, // Lambda's API and Lamina's own
    AUTH_SERVICE_STS,
    AUTH_SERVICE_IAM,
    AUTH_SERVICE_S3,
    AUTH_SERVICE_EFS, // `elasticfilesystem`
    AUTH_SERVICE_SAGEMAKER, // a known name whose API is not built: the router answers that
};

// Keys that are valid for one request's listener only, with a session token: a sandbox's.
struct auth_temporary {
    struct str access_key;
    struct str secret;
    struct str token;
    const bool *is_ended; // borrowed: true once they are valid no more
};

struct auth_ticket {
    bool
        takes_people; // set before auth_begin by who will look at the caller's rights; otherwise only
                      // the service's own key is accepted
    // Set before auth_begin: these keys are accepted and no others. NULL: the service's and people's,
    // which come without a token. Borrowed: lives as long as the request.
    const struct auth_temporary *temporary;
    enum auth_service service;
    bool is_proven;           // the signature is right; only the body's hash is still to check
    struct sigv4_claim claim; // views into the request: lives as long as it
};

// In on_head. -EREMOTEIO with *error filled: answer with it (the server discards the body).
int auth_begin(struct auth *auth, struct http_request *request, struct auth_ticket *ret_ticket,
               struct aws_error *error) MUST_CHECK;

// When the body is complete. The same errors.
int auth_finish(struct auth *auth, struct http_request *request, const struct auth_ticket *ticket,
                struct aws_error *error) MUST_CHECK;

// The presigned query form, for requests without a body: URLs that the service itself handed out
// (Code.Location), and function URLs of AuthType AWS_IAM. What was signed of the body is UNSIGNED-PAYLOAD
// or, as botocore's SigV4QueryAuth has it, the hash of nothing. In on_head. The ticket stays where it is:
// its claim is not to be copied.
int auth_check_presigned(struct auth *auth, struct http_request *request,
                         struct auth_ticket *ret_ticket, struct aws_error *error) MUST_CHECK;

// Appends "path?query" with a signature that auth_check_presigned accepts for `expires_s` seconds.
// `host` is the Host header that the client will send; `path` is percent-encoded already.
int auth_presign(struct auth *auth, struct str host, struct str path, uint64_t expires_s,
                 struct buf *url) MUST_CHECK;

// ---- S3's: in the header or in the query, for any method; errors in S3's codes. In on_head.
//
// x-amz-content-sha256 is in the signature, and what it says of the body is the caller's to check
// (s3_proof.h). People's keys if the ticket takes them.
int auth_begin_s3(struct auth *auth, struct http_request *request, struct auth_ticket *ret_ticket,
                  struct aws_error *error) MUST_CHECK;
// What signed chunks of its body are verified with.
int auth_chunk_signer(struct auth *auth, const struct auth_ticket *ticket,
                      struct chunked_signer *ret_signer, struct aws_error *error) MUST_CHECK;

// Counters for metrics.
struct auth_stats {
    uint64_t accepted_total;
    uint64_t refused_total;
};
void auth_stats(const struct auth *auth, struct auth_stats *ret_stats);

#endif
