// SPDX-License-Identifier: MIT
//
// What the files of this folder share. Private to http/.
//
//   server ──< listener ──< connection ──0..1 exchange (a request and its answer)
//
// A connection serves one exchange at a time. Two things happen to an exchange, in either order:
// its message comes to its end (is_input_done), and its answer is with the kernel (is_sent). When
// both have happened it is finished, and the connection is idle or reads on in what it held.
//
//            first byte            head complete            both
//     IDLE ────────────► head ────────────────► handling ─────────► IDLE
//       │                  │ fault                  │ fault, close asked for
//       │ EOF, time-out    ▼                        ▼
//       └──────────────► CLOSED ◄──────────────── LINGER (write side shut; input is thrown away)
//
// The states are not stored but for the last two: they follow from `exchange` and its flags, and
// `watch` names what the connection waits for.

#ifndef LAMINA_HTTP_CONNECTION_H
#define LAMINA_HTTP_CONNECTION_H

#include "base/clock.h"
#include "base/digest.h"
#include "http/parser.h"
#include "http/server.h"
#include "http/tls.h"
#include "loop/loop.h"

#include <uv.h>

#define HTTP_READ_BYTES ((size_t) 64 * 1024)
#define HTTP_EXCHANGES_POOLED 64
#define HTTP_LINGER_TIMEOUT_MS 30000

// What a connection waits for; each has one time-out, so a queue in order of arming is in order of
// deadline, and one timer serves all connections.
enum http_watch {
    HTTP_WATCH_NONE, // an unanswered request, a paused sink
    HTTP_WATCH_IDLE,
    HTTP_WATCH_HEAD,
    HTTP_WATCH_BODY,
    HTTP_WATCH_WRITE,
    HTTP_WATCH_LINGER,
    HTTP_WATCH_COUNT
};

struct http_server {
    struct loop *loop; // borrowed
    struct http_server_config config;
    struct http_server_stats stats;
    struct list listeners;
    struct list watched[HTTP_WATCH_COUNT]; // of connections, by deadline
    int64_t watch_ms[HTTP_WATCH_COUNT];    // negative: none
    struct loop_timer sweep;
    struct list pooled; // of exchanges
    size_t pooled_count;
    size_t handles; // libuv's, not yet closed
    bool is_draining;
    bool is_freeing;
    void (*drained)(void *argument);
    void *drained_argument;
    uint64_t next_connection_id;
    struct http_connection *spare; // owned: refuses a client when there is no memory; NULL: in use
    int64_t date_until_ms;
    char date[CLOCK_TEXT_MAX];
    struct buf out;              // scratch: the head of the answer that is being written
    char input[HTTP_READ_BYTES]; // scratch: what a read callback gets
};

