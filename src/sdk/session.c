// SPDX-License-Identifier: MIT
#include "sdk/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define API "/2018-06-01/runtime"
#define HEAD_BYTES 2048
#define PHASE_COUNT_MAX 8
#define PHASE_NAME_BYTES 32
#define DIGEST_HEX_BYTES 64
#define TRACE_BYTES_MAX 1024
// An answer that no platform refuses for its size: a refused one must be followed by an error.
#define ASK_AHEAD_BYTES_MAX ((size_t) 256 * 1024)

// What the process says of itself. Static because it is told before lamina_run, from main.
static struct {
    struct {
        char name[PHASE_NAME_BYTES];
        double milliseconds;
    } phases[PHASE_COUNT_MAX];
    int phase_count;
    char model_digest[DIGEST_HEX_BYTES + 1];
    char model_signature[DIGEST_HEX_BYTES + 1];
} self;

static bool is_word(const char *text, size_t size_max)
{
    size_t size = strnlen(text, size_max + 1);
    if (size == 0 || size > size_max)
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (!((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' ||
              c == '-'))
            return false;
    }
    return true;
}

void lamina_init_phase(const char *name, double milliseconds)
{
    if (self.phase_count == PHASE_COUNT_MAX || !is_word(name, PHASE_NAME_BYTES - 1))
        return;
    (void) snprintf(self.phases[self.phase_count].name, PHASE_NAME_BYTES, "%s", name);
    // A day at most: the header's room is counted.
    self.phases[self.phase_count++].milliseconds = milliseconds < 86.4e6 ? milliseconds : 86.4e6;
}

void session_forget_phases(void)
{
    self.phase_count = 0;
}

static void keep_digest(char out[DIGEST_HEX_BYTES + 1], const char *hex)
{
    bool is_kept = hex != NULL && is_word(hex, DIGEST_HEX_BYTES);
    (void) snprintf(out, DIGEST_HEX_BYTES + 1, "%s", is_kept ? hex : "");
}

void lamina_model_digest(const char *hex)
{
    keep_digest(self.model_digest, hex);
}

void lamina_model_signature(const char *hex)
{
    keep_digest(self.model_signature, hex);
}

const char *session_digest_header(char out[SESSION_DIGEST_HEADER_BYTES])
{
    bool has_digest = self.model_digest[0] != '\0';
    (void) snprintf(out, SESSION_DIGEST_HEADER_BYTES, "%s%s%s",
                    has_digest ? "Lamina-Model-Digest: " : "", self.model_digest,
                    has_digest ? "\r\n" : "");
    return out;
}

#define ADDRESS_BYTES 64

static struct {
    char address[ADDRESS_BYTES];
    struct runtime_client client;
} early = {.client.fd = -1};

void session_connect_ahead(void)
{
    const char *address = getenv("AWS_LAMBDA_RUNTIME_API");
    if (address == NULL || strlen(address) >= ADDRESS_BYTES)
        return;
    memcpy(early.address, address, strlen(address) + 1);
    // If it cannot be had, the first request says why.
    if (runtime_client_init(&early.client, early.address) == 0)
        (void) runtime_client_connect(&early.client);
}

// What was connected ahead is this session's, or nobody's.
static void take_early(struct session *session)
{
    if (early.client.fd < 0)
        return;
    if (strcmp(early.address, session->client.address) == 0)
        session->client.fd = early.client.fd;
    else
        (void) close(early.client.fd);
    early.client.fd = -1;
}

int session_init(struct session *session)
{
    const char *address = getenv("AWS_LAMBDA_RUNTIME_API");
    memset(session, 0, sizeof *session);
    session->client.fd = -1;
    session->error.maximum = CALL_MESSAGE_BYTES * 8;
    stream_init(&session->stream, &session->client);
    if (address == NULL) {
        (void) fprintf(stderr,
                       "lamina: AWS_LAMBDA_RUNTIME_API is not set: this program is a Lambda "
                       "bootstrap and is started by the platform\n");
        return -EINVAL;
    }
    int r = runtime_client_init(&session->client, address);
    if (r < 0)
        (void) fprintf(stderr,
                       "lamina: AWS_LAMBDA_RUNTIME_API is '%s', not host:port with an IP address\n",
                       address);
    else
        take_early(session);
    return r;
}

void session_done(struct session *session)
{
    runtime_client_done(&session->client);
    bytes_done(&session->error);
    stream_done(&session->stream);
}

static int exchange(struct session *session, const char *what, struct runtime_request request,
                    struct runtime_reply *ret_reply)
{
    request.head_size = strlen(request.head);
    int r = runtime_client_exchange(&session->client, &request, ret_reply);
    if (r < 0)
        (void) fprintf(stderr, "lamina: %s: Runtime API %s: %s\n", what, session->client.address,
                       strerror(-r));
    return r;
}

// ---- next ----

