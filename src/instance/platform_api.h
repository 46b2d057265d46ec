/* SPDX-License-Identifier: MIT
 *
 * platform_api: what a function finds at AWS_ENDPOINT_URL (127.0.0.1:4566 inside its sandbox). Its credentials allow
 * nothing yet, so every request is answered AccessDenied in its service's form, whoever signed it and however: the
 * control plane is never reachable from a sandbox.
 *
 * Thread: loop only. Private to src/instance.
 */
#ifndef LAMINA_INSTANCE_PLATFORM_API_H
#define LAMINA_INSTANCE_PLATFORM_API_H

#include "base/error.h"
#include "instance/runtime_api.h"

#define PLATFORM_API_CONNECTIONS_MAX 4

struct platform_api {
    struct sandbox_listener head;
    struct http_listener *listener;
};

/* `fd` is taken, also on failure. */
MUST_CHECK int platform_api_open(struct platform_api *api, struct http_server *server, int fd,
                                 struct error *err);
void platform_api_close(struct platform_api *api);

#endif
