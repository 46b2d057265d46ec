// SPDX-License-Identifier: MIT
#include "sdk/runtime_client.h"

#include "lamina.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define READ_BYTES 16384
#define CHUNK_LINE_BYTES_MAX 4096
#define KEEP_BYTES (256 * 1024)

// ---- the address ----

static int parse_port(const char *text, uint16_t *ret_port)
{
    char *end;
    errno = 0;
    unsigned long port = strtoul(text, &end, 10);
    if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0' || port == 0 || port > 65535)
        return -EINVAL;
    *ret_port = (uint16_t) port;
    return 0;
}

static int parse_host(struct runtime_client *client, const char *host, uint16_t port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *) &client->peer;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &client->peer;

    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        client->peer_size = sizeof *v4;
        return 0;
    }
    size_t size = strlen(host);
    char bare[INET6_ADDRSTRLEN];
    if (size < 4 || size - 2 >= sizeof bare || host[0] != '[' || host[size - 1] != ']')
        return -EINVAL;
    memcpy(bare, host + 1, size - 2);
    bare[size - 2] = '\0';
    if (inet_pton(AF_INET6, bare, &v6->sin6_addr) != 1)
        return -EINVAL;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    client->peer_size = sizeof *v6;
    return 0;
}

int runtime_client_init(struct runtime_client *client, const char *address)
{
    char host[INET6_ADDRSTRLEN + 2];
    const char *colon = strrchr(address, ':');
    uint16_t port;

    memset(client, 0, sizeof *client);
    client->fd = -1;
    client->address = address;
    client->in.maximum = LAMINA_PAYLOAD_BYTES_MAX + HTTP_REPLY_HEAD_BYTES_MAX;
    if (colon == NULL || (size_t) (colon - address) >= sizeof host)
        return -EINVAL;
    memcpy(host, address, (size_t) (colon - address));
    host[colon - address] = '\0';
    int r = parse_port(colon + 1, &port);
    return r < 0 ? r : parse_host(client, host, port);
}

// ---- the connection ----

static void disconnect(struct runtime_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    client->is_used = false;
}

void runtime_client_done(struct runtime_client *client)
{
    disconnect(client);
    bytes_done(&client->in);
}

int runtime_client_connect(struct runtime_client *client)
{
    int one = 1;
    int fd = socket(client->peer.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    // Without it the kernel may hold a small answer back until the last one was acknowledged.
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int r;
    do {
        r = connect(fd, (const struct sockaddr *) &client->peer, client->peer_size) < 0 ? -errno
                                                                                        : 0;
    } while (r == -EINTR);
    // A connect that a signal interrupted goes on by itself; asking again says it is there.
    if (r < 0 && r != -EISCONN) {
        close(fd);
        return r;
    }
    client->fd = fd;
    return 0;
}

static int send_parts(struct runtime_client *client, struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t) count};
    size_t left = 0;

    for (int i = 0; i < count; i++)
        left += parts[i].iov_len;
    while (left > 0) {
        // MSG_NOSIGNAL: a closed connection is an error to handle, not the end of the process.
        ssize_t n = sendmsg(client->fd, &message, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        left -= (size_t) n;
        for (int i = 0; i < count; i++) {
            size_t step = (size_t) n < parts[i].iov_len ? (size_t) n : parts[i].iov_len;
            parts[i].iov_base = (char *) parts[i].iov_base + step;
            parts[i].iov_len -= step;
            n -= (ssize_t) step;
        }
    }
    return 0;
}

static int send_request(struct runtime_client *client, const struct runtime_request *request)
{
    struct iovec parts[2] = {
        {.iov_base = (void *) (uintptr_t) request->head, .iov_len = request->head_size},
        {.iov_base = (void *) (uintptr_t) request->body, .iov_len = request->body_size},
    };
    return send_parts(client, parts, 2);
}