// Room for all of them: 8 phases of at most 32 + 24 bytes, and a digest.
#define FIRST_HEADERS_BYTES 768

static size_t append(char *out, size_t at, const char *text)
{
    return at + (size_t) snprintf(out + at, FIRST_HEADERS_BYTES - at, "%s", text);
}

// What only the first request for work says. Returns `out`.
static const char *first_headers(const struct session *session, char out[FIRST_HEADERS_BYTES])
{
    size_t at = 0;
    out[0] = '\0';
    if (session->has_polled)
        return out;
    for (int i = 0; i < self.phase_count; i++) {
        char phase[PHASE_NAME_BYTES + 40];
        (void) snprintf(phase, sizeof phase, "%s%s=%.3f", i == 0 ? "Lamina-Init-Phases: " : ";",
                        self.phases[i].name, self.phases[i].milliseconds);
        at = append(out, at, phase);
    }
    if (self.phase_count > 0)
        at = append(out, at, "\r\n");
    if (self.model_signature[0] != '\0') {
        at = append(out, at, "Lamina-Model-Signature: ");
        at = append(out, at, self.model_signature);
        (void) append(out, at, "\r\n");
    }
    return out;
}

// A header's value as a string: ends it where it ends, over the CR or LF that follows it.
static const char *header(const struct runtime_reply *reply, enum http_reply_header which)
{
    char *data = reply->data;
    size_t at = reply->head.headers[which].at, size = reply->head.headers[which].size;
    if (size == 0)
        return "";
    data[at + size] = '\0';
    return data + at;
}

// The trace id where X-Ray SDKs look for it. putenv on one block of ours, changed in place: setenv
// would leak the old value at each invocation.
static void export_trace_id(const char *trace_id)
{
    static char entry[sizeof "_X_AMZN_TRACE_ID=" + TRACE_BYTES_MAX];
    static bool is_exported;
    if (trace_id[0] == '\0' && !is_exported)
        return;
    (void) snprintf(entry, sizeof entry, "_X_AMZN_TRACE_ID=%s", trace_id);
    if (!is_exported)
        is_exported = putenv(entry) == 0;
}

static int fill_call(struct session *session, struct call *call, const struct runtime_reply *reply)
{
    const char *request_id = header(reply, HTTP_REPLY_REQUEST_ID);
    if (!is_word(request_id, CALL_REQUEST_ID_BYTES - 1)) {
        (void) fprintf(stderr,
                       "lamina: next: no usable Lambda-Runtime-Aws-Request-Id in the answer\n");
        return -EPROTO;
    }
    call_reset(call);
    stream_reset(&session->stream);
    (void) snprintf(call->request_id, sizeof call->request_id, "%s", request_id);
    call->public = (struct lamina_call){
        .payload = reply->body,
        .size = reply->body_size,
        .request_id = call->request_id,
        .function_arn = header(reply, HTTP_REPLY_FUNCTION_ARN),
        .trace_id = header(reply, HTTP_REPLY_TRACE_ID),
        .client_context = header(reply, HTTP_REPLY_CLIENT_CONTEXT),
        .cognito_identity = header(reply, HTTP_REPLY_COGNITO_IDENTITY),
        .deadline_ms = strtoll(header(reply, HTTP_REPLY_DEADLINE_MS), NULL, 10),
    };
    export_trace_id(call->public.trace_id);
    return 0;
}

static const char *next_head(const struct session *session, char out[HEAD_BYTES])
{
    char first[FIRST_HEADERS_BYTES];
    (void) snprintf(out, HEAD_BYTES,
                    "GET " API
                    "/invocation/next HTTP/1.1\r\nHost: %s\r\nUser-Agent: lamina\r\n%s\r\n",
                    session->client.address, first_headers(session, first));
    return out;
}

// Asked ahead, or asks now: a connection that broke in between is no reason to fail.
static int ask_next(struct session *session, struct runtime_reply *ret_reply)
{
    char head[HEAD_BYTES];
    bool has_asked = session->has_asked;
    session->has_asked = false;
    if (has_asked && runtime_client_receive_ahead(&session->client, ret_reply) == 0)
        return 0;
    return exchange(session, "next", (struct runtime_request){.head = next_head(session, head)},
                    ret_reply);
}

int session_next(struct session *session, struct call *call)
{
    struct runtime_reply reply;
    int r = ask_next(session, &reply);
    if (r < 0)
        return r;
    session->has_polled = true;
    if (reply.head.status != 200) {
        (void) fprintf(stderr, "lamina: next: the Runtime API answered %d: %.300s\n",
                       reply.head.status, reply.body);
        return -EPROTO;
    }
    session->may_ask_ahead = reply.head.headers[HTTP_REPLY_PIPELINING].size > 0;
    return fill_call(session, call, &reply);
}

// ---- answers ----

struct post {
    const char *path; // of the invocation, or init
    const char *content_type;
    const char *error_type; // NULL: not an error
    const void *body;
    size_t body_size;
    bool is_call; // of an invocation: the next one may be asked for behind it
};

