/* SPDX-License-Identifier: MIT */
#include "instance/spawn_client.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"

/* Messages read per call of the loop, so that a burst of ends does not starve the callers. */
#define RECEIVE_PER_TURN 64
#define BUCKETS 1024 /* a power of two; ids are counted up, so they spread evenly */

struct waiting {
    struct list link;
    size_t size;
    char data[];
};

struct spawn_client {
    struct loop *loop; /* borrowed */
    int fd;
    struct loop_poll *poll;
    bool is_lost, can_template;
    void (*lost)(void *arg), (*greeted)(void *arg);
    void (*filesystem)(void *arg, const struct spawn_filesystem *row); /* may be NULL */
    void *arg;
    uint64_t last_id;
    struct list buckets[BUCKETS]; /* of spawn_peer */
    struct list waiting;          /* messages that the socket had no room for */
    size_t waiting_count;
};

static void client_ready(void *arg, int events);

/* No answer will come any more. The daemon ends, so nobody is told apart from it. */
static void client_lose(struct spawn_client *client, const char *why)
{
    if (client->is_lost)
        return;
    client->is_lost = true;
    log_error("spawn.lost", "reason=%s", LOG_TEXT(why));
    loop_poll_stop(client->poll);
    client->poll = NULL;
    client->lost(client->arg);
}

int spawn_client_new(struct loop *loop, int fd, void (*lost)(void *arg), void (*greeted)(void *arg),
                     void *arg, struct spawn_client **ret_client, struct error *err)
{
    AUTO_FD int owned = fd;
    AUTO_FREE struct spawn_client *client = mem_new(struct spawn_client);
    int r = client ? fd_set_nonblocking(fd, true) : -ENOMEM;
    if (r < 0)
        return error_set_errno(err, r, "open the channel to lamina-spawn");
    client->loop = loop;
    client->fd = fd;
    client->lost = lost;
    client->greeted = greeted;
    client->arg = arg;
    list_init(&client->waiting);
    for (size_t i = 0; i < BUCKETS; i++)
        list_init(&client->buckets[i]);
    r = loop_poll_start(loop, fd, LOOP_READABLE, client_ready, client, &client->poll);
    if (r < 0)
        return error_set_errno(err, r, "watch the channel to lamina-spawn");
    (void) TAKE_FD(owned);
    *ret_client = TAKE_PTR(client);
    return 0;
}

void spawn_client_free(struct spawn_client *client)
{
    if (!client)
        return;
    loop_poll_stop(client->poll);
    LIST_FOR_EACH_SAFE (struct waiting, each, &client->waiting, link)
        free(each);
    fd_close(client->fd);
    free(client);
}

void spawn_client_on_filesystem(struct spawn_client *client,
                                void (*filesystem)(void *arg, const struct spawn_filesystem *row))
{
    client->filesystem = filesystem;
}

bool spawn_client_is_connected(const struct spawn_client *client)
{
    return !client->is_lost;
}

bool spawn_client_can_template(const struct spawn_client *client)
{
    return client->can_template;
}

static struct list *client_bucket(struct spawn_client *client, uint64_t id)
{
    return &client->buckets[id & (BUCKETS - 1)];
}

void spawn_client_add(struct spawn_client *client, struct spawn_peer *peer,
                      const struct spawn_peer_events *events)
{
    peer->id = ++client->last_id;
    peer->events = events;
    list_add_last(client_bucket(client, peer->id), &peer->link);
}

void spawn_client_remove(struct spawn_client *client, struct spawn_peer *peer)
{
    (void) client;
    list_remove(&peer->link);
}

static struct spawn_peer *client_find(struct spawn_client *client, uint64_t id)
{
    LIST_FOR_EACH (struct spawn_peer, each, client_bucket(client, id), link)
        if (each->id == id)
            return each;
    return NULL;
}

/* ---- sending */

