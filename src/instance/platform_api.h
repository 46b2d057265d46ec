/* SPDX-License-Identifier: MIT
 *
 * platform_api: what a function finds at AWS_ENDPOINT_URL (127.0.0.1:4566 inside its sandbox): the platform's API,
 * as this function. Each request is handed up (instance_host_set_platform) with who the sandbox is: what it may do
 * is the API's business (api/rights.h). Before that was set, 503.
 *
 * The server is not the runtime API's: its answers may be files, and its limits are those of the public API.
 * Thread: loop only. Private to src/instance.
 */
#ifndef LAMINA_INSTANCE_PLATFORM_API_H
#define LAMINA_INSTANCE_PLATFORM_API_H

#include "base/error.h"
#include "instance/instance.h"

/* Connections of one sandbox; a further one waits in the kernel's queue and is closed when it is accepted. */
#define PLATFORM_API_CONNECTIONS_MAX 16

struct http_listener;
struct instance;
struct instance_host;
struct job_pool;

struct platform_api {
    struct instance *instance; /* borrowed: it holds this */
    struct http_listener *listener;
};

/* For the platform listeners of all sandboxes. `file_pool` may be NULL: no answer is a file. */
MUST_CHECK int platform_api_server_new(struct instance_host *host, struct job_pool *file_pool);

/* `fd` is taken, also on failure. */
MUST_CHECK int platform_api_open(struct platform_api *api, struct instance *instance, int fd,
                                 struct error *err);
void platform_api_close(struct platform_api *api);

#endif
