// SPDX-License-Identifier: MIT

#include "fetch/s3_client.h"

#include "aws/sigv4.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/percent.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 10000L
#define RECEIVE_BUFFER_BYTES (128L * 1024)
#define LIST_PAGE_MAX 1000
#define TRIES_MAX 4
#define TRY_PAUSE_US 25000U // doubled each time

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_start(void)
{
    (void) !curl_global_init(CURL_GLOBAL_DEFAULT); // curl_easy_init fails then
}

// ---- Places

static int place_fit(int length, size_t size, struct error *err)
{
    return length < 0 || (size_t) length >= size
               ? error_set(err, -EINVAL, "the bucket and the key are too long for a request")
               : 0;
}

static int place_host(struct s3_place *place, const struct s3_uri *uri, struct error *err)
{
    const struct origin *origin = place->origin;
    int n = origin->is_virtual ? snprintf(place->host, sizeof(place->host), "%.*s.%s",
                                          (int) uri->bucket.size, uri->bucket.data, origin->host)
                               : snprintf(place->host, sizeof(place->host), "%s", origin->host);
    return place_fit(n, sizeof(place->host), err);
}

static int place_path(struct s3_place *place, const struct s3_uri *uri, struct str key,
                      struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(sizeof(place->path) - 1);
    buf_append_byte(&path, '/');
    if (!place->origin->is_virtual) {
        buf_append_str(&path, uri->bucket);
        if (key.size > 0)
            buf_append_byte(&path, '/');
    }
    percent_append(&path, key, true);
    if (buf_status(&path) < 0)
        return place_fit(-1, 0, err);
    return str_copy(buf_str(&path), place->path, sizeof(place->path));
}

int s3_place_of(const struct origin *origin, const struct s3_uri *uri, struct s3_place *ret_place,
                struct error *err)
{
    struct s3_place place = {.origin = origin, .is_https = origin->is_https, .is_named = true};
    AUTO_BUF struct buf query = BUF_INIT(sizeof(place.query) - 1);
    int r = place_host(&place, uri, err);
    if (r == 0)
        r = place_path(&place, uri, uri->key, err);
    if (r < 0)
        return r;
    if (uri->version_id.size > 0) {
        buf_append_text(&query, "versionId=");
        percent_append(&query, uri->version_id, false);
        if (buf_status(&query) < 0 ||
            str_copy(buf_str(&query), place.query, sizeof(place.query)) < 0)
            return place_fit(-1, 0, err);
    }
    (void) snprintf(place.name, sizeof(place.name), "s3://%.*s/%.*s", (int) uri->bucket.size,
                    uri->bucket.data, (int) uri->key.size, uri->key.size ? uri->key.data : "");
    *ret_place = place;
    return 0;
}

// ---- What curl calls

