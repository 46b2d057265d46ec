/* SPDX-License-Identifier: MIT
 *
 * api: what clients may ask, and the answers. The front door of this folder, for the daemon.
 *
 *   http/server -- on_head --> api_on_head
 *       1. health, readiness and metrics (loopback, no signature, never wake a function)
 *       2. function URLs, by host or by path (url.h)
 *       3. presigned downloads of a function's package
 *       4. everything else: SigV4 (auth.h), then the service named in the signature's scope picks the
 *          route table, so no path of one service can shadow another's
 *
 *   call.h      one request from its head to its one answer
 *   route.h     the table of operations
 *   lambda_*.c  one operation of AWS's API a file; lamina_*.c our own; sts.c; invoke.c
 *
 * Thread: loop thread only, api_resume too.
 */
#ifndef LAMINA_API_API_H
#define LAMINA_API_API_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"

struct api;
struct async;
struct auth;
struct catalog;
struct deploy;
struct fetcher;
struct filesystems;
struct http_fault;
struct http_request;
struct http_server;
struct instance_identity;
struct layers;
struct log_writer;
struct loop;
struct queue;
struct registry;
struct roles;
struct scheduler;
struct spooler;
struct s3;
struct store;
struct switcher;

/* --aws-limits */
enum api_limits {
    API_LIMITS_ENFORCE, /* refuse what AWS would refuse */
    API_LIMITS_WARN,    /* accept larger packages, and log what AWS would have refused */
    API_LIMITS_OFF,     /* accept them */
};

/* All pointers are borrowed and outlive the api. */
struct api_config {
    struct loop *loop;
    struct auth *auth;
    struct catalog *catalog;
    struct layers *layers;
    struct scheduler *scheduler;
    struct registry *registry;
    struct switcher *switcher; /* new models beside the old */
    struct fetcher *fetcher; /* models and packages out of object stores */
    struct roles *roles; /* what a function may do: role/roles.h */
    struct filesystems *filesystems; /* what FileSystemConfigs may name */
    struct queue *queue; /* dead letters */
    struct async *async; /* Event invocations */
    struct spooler *spooler;
    struct deploy *deploy;
    struct held_forms *held; /* models in sealed memory: deploy/held.h */
    struct store *store;
    struct s3 *s3; /* the embedded object store: s3/s3.h */
    struct log_writer *logs;
    enum api_limits limits;
    uint32_t concurrency; /* LAMINA_CONCURRENCY: of the account */
    bool is_tls;          /* URLs that are handed out begin with https:// */
};

/* -ENOMEM, -EAGAIN (no threads). */
MUST_CHECK int api_new(const struct api_config *config, struct api **ret_api, struct error *err);
/* The HTTP server must be gone, so that no call is left. Accepts NULL. */
void api_free(struct api *api);

/* For http_server_config: on_head and format_fault, with the api as `user`. */
void api_on_head(struct http_request *request, void *user);
void api_format_fault(struct http_fault *fault, void *user);

/* For instance_platform: a request from inside a sandbox, with the api as `arg`. Whatever its role allows, the
 * control plane is never reached; there is neither health nor a function URL, and only the sandbox's own credentials
 * are accepted. */
void api_on_platform_head(void *arg, struct http_request *request,
                          struct instance_identity *identity, unsigned depth);

/* The public server, for its counters in /metrics. */
void api_set_server(struct api *api, struct http_server *server);

/* /readyz answers 200 from now on (or 503 again). False at first. */
void api_set_ready(struct api *api, bool is_ready);

/* Tells the scheduler what is reserved and provisioned, and goes on with the deployments that an earlier process had answered 201 or 202 for and did not
 * finish. Once, at start, after catalog_load. */
void api_resume(struct api *api);

#endif