static void client_wait(struct spawn_client *client, const void *data, size_t size)
{
    struct waiting *message = NULL;
    if (client->waiting_count >= SPAWN_CLIENT_WAITING_MAX) {
        client_lose(client, "lamina-spawn does not read");
        return;
    }
    message = malloc(sizeof(*message) + size);
    if (!message) {
        client_lose(client, "no memory");
        return;
    }
    message->size = size;
    memcpy(message->data, data, size);
    list_add_last(&client->waiting, &message->link);
    if (client->waiting_count++ == 0 &&
        loop_poll_change(client->poll, LOOP_READABLE | LOOP_WRITABLE) < 0)
        client_lose(client, "cannot watch the channel");
}

static void client_send(struct spawn_client *client, const void *data, size_t size)
{
    int r = -EAGAIN;
    if (client->is_lost)
        return;
    if (client->waiting_count == 0)
        r = fd_send_packet(client->fd, data, size, NULL, 0);
    if (r == -EAGAIN)
        client_wait(client, data, size);
    else if (r < 0)
        client_lose(client, error_name(r));
}

static void client_flush(struct spawn_client *client)
{
    while (client->waiting_count > 0) {
        struct waiting *first = LIST_ENTRY(list_first(&client->waiting), struct waiting, link);
        int r = fd_send_packet(client->fd, first->data, first->size, NULL, 0);
        if (r == -EAGAIN)
            return;
        if (r < 0) {
            client_lose(client, error_name(r));
            return;
        }
        list_remove(&first->link);
        free(first);
        client->waiting_count--;
    }
    if (loop_poll_change(client->poll, LOOP_READABLE) < 0)
        client_lose(client, "cannot watch the channel");
}

static struct spawn_head head_of(enum spawn_type type, size_t size, uint64_t id)
{
    return (struct spawn_head){
        .version = SPAWN_VERSION, .type = (uint16_t) type, .size = (uint32_t) size, .id = id};
}

void spawn_client_start(struct spawn_client *client, const struct spawn_peer *peer,
                        struct spawn_start *start, int model_fd)
{
    size_t size = offsetof(struct spawn_start, env) + start->env_size;
    start->head = head_of(SPAWN_START, size, peer->id);
    if (model_fd > 0 && !client->is_lost && client->waiting_count == 0) {
        start->flags |= SPAWN_START_MODEL_FD;
        if (fd_send_packet(client->fd, start, size, &model_fd, 1) == 0)
            return;
        /* The channel is full, and what waits has no descriptors: the model is found by its path. */
        start->flags &= ~(uint32_t) SPAWN_START_MODEL_FD;
    }
    client_send(client, start, size);
}

void spawn_client_request(struct spawn_client *client, const struct spawn_peer *peer,
                          enum spawn_type type)
{
    struct spawn_request request = {.head = head_of(type, sizeof(request), peer->id)};
    client_send(client, &request, sizeof(request));
}

void spawn_client_forget_tree(struct spawn_client *client, const uint8_t *tree_id)
{
    struct spawn_tree_forget message = {.head = head_of(SPAWN_TREE_FORGET, sizeof(message), 0)};
    memcpy(message.tree_id, tree_id, sizeof(message.tree_id));
    client_send(client, &message, sizeof(message));
}

/* ---- receiving */

/* What a message must look like: its size and the descriptors that it brings. */
static size_t message_size(uint16_t type)
{
    switch (type) {
    case SPAWN_HELLO:
        return sizeof(struct spawn_hello);
    case SPAWN_STARTED:
        return sizeof(struct spawn_started);
    case SPAWN_START_FAILED:
        return sizeof(struct spawn_start_failed);
    case SPAWN_EXIT:
        return sizeof(struct spawn_exit);
    case SPAWN_FROZEN:
    case SPAWN_THAWED:
    case SPAWN_UNMOUNTED:
        return sizeof(struct spawn_done);
    case SPAWN_STATS_ARE:
        return sizeof(struct spawn_stats);
    case SPAWN_TEMPLATE_READY:
        return sizeof(struct spawn_template_ready);
    case SPAWN_TEMPLATE_REFUSED:
        return sizeof(struct spawn_template_refused);
    case SPAWN_FILESYSTEM:
        return sizeof(struct spawn_filesystem);
    default:
        return 0;
    }
}