static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct s3_exchange *exchange = arg;
    if (!exchange->place->is_named && !s3_address_is_public(&address->addr)) {
        exchange->is_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

// For objects only: an error's body is always kept.
static bool is_object(const struct s3_exchange *exchange)
{
    return exchange->sink && (exchange->answer.status == 200 || exchange->answer.status == 206);
}

// Of an error the first words are kept, and the rest of a short one is read, so that the connection is good for the next try.
static int error_body(struct s3_exchange *exchange, const char *data, size_t size)
{
    size_t had = exchange->body.size, room = had < S3_ERROR_MAX ? S3_ERROR_MAX - had : 0;
    exchange->error_bytes += size;
    if (exchange->error_bytes > S3_ERROR_READ_MAX)
        return -EMSGSIZE;
    return buf_append(&exchange->body, data, size < room ? size : room);
}

static size_t on_body(char *data, size_t item_size, size_t count, void *arg)
{
    struct s3_exchange *exchange = arg;
    size_t size = item_size * count;
    bool is_good = exchange->answer.status == 200 || exchange->answer.status == 206;
    int r = is_object(exchange) ? exchange->sink(exchange->arg, data, size)
            : is_good           ? buf_append(&exchange->body, data, size)
                                : error_body(exchange, data, size);
    if (r >= 0)
        return size;
    exchange->sink_code = r;
    return 0;
}

static void keep(struct str value, char *to, size_t to_size)
{
    if (str_copy(value, to, to_size) < 0)
        to[0] = '\0'; // too long, or with a NUL: as good as absent
}

// "bytes 0-99/1234"
static bool range_read(struct str value, struct s3_answer *answer)
{
    struct str range, total, first, last;
    if (!str_has_prefix(value, STR("bytes ")) ||
        !str_cut(str_skip(value, 6), '/', &range, &total) || !str_cut(range, '-', &first, &last))
        return false;
    return str_to_u64(first, INT64_MAX, &answer->first) == 0 &&
           str_to_u64(last, INT64_MAX, &answer->last) == 0 &&
           str_to_u64(total, INT64_MAX, &answer->total) == 0;
}

static void header_read(struct s3_answer *answer, struct str name, struct str value)
{
    const struct {
        const char *name;
        char *to;
        size_t size;
    } texts[] = {
        {"etag", answer->etag, sizeof(answer->etag)},
        {"x-amz-version-id", answer->version_id, sizeof(answer->version_id)},
        {"x-amz-bucket-region", answer->region, sizeof(answer->region)},
        {"location", answer->location, sizeof(answer->location)},
        {"x-amz-checksum-sha256", answer->sha256, sizeof(answer->sha256)},
        {"x-amz-checksum-crc32", answer->crc32, sizeof(answer->crc32)},
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (str_equal_nocase(name, str_of(texts[i].name)))
            keep(value, texts[i].to, texts[i].size);
    if (str_equal_nocase(name, STR("content-length")))
        answer->has_length = str_to_u64(value, INT64_MAX, &answer->length) == 0;
    else if (str_equal_nocase(name, STR("content-range")))
        answer->has_range = range_read(value, answer);
}

static size_t on_header(char *data, size_t item_size, size_t count, void *arg)
{
    struct s3_exchange *exchange = arg;
    struct str line = str_of_data(data, item_size * count), name, value;
    if (str_has_prefix(line, STR("HTTP/"))) { // also after a 100
        uint64_t status = 0;
        ptrdiff_t space = str_find(line, ' ');
        exchange->answer = (struct s3_answer){0};
        if (space > 0 && str_to_u64(str_part(line, (size_t) space + 1, 3), 999, &status) == 0)
            exchange->answer.status = (long) status;
    } else if (str_cut(line, ':', &name, &value)) {
        header_read(&exchange->answer, str_trim(name), str_trim(value));
    }
    return line.size;
}

// ---- Building a request

struct signable {
    struct http_header headers[4];
    size_t count;
};

static void signable_add(struct signable *signable, const char *name, const char *value)
{
    if (value[0])
        signable->headers[signable->count++] =
            (struct http_header){.name = str_of(name), .value = str_of(value)};
}

static int header_add(struct curl_slist **list, const char *name, const char *value)
{
    AUTO_BUF struct buf line = BUF_INIT((size_t) 8 * 1024);
    if (value[0] == '\0')
        return 0;
    buf_printf(&line, "%s: %s", name, value);
    buf_append_byte(&line, '\0');
    struct curl_slist *longer = buf_status(&line) < 0 ? NULL : curl_slist_append(*list, line.data);
    if (!longer)
        return -ENOMEM;
    *list = longer;
    return 0;
}

static int sign(const struct s3_exchange *exchange, const struct signable *signable,
                struct sigv4_headers *ret_signature, struct error *err)
{
    const struct s3_place *place = exchange->place;
    const struct origin *origin = place->origin;
    const struct sigv4_signer signer = {
        .access_key = str_of(origin->access_key),
        .secret = str_of(origin->secret),
        .token = str_of(origin->token),
        .region = str_of(origin->region),
        .service = STR("s3"),
        .wall_s = clock_wall_s(),
    };
    const struct sigv4_request request = {
        .method = str_of(exchange->method),
        .path = str_of(place->path),
        .query = str_of(place->query),
        .headers = signable->headers,
        .header_count = signable->count,
    };
    if (origin->access_key[0] == '\0')
        return 0;
    return sigv4_sign(&signer, &request, NULL, ret_signature, err);
}

static int headers_build(struct s3_exchange *exchange, struct error *err)
{
    struct signable signable = {0};
    struct sigv4_headers signature = {0};
    signable_add(&signable, "host", exchange->place->host);
    signable_add(&signable, "if-match", exchange->if_match);
    signable_add(&signable, "range", exchange->range);
    if (exchange->place->origin->access_key[0])
        signable_add(&signable, "x-amz-checksum-mode", "ENABLED");
    int r = sign(exchange, &signable, &signature, err);
    if (r < 0)
        return r;
    const struct {
        const char *name, *value;
    } more[] = {
        {"x-amz-date", signature.date},
        {"x-amz-content-sha256", signature.payload_hash},
        {"x-amz-security-token", signature.token},
        {"Authorization", signature.authorization},
    };
    curl_slist_free_all(exchange->headers);
    exchange->headers = NULL;
    for (size_t i = 0; r == 0 && i < signable.count; i++)
        r = header_add(&exchange->headers, signable.headers[i].name.data,
                       signable.headers[i].value.data);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(more); i++)
        r = header_add(&exchange->headers, more[i].name, more[i].value);
    mem_wipe(&signature, sizeof(signature));
    return r < 0 ? error_set_errno(err, r, "build the request for %s", exchange->place->name) : 0;
}

static void transport_set(struct s3_exchange *exchange)
{
    CURL *easy = exchange->easy;
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, S3_SPEED_MIN);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long) exchange->place->origin->stall_s);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "lamina/" LAMINA_VERSION);
    if (exchange->place->origin->ca_file[0])
        curl_easy_setopt(easy, CURLOPT_CAINFO, exchange->place->origin->ca_file);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->curl_text);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange);
}