// The same as exchange, with the request for the next call behind it: one segment to the platform and
// one back, in place of two, and the process is woken once.
static int exchange_ahead(struct session *session, const char *what, struct runtime_request request,
                          struct runtime_reply *ret_reply)
{
    char head[HEAD_BYTES];
    struct runtime_request ahead = {.head = next_head(session, head)};
    ahead.head_size = strlen(ahead.head);
    request.head_size = strlen(request.head);
    int r = runtime_client_exchange_ahead(&session->client, &request, &ahead, ret_reply,
                                          &session->has_asked);
    if (r < 0)
        (void) fprintf(stderr, "lamina: %s: Runtime API %s: %s\n", what, session->client.address,
                       strerror(-r));
    return r;
}

// Returns the status, or an error.
static int post(struct session *session, const char *what, const struct post *post)
{
    char head[HEAD_BYTES], digest[SESSION_DIGEST_HEADER_BYTES];
    struct runtime_reply reply;
    (void) snprintf(head, sizeof head,
                    "POST " API "/%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: lamina\r\n"
                    "Content-Type: %s\r\nContent-Length: %zu\r\n%s%s%s%s\r\n",
                    post->path, session->client.address, post->content_type, post->body_size,
                    post->error_type ? "Lambda-Runtime-Function-Error-Type: " : "",
                    post->error_type ? post->error_type : "", post->error_type ? "\r\n" : "",
                    session_digest_header(digest));
    struct runtime_request request = {
        .head = head, .body = post->body, .body_size = post->body_size};
    int r = post->is_call && session->may_ask_ahead && post->body_size <= ASK_AHEAD_BYTES_MAX
                ? exchange_ahead(session, what, request, &reply)
                : exchange(session, what, request, &reply);
    if (r < 0)
        return r;
    if (reply.head.status < 200 || reply.head.status > 299)
        (void) fprintf(stderr, "lamina: %s: the Runtime API answered %d: %.300s\n", what,
                       reply.head.status, reply.body);
    return reply.head.status;
}

static int post_error(struct session *session, const char *path, const char *type,
                      const char *message)
{
    static const char out_of_memory[] = "{\"errorMessage\":\"no memory for the error's "
                                        "text\",\"errorType\":\"Runtime.OutOfMemory\"}";
    struct post error = {.path = path, .content_type = "application/json", .error_type = type};

    bytes_clear(&session->error, CALL_MESSAGE_BYTES);
    bool is_written = call_error_json(&session->error, type, message) == 0;
    error.body = is_written ? session->error.data : out_of_memory;
    error.body_size = is_written ? session->error.size : sizeof out_of_memory - 1;
    return post(session, "error", &error);
}

static int post_answer(struct session *session, const struct call *call)
{
    char path[CALL_REQUEST_ID_BYTES + 32];
    (void) snprintf(path, sizeof path, "invocation/%s/response", call->request_id);
    return post(session, "response",
                &(struct post){.path = path,
                               .is_call = true,
                               .content_type = call->content_type,
                               .body = call->answer.size > 0 ? call->answer.data : "",
                               .body_size = call->answer.size});
}

static int post_failure(struct session *session, const struct call *call)
{
    char path[CALL_REQUEST_ID_BYTES + 32];
    (void) snprintf(path, sizeof path, "invocation/%s/error", call->request_id);
    return post_error(session, path, call->error_type, call->error_message);
}

// What a stream ended with. A caller that hung up is no reason to end the process: the next
// invocation makes a new connection.
static int end_stream(struct session *session, struct call *call)
{
    int status = stream_end(&session->stream, call);
    if (status < 0)
        (void) fprintf(stderr, "lamina: stream: Runtime API %s: %s\n", session->client.address,
                       strerror(-status));
    else if (status < 200 || status > 299)
        (void) fprintf(stderr, "lamina: stream: the Runtime API answered %d\n", status);
    return status >= 500 ? -ESHUTDOWN : 0;
}

int session_answer(struct session *session, struct call *call)
{
    // A handler that failed before its stream began is reported as any other.
    if (call->is_stream && (session->stream.has_begun || !call->has_failed))
        return end_stream(session, call);
    int status = call->has_failed ? post_failure(session, call) : post_answer(session, call);
    if (status == 413 && !call->has_failed) {
        // This platform's limit is lower than AWS's; it still takes an error for the same id.
        (void) lamina_fail(&call->public, "Function.ResponseSizeTooLarge",
                           "the answer of %zu bytes is larger than the platform takes",
                           call->answer.size);
        status = post_failure(session, call);
    }
    if (status < 0)
        return status;
    return status >= 500 ? -ESHUTDOWN : 0;
}

int session_init_error(struct session *session, const char *type, const char *message)
{
    int status = post_error(session, "init/error", type, message);
    return status < 0 ? status : 0;
}
