// SPDX-License-Identifier: MIT

#include "fetch/s3_uri.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_bucket_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' ||
           byte == '.';
}

static bool is_edge(char byte)
{
    return is_bucket_byte(byte) && byte != '-' && byte != '.';
}

// Four numbers with dots: a host name of the virtual style would be an address.
static bool is_address(struct str bucket)
{
    size_t dots = 0;
    for (size_t i = 0; i < bucket.size; i++) {
        if (bucket.data[i] == '.')
            dots++;
        else if (bucket.data[i] < '0' || bucket.data[i] > '9')
            return false;
    }
    return dots == 3;
}

bool s3_bucket_is_valid(struct str bucket)
{
    if (bucket.size < 3 || bucket.size > S3_BUCKET_MAX || !is_edge(bucket.data[0]) ||
        !is_edge(bucket.data[bucket.size - 1]) || is_address(bucket))
        return false;
    for (size_t i = 0; i < bucket.size; i++) {
        bool is_double = i > 0 && bucket.data[i] == '.' && bucket.data[i - 1] == '.';
        if (!is_bucket_byte(bucket.data[i]) || is_double)
            return false;
    }
    return true;
}

// The last "?versionId=" of the key: what follows it is the version.
static void cut_version(struct s3_uri *uri)
{
    static const struct str mark = {"?versionId=", 11};
    ptrdiff_t at = str_find_last(uri->key, '?');
    if (at < 0 || !str_has_prefix(str_skip(uri->key, (size_t) at), mark))
        return;
    uri->version_id = str_skip(uri->key, (size_t) at + mark.size);
    uri->key = str_part(uri->key, 0, (size_t) at);
}

static int check(const struct s3_uri *uri, struct error *err)
{
    if (!s3_bucket_is_valid(uri->bucket))
        return error_set(err, -EINVAL, "'%.*s' is not the name of a bucket",
                         (int) (uri->bucket.size < 80 ? uri->bucket.size : 80), uri->bucket.data);
    if (uri->key.size > S3_KEY_MAX)
        return error_set(err, -EINVAL, "the key is longer than %d bytes", S3_KEY_MAX);
    if (memchr(uri->key.data ? uri->key.data : "", '\0', uri->key.size))
        return error_set(err, -EINVAL, "the key holds a NUL");
    if (uri->version_id.size > S3_VERSION_ID_MAX)
        return error_set(err, -EINVAL, "the version's id is longer than %d bytes",
                         S3_VERSION_ID_MAX);
    if (uri->is_prefix && uri->version_id.size > 0)
        return error_set(err, -EINVAL, "a prefix has no versionId");
    return 0;
}

int s3_uri_parse(struct str text, struct s3_uri *ret_uri, struct error *err)
{
    struct s3_uri uri = {0};
    if (!str_has_prefix(text, STR("s3://")))
        return error_set(err, -EINVAL, "a model's URI begins with s3://");
    (void) str_cut(str_skip(text, 5), '/', &uri.bucket, &uri.key);
    cut_version(&uri);
    uri.is_prefix = uri.key.size == 0 || uri.key.data[uri.key.size - 1] == '/';
    int r = check(&uri, err);
    if (r == 0)
        *ret_uri = uri;
    return r;
}

void s3_uri_arn(const struct s3_uri *uri, char to[S3_ARN_SIZE])
{
    (void) snprintf(to, S3_ARN_SIZE, "arn:aws:s3:::%.*s%s%.*s", (int) uri->bucket.size,
                    uri->bucket.data, uri->key.size ? "/" : "", (int) uri->key.size,
                    uri->key.size ? uri->key.data : "");
}
