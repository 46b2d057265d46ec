// SPDX-License-Identifier: MIT

#include "model_runtime/remote.h"

#include "base/buf.h"
#include "base/percent.h"

#include <errno.h>
#include <stdio.h>

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

static int address_make(struct remote *remote, const char *endpoint)
{
    struct buf path = BUF_INIT(sizeof remote->path), query = BUF_INIT(sizeof remote->query);
    bool is_https = true;
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

int remote_address(struct remote *remote, const char *uri, const char *endpoint)
{
    int r = uri_read(remote, uri);
    return r < 0 ? r : address_make(remote, endpoint);
}