static int url_set(struct s3_exchange *exchange, struct error *err)
{
    const struct s3_place *place = exchange->place;
    AUTO_BUF struct buf url = BUF_INIT((size_t) 16 * 1024);
    buf_printf(&url, "%s://%s%s%s%s", place->is_https ? "https" : "http", place->host, place->path,
               place->query[0] ? "?" : "", place->query);
    buf_append_byte(&url, '\0');
    if (buf_status(&url) < 0 || curl_easy_setopt(exchange->easy, CURLOPT_URL, url.data) != CURLE_OK)
        return error_set(err, -ENOMEM, "build the URL of %s", place->name);
    return 0;
}

int s3_exchange_init(struct s3_exchange *exchange, struct s3_place *place, struct error *err)
{
    (void) pthread_once(&curl_once, curl_start);
    *exchange = (struct s3_exchange){.place = place, .method = "GET"};
    buf_init(&exchange->body, S3_BODY_MAX);
    exchange->easy = curl_easy_init();
    return exchange->easy ? 0 : error_set(err, -ENOMEM, "no memory for a request");
}

void s3_exchange_done(struct s3_exchange *exchange)
{
    if (exchange->easy)
        curl_easy_cleanup(exchange->easy);
    exchange->easy = NULL;
    curl_slist_free_all(exchange->headers);
    exchange->headers = NULL;
    buf_done(&exchange->body);
}

int s3_exchange_begin(struct s3_exchange *exchange, struct error *err)
{
    curl_easy_reset(exchange->easy); // keeps the connections
    exchange->answer = (struct s3_answer){0};
    exchange->sink_code = 0;
    exchange->is_refused = false;
    exchange->error_bytes = 0;
    exchange->curl_text[0] = '\0';
    buf_clear(&exchange->body);
    int r = url_set(exchange, err);
    if (r == 0)
        r = headers_build(exchange, err);
    if (r < 0)
        return r;
    transport_set(exchange);
    curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, exchange->headers);
    if (strcmp(exchange->method, "HEAD") == 0)
        curl_easy_setopt(exchange->easy, CURLOPT_NOBODY, 1L);
    return 0;
}