// Reads at least one more byte. 1: read; 0: the peer closed.
static int read_more(struct runtime_client *client, size_t wanted)
{
    struct bytes *in = &client->in;
    int r = bytes_reserve(in, wanted > READ_BYTES ? wanted : READ_BYTES);
    if (r == -EMSGSIZE)
        r = bytes_reserve(in, wanted > 0 ? wanted : 1);
    if (r < 0)
        return r;
    ssize_t n;
    do {
        n = recv(client->fd, in->data + in->size, in->capacity - 1 - in->size, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    in->size += (size_t) n;
    in->data[in->size] = '\0';
    return n > 0;
}

static int read_needed(struct runtime_client *client, size_t wanted)
{
    int r = read_more(client, wanted);
    return r == 0 ? -ECONNRESET : r;
}

// ---- bodies ----

static int read_sized(struct runtime_client *client, struct runtime_reply *reply)
{
    if (reply->head.length > LAMINA_PAYLOAD_BYTES_MAX)
        return -EMSGSIZE;
    size_t end = reply->head.head_size + (size_t) reply->head.length;
    while (client->in.size < end) {
        int r = read_needed(client, end - client->in.size);
        if (r < 0)
            return r;
    }
    reply->body_size = (size_t) reply->head.length;
    if (client->in.size > end) // nothing was asked for that could have been answered here
        reply->head.can_keep_alive = false;
    return 0;
}

// A body without a length ends with the connection.
static int read_to_end(struct runtime_client *client, struct runtime_reply *reply)
{
    int r;
    do {
        r = read_more(client, 0);
    } while (r > 0);
    if (r < 0)
        return r;
    reply->head.can_keep_alive = false;
    reply->body_size = client->in.size - reply->head.head_size;
    return reply->body_size > LAMINA_PAYLOAD_BYTES_MAX ? -EMSGSIZE : 0;
}

// "1a2b[;extension]\r\n" at `at`. 1: the size and the line's end; 0: not complete; -EBADMSG.
static int parse_chunk_line(const struct bytes *in, size_t at, size_t *ret_size, size_t *ret_end)
{
    const char *end = memchr(in->data + at, '\n', in->size - at);
    if (end == NULL)
        return in->size - at > CHUNK_LINE_BYTES_MAX ? -EBADMSG : 0;
    size_t size = 0, digits = 0;
    for (const char *c = in->data + at; c < end; c++, digits++) {
        int digit;
        if (*c >= '0' && *c <= '9')
            digit = *c - '0';
        else if ((*c | 32) >= 'a' && (*c | 32) <= 'f')
            digit = (*c | 32) - 'a' + 10;
        else if (*c == ';' || *c == '\r' || *c == ' ')
            break;
        else
            return -EBADMSG;
        size = size * 16 + (size_t) digit;
        if (size > LAMINA_PAYLOAD_BYTES_MAX)
            return -EMSGSIZE;
    }
    if (digits == 0)
        return -EBADMSG;
    *ret_size = size;
    *ret_end = (size_t) (end - in->data) + 1;
    return 1;
}

// Drops the bytes between the decoded body, which ends at `written`, and what is still to decode.
static size_t close_gap(struct bytes *in, size_t written, size_t at)
{
    memmove(in->data + written, in->data + at, in->size - at + 1);
    in->size -= at - written;
    return written;
}

// Skips the trailers: lines up to an empty one.
static int read_trailers(struct runtime_client *client, size_t written, size_t at)
{
    struct bytes *in = &client->in;
    for (;;) {
        const char *end = memchr(in->data + at, '\n', in->size - at);
        if (end == NULL) {
            if (in->size - at > HTTP_REPLY_HEAD_BYTES_MAX)
                return -EBADMSG;
            at = close_gap(in, written, at);
            int r = read_needed(client, 0);
            if (r < 0)
                return r;
            continue;
        }
        size_t length = (size_t) (end - (in->data + at));
        bool is_last = length == 0 || (length == 1 && in->data[at] == '\r');
        at += length + 1;
        if (is_last)
            return in->size > at ? 1 : 0;
    }
}

// Decodes in place: each chunk moves down over its own framing.
static int read_chunked(struct runtime_client *client, struct runtime_reply *reply)
{
    struct bytes *in = &client->in;
    size_t start = reply->head.head_size, written = start, at = start;
    for (;;) {
        size_t size, end;
        int r = parse_chunk_line(in, at, &size, &end);
        if (r < 0)
            return r;
        if (r > 0 && size == 0) {
            r = read_trailers(client, written, end);
            if (r < 0)
                return r;
            reply->head.can_keep_alive = reply->head.can_keep_alive && r == 0;
            break;
        }
        if (r > 0 && written - start + size > LAMINA_PAYLOAD_BYTES_MAX)
            return -EMSGSIZE;
        if (r > 0 && in->size - end >= size + 2) {
            if (in->data[end + size] != '\r' || in->data[end + size + 1] != '\n')
                return -EBADMSG;
            memmove(in->data + written, in->data + end, size);
            written += size;
            at = end + size + 2;
            continue;
        }
        at = close_gap(in, written, at);
        r = read_needed(client, r > 0 ? size : 0);
        if (r < 0)
            return r;
    }
    reply->body_size = written - start;
    return 0;
}

// ---- one exchange ----

static int read_head(struct runtime_client *client, struct http_reply *ret_head)
{
    for (;;) {
        int r = http_reply_parse(client->in.data != NULL ? client->in.data : "", client->in.size,
                                 ret_head);
        if (r < 0)
            return r;
        // 1xx answers (100 Continue, 103 Early Hints) come before the real one.
        if (r > 0 && ret_head->status >= 200)
            return 0;
        if (r > 0) {
            (void) close_gap(&client->in, 0, ret_head->head_size);
            continue;
        }
        r = read_needed(client, 0);
        if (r < 0)
            return r;
    }
}

static int read_reply(struct runtime_client *client, struct runtime_reply *ret_reply)
{
    struct runtime_reply reply = {0};
    int r = read_head(client, &reply.head);
    if (r < 0)
        return r;
    if (reply.head.is_chunked)
        r = read_chunked(client, &reply);
    else if (reply.head.has_length)
        r = read_sized(client, &reply);
    else if (reply.head.status != 204 && reply.head.status != 304)
        r = read_to_end(client, &reply);
    if (r < 0)
        return r;
    reply.data = client->in.data;
    reply.body = client->in.data + reply.head.head_size;
    reply.body[reply.body_size] = '\0';
    *ret_reply = reply;
    return 0;
}

static int exchange_once(struct runtime_client *client, const struct runtime_request *request,
                         struct runtime_reply *ret_reply)
{
    int r = client->fd < 0 ? runtime_client_connect(client) : 0;
    if (r < 0)
        return r;
    bytes_clear(&client->in, KEEP_BYTES);
    int sent = send_request(client, request);
    // A server that refuses a body early answers and closes: its answer is worth more than the
    // broken pipe.
    r = read_reply(client, ret_reply);
    return r < 0 && sent < 0 ? sent : r;
}

static void keep_or_close(struct runtime_client *client, int r, const struct runtime_reply *reply)
{
    if (r < 0 || !reply->head.can_keep_alive)
        disconnect(client);
    else
        client->is_used = true;
}

int runtime_client_exchange(struct runtime_client *client, const struct runtime_request *request,
                            struct runtime_reply *ret_reply)
{
    bool was_used = client->fd >= 0 && client->is_used;
    int r = exchange_once(client, request, ret_reply);
    if (r < 0 && was_used && client->in.size == 0 && (r == -ECONNRESET || r == -EPIPE)) {
        disconnect(client);
        r = exchange_once(client, request, ret_reply);
    }
    keep_or_close(client, r, ret_reply);
    return r;
}

static struct iovec part(const void *data, size_t size)
{
    return (struct iovec){.iov_base = (void *) (uintptr_t) data, .iov_len = size};
}

static int ahead_once(struct runtime_client *client, const struct runtime_request *request,
                      const struct runtime_request *ahead, struct runtime_reply *ret_reply)
{
    struct iovec parts[] = {part(request->head, request->head_size),
                            part(request->body, request->body_size),
                            part(ahead->head, ahead->head_size)};
    struct runtime_reply reply = {0};
    int r = client->fd < 0 ? runtime_client_connect(client) : 0;
    if (r < 0)
        return r;
    bytes_clear(&client->in, KEEP_BYTES);
    int sent = send_parts(client, parts, 3);
    r = read_head(client, &reply.head);
    // What else there is to read begins where this answer ends: that must be told.
    if (r == 0 && (!reply.head.has_length || reply.head.is_chunked))
        reply.head.can_keep_alive = false;
    size_t end = reply.head.head_size + (size_t) reply.head.length;
    while (r == 0 && reply.head.can_keep_alive && client->in.size < end)
        r = reply.head.length > LAMINA_PAYLOAD_BYTES_MAX
                ? -EMSGSIZE
                : read_needed(client, end - client->in.size);
    if (r < 0)
        return sent < 0 ? sent : r;
    if (reply.head.can_keep_alive)
        (void) close_gap(&client->in, 0, end);
    static char nothing[1];
    reply.body = nothing;
    *ret_reply = reply;
    return sent;
}

int runtime_client_exchange_ahead(struct runtime_client *client,
                                  const struct runtime_request *request,
                                  const struct runtime_request *ahead,
                                  struct runtime_reply *ret_reply, bool *ret_is_ahead)
{
    bool was_used = client->fd >= 0 && client->is_used;
    *ret_is_ahead = false;
    int r = ahead_once(client, request, ahead, ret_reply);
    if (r < 0 && was_used && client->in.size == 0 && (r == -ECONNRESET || r == -EPIPE)) {
        disconnect(client);
        return runtime_client_exchange(client, request, ret_reply);
    }
    keep_or_close(client, r, ret_reply);
    *ret_is_ahead = client->fd >= 0;
    return r;
}

int runtime_client_receive_ahead(struct runtime_client *client, struct runtime_reply *ret_reply)
{
    int r = read_reply(client, ret_reply);
    keep_or_close(client, r, ret_reply);
    return r;
}

int runtime_client_send(struct runtime_client *client, const struct iovec *parts, int count)
{
    struct iovec left[RUNTIME_CLIENT_PARTS_MAX];
    int r = client->fd < 0 ? runtime_client_connect(client) : 0;
    if (r < 0)
        return r;
    memcpy(left, parts, (size_t) count * sizeof *parts);
    return send_parts(client, left, count);
}

void runtime_client_close(struct runtime_client *client)
{
    disconnect(client);
}

int runtime_client_receive(struct runtime_client *client, struct runtime_reply *ret_reply)
{
    bytes_clear(&client->in, KEEP_BYTES);
    int r = client->fd < 0 ? -ENOTCONN : read_reply(client, ret_reply);
    keep_or_close(client, r, ret_reply);
    return r;
}
