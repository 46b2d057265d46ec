/* SPDX-License-Identifier: MIT */
#include "instance/host.h"

#include <errno.h>

#include "base/mem.h"
#include "http/server.h"
#include "instance/platform_api.h"
#include "instance/runtime_api.h"
#include "loop/loop.h"

/* A runtime may send the cause of an error for X-Ray in a header: about a megabyte, says AWS's client. */
#define HEAD_BYTES_MAX ((size_t) 1200 * 1024)
#define ARENA_BYTES_MAX ((size_t) 1536 * 1024)
#define HEADS_TOTAL_MAX ((size_t) 128 << 20)

/* Every listener of a sandbox has its own handler. */
static void host_on_head(struct http_request *request, void *user)
{
    struct sandbox_listener *listener = user;
    listener->on_head(request, listener);
}

static int host_server_new(struct loop *loop, struct http_server **ret_server)
{
    const struct http_server_config config = {
        .head_bytes_max = HEAD_BYTES_MAX,
        .heads_bytes_total_max = HEADS_TOTAL_MAX,
        .arena_bytes_max = ARENA_BYTES_MAX,
        .connections_max = 1u << 16, /* each listener has its own, small maximum */
        .idle_timeout_ms = -1, /* a frozen runtime keeps its connection for as long as it is kept */
        .is_half_close_gone = true, /* a runtime that died must not be given a call */
        .holds_answers = true,
        .on_head = host_on_head,
    };
    return http_server_new(loop, &config, ret_server);
}

int instance_host_new(const struct instance_host_config *config, struct instance_host **ret_host,
                      struct error *err)
{
    struct instance_host *host = mem_new(struct instance_host);
    int r = host ? 0 : -ENOMEM;
    if (r == 0) {
        host->loop = config->loop;
        host->log_writer = config->log_writer;
        host->region = mem_copy_text(config->region);
        r = host->region ? host_server_new(config->loop, &host->server) : -ENOMEM;
        if (r == 0)
            r = platform_api_server_new(host, config->file_pool);
    }
    if (r < 0)
        error_set_errno(err, r, "set up the instances' host");
    else
        r = spawn_client_new(config->loop, config->spawn_fd, config->lost, config->greeted,
                             config->arg, &host->spawn, err);
    if (r < 0) {
        instance_host_free(host);
        return r;
    }
    spawn_client_on_filesystem(host->spawn, config->filesystem);
    *ret_host = host;
    return 0;
}

void instance_host_free(struct instance_host *host)
{
    if (!host)
        return;
    http_server_free(host->server);
    http_server_free(host->platform_server);
    spawn_client_free(host->spawn);
    free(host->region);
    free(host);
}

bool instance_host_can_template(const struct instance_host *host)
{
    return spawn_client_can_template(host->spawn);
}

bool instance_host_is_connected(const struct instance_host *host)
{
    return spawn_client_is_connected(host->spawn);
}

void instance_host_set_platform(struct instance_host *host,
                                const struct instance_platform *platform)
{
    host->platform = *platform;
}

unsigned instance_host_count(const struct instance_host *host)
{
    return host->count;
}

void instance_host_forget_tree(struct instance_host *host, const uint8_t *tree_id)
{
    spawn_client_forget_tree(host->spawn, tree_id);
}
