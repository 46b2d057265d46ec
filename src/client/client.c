// SPDX-License-Identifier: MIT
#include "client/client.h"

#include "client/sign.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 30000L
#define KEEPALIVE_S 30L
#define RECEIVE_BUFFER_BYTES 131072L
#define ERROR_BODY_BYTES_MAX ((size_t) 1 << 20)
#define LOG_TAIL_BASE64_MAX 8192

struct client {
    struct target target;
    CURL *curl;
    const volatile int *interrupt; // borrowed; NULL: none
};

// One request on its way: what curl's callbacks see.
struct exchange {
    struct client *client;
    const struct client_request *request;
    struct client_answer *answer;
    uint64_t sent;
    int failure; // of a callback; 0 while fine
};

// ---- Life

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_once_result;

static void curl_start(void)
{
    curl_once_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int client_new(const struct target *target, struct client **ret, struct error *err)
{
    (void) pthread_once(&curl_once, curl_start);
    if (curl_once_result != CURLE_OK)
        return error_set(err, -EIO, "libcurl does not start: %s",
                         curl_easy_strerror(curl_once_result));
    struct client *client = mem_new(struct client);
    if (client == NULL)
        return error_set(err, -ENOMEM, "no memory for a client");
    client->target = *target;
    client->curl = curl_easy_init();
    if (client->curl == NULL) {
        client_free(client);
        return error_set(err, -ENOMEM, "no memory for a client");
    }
    *ret = client;
    return 0;
}

void client_free(struct client *client)
{
    if (client == NULL)
        return;
    curl_easy_cleanup(client->curl);
    mem_wipe(&client->target, sizeof client->target);
    free(client);
}

const struct target *client_target(const struct client *client)
{
    return &client->target;
}

void client_set_interrupt(struct client *client, const volatile int *flag)
{
    client->interrupt = flag;
}

// ---- Curl's callbacks

static size_t on_send(char *to, size_t item_size, size_t count, void *arg)
{
    struct exchange *exchange = arg;
    const struct client_request *request = exchange->request;
    uint64_t left = request->body_size - exchange->sent;
    size_t want = item_size * count < left ? item_size * count : (size_t) left;

    if (want == 0)
        return 0;
    ssize_t n = request->source(request->source_arg, exchange->sent, to, want);
    if (n <= 0) {
        exchange->failure = n < 0 ? (int) n : -ESTALE;
        return CURL_READFUNC_ABORT;
    }
    exchange->sent += (uint64_t) n;
    return (size_t) n;
}

// Curl starts again when a kept connection turns out to be dead.
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct exchange *exchange = arg;

    if (origin != SEEK_SET)
        return CURL_SEEKFUNC_CANTSEEK;
    exchange->sent = (uint64_t) offset;
    return CURL_SEEKFUNC_OK;
}

static int keep_body(struct exchange *exchange, const void *data, size_t size)
{
    return buf_append(&exchange->answer->body, data, size);
}

static size_t on_receive(char *data, size_t item_size, size_t count, void *arg)
{
    struct exchange *exchange = arg;
    size_t size = item_size * count;
    long status = 0;

    curl_easy_getinfo(exchange->client->curl, CURLINFO_RESPONSE_CODE, &status);
    bool is_wanted = exchange->request->sink != NULL && status >= 200 && status < 300;
    int r = is_wanted ? exchange->request->sink(exchange->request->sink_arg, data, size)
                      : keep_body(exchange, data, size);
    if (r < 0) {
        exchange->failure = r;
        return 0;
    }
    return size;
}

static void keep_log_tail(struct client_answer *answer, struct str value)
{
    AUTO_FREE char *text = malloc(BASE64_DECODED_SIZE_MAX(value.size) + 1);

    if (text == NULL || value.size > LOG_TAIL_BASE64_MAX)
        return;
    ptrdiff_t size = base64_decode(value, text);
    if (size < 0)
        return; // not base64: as good as absent
    text[size] = '\0';
    free(answer->log_tail);
    answer->log_tail = TAKE_PTR(text);
}

// A header's value into its field, cut when longer. Nothing of it is trusted as text.
static void keep_value(struct str value, char *field, size_t field_size)
{
    (void) !str_copy(str_part(value, 0, field_size - 1), field, field_size);
}

