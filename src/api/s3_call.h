/* SPDX-License-Identifier: MIT
 *
 * s3_call: one request to the embedded object store (s3/s3.h), spoken as S3's rest-xml.
 *
 *   api_on_head ─ s3_call_is ─► s3_call_serve
 *     loop:    bucket and key from host and path ─ signature ─ route ─ rights ─ body
 *     thread:  route->run(call): straight-line code on copies; what it sets is the answer
 *     loop:    the answer is sent
 *
 *   s3_routes.c   the table of operations
 *   s3_bucket.c s3_list.c s3_get.c s3_put.c s3_copy.c s3_delete.c s3_upload.c s3_tagging.c ...
 *
 * A request is S3's when its signature names the service s3, or is of version 2 (which only S3's
 * clients send; it is refused in words): no bucket can shadow a path of another service.
 *
 * Memory: everything that jobs look at is copied into the call's arena. What a client that goes
 * away had asked for is finished, but for a body that is cut: nothing of it stays.
 */
#ifndef LAMINA_API_S3_CALL_H
#define LAMINA_API_S3_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "api/call.h"
#include "aws/checksum.h"
#include "base/arena.h"
#include "base/buf.h"
#include "meta/objects.h"
#include "s3/receive.h"
#include "s3/s3.h"

#define S3_XML_BODY_MAX (4 * 1024 * 1024) /* DeleteObjects: 1,000 keys of 1,024 bytes, escaped */
#define S3_ANSWER_MAX (16 * 1024 * 1024)  /* a page of 1,000 keys, escaped */
#define S3_ARENA_MAX (16 * 1024 * 1024)
#define S3_HEADERS_MAX 128
#define S3_PAGE_MAX 1000
#define S3_NAMESPACE "http://s3.amazonaws.com/doc/2006-03-01/"

struct s3_call;

enum s3_level { S3_SERVICE, S3_BUCKET, S3_OBJECT };
enum s3_body {
    S3_BODY_NONE,
    S3_BODY_XML,    /* kept: s3->body */
    S3_BODY_OBJECT, /* to a file: open, finish and drop of the route */
};

struct s3_route {
    enum http_method method;
    enum s3_level level;
    const char *parameter; /* of the query that must be there; NULL: none */
    const char *header;    /* that must be there; NULL: none */
    const char *operation;
    const char *action; /* the right that it needs on the bucket or object; NULL: `check` asks */
    enum s3_body body;
    /* Loop thread, with the body complete: further rights. 0, or s3->error is set. NULL: none. */
    int (*check)(struct s3_call *s3);
    /* A thread. 0: the answer is set; -EREMOTEIO: s3->error is. NULL: not implemented. */
    int (*run)(struct s3_call *s3);
    /* S3_BODY_OBJECT: receive.h's. `run` follows a finish that was good. */
    int (*open)(struct s3_call *s3, int *ret_fd, uint64_t *ret_offset);
    int (*finish)(struct s3_call *s3, const struct receive_result *result);
    void (*drop)(struct s3_call *s3);
    bool needs_sha256; /* of the body, whatever the client says of it */
};

extern const struct s3_route s3_routes[]; /* ends with a row without operation */

/* What a body must prove, beside the signature. */
struct s3_proof {
    bool has_sha256;
    struct digest sha256;
    bool has_md5;
    struct checksum_value md5;
    enum checksum_kind checksum; /* named by the client */
    bool has_checksum;           /* in a header; else in a trailer, or not at all */
    bool is_trailer;
    struct checksum_value value;
    bool has_bytes;
    uint64_t bytes;
};

struct s3_call {
    struct call *call; /* owner; not for jobs */
    struct s3 *s3;
    const struct s3_route *route;
    struct arena arena;
    char request_id[CALL_REQUEST_ID_SIZE];

    /* The request, in the arena. */
    enum http_method method;
    struct str bucket, key; /* decoded; "": none */
    struct str query;
    struct str resource; /* the path, for errors */
    struct http_header *headers;
    size_t header_count;
    struct str body; /* S3_BODY_XML; borrowed from `kept` */
    struct buf kept;
    const char *region;
    const char *account;
    bool is_presigned;
    struct chunked_signer signer;
    struct s3_proof proof;

    struct receive *receive; /* while a body comes */
    void *work;              /* the operation's own, in the arena */

    /* The answer. */
    struct aws_error error;
    struct str error_details; /* further elements of the error's XML */
    unsigned status;
    struct http_header answer_headers[S3_HEADERS_MAX];
    size_t answer_count;
    struct buf answer; /* XML */
    bool has_file;     /* [offset, offset + size) of fd; fd -1: empty */
    int fd;
    uint64_t offset, size;
    bool has_dropped; /* a content may have lost its last name */
};

bool s3_call_is(const struct http_request *request);
/* No signature at all, and a path that no other service has: to be refused in S3's words. */
bool s3_call_is_anonymous(const struct http_request *request);
/* Takes the call over. */
void s3_call_serve(struct call *call);

/* ---- For operations. Any thread, but one at a time. */

struct str s3_header(const struct s3_call *s3, const char *name); /* data == NULL: absent */
/* A query parameter, decoded; data == NULL: absent. -EREMOTEIO: malformed. */
int s3_query(struct s3_call *s3, const char *name, struct str *ret_value) MUST_CHECK;
bool s3_has_query(const struct s3_call *s3, const char *name);

/* Each returns -EREMOTEIO. */
int s3_error(struct s3_call *s3, enum aws_error_code code, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* What a function of ours returned: logged, 500 InternalError; a full disk, too many changes: 503. */
int s3_error_internal(struct s3_call *s3, const char *event, const struct error *err);
int s3_error_bucket(struct s3_call *s3); /* NoSuchBucket */
int s3_error_key(struct s3_call *s3);    /* NoSuchKey */
int s3_error_memory(struct s3_call *s3);

/* The bucket of the request. NoSuchBucket. */
int s3_bucket(struct s3_call *s3, struct objects_bucket *ret_bucket) MUST_CHECK;

/* `name` a literal; `value` is copied. */
void s3_answer_header(struct s3_call *s3, const char *name, struct str value);
void s3_answer_printf(struct s3_call *s3, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);

#endif
