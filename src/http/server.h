// SPDX-License-Identifier: MIT
//
// The HTTP/1.1 server: for the public API, and for each sandbox's Runtime API.
//
//   struct http_server    limits and hooks, and the counters that all its listeners share
//   struct http_listener  one listening socket (TCP made here, or any descriptor handed in)
//   struct http_request   one request, from its complete head to its answer
//
// The life of a request:
//
//   head complete ─► on_head ─┬─ http_request_keep_body ──► on_body ─┐
//                             ├─ http_request_stream_body ► on_data… on_end ─┼─► http_respond (now or
//                             └─────────────────────────────────────┘      much later, loop thread)
//
// on_head decides what becomes of the body: kept in memory up to a limit, given piece by piece to a
// sink, or refused by answering at once. Exactly one http_respond() ends the request, at any moment
// from on_head on; after it, and after on_gone, the request must not be touched any more. Any
// callback may answer. The server owns requests; handlers borrow them in between.
//
// Threads: everything here belongs to the loop thread. Nothing blocks; files are read by the
// configured job pool.
//
// What the server does by itself, so that handlers need not:
//  - framing: llhttp with no lenient flag. Whatever could be read in two ways (two lengths, length
//    and chunked, unknown transfer coding, bare CR or LF, obsolete folding, space before a colon,
//    HTTP/1.0 with chunked, NUL) is answered 400 and the connection is closed. Trailers are checked
//    and kept apart from headers. `Upgrade:` is ignored, `Expect: 100-continue` is answered when a handler accepts
//    a body (never when it refuses it), other expectations get 417.
//  - exactly one Host (HTTP/1.1), absolute-form targets (their authority must equal Host), no
//    CONNECT (405), HTTP/1.0 and 1.1 only (505).
//  - pipelining: one request at a time per connection; answers are in order. Bytes that arrive
//    while a request is unanswered are held up to HTTP_PIPELINE_BYTES_MAX, then reading stops.
//  - keep-alive, HEAD (the handler answers as for GET, the body is not sent), Content-Length,
//    Connection, Date.
//  - limits and time-outs below, each with its answer: 400, 408, 413, 421, 431, 503.
//  - an answer before the body's end: the rest of the body is read and thrown away, up to
//    discard_bytes_max; the connection lives on. Beyond that the answer says `Connection: close`,
//    up to discard_bytes_max is still drained (so that the client reads the answer and not a reset),
//    and the connection is closed.
//
// An idle connection costs about 0.7 KiB; the request and its head are allocated when the first byte
// of a head arrives and reused from a small pool.

#ifndef LAMINA_HTTP_SERVER_H
#define LAMINA_HTTP_SERVER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/http_header.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct job_pool;
struct http_server;
struct http_listener;
struct http_request;
struct http_response;
struct http_fault;
struct http_tls;

#define HTTP_PIPELINE_BYTES_MAX ((size_t) 64 * 1024)
#define HTTP_ADDRESS_TEXT_MAX 64

// ---- The server

struct http_server_config {
    // Limits; 0 takes the default in brackets.
    size_t head_bytes_max;         // request line and headers [16 KiB]; more: 431
    size_t headers_max;            // header lines [100]; more: 431
    size_t heads_bytes_total_max;  // in unfinished heads of all connections [16 MiB]; more: 503
    size_t bodies_bytes_total_max; // kept in memory for all requests [512 MiB]; more: 503
    size_t arena_bytes_max;        // of one request's arena [256 KiB]
    size_t connections_max;        // of all listeners [10,000]; more: closed at accept
    size_t discard_bytes_max;      // of a body nobody wants [1 MiB]

    // Time-outs in milliseconds, kept to within a second; 0 takes the default, -1 means none.
    int64_t head_timeout_ms;  // from the head's first byte to its last [30 s]: 408
    int64_t body_timeout_ms;  // without a byte of a body, not while paused [60 s]: 408
    int64_t idle_timeout_ms;  // of a connection between requests, and before the first [120 s]
    int64_t write_timeout_ms; // without the client taking a byte of an answer [60 s]: closed
    // An unanswered request has no time-out here: its handler has.

    bool has_date; // answers carry `Date:` (AWS SDKs correct their clock by it)
    // What a client's half-close (it stopped sending, and may still be reading) means while its
    // request is unanswered. false: the answer is still sent. true: the client is gone.
    bool is_half_close_gone;
    // A small answer waits until the request that was pipelined behind it is answered, too. For
    // servers whose clients know (liblamina: a response and the request for the next call).
    bool holds_answers;

    struct http_tls
        *tls; // borrowed: all listeners of this server speak TLS (http/tls.h). NULL: none
    struct job_pool *file_pool; // borrowed; reads file bodies. NULL: answers with a file are a bug

