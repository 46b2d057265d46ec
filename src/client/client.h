// SPDX-License-Identifier: MIT
//
// The client side of Lamina's HTTP: one signed request, one answer.
//
// This is the front door of src/client: target.h says where the service is and who asks,
// lambda.h has the operations of the Lambda API that the command line and compare use.
//
// A client holds one connection (kept alive between requests) and belongs to one thread.
// Requests are signed by src/aws (libcurl 7.88's own SigV4 signs several request shapes wrongly).
// Nothing is retried here: whoever asks knows whether asking twice is harmless. Redirects are not
// followed, proxies are not used, and only http and https are spoken: a signed request goes to
// the endpoint that the user named and nowhere else.
//
// Errors of client_perform: -ECONNREFUSED, -EHOSTUNREACH, -ETIMEDOUT, -ECONNRESET (the transport),
// -EFBIG (the answer is longer than allowed), -EINTR (interrupted), -EIO (all else). An answer
// of any status is success; client_check turns an AWS error into a struct error.
#ifndef LAMINA_CLIENT_CLIENT_H
#define LAMINA_CLIENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "client/target.h"

#define CLIENT_ANSWER_BYTES_MAX ((size_t) 16 << 20)
#define CLIENT_HEADERS_MAX 16
#define CLIENT_HEADER_BYTES_MAX 8192 // of one answer header that we keep; longer ones are cut

struct client; // opaque; client_new, client_free

struct client_header {
    const char *name;
    const char *value;
};

// Called with pieces of a 2xx answer's body; a negative errno ends the request with it.
typedef int (*client_sink)(void *arg, const void *data, size_t size);

// Fills up to size bytes of a body from offset on; returns how many (0: the end came early) or a
// negative errno. Called in any order: a body is read once for its hash and again to be sent, and
// once more when a kept connection turns out to be dead.
typedef ssize_t (*client_source)(void *arg, uint64_t offset, void *to, size_t size);

// Called now and then while bytes move: how many of the body have been sent, how many received.
typedef void (*client_progress)(void *arg, uint64_t sent, uint64_t received);

struct client_request {
    const char *method;
    const char *path;    // starts with '/', percent-encoded once (base/percent.h)
    const char *query;   // percent-encoded, without '?'; NULL: none
    const char *service; // signing name; NULL: "lambda"
    bool is_unverified;  // https: whoever answers will do; only together with is_unsigned
    bool is_unsigned;    // health and metrics need no signature
    struct client_header
        headers[CLIENT_HEADERS_MAX]; // names in lower case, up to the first NULL; all signed

    // The body: memory, or what source gives when body is NULL.
    const void *body;
    client_source source;
    void *source_arg;
    uint64_t body_size;
    const char *body_sha256_hex; // NULL: computed here

    client_sink sink; // NULL: the body is kept in the answer
    void *sink_arg;
    client_progress progress;
    void *progress_arg;
    size_t answer_bytes_max; // of a kept body; 0: CLIENT_ANSWER_BYTES_MAX
    unsigned timeout_ms;     // of the whole request; 0: none (dead peers end by TCP keep-alive)
};

struct client_answer {
    int status;
    struct buf body;         // what the sink did not take
    char *log_tail;          // X-Amz-Log-Result, decoded; NULL when absent
    char error_type[128];    // the AWS exception's name without its ":http..." suffix, or empty
    char function_error[64]; // X-Amz-Function-Error, or empty
    char executed_version[64];
    char request_id[64];
    char retry_after[32];
    uint64_t total_ns; // from the first byte sent to the last received, connection included
};

MUST_CHECK int client_new(const struct target *target, struct client **ret, struct error *err);
void client_free(struct client *client);

// The target's copy inside the client; lives as long as the client.
const struct target *client_target(const struct client *client);

// A flag that ends a running request with -EINTR when it becomes non-zero (set it in a signal
// handler). Looked at every time bytes move and at least once a second. Borrowed.
void client_set_interrupt(struct client *client, const volatile int *flag);

// ret is initialised by this call, also when it fails; client_answer_done frees it.
MUST_CHECK int client_perform(struct client *client, const struct client_request *request,
                              struct client_answer *ret, struct error *err);
void client_answer_done(struct client_answer *answer);

// 0 for a 2xx answer. Otherwise the AWS error in it, prefixed with what ("create 'f'"):
// -ENOENT 404, -EACCES 401 and 403, -EBUSY 409, -ESTALE 412, -EFBIG 413, -EAGAIN 429,
// -EINVAL other 4xx, -EREMOTEIO 5xx and everything that is not HTTP as we know it.
MUST_CHECK int client_check(const struct client_answer *answer, const struct target *target,
                            const char *what, struct error *err);

#endif
