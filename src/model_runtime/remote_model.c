// SPDX-License-Identifier: MIT

#include "model_runtime/remote_model.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/percent.h"
#include "base/str.h"
#include "model_runtime/remote_curl.h"
#include "model_runtime/sha256.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINK_FOLDER "/tmp/lamina-model"
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define STALL_S 20L
#define BODY_KEPT 2048

// Where the object is, and who asks.
struct remote {
    struct remote_curl curl;
    struct str bucket, key, version;
    char url[8192];
    char host[512];
    char path[4096], query[4096];
    const char *access_key, *secret, *token, *region, *ca_file;
    int fd; // the memfd
    uint64_t total;
    char etag[300];
    struct error *err;
};

struct part {
    struct remote *remote;
    CURL *easy;
    struct curl_slist *headers;
    bool is_busy;
    uint64_t at, end;
    unsigned tries;
    int failure;    // of writing
    long status;    // of this answer
    uint64_t total; // that it told
    char etag[300];
    char body[BODY_KEPT]; // of an error
    size_t body_size;
};

// ---- libcurl

static int curl_open(struct remote_curl *curl, struct error *err)
{
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return error_set(err, -ELIBACC, "MODEL_URI needs libcurl: %.300s", dlerror());
#define FIND(type, name, arguments)                                                                \
    *(void **) &curl->name = dlsym(library, "curl_" #name);                                        \
    if (curl->name == NULL)                                                                        \
        return error_set(err, -ELIBACC, "libcurl has no curl_" #name);
    REMOTE_CURL_FUNCTIONS(FIND)
#undef FIND
    return curl->global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK
               ? 0
               : error_set(err, -EIO, "libcurl does not start");
}

// ---- The address

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static int uri_read(struct remote *remote, const char *uri)
{
    struct str rest = str_of(uri), mark = STR("?versionId=");
    if (!str_has_prefix(rest, STR("s3://")) ||
        !str_cut(str_skip(rest, 5), '/', &remote->bucket, &remote->key) || remote->key.size == 0 ||
        remote->bucket.size == 0 || remote->key.data[remote->key.size - 1] == '/')
        return error_set(remote->err, -EINVAL,
                         "MODEL_URI: s3://bucket/key is wanted, one object, not '%.200s'", uri);
    ptrdiff_t at = str_find_last(remote->key, '?');
    if (at >= 0 && str_has_prefix(str_skip(remote->key, (size_t) at), mark)) {
        remote->version = str_skip(remote->key, (size_t) at + mark.size);
        remote->key = str_part(remote->key, 0, (size_t) at);
    }
    return 0;
}

static int text_of(struct buf *buf, char *to, size_t size)
{
    int r = buf_status(buf);
    if (r == 0)
        r = str_copy(buf_str(buf), to, size);
    buf_done(buf);
    return r;
}

static int address_make(struct remote *remote)
{
    const char *endpoint = environment("AWS_ENDPOINT_URL_S3");
    struct buf path = BUF_INIT(sizeof remote->path), query = BUF_INIT(sizeof remote->query);
    bool is_https = true;
    if (endpoint == NULL)
        endpoint = environment("AWS_ENDPOINT_URL");
    buf_append_byte(&path, '/');
    if (endpoint != NULL) {
        struct str host = str_of(endpoint);
        is_https = str_has_prefix(host, STR("https://"));
        host = str_skip(host, is_https ? 8 : 7);
        if (host.size > 0 && host.data[host.size - 1] == '/')
            host.size--;
        (void) snprintf(remote->host, sizeof remote->host, STR_FORMAT, STR_ARGUMENTS(host));
        buf_append_str(&path, remote->bucket);
        buf_append_byte(&path, '/');
    } else {
        (void) snprintf(remote->host, sizeof remote->host, STR_FORMAT ".s3.%s.amazonaws.com",
                        STR_ARGUMENTS(remote->bucket), remote->region);
    }
    percent_append(&path, remote->key, true);
    if (remote->version.size > 0) {
        buf_append_text(&query, "versionId=");
        percent_append(&query, remote->version, false);
    }
    int r = text_of(&path, remote->path, sizeof remote->path);
    int q = text_of(&query, remote->query, sizeof remote->query);
    int n = snprintf(remote->url, sizeof remote->url, "%s://%s%s%s%s", is_https ? "https" : "http",
                     remote->host, remote->path, remote->query[0] ? "?" : "", remote->query);
    if (r < 0 || q < 0 || n < 0 || (size_t) n >= sizeof remote->url)
        return error_set(remote->err, -ENAMETOOLONG, "MODEL_URI is too long");
    return 0;
}

// ---- SigV4 of a GET, with the SHA-256 that is here anyway (aws/sigv4 needs libcrypto)

static void hmac(const void *key, size_t key_size, const char *text,
                 unsigned char out[SHA256_BYTES])
{
    unsigned char pad[64], inner[SHA256_BYTES], digest[SHA256_BYTES];
    struct sha256 sha256;
    if (key_size > sizeof pad) { // RFC 2104: a longer key is its digest
        sha256_init(&sha256);
        sha256_update(&sha256, key, key_size);
        sha256_final(&sha256, digest);
        key = digest;
        key_size = sizeof digest;
    }
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] = (unsigned char) ((i < key_size ? ((const unsigned char *) key)[i] : 0) ^ 0x36);
    sha256_init(&sha256);
    sha256_update(&sha256, pad, sizeof pad);
    sha256_update(&sha256, text, strlen(text));
    sha256_final(&sha256, inner);
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] = (unsigned char) (pad[i] ^ 0x36 ^ 0x5c);
    sha256_init(&sha256);
    sha256_update(&sha256, pad, sizeof pad);
    sha256_update(&sha256, inner, sizeof inner);
    sha256_final(&sha256, out);
}

