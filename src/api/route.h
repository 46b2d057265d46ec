/* SPDX-License-Identifier: MIT
 *
 * route: the table of operations: method, path, name, and who does it.
 *
 * Every operation of Lambda's API is in the table; those that are not built have no `run` and are
 * answered with NotImplementedException and their name. What is in no row is unknown to AWS too.
 * docs/aws-compat.md tells about each row; tools/check_docs.py compares the two.
 *
 * A path template has segments in braces, which match one non-empty segment: the call's labels, in
 * order, percent-decoded once after the path was split. One trailing slash is accepted, as AWS does.
 * A pair `query` ("List=ALL") must be in the query string for the row to match; rows with one stand
 * before the row without.
 */
#ifndef LAMINA_API_ROUTE_H
#define LAMINA_API_ROUTE_H

#include <stddef.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/str.h"
#include "http/server.h"

#define ROUTE_LABELS_MAX 3

struct call;

enum route_body {
    ROUTE_BODY_NONE, /* a body is read and ignored (but by the query services), up to LIMIT_CONTROL_REQUEST_MAX */
    ROUTE_BODY_JSON,    /* parsed before `run`: call->json; absent is {} */
    ROUTE_BODY_CODE,    /* the same with a zip inside, which goes to a file: call->zip */
    ROUTE_BODY_PAYLOAD, /* kept as bytes up to LIMIT_PAYLOAD_SYNC_MAX: call->request->body */
    ROUTE_BODY_PACKAGE, /* the body is a package: it goes to a file: call->zip */
};

struct route {
    enum http_method method;
    const char *path;
    const char *query;
    const char *operation;
    enum route_body body;
    const char *zip_member; /* ROUTE_BODY_CODE: where the zip is */
    void (*run)(struct call *call);
    /* Rights: the version or alias that the request names is what the operation is done to. Without it,
     * the operation ignores the qualifier or takes $LATEST only, and the right is one to the function. */
    bool is_qualified;
};

/* The tables end with a row whose path is NULL. */
extern const struct route lambda_routes[]; /* AWS Lambda's and Lamina's own */
extern const struct route sts_routes[];
extern const struct route iam_routes[];

struct route_match {
    const struct route *route;           /* NULL: no row has this path */
    struct str labels[ROUTE_LABELS_MAX]; /* in `arena` */
    size_t n_labels;
    bool is_other_method; /* the path is known, with other methods */
};

/* -EINVAL: a label has a bad percent-encoding or holds a NUL; -ENOMEM: the arena is full. */
MUST_CHECK int route_find(const struct route *table, enum http_method method, struct str path,
                          struct str query, struct arena *arena, struct route_match *ret_match);

/* The first value of a query parameter, percent-decoded ('+' stays a plus). data == NULL: absent; ""
 * for a name without '='. -EINVAL, -ENOMEM as above. */
MUST_CHECK int route_query(struct str query, const char *name, struct arena *arena,
                           struct str *ret_value);

#endif
