/* SPDX-License-Identifier: MIT
 *
 * host: what all instances share. Private to src/instance; the public half is in instance/instance.h.
 */
#ifndef LAMINA_INSTANCE_HOST_H
#define LAMINA_INSTANCE_HOST_H

#include "instance/instance.h"
#include "instance/spawn_client.h"

struct http_server;

struct instance_host {
    struct loop *loop;             /* borrowed */
    struct log_writer *log_writer; /* borrowed; may be NULL */
    struct spawn_client *spawn;
    struct http_server *server;          /* for the runtime APIs of all sandboxes */
    struct http_server *platform_server; /* for their platform APIs */
    struct instance_platform platform;
    char *region;
    unsigned count; /* instances not DEAD */
};

#endif