// ---- Judging an answer

static int transport_failed(const struct s3_exchange *exchange, CURLcode code, struct error *err)
{
    const struct s3_place *place = exchange->place;
    const char *why = exchange->curl_text[0] ? exchange->curl_text : curl_easy_strerror(code);
    if (exchange->is_refused)
        return error_set(err, -EPERM, "%s: redirected to %s, an address that is not public",
                         place->name, place->host);
    if (exchange->sink_code < 0)
        return error_set_errno(err, exchange->sink_code, "%s: take what came", place->name);
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CONNECT_ERROR:
        return error_set(err, -EPROTO, "%s: TLS with %s: %.160s", place->name, place->host, why);
    case CURLE_COULDNT_RESOLVE_HOST:
        return error_set(err, -EHOSTUNREACH, "%s: cannot resolve %s", place->name, place->host);
    case CURLE_OUT_OF_MEMORY:
        return error_set(err, -ENOMEM, "%s: no memory for a request", place->name);
    default:
        return error_set(err, -EAGAIN, "%s: %s: %.160s", place->name, place->host, why);
    }
}

static int status_code(long status)
{
    switch (status) {
    case 404:
        return -ENOENT;
    case 401:
    case 403:
        return -EACCES;
    case 412:
        return -ESTALE;
    case 408:
    case 429:
        return -EAGAIN;
    default:
        return status >= 500 ? -EAGAIN : -EPROTO;
    }
}

static const char *status_word(long status)
{
    switch (status) {
    case 404:
        return "NoSuchKey";
    case 401:
    case 403:
        return "AccessDenied";
    case 412:
        return "PreconditionFailed";
    default:
        return "UnexpectedAnswer";
    }
}

static int refused(const struct s3_exchange *exchange, struct error *err)
{
    const struct s3_answer *answer = &exchange->answer;
    struct s3_xml_error error;
    char more[96] = "";
    s3_xml_error(buf_str(&exchange->body), &error);
    if ((answer->status == 301 || answer->status == 400) && answer->region[0] &&
        strcmp(answer->region, exchange->place->origin->region) != 0)
        (void) snprintf(more, sizeof(more), " (the bucket is in region %s)", answer->region);
    return error_set(err, status_code(answer->status), "%s: %s: %s%s(status %ld)%s",
                     exchange->place->name,
                     error.code[0] ? error.code : status_word(answer->status), error.message,
                     error.message[0] ? " " : "", answer->status, more);
}

int s3_exchange_judge(struct s3_exchange *exchange, CURLcode code, struct error *err)
{
    long status = exchange->answer.status;
    bool is_long = exchange->sink_code == -EMSGSIZE && exchange->error_bytes > S3_ERROR_READ_MAX;
    if (code != CURLE_OK && !is_long)
        return transport_failed(exchange, code, err);
    return status == 200 || status == 206 ? 0 : refused(exchange, err);
}

// ---- Redirects

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 307 || status == 308;
}

static int part_get(CURLU *url, CURLUPart part, unsigned flags, char *to, size_t size)
{
    char *text = NULL;
    if (curl_url_get(url, part, &text, flags) != CURLUE_OK) {
        to[0] = '\0';
        return 0;
    }
    int r = str_copy(str_of(text), to, size);
    curl_free(text);
    return r;
}