    // A request's head is complete. Must call one of http_request_keep_body,
    // http_request_stream_body, http_respond before it returns.
    void (*on_head)(struct http_request *request, void *user);

    // Optional. May this Host value (without surrounding space) be served? false: 421.
    bool (*is_host_allowed)(struct str host, void *user);

    // Optional. Gives the server's own answers (400, 408, ...) the service's form.
    void (*format_fault)(struct http_fault *fault, void *user);

    void *user; // borrowed; handed to the three above, unless a listener has its own
};

struct http_fault {
    unsigned status;
    const char *why;   // one line of plain text
    char headers[256]; // to fill: complete lines, each ended by \r\n; at first Content-Type
    char body[512];    // to fill: NUL-terminated; at first `why` and a line feed
};

struct http_server_stats {
    size_t connections;
    size_t heads_bytes;  // held in unfinished heads now
    size_t bodies_bytes; // kept in memory now
    uint64_t connections_total;
    uint64_t connections_refused; // at connections_max or at a listener's own maximum
    uint64_t requests_total;      // heads completed
    uint64_t faults_total;        // answers the server made itself
    uint64_t timeouts_total;
    uint64_t gone_total; // clients gone before their answer
};

// -ENOMEM. `config` is copied. The process ignores SIGPIPE from here on.
int http_server_new(struct loop *loop, const struct http_server_config *config,
                    struct http_server **ret_server) MUST_CHECK;

// Closes all listeners and connections (their requests get on_gone) and frees the server at the end
// of the turn's closing; the loop must run until then. Accepts NULL.
void http_server_free(struct http_server *server);

// No new connections, idle ones are closed, every further answer says `Connection: close`. `drained`
// is called when the last connection is closed (perhaps before this returns).
void http_server_drain(struct http_server *server, void (*drained)(void *argument), void *argument);

void http_server_stats(const struct http_server *server, struct http_server_stats *ret_stats);

// ---- Listeners

// Numeric address "127.0.0.1", "::1" or "0.0.0.0"; port 0 lets the kernel choose
// (http_listener_port tells). -errno with text.
int http_listen_tcp(struct http_server *server, const char *address, uint16_t port,
                    struct http_listener **ret_listener, struct error *err) MUST_CHECK;

// A socket that is already listening (TCP of any network namespace, or a unix stream socket). Taken
// over, also on failure. `user`, if not NULL, replaces the config's in every callback.
// `connections_max` (0: only the server's) is this listener's own. -errno.
int http_listen_fd(struct http_server *server, int fd, size_t connections_max, void *user,
                   struct http_listener **ret_listener, struct error *err) MUST_CHECK;

uint16_t http_listener_port(const struct http_listener *listener); // 0: not TCP
// Connections open now.
size_t http_listener_connections(const struct http_listener *listener);

// Stops listening and closes its connections; their requests get on_gone first, within this call.
// Accepts NULL.
void http_listener_close(struct http_listener *listener);

// ---- A request, from on_head on. All fields are read-only for handlers, but for `user`.

enum http_method {
    HTTP_METHOD_OTHER, // a valid token without a name here; see method_text
    HTTP_METHOD_DELETE,
    HTTP_METHOD_GET,
    HTTP_METHOD_HEAD,
    HTTP_METHOD_OPTIONS,
    HTTP_METHOD_PATCH,
    HTTP_METHOD_POST,
    HTTP_METHOD_PUT,
};

struct http_request {
    void *user; // the handler's own, NULL at first

    enum http_method method;
    struct str method_text;
    struct str target; // origin-form exactly as received ("/a%2fb?x=1"), or "*"
    struct str path;   // of target, before '?', as received (not decoded)
    struct str query;  // after the first '?', as received
    bool has_query;    // there was a '?'
    struct str host;   // empty only for HTTP/1.0 without one

    const struct http_header *headers; // in order of arrival, Host included
    size_t header_count;

    bool has_body;   // a Content-Length above 0 or chunked
    bool is_chunked; // then content_length is unknown: 0
    bool expects_continue;
    uint64_t content_length;

    int64_t received_ms;    // loop_now_ms() at the head's first byte
    uint64_t connection_id; // never reused
    struct arena *arena;    // freed with the request; hard limit
    void *server_user;      // the listener's or the config's user

    // Body of a request that keeps it, complete when on_body(0) is called. May be moved out by
    // http_request_take_body().
    struct buf body;
};

// The first header of that lower-case name; data == NULL if there is none.
struct str http_request_header(const struct http_request *request, const char *name);
// How many headers carry that lower-case name.
size_t http_request_header_count(const struct http_request *request, const char *name);
// A trailer of a chunked body by its lower-case name, once the body is complete; data == NULL if there
// is none. Trailers are never among the headers: whoever needs one asks for it here. Their limits are
// a head's.
struct str http_request_trailer(const struct http_request *request, const char *name);
// The peer's address without port: "127.0.0.1", "unix", "?".
void http_request_peer(const struct http_request *request, char ret_text[HTTP_ADDRESS_TEXT_MAX]);
bool http_request_is_loopback(const struct http_request *request);

