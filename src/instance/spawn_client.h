/* SPDX-License-Identifier: MIT
 *
 * spawn_client: laminad's end of the instance channel to lamina-spawn (wire/spawn.h, fd 3).
 *
 * Each instance hangs a `struct spawn_peer` into the client under its id; what lamina-spawn says about that id
 * goes to the peer's events. Messages are sent at once; when the socket is full they wait in order, at most
 * SPAWN_CLIENT_WAITING_MAX of them. A channel that is closed, full beyond that or that carries what it must not
 * is lost: `lost` is called once, nothing is sent or told any more, and the daemon ends (lamina-spawn then kills
 * every sandbox).
 *
 * Thread: loop only. Private to src/instance.
 */
#ifndef LAMINA_INSTANCE_SPAWN_CLIENT_H
#define LAMINA_INSTANCE_SPAWN_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "base/str.h"
#include "wire/spawn.h"

#define SPAWN_CLIENT_WAITING_MAX 8192

struct loop;
struct spawn_client;
struct spawn_peer;

struct spawn_peer_events {
    /* `fds` are SPAWN_STARTED_FDS descriptors; the peer takes those that it sets to -1, the rest are closed. */
    void (*started)(struct spawn_peer *peer, const struct spawn_started *message, int *fds);
    void (*start_failed)(struct spawn_peer *peer, const struct spawn_start_failed *message);
    void (*exited)(struct spawn_peer *peer, const struct spawn_exit *message);
    void (*template_ready)(struct spawn_peer *peer);
    void (*template_refused)(struct spawn_peer *peer, struct str reason);
    void (*frozen)(struct spawn_peer *peer, int error);
    void (*thawed)(struct spawn_peer *peer, int error);
    void (*unmounted)(struct spawn_peer *peer); /* its file system's server has gone */
    void (*stats)(struct spawn_peer *peer, const struct spawn_stats *message);
};

struct spawn_peer {
    uint64_t id;
    struct list link;
    const struct spawn_peer_events *events;
};

/* `fd` is taken, also on failure. `greeted` (may be NULL): HELLO was read. */
MUST_CHECK int spawn_client_new(struct loop *loop, int fd, void (*lost)(void *arg),
                                void (*greeted)(void *arg), void *arg,
                                struct spawn_client **ret_client, struct error *err);
void spawn_client_free(struct spawn_client *client); /* accepts NULL */
bool spawn_client_is_connected(const struct spawn_client *client);
/* A row of the table of file systems was read. Before the loop runs; with the `arg` of `lost`. */
void spawn_client_on_filesystem(struct spawn_client *client,
                                void (*filesystem)(void *arg, const struct spawn_filesystem *row));
/* HELLO said so. */
bool spawn_client_can_template(const struct spawn_client *client);

/* Gives the peer a new id and listens for it. */
void spawn_client_add(struct spawn_client *client, struct spawn_peer *peer,
                      const struct spawn_peer_events *events);
void spawn_client_remove(struct spawn_client *client, struct spawn_peer *peer);

/* `start` is complete but for its head. */
void spawn_client_start(struct spawn_client *client, const struct spawn_peer *peer,
                        struct spawn_start *start, int model_fd);
/* KILL, FREEZE, THAW, STATS or INIT_DONE. */
void spawn_client_request(struct spawn_client *client, const struct spawn_peer *peer,
                          enum spawn_type type);
void spawn_client_forget_tree(struct spawn_client *client, const uint8_t *tree_id);

#endif
