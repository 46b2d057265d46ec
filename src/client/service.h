// SPDX-License-Identifier: MIT
//
// Calls that answer with JSON: Lamina's own API (docs/lamina-api.md) and the lists of AWS's.
//
// The documents are handed on as they come; whoever reads them takes absent members for empty, so
// that a newer service may say more and an older one less.
#ifndef LAMINA_CLIENT_SERVICE_H
#define LAMINA_CLIENT_SERVICE_H

#include "base/json.h"
#include "client/client.h"

// GET path?query (query may be NULL), or POST or DELETE it without a body. what begins errors ("list the
// instances"). Errors: those of client_perform and client_check, -EREMOTEIO for an answer that is
// not JSON. *ret is yyjson_doc_free's to free (AUTO_JSON).
MUST_CHECK int service_get(struct client *client, const char *path, const char *query,
                           const char *what, yyjson_doc **ret, struct error *err);
MUST_CHECK int service_post(struct client *client, const char *path, const char *query,
                            const char *what, yyjson_doc **ret, struct error *err);

// Sends JSON.
MUST_CHECK int service_put(struct client *client, const char *path, struct str json,
                           const char *what, yyjson_doc **ret, struct error *err);
MUST_CHECK int service_delete(struct client *client, const char *path, const char *query,
                              const char *what, yyjson_doc **ret, struct error *err);

// GET without a signature (/healthz, /readyz) and without asking for a certificate that we trust:
// the status, whatever it is.
MUST_CHECK int service_probe(struct client *client, const char *path, unsigned timeout_ms,
                             int *ret_status, struct error *err);

// ListFunctions or ListVersionsByFunction, page by page; visit gets one configuration after the
// other and ends the list by a negative errno.
typedef int (*service_visit)(void *arg, yyjson_val *function, struct error *err);
MUST_CHECK int service_each_function(struct client *client, service_visit visit, void *arg,
                                     struct error *err);

// What GET /lamina/v1/status says of what a deployment needs.
struct service_limits {
    char account_id[32];
    char aws_limits[16]; // "enforce", "warn" or "off"; "enforce" when the service does not say
};

// Never fails for a service that does not know the call (AWS itself), or does not allow it to who asks: the
// defaults then.
MUST_CHECK int service_limits(struct client *client, struct service_limits *ret, struct error *err);

#endif
