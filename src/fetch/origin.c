// SPDX-License-Identifier: MIT

#include "fetch/origin.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX ((size_t) 64 * 1024)

// ---- Endpoints

static bool is_host_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == ':' ||
           byte == '[' || byte == ']';
}

// "host:9000", "[::1]:9000", "host"
static int host_split(struct origin *origin, struct str host)
{
    ptrdiff_t colon = str_find_last(host, ':');
    uint64_t port = origin->is_https ? 443 : 80;
    struct str name = host;
    bool is_bare_v6 = host.size > 0 && host.data[host.size - 1] == ']';
    if (colon >= 0 && !is_bare_v6) {
        name = str_part(host, 0, (size_t) colon);
        if (str_to_u64(str_skip(host, (size_t) colon + 1), 65535, &port) < 0 || port == 0)
            return -EINVAL;
    }
    if (name.size == 0 || (name.data[0] == '[') != (name.data[name.size - 1] == ']'))
        return -EINVAL;
    origin->port = (unsigned) port;
    if (name.data[0] == '[')
        name = str_part(name, 1, name.size - 2);
    return str_copy(name, origin->host_only, sizeof(origin->host_only));
}

int origin_set_endpoint(struct origin *origin, struct str url, struct error *err)
{
    struct str host = url;
    if (url.size > 0 && url.data[url.size - 1] == '/')
        url.size--;
    origin->is_https = str_has_prefix(url, STR("https://"));
    if (origin->is_https)
        host = str_skip(url, 8);
    else if (str_has_prefix(url, STR("http://")))
        host = str_skip(url, 7);
    else
        host.size = 0;
    bool is_good = host.size > 0;
    for (size_t i = 0; i < host.size; i++)
        is_good &= is_host_byte(host.data[i]);
    if (!is_good || str_copy(url, origin->endpoint, sizeof(origin->endpoint)) < 0 ||
        str_copy(host, origin->host, sizeof(origin->host)) < 0 || host_split(origin, host) < 0)
        return error_set(err, -EINVAL, "'%.*s' is not http(s)://host[:port]",
                         (int) (url.size < 200 ? url.size : 200), url.data ? url.data : "");
    return 0;
}

// ---- Sections

static int buckets_set(struct origin *origin, struct str list, struct error *err)
{
    struct str rest = list, name;
    free(origin->buckets);
    origin->bucket_count = 0;
    origin->buckets = calloc(ORIGIN_BUCKETS_MAX, sizeof(*origin->buckets));
    if (!origin->buckets)
        return error_set(err, -ENOMEM, "no memory");
    while (rest.size > 0) {
        (void) str_cut(rest, ',', &name, &rest);
        name = str_trim(name);
        if (name.size == 0)
            continue;
        if (!s3_bucket_is_valid(name))
            return error_set(err, -EINVAL, "'" STR_FORMAT "' is not the name of a bucket",
                             STR_ARGUMENTS(name));
        if (origin->bucket_count == ORIGIN_BUCKETS_MAX)
            return error_set(err, -EINVAL, "more than %d buckets", ORIGIN_BUCKETS_MAX);
        (void) !str_copy(name, origin->buckets[origin->bucket_count++], S3_BUCKET_MAX + 1);
    }
    return 0;
}

static int style_set(struct origin *origin, struct str style, struct error *err)
{
    origin->is_virtual = str_equal_text(style, "virtual");
    if (origin->is_virtual || str_equal_text(style, "path"))
        return 0;
    return error_set(err, -EINVAL, "style is 'path' or 'virtual', not '" STR_FORMAT "'",
                     STR_ARGUMENTS(style));
}

static int stall_set(struct origin *origin, struct str value, struct error *err)
{
    uint64_t seconds = 0;
    if (str_to_u64(value, ORIGIN_STALL_MAX_S, &seconds) < 0 || seconds == 0)
        return error_set(err, -EINVAL, "stall_s is 1 to %d", ORIGIN_STALL_MAX_S);
    origin->stall_s = (unsigned) seconds;
    return 0;
}

static int key_set(struct origin *origin, struct str key, struct str value, struct error *err)
{
    static const struct {
        const char *key;
        size_t offset, size;
    } texts[] = {
        {"region", offsetof(struct origin, region), sizeof(((struct origin *) 0)->region)},
        {"credentials_file", offsetof(struct origin, credentials_file), ORIGIN_TEXT_MAX},
        {"ca_file", offsetof(struct origin, ca_file), ORIGIN_TEXT_MAX},
    };
    if (str_equal_text(key, "endpoint"))
        return origin_set_endpoint(origin, value, err);
    if (str_equal_text(key, "style"))
        return style_set(origin, value, err);
    if (str_equal_text(key, "stall_s"))
        return stall_set(origin, value, err);
    if (str_equal_text(key, "buckets"))
        return buckets_set(origin, value, err);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (str_equal_text(key, texts[i].key))
            return str_copy(value, (char *) origin + texts[i].offset, texts[i].size) < 0
                       ? error_set(err, -EINVAL, "the value of %s is too long", texts[i].key)
                       : 0;
    return error_set(err, -EINVAL, "unknown setting '" STR_FORMAT "'", STR_ARGUMENTS(key));
}