static void hex_of(const unsigned char bytes[SHA256_BYTES], char hex[SHA256_HEX_BYTES])
{
    for (size_t i = 0; i < SHA256_BYTES; i++)
        (void) snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

static void signing_key(const struct remote *remote, const char *date,
                        unsigned char key[SHA256_BYTES])
{
    char first[512];
    (void) snprintf(first, sizeof first, "AWS4%s", remote->secret);
    hmac(first, strlen(first), date, key);
    hmac(key, SHA256_BYTES, remote->region, key);
    hmac(key, SHA256_BYTES, "s3", key);
    hmac(key, SHA256_BYTES, "aws4_request", key);
}

struct signature {
    char time[17];
    char authorization[1024];
};

static int sign(const struct remote *remote, const char *range, struct signature *ret)
{
    const char *names = remote->token != NULL
                            ? "host;range;x-amz-content-sha256;x-amz-date;x-amz-security-token"
                            : "host;range;x-amz-content-sha256;x-amz-date";
    struct buf canonical = BUF_INIT((size_t) 32 * 1024);
    unsigned char key[SHA256_BYTES], bytes[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES], scope[160], text[512], date[9];
    struct sha256 sha256;
    time_t now = time(NULL);
    struct tm utc;
    (void) gmtime_r(&now, &utc);
    (void) strftime(ret->time, sizeof ret->time, "%Y%m%dT%H%M%SZ", &utc);
    (void) snprintf(date, sizeof date, "%.8s", ret->time);
    buf_printf(&canonical,
               "GET\n%s\n%s\nhost:%s\nrange:%s\nx-amz-content-sha256:" EMPTY_SHA256
               "\nx-amz-date:%s\n",
               remote->path, remote->query, remote->host, range, ret->time);
    if (remote->token != NULL)
        buf_printf(&canonical, "x-amz-security-token:%s\n", remote->token);
    buf_printf(&canonical, "\n%s\n" EMPTY_SHA256, names);
    if (buf_status(&canonical) < 0) {
        buf_done(&canonical);
        return -ENOMEM;
    }
    sha256_init(&sha256);
    sha256_update(&sha256, canonical.data, canonical.size);
    sha256_final(&sha256, bytes);
    buf_done(&canonical);
    hex_of(bytes, hex);
    (void) snprintf(scope, sizeof scope, "%s/%s/s3/aws4_request", date, remote->region);
    (void) snprintf(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", ret->time, scope, hex);
    signing_key(remote, date, key);
    hmac(key, sizeof key, text, bytes);
    hex_of(bytes, hex);
    (void) snprintf(ret->authorization, sizeof ret->authorization,
                    "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
                    remote->access_key, scope, names, hex);
    mem_wipe(key, sizeof key);
    return 0;
}

// ---- One part

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    struct part *part = arg;
    struct str line = str_of_data(data, size * count), name, value, range, total;
    uint64_t number;
    if (str_has_prefix(line, STR("HTTP/"))) {
        ptrdiff_t space = str_find(line, ' ');
        part->status = 0;
        if (space > 0 && str_to_u64(str_part(line, (size_t) space + 1, 3), 999, &number) == 0)
            part->status = (long) number;
    } else if (str_cut(line, ':', &name, &value)) {
        value = str_trim(value);
        if (str_equal_nocase(name, STR("etag")) &&
            str_copy(value, part->etag, sizeof part->etag) < 0)
            part->etag[0] = '\0';
        if (str_equal_nocase(name, STR("content-range")) && str_cut(value, '/', &range, &total) &&
            str_to_u64(total, INT64_MAX, &number) == 0)
            part->total = number;
    }
    return line.size;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct part *part = arg;
    size_t bytes = size * count;
    if (part->status != 206) {
        size_t room = sizeof part->body - part->body_size;
        size_t kept = bytes < room ? bytes : room;
        memcpy(part->body + part->body_size, data, kept);
        part->body_size += kept;
        return bytes;
    }
    if (bytes > part->end - part->at) {
        part->failure = -EPROTO;
        return 0;
    }
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pwrite(part->remote->fd, data + done, bytes - done, (off_t) (part->at + done));
        if (n <= 0) {
            part->failure = n < 0 ? -errno : -EIO;
            return 0;
        }
        done += (size_t) n;
    }
    part->at += bytes;
    return bytes;
}

