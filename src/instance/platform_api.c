/* SPDX-License-Identifier: MIT */
#include "instance/platform_api.h"

#include "http/server.h"
#include "instance/host.h"
#include "instance/instance_private.h"

#define BODIES_BYTES_TOTAL_MAX ((size_t) 256 << 20)
#define CONNECTIONS_TOTAL_MAX 16384

static void platform_on_head(struct http_request *request, void *user)
{
    struct platform_api *api = user;
    struct instance *instance = api->instance;
    const struct instance_platform *platform = &instance->host->platform;
    if (platform->on_head)
        platform->on_head(platform->arg, request, instance->identity, instance->call.depth);
    else
        http_respond_text(request, 503, NULL, STR(""));
}

static void platform_format_fault(struct http_fault *fault, void *user)
{
    const struct instance_host *host = user;
    if (host->platform.format_fault)
        host->platform.format_fault(fault, host->platform.arg);
}

int platform_api_server_new(struct instance_host *host, struct job_pool *file_pool)
{
    const struct http_server_config config = {
        .connections_max = CONNECTIONS_TOTAL_MAX,
        .bodies_bytes_total_max = BODIES_BYTES_TOTAL_MAX,
        .idle_timeout_ms =
            -1, /* a frozen function keeps its connections for as long as it is kept */
        .has_date = true,
        .file_pool = file_pool,
        .on_head = platform_on_head,
        .format_fault = platform_format_fault,
        .user = host, /* of faults; each listener has its own for its requests */
    };
    return http_server_new(host->loop, &config, &host->platform_server);
}

int platform_api_open(struct platform_api *api, struct instance *instance, int fd,
                      struct error *err)
{
    api->instance = instance;
    return http_listen_fd(instance->host->platform_server, fd, PLATFORM_API_CONNECTIONS_MAX, api,
                          &api->listener, err);
}

void platform_api_close(struct platform_api *api)
{
    http_listener_close(api->listener);
    api->listener = NULL;
}