static bool message_is_valid(const struct spawn_head *head, size_t size, size_t fd_count)
{
    return size >= sizeof(*head) && head->version == SPAWN_VERSION && head->size == size &&
           size == message_size(head->type) &&
           fd_count == (head->type == SPAWN_STARTED ? (size_t) SPAWN_STARTED_FDS : 0);
}

union message {
    struct spawn_head head;
    struct spawn_hello hello;
    struct spawn_started started;
    struct spawn_start_failed start_failed;
    struct spawn_exit exited;
    struct spawn_done done;
    struct spawn_stats stats;
    struct spawn_template_ready template_ready;
    struct spawn_template_refused template_refused;
    struct spawn_filesystem filesystem;
};

static void client_greet(struct spawn_client *client, const struct spawn_hello *hello)
{
    client->can_template = hello->flags & SPAWN_HELLO_CAN_TEMPLATE;
    if (client->greeted)
        client->greeted(client->arg);
}

static void client_dispatch(struct spawn_client *client, const union message *message, int *fds)
{
    struct spawn_peer *peer = client_find(client, message->head.id);
    if (message->head.type == SPAWN_HELLO)
        client_greet(client, &message->hello);
    if (message->head.type == SPAWN_FILESYSTEM && client->filesystem)
        client->filesystem(client->arg, &message->filesystem);
    if (!peer)
        return; /* HELLO, or of an instance that is forgotten */
    switch (message->head.type) {
    case SPAWN_STARTED:
        peer->events->started(peer, &message->started, fds);
        break;
    case SPAWN_START_FAILED:
        peer->events->start_failed(peer, &message->start_failed);
        break;
    case SPAWN_EXIT:
        peer->events->exited(peer, &message->exited);
        break;
    case SPAWN_FROZEN:
        peer->events->frozen(peer, (int) message->done.error);
        break;
    case SPAWN_THAWED:
        peer->events->thawed(peer, (int) message->done.error);
        break;
    case SPAWN_UNMOUNTED:
        peer->events->unmounted(peer);
        break;
    case SPAWN_STATS_ARE:
        peer->events->stats(peer, &message->stats);
        break;
    case SPAWN_TEMPLATE_READY:
        peer->events->template_ready(peer);
        break;
    case SPAWN_TEMPLATE_REFUSED:
        peer->events->template_refused(
            peer, str_of_data(message->template_refused.text,
                              strnlen(message->template_refused.text,
                                      sizeof(message->template_refused.text))));
        break;
    default:
        break;
    }
}

/* One message. False when there is none, or none may be read any more. */
static bool client_receive(struct spawn_client *client)
{
    union message message;
    int fds[SPAWN_FDS_MAX];
    size_t fd_count = 0;
    ssize_t size =
        fd_receive_packet(client->fd, &message, sizeof(message), fds, SPAWN_FDS_MAX, &fd_count);
    if (size == -EAGAIN)
        return false;
    if (size <= 0) {
        client_lose(client, size == 0 ? "lamina-spawn ended" : error_name((int) size));
        return false;
    }
    if (message_is_valid(&message.head, (size_t) size, fd_count))
        client_dispatch(client, &message, fds);
    else
        client_lose(client, "lamina-spawn sent an unknown message");
    for (size_t i = 0; i < fd_count; i++)
        fd_close(fds[i]);
    return !client->is_lost;
}

static void client_ready(void *arg, int events)
{
    struct spawn_client *client = arg;
    if ((events & LOOP_WRITABLE) && client->waiting_count > 0)
        client_flush(client);
    if (client->is_lost || !(events & (LOOP_READABLE | LOOP_HANGUP)))
        return;
    for (int i = 0; i < RECEIVE_PER_TURN && client_receive(client); i++)
        continue;
}