static int header_add(struct part *part, const char *name, const char *value)
{
    char line[4096];
    int n = snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *longer = n > 0 && (size_t) n < sizeof line
                                    ? part->remote->curl.slist_append(part->headers, line)
                                    : NULL;
    if (longer == NULL)
        return -ENOMEM;
    part->headers = longer;
    return 0;
}

static int headers_make(struct part *part)
{
    const struct remote *remote = part->remote;
    struct signature signature;
    char range[64];
    remote->curl.slist_free_all(part->headers);
    part->headers = NULL;
    (void) snprintf(range, sizeof range, "bytes=%llu-%llu", (unsigned long long) part->at,
                    (unsigned long long) part->end - 1);
    int r = header_add(part, "range", range);
    if (r == 0 && remote->etag[0] != '\0')
        r = header_add(part, "if-match", remote->etag);
    if (r < 0 || remote->access_key == NULL)
        return r;
    r = sign(remote, range, &signature);
    if (r == 0)
        r = header_add(part, "x-amz-date", signature.time);
    if (r == 0)
        r = header_add(part, "x-amz-content-sha256", EMPTY_SHA256);
    if (r == 0 && remote->token != NULL)
        r = header_add(part, "x-amz-security-token", remote->token);
    return r == 0 ? header_add(part, "authorization", signature.authorization) : r;
}