// ---- What becomes of the body (call one, in on_head only)

// Hash the body's bytes (SHA-256, as received, after chunking is removed) on the way. In on_head,
// before keep or stream. The digest is valid from on_body(0) or on_end on, for bodies of any length
// including none.
void http_request_hash_body(struct http_request *request);
const uint8_t *http_request_body_sha256(const struct http_request *request); // 32 bytes

// Keeps the body in memory, at most `bytes_max`. on_body is called once: with 0 when the body is
// complete (at once if there is none: within this call), or with -EFBIG as soon as it is known to
// be longer (by Content-Length: within this call, before a 100 Continue): then the handler answers
// 413 and the rest is discarded.
void http_request_keep_body(struct http_request *request, size_t bytes_max,
                            void (*on_body)(struct http_request *request, int status));

// Gives the body away piece by piece. `data` is valid during the call. on_end comes after the last
// byte (within this call if there is no body). The sink sets its own limits and answers early to
// refuse.
struct http_sink {
    void (*on_data)(struct http_request *request, const void *data, size_t size);
    void (*on_end)(struct http_request *request);
};
void http_request_stream_body(struct http_request *request,
                              const struct http_sink *sink); // borrowed

// No on_data or on_end until the resume (which may call them before it returns). The connection stops
// reading, so TCP slows the client. One piece that is being delivered may still follow. No body
// time-out runs while paused.
void http_request_pause(struct http_request *request);
void http_request_resume(struct http_request *request);

// Moves the kept body out; the request's is empty then. The bytes leave the server's count.
struct buf http_request_take_body(struct http_request *request) MUST_CHECK;

// `gone` is called when the client's connection ends before http_respond() (reset, time-out or fault
// while the body arrives, listener closed, half-close as configured); the request is freed after it.
// NULL takes it back. Without it: a request whose body was delivered waits for its http_respond(),
// whose answer then goes nowhere; one whose body is still arriving is freed without a word.
void http_request_on_gone(struct http_request *request, void (*gone)(struct http_request *request));

// ---- Answers

enum http_body_kind {
    HTTP_BODY_NONE,
    HTTP_BODY_COPY,   // `text` is copied during the call
    HTTP_BODY_BUF,    // `buf` is moved in and freed after sending
    HTTP_BODY_STREAM, // piece by piece, of unknown length: see below
    HTTP_BODY_FILE,   // [offset, offset + size) of `fd`, which is moved in and closed after sending
};

struct http_response {
    unsigned status; // 200..599
    // Headers, borrowed during the call. Content-Length, Connection, Date and Transfer-Encoding are
    // the server's own. Bytes that could end a line (control characters) become spaces.
    const struct http_header *headers;
    size_t header_count;

    enum http_body_kind body_kind;
    struct str text;
    struct buf buf;
    int fd;
    uint64_t offset;
    uint64_t size;

    bool is_close; // close the connection after this answer
    // Optional: called once when the server is done with the answer: 0 if all of it was handed to
    // the kernel, negative errno if not. Perhaps before http_respond returns.
    void (*sent)(void *argument, int status);
    void *sent_argument;
};

// Ends the request (but for HTTP_BODY_STREAM): see above. 204 and 304 must have no body. A file that
// turns out shorter than promised ends the connection in the middle of the answer.
void http_respond(struct http_request *request, struct http_response *response);

// http_respond for a plain case: `content_type` NULL and `text` empty mean no body.
void http_respond_text(struct http_request *request, unsigned status, const char *content_type,
                       struct str text);

// ---- Answers of unknown length
//
// http_respond() with HTTP_BODY_STREAM sends the head, and the request lives on: http_stream_write()
// any number of times, then http_stream_end() or http_stream_abort(), after which it must not be
// touched. on_gone tells of a client that left in between, as before an answer. HTTP/1.1 clients get
// chunks, HTTP/1.0 ones the bytes until the connection closes; a HEAD gets no bytes.

#define HTTP_STREAM_QUEUE_MAX                                                                      \
    ((size_t) 256 * 1024) // held for a slow client before a writer must wait

// Sends a copy of `data`. False: more than HTTP_STREAM_QUEUE_MAX is waiting for the client: write no more
// until `drained` was called (once, from a later turn; never after the end or on_gone).
bool http_stream_write(struct http_request *request, struct str data,
                       void (*drained)(struct http_request *request)) MUST_CHECK;

void http_stream_end(struct http_request *request);

// The body cannot be completed: the connection is closed, so that the client does not take what it
// has for the whole.
void http_stream_abort(struct http_request *request);

// Reason phrase of a status, "Unknown" for one without.
const char *http_status_text(unsigned status);

#endif