static int location_read(CURLU *url, struct s3_place *place)
{
    char scheme[8], host[ORIGIN_TEXT_MAX], port[8];
    int r = part_get(url, CURLUPART_SCHEME, 0, scheme, sizeof(scheme));
    if (r == 0)
        r = part_get(url, CURLUPART_HOST, 0, host, sizeof(host));
    if (r == 0)
        r = part_get(url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT, port, sizeof(port));
    if (r == 0)
        r = part_get(url, CURLUPART_PATH, 0, place->path, sizeof(place->path));
    if (r == 0)
        r = part_get(url, CURLUPART_QUERY, 0, place->query, sizeof(place->query));
    bool is_https = strcmp(scheme, "https") == 0;
    if (r < 0 || host[0] == '\0' || (!is_https && strcmp(scheme, "http") != 0))
        return -EPROTO;
    if (place->is_https && !is_https)
        return -EPERM;
    place->is_https = is_https;
    (void) snprintf(place->host, sizeof(place->host), "%s%s%s", host, port[0] ? ":" : "", port);
    place->is_named =
        is_https == place->origin->is_https && strcmp(place->host, place->origin->host) == 0;
    return 0;
}

static int follow(struct s3_exchange *exchange, struct error *err)
{
    struct s3_place *place = exchange->place;
    struct s3_place next = *place;
    CURLU *url = curl_url();
    int r = url ? 0 : -ENOMEM;
    if (r == 0 &&
        curl_url_set(url, CURLUPART_URL, exchange->answer.location, CURLU_PATH_AS_IS) != CURLUE_OK)
        r = -EPROTO;
    if (r == 0)
        r = location_read(url, &next);
    curl_url_cleanup(url);
    if (r < 0)
        return error_set(err, r, "%s: %s redirects to where nobody follows", place->name,
                         place->host);
    *place = next;
    return 0;
}

static int perform_once(struct s3_exchange *exchange, struct error *err)
{
    for (int hops = 0; hops <= S3_REDIRECTS_MAX; hops++) {
        int r = s3_exchange_begin(exchange, err);
        if (r < 0)
            return r;
        CURLcode code = curl_easy_perform(exchange->easy);
        if (code != CURLE_OK || !is_redirect(exchange->answer.status) ||
            exchange->answer.location[0] == '\0')
            return s3_exchange_judge(exchange, code, err);
        r = follow(exchange, err);
        if (r < 0)
            return r;
    }
    return error_set(err, -ELOOP, "%s: more than %d redirects", exchange->place->name,
                     S3_REDIRECTS_MAX);
}

int s3_exchange_perform(struct s3_exchange *exchange, struct error *err)
{
    const struct s3_place asked = *exchange->place;
    for (unsigned tries = 1;; tries++) {
        int r = perform_once(exchange, err);
        if (r != -EAGAIN || tries == TRIES_MAX)
            return r;
        usleep(TRY_PAUSE_US << tries);
        error_clear(err);
        *exchange->place = asked; // a redirect may have led to what does not answer
    }
}

// ---- HEAD

// The answer to a HEAD has no body, and so no word for what is wrong: a GET of the first byte has.
static int head_explain(struct s3_exchange *exchange, struct error *err)
{
    struct error ignored = {0};
    struct s3_xml_error error;
    exchange->method = "GET";
    (void) snprintf(exchange->range, sizeof(exchange->range), "bytes=0-0");
    if (s3_exchange_perform(exchange, &ignored) == 0)
        return err->code; // it has come back meanwhile: the next try finds it
    s3_xml_error(buf_str(&exchange->body), &error);
    if (error.code[0])
        *err = ignored;
    return err->code;
}

static int head_read(const struct s3_exchange *exchange, struct s3_head *ret_head,
                     struct error *err)
{
    const struct s3_answer *answer = &exchange->answer;
    struct s3_head head = {.bytes = answer->length};
    bool has_version = answer->version_id[0] && strcmp(answer->version_id, "null") != 0;
    if (!answer->has_length || answer->etag[0] == '\0')
        return error_set(err, -EPROTO, "%s: %s told no size or no ETag", exchange->place->name,
                         exchange->place->host);
    memcpy(head.etag, answer->etag, sizeof(head.etag));
    memcpy(head.mark, has_version ? answer->version_id : answer->etag, sizeof(head.mark));
    memcpy(head.sha256, answer->sha256, sizeof(head.sha256));
    memcpy(head.crc32, answer->crc32, sizeof(head.crc32));
    *ret_head = head;
    return 0;
}

