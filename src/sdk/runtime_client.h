// SPDX-License-Identifier: MIT
//
// runtime_client: one kept-alive HTTP/1.1 connection to the Lambda Runtime API.
//
// Blocking, one thread. Waits without limit for an answer: GET next is a long poll, and the
// platform's own time-out ends the process when it must. The address is `host:port` with an IPv4
// address, an IPv6 address in brackets, or `localhost`: no resolver is needed, so a static program
// works. What was received stays in `in` until the next request.
#ifndef LAMINA_SDK_RUNTIME_CLIENT_H
#define LAMINA_SDK_RUNTIME_CLIENT_H

#include "sdk/bytes.h"
#include "sdk/http_reply.h"

#include <sys/socket.h>
#include <sys/uio.h>

#define RUNTIME_CLIENT_PARTS_MAX 4 // of one runtime_client_send

struct runtime_client {
    int fd;       // -1: not connected
    bool is_used; // the connection has carried an answer, so that it may have gone stale since
    const char *address; // borrowed: lives as long as the client
    struct sockaddr_storage peer;
    socklen_t peer_size;
    struct bytes in;
};

struct runtime_request {
    const char *head; // request line and headers, with the empty line
    size_t head_size;
    const void *body;
    size_t body_size;
};

struct runtime_reply {
    struct http_reply head;
    char *data; // the whole reply; header offsets count from here. Borrowed from `in`
    char *body; // NUL-terminated; borrowed from `in`
    size_t body_size;
};

// -EINVAL: not an address as above. Connects at the first request, or when told to.
int runtime_client_init(struct runtime_client *client, const char *address);
int runtime_client_connect(struct runtime_client *client);
void runtime_client_done(struct runtime_client *client);

// Sends the request and reads the whole answer. A connection that turns out closed before any byte
// of the answer came, and that had worked before, is made anew once: a platform may drop
// connections while a function is frozen. Errors: those of connect(), send() and recv();
// -ECONNRESET: closed in the middle; -EBADMSG: not HTTP; -EMSGSIZE: a body above
// LAMINA_PAYLOAD_BYTES_MAX; -ENOMEM. The connection is closed after an error.
int runtime_client_exchange(struct runtime_client *client, const struct runtime_request *request,
                            struct runtime_reply *ret_reply);

// Sends `ahead` behind the request, in one go (pipelining), and reads the request's answer only, whose
// body is not kept: ret_reply->body is "". *ret_is_ahead: the other one's answer will come, and
// runtime_client_receive_ahead is to be called; otherwise it is as if `ahead` had not been sent. For
// servers that are known to take it, and a request that cannot be refused half-way.
int runtime_client_exchange_ahead(struct runtime_client *client,
                                  const struct runtime_request *request,
                                  const struct runtime_request *ahead,
                                  struct runtime_reply *ret_reply, bool *ret_is_ahead);
// Errors: the connection is closed; what was asked for is to be asked for again.
int runtime_client_receive_ahead(struct runtime_client *client, struct runtime_reply *ret_reply);

// For a request whose body is not known yet: sends the parts, connecting first when needed. What
// the last exchange received stays where it is. Errors as above; the connection is then of no use.
int runtime_client_send(struct runtime_client *client, const struct iovec *parts, int count);

// Gives a connection up whose framing cannot be trusted any more; the next request makes a new one.
void runtime_client_close(struct runtime_client *client);

// Reads the answer to what was sent so.
int runtime_client_receive(struct runtime_client *client, struct runtime_reply *ret_reply);

#endif