static int part_begin(struct part *part, CURLM *multi)
{
    const struct remote_curl *curl = &part->remote->curl;
    part->body_size = 0;
    part->failure = 0;
    part->status = 0;
    if (part->easy == NULL)
        part->easy = curl->easy_init();
    if (part->easy == NULL || headers_make(part) < 0)
        return error_set(part->remote->err, -ENOMEM, "no memory to fetch the model");
    curl->easy_reset(part->easy);
    curl->easy_setopt(part->easy, CURLOPT_URL, part->remote->url);
    curl->easy_setopt(part->easy, CURLOPT_HTTPHEADER, part->headers);
    curl->easy_setopt(part->easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
    curl->easy_setopt(part->easy, CURLOPT_PATH_AS_IS, 1L);
    curl->easy_setopt(part->easy, CURLOPT_NOSIGNAL, 1L);
    curl->easy_setopt(part->easy, CURLOPT_CONNECTTIMEOUT, 10L);
    curl->easy_setopt(part->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl->easy_setopt(part->easy, CURLOPT_LOW_SPEED_TIME, STALL_S);
    if (part->remote->ca_file != NULL)
        curl->easy_setopt(part->easy, CURLOPT_CAINFO, part->remote->ca_file);
    curl->easy_setopt(part->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl->easy_setopt(part->easy, CURLOPT_WRITEDATA, part);
    curl->easy_setopt(part->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl->easy_setopt(part->easy, CURLOPT_HEADERDATA, part);
    curl->easy_setopt(part->easy, CURLOPT_PRIVATE, part);
    part->is_busy = curl->multi_add_handle(multi, part->easy) == CURLM_OK;
    return part->is_busy ? 0
                         : error_set(part->remote->err, -ENOMEM, "no memory to fetch the model");
}

// "<Code>NoSuchKey</Code>" -> NoSuchKey.
static struct str code_of(const struct part *part)
{
    struct str body = str_of_data(part->body, part->body_size);
    for (size_t i = 0; i + 6 < body.size; i++)
        if (memcmp(body.data + i, "<Code>", 6) == 0) {
            struct str rest = str_skip(body, i + 6);
            ptrdiff_t end = str_find(rest, '<');
            return end > 0 && end < 60 ? str_part(rest, 0, (size_t) end) : (struct str){0};
        }
    return (struct str){0};
}

static int part_refused(const struct part *part)
{
    struct error *err = part->remote->err;
    struct str code = code_of(part);
    int r = part->status == 404   ? -ENOENT
            : part->status == 403 ? -EACCES
            : part->status == 412 ? -ESTALE
                                  : -EIO;
    return error_set(err, r, "s3://" STR_FORMAT "/" STR_FORMAT ": " STR_FORMAT " (status %ld)",
                     STR_ARGUMENTS(part->remote->bucket), STR_ARGUMENTS(part->remote->key),
                     STR_ARGUMENTS(code), part->status);
}

// 1: again; 0: all of it came.
static int part_judge(struct part *part, CURLcode code)
{
    struct remote *remote = part->remote;
    bool is_transient =
        part->status == 429 || part->status >= 500 || part->status == 0 || part->status == 206;
    if (part->failure < 0)
        return error_set_errno(remote->err, part->failure, "keep the model in memory");
    if (code == CURLE_OK && part->status == 206 && remote->total == 0) {
        remote->total = part->total;
        memcpy(remote->etag, part->etag, sizeof remote->etag);
        if (part->end > remote->total)
            part->end = remote->total;
    }
    if (code == CURLE_OK && part->status == 206 && part->at == part->end)
        return 0;
    if (is_transient && ++part->tries < REMOTE_TRIES) {
        usleep(50000u << part->tries);
        return 1;
    }
    if (code != CURLE_OK)
        return error_set(remote->err, -EIO, "fetch the model from %.200s: %.100s", remote->host,
                         remote->curl.easy_strerror(code));
    return part_refused(part);
}

// ---- All of them

struct fetching {
    struct remote *remote;
    CURLM *multi;
    struct part parts[REMOTE_CONNECTIONS];
    uint64_t next; // byte where the next part begins
    unsigned open;
};

static int part_next(struct fetching *fetching, struct part *part)
{
    const struct remote *remote = fetching->remote;
    bool is_first = remote->total == 0;
    if (!is_first && fetching->next >= remote->total)
        return 0;
    part->remote = fetching->remote;
    part->at = fetching->next;
    part->end = part->at + REMOTE_RANGE_BYTES;
    if (!is_first && part->end > remote->total)
        part->end = remote->total;
    part->tries = 0;
    fetching->next = part->end;
    fetching->open++;
    return part_begin(part, fetching->multi);
}

static int part_ended(struct fetching *fetching, struct part *part, CURLcode code)
{
    (void) fetching->remote->curl.multi_remove_handle(fetching->multi, part->easy);
    part->is_busy = false;
    int r = part_judge(part, code);
    if (r == 1)
        return part_begin(part, fetching->multi);
    if (r < 0)
        return r;
    fetching->open--;
    for (size_t i = 0; r == 0 && i < REMOTE_CONNECTIONS; i++)
        if (!fetching->parts[i].is_busy)
            r = part_next(fetching, &fetching->parts[i]);
    return r;
}

static int fetching_turn(struct fetching *fetching)
{
    const struct remote_curl *curl = &fetching->remote->curl;
    CURLMsg *message;
    int running, left, r = 0;
    (void) curl->multi_perform(fetching->multi, &running);
    while (r == 0 && (message = curl->multi_info_read(fetching->multi, &left)) != NULL) {
        struct part *part = NULL;
        CURLcode code = message->data.result;
        (void) curl->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &part);
        r = part_ended(fetching, part, code);
    }
    if (r == 0 && fetching->open > 0)
        (void) curl->multi_poll(fetching->multi, NULL, 0, 1000, NULL);
    return r;
}

static int fetch_all(struct remote *remote)
{
    AUTO_FREE struct fetching *fetching = mem_new(struct fetching);
    if (fetching == NULL || (fetching->multi = remote->curl.multi_init()) == NULL)
        return error_set(remote->err, -ENOMEM, "no memory to fetch the model");
    fetching->remote = remote;
    int r = part_next(fetching, &fetching->parts[0]);
    while (r == 0 && fetching->open > 0)
        r = fetching_turn(fetching);
    for (size_t i = 0; i < REMOTE_CONNECTIONS; i++) {
        struct part *part = &fetching->parts[i];
        if (part->is_busy)
            (void) remote->curl.multi_remove_handle(fetching->multi, part->easy);
        if (part->easy != NULL)
            remote->curl.easy_cleanup(part->easy);
        remote->curl.slist_free_all(part->headers);
    }
    (void) remote->curl.multi_cleanup(fetching->multi);
    return r;
}

// Engines go by a file's name: a link of that name leads to the memory.
static int name_it(struct remote *remote)
{
    char link[512], target[64];
    ptrdiff_t slash = str_find_last(remote->key, '/');
    struct str name = str_skip(remote->key, (size_t) (slash + 1));
    if (name.size > 200)
        name = str_skip(name, name.size - 200);
    (void) snprintf(link, sizeof link, LINK_FOLDER "/" STR_FORMAT, STR_ARGUMENTS(name));
    (void) snprintf(target, sizeof target, "/proc/%d/fd/%d", (int) getpid(), remote->fd);
    if (mkdir(LINK_FOLDER, 0700) < 0 && errno != EEXIST)
        return error_set_errno(remote->err, -errno, "make '" LINK_FOLDER "'");
    (void) unlink(link); // of an earlier process; else symlink says so
    if (symlink(target, link) < 0)
        return error_set_errno(remote->err, -errno, "make '%s'", link);
    return setenv("MODEL_PATH", link, 1) < 0
               ? error_set_errno(remote->err, -errno, "set MODEL_PATH")
               : 0;
}

static int fetch(struct remote *remote, const char *uri)
{
    uint64_t start_ns = (uint64_t) clock_monotonic_ns();
    int r = uri_read(remote, uri);
    if (r == 0)
        r = address_make(remote);
    if (r == 0)
        r = curl_open(&remote->curl, remote->err);
    if (r < 0)
        return r;
    remote->fd = memfd_create("model", MFD_CLOEXEC);
    if (remote->fd < 0)
        return error_set_errno(remote->err, -errno, "make room in memory for the model");
    r = fetch_all(remote);
    if (r == 0)
        r = name_it(remote);
    if (r < 0) {
        (void) close(remote->fd);
        return r;
    }
    (void) fprintf(stderr, "model.fetched uri=%.200s bytes=%llu ms=%.1f\n", uri,
                   (unsigned long long) remote->total,
                   (double) ((uint64_t) clock_monotonic_ns() - start_ns) / 1e6);
    return 0; // the descriptor stays open: the link leads to it
}

int remote_model_fetch(struct error *err)
{
    const char *uri = environment("MODEL_URI");
    if (uri == NULL || environment("MODEL_PATH") != NULL)
        return 0;
    AUTO_FREE struct remote *remote = mem_new(struct remote);
    if (remote == NULL)
        return error_set(err, -ENOMEM, "no memory to fetch the model");
    remote->err = err;
    remote->fd = -1;
    remote->access_key = environment("AWS_ACCESS_KEY_ID");
    remote->secret = environment("AWS_SECRET_ACCESS_KEY");
    remote->token = environment("AWS_SESSION_TOKEN");
    remote->region = environment("AWS_REGION");
    remote->ca_file = environment("AWS_CA_BUNDLE");
    if (remote->region == NULL)
        remote->region = "us-east-1";
    if (remote->secret == NULL)
        remote->access_key = NULL;
    return fetch(remote, uri);
}