int s3_head(struct s3_place *place, struct s3_head *ret_head, struct error *err)
{
    struct s3_exchange exchange;
    int r = s3_exchange_init(&exchange, place, err);
    if (r < 0)
        return r;
    exchange.method = "HEAD";
    r = s3_exchange_perform(&exchange, err);
    if (r == -ENOENT || r == -EACCES)
        r = head_explain(&exchange, err);
    else if (r == 0)
        r = head_read(&exchange, ret_head, err);
    s3_exchange_done(&exchange);
    return r;
}

// ---- Lists

struct listing {
    const struct s3_uri *uri;
    struct s3_exchange exchange;
    size_t count, max;
    int (*each)(void *arg, const struct s3_xml_entry *entry);
    void *arg;
};

static int listing_entry(void *arg, const struct s3_xml_entry *entry)
{
    struct listing *listing = arg;
    if (!str_has_prefix(str_of(entry->key), listing->uri->key))
        return -EBADMSG;
    if (++listing->count > listing->max)
        return -E2BIG;
    return listing->each(listing->arg, entry);
}

// Sorted by name, as the signature wants it.
static int listing_query(const struct listing *listing, const char *token, struct s3_place *place)
{
    AUTO_BUF struct buf query = BUF_INIT(sizeof(place->query) - 1);
    if (token[0]) {
        buf_append_text(&query, "continuation-token=");
        percent_append(&query, str_of(token), false);
        buf_append_byte(&query, '&');
    }
    buf_printf(&query, "encoding-type=url&list-type=2&max-keys=%d&prefix=", LIST_PAGE_MAX);
    percent_append(&query, listing->uri->key, false);
    return buf_status(&query) < 0 ? -EINVAL
                                  : str_copy(buf_str(&query), place->query, sizeof(place->query));
}

static int listing_page(struct listing *listing, struct s3_place *place, struct s3_xml_page *page,
                        struct error *err)
{
    int r = listing_query(listing, page->token, place);
    if (r < 0)
        return error_set(err, r, "%s: the prefix is too long", place->name);
    r = s3_exchange_perform(&listing->exchange, err);
    if (r < 0)
        return r;
    r = s3_xml_list(buf_str(&listing->exchange.body), listing_entry, listing, page);
    if (r == -E2BIG)
        return error_set(err, r, "%s: more than %zu objects", place->name, listing->max);
    return r < 0 ? error_set(err, r == -EBADMSG ? -EPROTO : r,
                             "%s: %s sent a list that cannot be read", place->name, place->host)
                 : 0;
}

int s3_list(const struct origin *origin, const struct s3_uri *uri, size_t max,
            int (*each)(void *arg, const struct s3_xml_entry *entry), void *arg, struct error *err)
{
    struct listing listing = {.uri = uri, .max = max, .each = each, .arg = arg};
    struct s3_xml_page page = {.is_truncated = true};
    struct s3_place place;
    int r = s3_place_of(origin, uri, &place, err);
    if (r == 0)
        r = place_path(&place, uri, (struct str){0}, err); // of the bucket
    if (r == 0)
        r = s3_exchange_init(&listing.exchange, &place, err);
    if (r < 0)
        return r;
    while (r == 0 && page.is_truncated) {
        struct s3_place first = place; // a redirect of one page is none of the next
        listing.exchange.place = &first;
        r = listing_page(&listing, &first, &page, err);
        if (r == 0 && page.is_truncated && page.token[0] == '\0')
            r = error_set(err, -EPROTO, "%s: a list that does not end", place.name);
    }
    s3_exchange_done(&listing.exchange);
    return r;
}
