// SPDX-License-Identifier: MIT

#include "model_runtime/remote.h"

#include "model_runtime/remote_model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STALL_S 20L

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    struct remote_part *part = arg;
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
    struct remote_part *part = arg;
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

static int header_add(struct remote_part *part, const char *name, const char *value)
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

static int headers_make(struct remote_part *part)
{
    const struct remote *remote = part->remote;
    struct remote_signature signature;
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
    r = remote_sign(remote, range, &signature);
    if (r == 0)
        r = header_add(part, "x-amz-date", signature.time);
    if (r == 0)
        r = header_add(part, "x-amz-content-sha256", REMOTE_EMPTY_SHA256);
    if (r == 0 && remote->token != NULL)
        r = header_add(part, "x-amz-security-token", remote->token);
    return r == 0 ? header_add(part, "authorization", signature.authorization) : r;
}

int remote_part_begin(struct remote_part *part, CURLM *multi)
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
static struct str code_of(const struct remote_part *part)
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

static int part_refused(const struct remote_part *part)
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

int remote_part_judge(struct remote_part *part, CURLcode code)
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

void remote_part_done(struct remote_part *part, CURLM *multi)
{
    const struct remote_curl *curl = &part->remote->curl;
    if (part->is_busy)
        (void) curl->multi_remove_handle(multi, part->easy);
    if (part->easy != NULL)
        curl->easy_cleanup(part->easy);
    curl->slist_free_all(part->headers);
}