// "[s3_origin NAME]"
static int section_begin(struct origins *origins, struct str line, struct error *err)
{
    struct str name = str_trim(str_part(line, 1, line.size - 2));
    if (line.data[line.size - 1] != ']' || !str_has_prefix(name, STR("s3_origin ")))
        return error_set(err, -EINVAL, "'" STR_FORMAT "' is not [s3_origin NAME]",
                         STR_ARGUMENTS(line));
    name = str_trim(str_skip(name, 10));
    if (origins->count == ORIGINS_MAX)
        return error_set(err, -EINVAL, "more than %d origins", ORIGINS_MAX);
    struct origin *origin = &origins->all[origins->count];
    if (name.size == 0 || str_copy(name, origin->name, sizeof(origin->name)) < 0)
        return error_set(err, -EINVAL, "an origin's name has 1 to %zu characters",
                         sizeof(origin->name) - 1);
    (void) !str_copy(STR("us-east-1"), origin->region, sizeof(origin->region));
    origin->stall_s = ORIGIN_STALL_S;
    origins->count++;
    return 0;
}

static int line_read(struct origins *origins, struct str line, struct error *err)
{
    struct str key, value;
    line = str_trim(line);
    if (line.size == 0 || line.data[0] == '#')
        return 0;
    if (line.data[0] == '[')
        return section_begin(origins, line, err);
    if (origins->count == 0 || !str_cut(line, '=', &key, &value))
        return error_set(err, -EINVAL, "'" STR_FORMAT "' is not `key = value` of a section",
                         STR_ARGUMENTS(line));
    return key_set(&origins->all[origins->count - 1], str_trim(key), str_trim(value), err);
}

// ---- Credentials: the [default] section of AWS's shared-credentials format

static int credential_set(struct origin *origin, struct str key, struct str value)
{
    if (str_equal_text(key, "aws_access_key_id"))
        return str_copy(value, origin->access_key, sizeof(origin->access_key));
    if (str_equal_text(key, "aws_secret_access_key"))
        return str_copy(value, origin->secret, sizeof(origin->secret));
    if (str_equal_text(key, "aws_session_token"))
        return str_copy(value, origin->token, sizeof(origin->token));
    return 0; // region, output: somebody else's
}

static int credentials_read(struct origin *origin, struct error *err)
{
    AUTO_BUF struct buf text = BUF_INIT(FILE_MAX);
    struct str rest, line, key, value;
    bool is_ours = true; // a file without sections is fine
    if (origin->credentials_file[0] == '\0')
        return 0;
    int r = fs_read_file(AT_FDCWD, origin->credentials_file, &text);
    if (r < 0)
        return error_set_errno(err, r, "read '%s'", origin->credentials_file);
    for (rest = buf_str(&text); rest.size > 0;) {
        (void) str_cut(rest, '\n', &line, &rest);
        line = str_trim(line);
        if (line.size > 0 && line.data[0] == '[')
            is_ours = str_equal_text(line, "[default]");
        else if (is_ours && line.size > 0 && line.data[0] != '#' &&
                 str_cut(line, '=', &key, &value) &&
                 credential_set(origin, str_trim(key), str_trim(value)) < 0)
            r = -EINVAL;
    }
    mem_wipe(text.data, text.size);
    if (r < 0 || !origin->access_key[0] || !origin->secret[0])
        return error_set(err, -EINVAL,
                         "'%s' holds no aws_access_key_id and aws_secret_access_key in [default]",
                         origin->credentials_file);
    return 0;
}

static int origin_finish(struct origin *origin, struct error *err)
{
    int r = 0;
    if (origin->endpoint[0] == '\0')
        r = error_set(err, -EINVAL, "endpoint is missing");
    else if (origin->bucket_count == 0)
        r = error_set(err, -EINVAL, "buckets is missing: nothing would be fetched there");
    else
        r = credentials_read(origin, err);
    return r < 0 ? error_wrap(err, r, "[s3_origin %s]", origin->name) : 0;
}

// ---- All of them

int origins_parse(struct str text, struct origins *ret_origins, struct error *err)
{
    struct origins origins = {.all = calloc(ORIGINS_MAX, sizeof(struct origin))};
    struct str line;
    int r = origins.all ? 0 : error_set(err, -ENOMEM, "no memory");
    while (r == 0 && text.size > 0) {
        (void) str_cut(text, '\n', &line, &text);
        r = line_read(&origins, line, err);
    }
    for (size_t i = 0; r == 0 && i < origins.count; i++)
        r = origin_finish(&origins.all[i], err);
    if (r < 0) {
        origins_done(&origins);
        return r;
    }
    *ret_origins = origins;
    return 0;
}

void origins_done(struct origins *origins)
{
    for (size_t i = 0; i < origins->count; i++)
        free(origins->all[i].buckets);
    if (origins->all)
        mem_wipe(origins->all, ORIGINS_MAX * sizeof(struct origin));
    free(origins->all);
    *origins = (struct origins){0};
}

const struct origin *origins_find(const struct origins *origins, struct str bucket)
{
    for (size_t i = 0; i < origins->count; i++)
        for (size_t k = 0; k < origins->all[i].bucket_count; k++)
            if (str_equal_text(bucket, origins->all[i].buckets[k]))
                return &origins->all[i];
    return NULL;
}