static void keep_header(struct client_answer *answer, struct str name, struct str value)
{
    if (str_equal_nocase(name, STR("x-amzn-errortype"))) {
        struct str type, rest;
        (void) str_cut(value, ':', &type, &rest);
        keep_value(type, answer->error_type, sizeof answer->error_type);
    } else if (str_equal_nocase(name, STR("x-amz-function-error"))) {
        keep_value(value, answer->function_error, sizeof answer->function_error);
    } else if (str_equal_nocase(name, STR("x-amz-executed-version"))) {
        keep_value(value, answer->executed_version, sizeof answer->executed_version);
    } else if (str_equal_nocase(name, STR("x-amzn-requestid"))) {
        keep_value(value, answer->request_id, sizeof answer->request_id);
    } else if (str_equal_nocase(name, STR("retry-after"))) {
        keep_value(value, answer->retry_after, sizeof answer->retry_after);
    } else if (str_equal_nocase(name, STR("x-amz-log-result"))) {
        keep_log_tail(answer, value);
    }
}

static size_t on_header(char *data, size_t item_size, size_t count, void *arg)
{
    struct exchange *exchange = arg;
    size_t size = item_size * count;
    struct str name, value;

    if (size <= CLIENT_HEADER_BYTES_MAX + LOG_TAIL_BASE64_MAX &&
        str_cut(str_of_data(data, size), ':', &name, &value))
        keep_header(exchange->answer, str_trim(name), str_trim(value));
    return size;
}

static int on_progress(void *arg, curl_off_t download_total, curl_off_t downloaded,
                       curl_off_t upload_total, curl_off_t uploaded)
{
    struct exchange *exchange = arg;
    const struct client_request *request = exchange->request;

    if (exchange->client->interrupt != NULL && *exchange->client->interrupt != 0) {
        exchange->failure = -EINTR;
        return 1;
    }
    if (request->progress != NULL)
        request->progress(request->progress_arg, (uint64_t) uploaded, (uint64_t) downloaded);
    return 0;
}

// ---- Curl's settings

static int add_header(struct curl_slist **list, const char *name, const char *value)
{
    AUTO_BUF struct buf line = BUF_INIT(CLIENT_HEADER_BYTES_MAX);

    if (value[0] == '\0')
        return 0;
    buf_printf(&line, "%s: %s", name, value);
    if (buf_status(&line) < 0)
        return -ENOBUFS;
    struct curl_slist *longer = curl_slist_append(*list, line.data);
    if (longer == NULL)
        return -ENOMEM;
    *list = longer;
    return 0;
}

static void free_headers(struct curl_slist **list)
{
    curl_slist_free_all(*list);
}

static int build_headers(const struct client *client, const struct client_request *request,
                         struct curl_slist **list, struct error *err)
{
    struct sigv4_headers signature = {0};

    int r = request->is_unsigned ? 0 : request_sign(&client->target, request, &signature, err);
    if (r < 0)
        return r;
    const struct client_header fixed[] = {
        {"Host", client->target.host},
        {"x-amz-date", signature.date},
        {"x-amz-content-sha256", signature.payload_hash},
        {"x-amz-security-token", signature.token},
        {"Authorization", signature.authorization},
    };
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(fixed); i++)
        r = add_header(list, fixed[i].name, fixed[i].value);
    for (size_t i = 0; r == 0 && i < CLIENT_HEADERS_MAX && request->headers[i].name != NULL; i++)
        r = add_header(list, request->headers[i].name, request->headers[i].value);
    // Curl would wait a second for "100 Continue", and would invent a content type.
    struct curl_slist *longer = r == 0 ? curl_slist_append(*list, "Expect:") : NULL;
    if (r == 0 && longer == NULL)
        r = -ENOMEM;
    mem_wipe(&signature, sizeof signature);
    return r < 0 ? error_set_errno(err, r, "build the request's headers") : 0;
}

static void set_transport(CURL *curl, struct exchange *exchange)
{
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (exchange->client->target.ca_bundle[0] != '\0')
        curl_easy_setopt(curl, CURLOPT_CAINFO, exchange->client->target.ca_bundle);
    if (exchange->request->is_unverified) {
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_S);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long) exchange->request->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER_BYTES);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "lamina/" LAMINA_VERSION);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_receive);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange);
}

static void set_body(CURL *curl, struct exchange *exchange)
{
    const struct client_request *request = exchange->request;
    curl_off_t size = (curl_off_t) request->body_size;
    bool may_have_body =
        strcmp(request->method, "POST") == 0 || strcmp(request->method, "PUT") == 0;

    if (request->body == NULL && request->source != NULL) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, size);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_send);
        curl_easy_setopt(curl, CURLOPT_READDATA, exchange);
        curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(curl, CURLOPT_SEEKDATA, exchange);
    } else if (may_have_body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, size);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS,
                         request->body != NULL ? (const char *) request->body : "");
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

