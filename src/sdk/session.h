// SPDX-License-Identifier: MIT
//
// session: the words spoken over the Runtime API connection, one function for each.
//
// A session is the client and what the process reports about itself (phases of its start, the
// digest of its model). Errors: as runtime_client_exchange, after a line on stderr.
#ifndef LAMINA_SDK_SESSION_H
#define LAMINA_SDK_SESSION_H

#include "sdk/call.h"
#include "sdk/runtime_client.h"
#include "sdk/stream.h"

#define SESSION_DIGEST_HEADER_BYTES 128

// "Lamina-Model-Digest: ...\r\n", or "" when there is no model. Returns `out`.
const char *session_digest_header(char out[SESSION_DIGEST_HEADER_BYTES]);

// The phases told so far were another process's.
void session_forget_phases(void);

// For a fork, while it waits to be told its environment: the next session_init finds a connection there, if the address is
// the same then.
void session_connect_ahead(void);

struct session {
    struct runtime_client client;
    struct bytes error; // the body of an error report
    struct stream stream;
    bool may_ask_ahead; // the platform takes the request for the next call behind an answer
    bool has_asked;     // it was sent so
    bool has_polled;    // the first request for work, which carries the phases, was answered
};

// From $AWS_LAMBDA_RUNTIME_API. -EINVAL: not set, or not an address.
int session_init(struct session *session);
void session_done(struct session *session);

// Waits for an invocation and fills `call`. -EPROTO: the platform answered something else.
int session_next(struct session *session, struct call *call);

// Sends the answer, or the failure, of `call`. 0: the platform took it, or refused it in a way that
// leaves the next invocation possible; -ESHUTDOWN: it told us to exit (a 5xx).
int session_answer(struct session *session, struct call *call);

int session_init_error(struct session *session, const char *type, const char *message);

#endif
