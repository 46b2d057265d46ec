// SPDX-License-Identifier: MIT
//
// s3_client: one signed request to an object store and its answer. Requests are signed by aws/sigv4
// (libcurl's own signer is wrong for several of these shapes), transport is libcurl's.
//
//     place   where the object is: scheme, host, encoded path; of an origin, or of a redirect
//     exchange one request: begun (a curl handle that anyone may perform), performed, judged
//
// Where it may connect to: an origin's own host and port may be anywhere, the administrator named
// them. Every other place comes from a redirect: no downgrade from https, three hops at most, and the
// address is looked at after DNS has spoken, at the moment of connecting: loopback, link-local
// (metadata services), private, multicast and unspecified addresses are refused, also when they are
// written as IPv6. No proxies, no other protocols, no cookies, no .netrc.
//
// Errors: -ENOENT (no such bucket, key, version), -EACCES, -ESTALE (the object is not what it was:
// If-Match failed), -EAGAIN (worth another try: connection lost, 429, 5xx), -EPROTO (an answer that
// makes no sense), -EHOSTUNREACH, -ELOOP (redirects), -EPERM (a forbidden address). The text names
// the object and holds the store's own code: "s3://b/k: NoSuchKey: The specified key does not exist".
//
// One thread at a time each. Blocks.

#ifndef LAMINA_FETCH_S3_CLIENT_H
#define LAMINA_FETCH_S3_CLIENT_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/error.h"
#include "fetch/origin.h"
#include "fetch/s3_uri.h"
#include "fetch/s3_xml.h"

#include <curl/curl.h>
#include <stdint.h>

#define S3_MARK_MAX 300
#define S3_BODY_MAX ((size_t) 4 << 20)   // of a page of a list
#define S3_ERROR_MAX ((size_t) 16 << 10) // of an error: what is kept of it
#define S3_ERROR_READ_MAX                                                                          \
    ((uint64_t) 64 << 10) // and what is read of it before the connection is given up
#define S3_REDIRECTS_MAX 3
#define S3_SPEED_MIN                                                                               \
    1000L // bytes a second; less for the origin's stall_s: the connection is given up

struct s3_place {
    const struct origin *origin; // borrowed: whose credentials
    bool is_https;
    bool is_named;                   // the origin's own host and port
    char host[ORIGIN_TEXT_MAX + 64]; // as the Host header carries it
    char path[3 * S3_KEY_MAX + 128]; // encoded
    char query[3 * S3_VERSION_ID_MAX + 64];
    char name[S3_KEY_MAX + S3_BUCKET_MAX + 16]; // for messages: "s3://bucket/key"
};

// -EINVAL: it does not fit.
int s3_place_of(const struct origin *origin, const struct s3_uri *uri, struct s3_place *ret_place,
                struct error *err) MUST_CHECK;

struct s3_answer {
    long status;
    bool has_length, has_range;
    uint64_t length;
    uint64_t first, last, total; // Content-Range
    char etag[S3_MARK_MAX];
    char version_id[S3_MARK_MAX];
    char region[64]; // x-amz-bucket-region
    char location[2048];
    char sha256[48]; // x-amz-checksum-sha256, base64 of the whole object; "" if there is none
    char crc32[16];
};

struct s3_exchange {
    struct s3_place *place; // borrowed; a redirect changes it
    const char *method;     // "GET", "HEAD"
    char range[64];         // "bytes=0-8388607"; "": none
    char if_match[S3_MARK_MAX];
    // Bytes of a 200 or 206; NULL: they go to `body`. Negative: give up.
    int (*sink)(void *arg, const void *data, size_t size);
    void *arg;
    // set by the exchange
    CURL *easy; // owned; kept for the next request (and its connection)
    struct curl_slist *headers;
    struct s3_answer answer;
    struct buf body;
    int sink_code;
    uint64_t error_bytes;
    bool is_refused; // the address was a forbidden one
    char curl_text[CURL_ERROR_SIZE];
};

int s3_exchange_init(struct s3_exchange *exchange, struct s3_place *place,
                     struct error *err) MUST_CHECK;
void s3_exchange_done(struct s3_exchange *exchange);

// Sets the handle up for method, range and if_match. To be performed by curl_easy or curl_multi.
int s3_exchange_begin(struct s3_exchange *exchange, struct error *err) MUST_CHECK;
// 0 for 200 and 206; what went wrong otherwise.
int s3_exchange_judge(struct s3_exchange *exchange, CURLcode code, struct error *err) MUST_CHECK;
// Both, following redirects, and again after an error of the moment (three times, within half a
// second).
int s3_exchange_perform(struct s3_exchange *exchange, struct error *err) MUST_CHECK;

struct s3_head {
    uint64_t bytes;
    char etag[S3_MARK_MAX];
    char mark[S3_MARK_MAX]; // the version if the store has versions, else the ETag
    char sha256[48], crc32[16];
};
// What the object is now. `place` follows redirects.
int s3_head(struct s3_place *place, struct s3_head *ret_head, struct error *err) MUST_CHECK;

// Every object whose key begins with uri->key. -E2BIG beyond `max`; what `each` answers.
int s3_list(const struct origin *origin, const struct s3_uri *uri, size_t max,
            int (*each)(void *arg, const struct s3_xml_entry *entry), void *arg,
            struct error *err) MUST_CHECK;

// May a redirect lead there? For tests.
struct sockaddr;
bool s3_address_is_public(const struct sockaddr *address) MUST_CHECK;

#endif