static int transport_failed(const struct exchange *exchange, CURLcode code, struct error *err)
{
    const struct target *target = &exchange->client->target;
    long os_error = 0;

    curl_easy_getinfo(exchange->client->curl, CURLINFO_OS_ERRNO, &os_error);
    if (exchange->failure == -EINTR)
        return error_set(err, -EINTR, "interrupted");
    if (exchange->failure == -EFBIG)
        return error_set(err, -EFBIG, "the answer of %s is too long", target->endpoint);
    if (exchange->failure < 0)
        return error_set_errno(err, exchange->failure, "move data to or from %s", target->endpoint);
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        return error_set(err, -ECONNREFUSED,
                         "cannot reach %s (from %s): %s; is the service running? (lamina up -d)",
                         target->endpoint, target->endpoint_source,
                         os_error != 0 ? error_name((int) os_error) : "no connection");
    case CURLE_COULDNT_RESOLVE_HOST:
        return error_set(err, -EHOSTUNREACH, "cannot resolve the host of %s (from %s)",
                         target->endpoint, target->endpoint_source);
    case CURLE_OPERATION_TIMEDOUT:
        return error_set(err, -ETIMEDOUT, "%s did not answer in time", target->endpoint);
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
        return error_set(err, -ECONNRESET, "%s closed the connection before it had answered",
                         target->endpoint);
    case CURLE_PEER_FAILED_VERIFICATION:
        return error_set(err, -EACCES,
                         "the certificate of %s is not trusted: AWS_CA_BUNDLE names the PEM file "
                         "of who signed it",
                         target->endpoint);
    case CURLE_SSL_CACERT_BADFILE:
        return error_set(err, -ENOENT, "AWS_CA_BUNDLE: cannot read certificates from '%s'",
                         target->ca_bundle);
    default:
        return error_set(err, -EIO, "%s: %s", target->endpoint, curl_easy_strerror(code));
    }
}

static int set_url(const struct client *client, const struct client_request *request,
                   struct error *err)
{
    AUTO_BUF struct buf url = BUF_INIT(16384);
    bool has_query = request->query != NULL && request->query[0] != '\0';

    buf_printf(&url, "%s%s%s%s", client->target.endpoint, request->path, has_query ? "?" : "",
               has_query ? request->query : "");
    int r = buf_status(&url);
    if (r == 0 && curl_easy_setopt(client->curl, CURLOPT_URL, url.data) != CURLE_OK)
        r = -ENOMEM;
    return r < 0 ? error_set_errno(err, r, "build the request's URL") : 0;
}

static int run(struct exchange *exchange, struct error *err)
{
    struct client *client = exchange->client;
    AUTO(free_headers) struct curl_slist *headers = NULL;
    long status = 0;

    curl_easy_reset(client->curl); // keeps the connection
    int r = build_headers(client, exchange->request, &headers, err);
    if (r == 0)
        r = set_url(client, exchange->request, err);
    if (r < 0)
        return r;
    set_transport(client->curl, exchange);
    set_body(client->curl, exchange);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);

    int64_t start_ns = clock_monotonic_ns();
    CURLcode code = curl_easy_perform(client->curl);
    exchange->answer->total_ns = (uint64_t) (clock_monotonic_ns() - start_ns);
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    exchange->answer->status = (int) status;
    // A refusal that came while we were still sending is an answer, whatever became of the rest.
    if (code == CURLE_SEND_ERROR && status >= 400)
        code = CURLE_OK;
    return code == CURLE_OK ? 0 : transport_failed(exchange, code, err);
}

int client_perform(struct client *client, const struct client_request *request,
                   struct client_answer *ret, struct error *err)
{
    struct exchange exchange = {.client = client, .request = request, .answer = ret};

    assert(request->is_unsigned || !request->is_unverified); // a signature goes to nobody unknown
    *ret = (struct client_answer){0};
    size_t kept = request->answer_bytes_max != 0 ? request->answer_bytes_max
                  : request->sink != NULL        ? ERROR_BODY_BYTES_MAX
                                                 : CLIENT_ANSWER_BYTES_MAX;
    buf_init(&ret->body, kept);
    return run(&exchange, err);
}