union http_handle {
    uv_handle_t any;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct http_listener {
    union http_handle handle;
    struct http_server *server; // borrowed
    struct list link;
    struct list connections;
    size_t connection_count;
    size_t connections_max; // 0: the server's only
    void *user;
    bool is_pipe;
    bool is_closed;
    bool is_stalled; // libuv waits for an accept that there was no memory for
};

struct http_connection {
    union http_handle handle;
    struct http_server *server;     // borrowed
    struct http_listener *listener; // borrowed; NULL once closed
    struct list link;               // of the listener's
    struct list watch_link;
    int64_t deadline_ms;
    uint64_t id;
    struct http_tls_session *tls; // owned; NULL: plain
    struct http_parser parser;
    struct http_exchange *exchange; // owned; NULL while idle
    char *held;                     // owned: input that must wait
    size_t held_size;
    struct loop_deferred go_on;
    struct buf cork;        // small answers that wait for the next one
    size_t input_left;      // of the read that is being fed
    size_t drained_bytes;   // while lingering
    uint64_t bytes_written; // handed to libuv
    uint64_t bytes_taken;   // of them by the kernel, when the write's time-out was armed
    size_t own_bytes;       // queued that are no handler's: TLS's replies, 100 Continue
    enum http_watch watch;
    bool is_pipe;
    bool is_reading;
    bool is_feeding; // connection_feed is on the stack
    bool is_eof;     // the client will send no more
    bool is_lingering;
    bool is_broken; // is closed at the end of the turn
    bool is_spare;  // the server's, to which it returns
    bool is_closed;
};

#define HTTP_CORK_BYTES_MAX                                                                        \
    ((size_t) 16 * 1024) // a held answer and the head of the one that joins it

enum http_body_mode { HTTP_MODE_UNDECIDED, HTTP_MODE_KEEP, HTTP_MODE_STREAM, HTTP_MODE_DISCARD };

struct http_exchange {
    struct http_request request;        // first: what handlers hold
    struct http_server *server;         // borrowed
    struct http_connection *connection; // borrowed; NULL: the client is gone
    struct list link;                   // of the pool
    struct http_head head;
    struct http_head trailers;
    struct arena arena;
    enum http_body_mode mode;
    bool is_input_done;
    bool is_answered; // http_respond was called
    bool is_sent;
    bool is_close; // the connection closes after the answer
    bool is_paused;
    bool is_hashing;
    bool is_streaming;    // the answer's head is out, its body comes piece by piece
    bool is_continue_due; // a 100 Continue was neither sent nor made needless
    bool has_stream_digest;
    size_t heads_counted; // of server.stats.heads_bytes
    size_t body_counted;  // of server.stats.bodies_bytes
    size_t body_bytes_max;
    uint64_t body_received;
    uint64_t body_wire_bytes; // with chunk sizes, extensions and trailers
    uint64_t body_discarded;
    uint64_t body_mark; // body_received when the body's time-out was last armed
    void (*on_body)(struct http_request *request, int status);
    void (*on_gone)(struct http_request *request);
    const struct http_sink *sink;
    struct digest_stream digest_stream;
    struct digest digest;
    void (*drained)(struct http_request *request); // a stream's writer waits for it
    struct http_file *file;                        // an answer's file while it is being sent
    void (*sent)(void *argument, int status);
    void *sent_argument;
};

// ---- server.c

// The sweep of time-outs runs at `deadline_ms` at the latest.
void http_server_sweep_by(struct http_server *server, int64_t deadline_ms);
void http_server_closed_handle(struct http_server *server); // after handles--
const char *http_server_date(struct http_server *server);   // "Fri, 02 Jan 2026 03:04:05 GMT"

// ---- connection.c and input.c

void http_connection_accept(struct http_listener *listener);
void http_connection_close(struct http_connection *connection);
// New input, decrypted.
void http_connection_feed(struct http_connection *connection, const char *data, size_t size);
// Closes at the end of the turn: for places whose caller still holds the request.
void http_connection_break(struct http_connection *connection);
// Arms the time-out of `watch`; what it waited for before is forgotten.
void http_connection_watch(struct http_connection *connection, enum http_watch watch);
void http_connection_expired(struct http_connection *connection);
// At the end of this turn: reads on in what is held, and from the socket.
void http_connection_go_on(struct http_connection *connection);
// Answers for the server itself and closes. The request, if there is one, hears on_gone first.
void http_connection_fault(struct http_connection *connection, unsigned status, const char *why);
// Brings reading and the time-out in line with what the connection is now doing. Not while feeding.
void http_connection_settle(struct http_connection *connection);
// After is_input_done or is_sent became true.
void http_connection_step(struct http_connection *connection);

// ---- request.c

struct http_exchange *http_exchange_new(struct http_connection *connection); // NULL: no memory
void http_exchange_free(struct http_exchange *exchange);
void http_exchange_account(struct http_exchange *exchange); // heads_bytes follows the head's memory
// The body's events. Handlers may end the exchange or its connection in them.
void http_exchange_on_piece(struct http_exchange *exchange, const char *data, size_t size);
void http_exchange_on_end(struct http_exchange *exchange);
// The connection ends: tells the handler; frees what nobody holds any more.
void http_exchange_gone(struct http_exchange *exchange);

// ---- answer.c

void http_answer_fault(struct http_connection *connection, unsigned status, const char *why);
void http_answer_continue(struct http_connection *connection);
// The answer's last byte is with the kernel, or never will be.
void http_answer_done(struct http_exchange *exchange, int status);
// Writes now what the kernel takes and queues the rest. `body` (moved in) follows `head` (copied if
// need be). `done` is called with 0 or -errno, perhaps at once; argument is the connection.
void http_write(struct http_connection *connection, struct str head, struct buf *body,
                void (*done)(struct http_connection *connection, int status));

// Writes what waits in the cork.
void http_uncork(struct http_connection *connection);

// The same for bytes that are already what the wire gets.
void http_write_raw(struct http_connection *connection, struct str head, struct buf *body,
                    void (*done)(struct http_connection *connection, int status));

// The answer has a body on the wire, in chunks.
bool http_answer_is_chunked(const struct http_exchange *exchange);

// ---- tls.c

enum http_tls_state {
    HTTP_TLS_OPEN,
    HTTP_TLS_ENDED,  // the client said that it sends no more
    HTTP_TLS_BROKEN, // not TLS, or no agreement: an alert may be waiting in the output
};

struct http_tls_session *http_tls_session_new(struct http_tls *tls); // NULL: no memory
void http_tls_session_free(struct http_tls_session *session);
bool http_tls_is_ready(const struct http_tls_session *session); // the handshake is done
// Decrypts what the socket gave and feeds it.
enum http_tls_state http_tls_input(struct http_connection *connection, const char *data,
                                   size_t size);
void http_tls_flush(struct http_connection *connection); // writes what the handshake wants to say
// -EPIPE: there is no session to write in.
int http_tls_encrypt(struct http_tls_session *session, struct str head, struct str body,
                     struct buf *ret_cipher) MUST_CHECK;
void http_tls_say_goodbye(struct http_connection *connection);

// ---- stream.c

// The head of a streamed answer, or a piece of its body, is with the kernel.
void http_stream_on_written(struct http_connection *connection, int status);

// ---- file_body.c

// Sends a file's range after `head`; takes the descriptor over. -EAGAIN: the pool is full.
int http_file_start(struct http_exchange *exchange, struct str head, int fd, uint64_t offset,
                    uint64_t size) MUST_CHECK;
void http_file_abandon(struct http_file *file); // the connection is closed

#endif
