// SPDX-License-Identifier: MIT
//
// AWS Signature Version 4: verify and sign, header form and presigned query form.
// Source: docs.aws.amazon.com, "Create a signed AWS API request"; rules that its text leaves open
// are the ones that boto3, the CLI and the JavaScript SDK follow.
//
//   server:  sigv4_parse (at the head) ─► routing, known key?, sigv4_check_time
//            ─► sigv4_keys_get ─► sigv4_verify with the payload's hash
//   client:  sigv4_sign / sigv4_presign
//
// A claim's views point into the request. Nothing here reads a clock: the time is a parameter.
// Any thread, but a struct sigv4_keys belongs to one. No logging; a signature or key never appears
// in an error's text.

#ifndef LAMINA_AWS_SIGV4_H
#define LAMINA_AWS_SIGV4_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/http_header.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGV4_HEADERS_MAX 128    // in a request
#define SIGV4_QUERY_PAIRS_MAX 64 // name=value pairs in a query
#define SIGV4_CANONICAL_MAX ((size_t) 128 * 1024)
#define SIGV4_ACCESS_KEY_MAX 128
#define SIGV4_SCOPE_PART_MAX 64    // region, service
#define SIGV4_EXPIRES_MAX_S 604800 // of a presigned URL: 7 days
#define SIGV4_SKEW_MAX_S 900
#define SIGV4_DECODED_MAX 1024 // X-Amz-... values of a presigned query, together
#define SIGV4_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"

// The request as it travels. Header names in lower case.
struct sigv4_request {
    struct str method;
    struct str path;                   // as on the wire: percent-encoded once
    struct str query;                  // as on the wire, without '?'
    const struct http_header *headers; // borrowed; host among them
    size_t header_count;
};

// What a request says about its own signature. All views, all still unproven. Those of the query
// form point into `decoded`: such a claim must not be copied.
struct sigv4_claim {
    bool is_presigned; // query form
    struct str access_key;
    struct str date; // of the scope: 8 digits
    struct str region;
    struct str service;
    struct str signed_headers; // "host;x-amz-date"
    struct digest signature;
    struct str time;         // 20260102T030405Z
    int64_t time_s;          // the same, seconds since 1970
    uint64_t expires_s;      // presigned only
    struct str token;        // X-Amz-Security-Token; data == NULL: none
    struct str payload_hash; // header x-amz-content-sha256; data == NULL: none
    char decoded[SIGV4_DECODED_MAX];
    size_t decoded_size;
};

// True if the request carries something that looks like a SigV4 signature, well-formed or not.
bool sigv4_is_signed(const struct sigv4_request *request);

// Finds the claim, and checks its form: every part there, once; the scope's date equal to the
// time's date; `host` and every x-amz-* header of the request among the signed ones. Errors, each
// with a text for the client:
//   -ENOENT     no signature at all
//   -EPROTONOSUPPORT  another algorithm (SigV2, SigV4a)
//   -EINVAL     incomplete or malformed (the text says which part)
//   -EBADMSG    a header that must be signed is not
int sigv4_parse(const struct sigv4_request *request, struct sigv4_claim *ret_claim,
                struct error *err) MUST_CHECK;

// 0, or -ETIME with AWS's text: header form: more than SIGV4_SKEW_MAX_S away from `now_s`; presigned:
// before its time (by more than the skew) or after time + expires.
int sigv4_check_time(const struct sigv4_claim *claim, int64_t now_s, struct error *err) MUST_CHECK;

// ---- Derived signing keys

struct sigv4_key {
    struct digest bytes;
};

void sigv4_key_derive(struct str secret, struct str date, struct str region, struct str service,
                      struct sigv4_key *ret_key);

// A cache of derived keys per (access key, date, region, service): deriving takes four HMACs, a
// lookup none. Fixed size; the entry that was used longest ago makes room. Fill it only for access
// keys that exist. A changed secret needs sigv4_keys_forget().
struct sigv4_keys;

int sigv4_keys_new(size_t count_max, struct sigv4_keys **ret_keys) MUST_CHECK; // -ENOMEM
void sigv4_keys_free(struct sigv4_keys *keys); // wipes; accepts NULL
const struct sigv4_key *sigv4_keys_get(struct sigv4_keys *keys, const struct sigv4_claim *claim,
                                       struct str secret); // valid until the next call
void sigv4_keys_forget(struct sigv4_keys *keys);

// ---- Verify

// `payload_hash` is the text in the canonical request: hex SHA-256 of the body, or the header
// x-amz-content-sha256's value if there is one, or UNSIGNED-PAYLOAD (presigned). That a hash named
// by the client is the body's is the caller's to check. Constant-time compare.
//   0, -EKEYREJECTED (no match), -E2BIG (more headers or pairs than the maxima), -EINVAL (query that
//   does not decode), -ENOMEM
int sigv4_verify(const struct sigv4_request *request, const struct sigv4_claim *claim,
                 struct str payload_hash, const struct sigv4_key *key,
                 struct error *err) MUST_CHECK;

// ---- Sign

struct sigv4_signer {
    struct str access_key;
    struct str secret;
    struct str token; // empty: none
    struct str region;
    struct str service;
    int64_t wall_s; // the request's time
};

#define SIGV4_AUTHORIZATION_MAX 1024

// The headers that signing adds. Send all that are not "".
struct sigv4_headers {
    char date[17];         // x-amz-date
    char payload_hash[65]; // x-amz-content-sha256
    char token[2049];      // x-amz-security-token
    char authorization[SIGV4_AUTHORIZATION_MAX];
};

// Signs every header in the request (which must include host, and none of those above) and the
// three above. `payload_hash` NULL: the hash of an empty body. -E2BIG, -EINVAL, -ENOMEM.
int sigv4_sign(const struct sigv4_signer *signer, const struct sigv4_request *request,
               const struct digest *payload_hash, struct sigv4_headers *ret_headers,
               struct error *err) MUST_CHECK;

// Appends the full query string (the request's own pairs, then X-Amz-...), for UNSIGNED-PAYLOAD.
// Signs `host` only: request->headers holds just that one.
int sigv4_presign(const struct sigv4_signer *signer, const struct sigv4_request *request,
                  uint64_t expires_s, struct buf *query, struct error *err) MUST_CHECK;

// ---- The two intermediate texts, for tests and for people who debug a signature

int sigv4_canonical_request(const struct sigv4_request *request, const struct sigv4_claim *claim,
                            struct str payload_hash, struct buf *text) MUST_CHECK;
int sigv4_string_to_sign(const struct sigv4_claim *claim, struct str canonical_request,
                         struct buf *text) MUST_CHECK;

#endif
