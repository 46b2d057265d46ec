/* SPDX-License-Identifier: MIT */

#include "api/s3_object.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/percent.h"
#include "store/store.h"

#define TAGS_MAX 10
#define TAG_KEY_MAX 128
#define TAG_VALUE_MAX 256
#define META "x-amz-meta-"

/* ---- Finding */

int s3_object_version_id(struct s3_call *s3, struct str *ret_name)
{
    int r = s3_query(s3, "versionId", ret_name);
    if (r == 0 && ret_name->data && (ret_name->size == 0 || ret_name->size >= OBJECTS_VERSION_SIZE))
        return s3_error(s3, AWS_S3_INVALID_ARGUMENT, "Invalid version id specified");
    return r;
}

int s3_object_find(struct s3_call *s3, struct objects_bucket *ret_bucket,
                   struct objects_version *ret_version)
{
    struct error err = {0};
    struct str name;
    int r = s3_object_version_id(s3, &name);
    if (r == 0)
        r = s3_bucket(s3, ret_bucket);
    if (r < 0)
        return r;
    r = objects_get(s3_objects(s3->s3), ret_bucket->id, s3->key, name, ret_version, &err);
    if (r == -ENOENT && name.data)
        return s3_error(s3, AWS_S3_NO_SUCH_VERSION, "The specified version does not exist.");
    if (r == -ENOENT)
        return s3_error_key(s3);
    if (r < 0)
        return s3_error_internal(s3, "s3.get", &err);
    if (!ret_version->is_marker)
        return 0;
    s3_answer_header(s3, "x-amz-delete-marker", STR("true"));
    s3_answer_header(s3, "x-amz-version-id", ret_version->name);
    objects_version_done(ret_version);
    if (!name.data)
        return s3_error_key(s3);
    return s3_error(s3, AWS_S3_METHOD_NOT_ALLOWED,
                    "The specified method is not allowed against this resource.");
}

/* ---- Headers that are kept */

static bool is_kept(struct str name)
{
    static const char *const names[] = {"content-type",
                                        "cache-control",
                                        "content-disposition",
                                        "content-encoding",
                                        "content-language",
                                        "expires",
                                        "x-amz-website-redirect-location"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (str_equal_text(name, names[i]))
            return true;
    return str_has_prefix(name, STR(META));
}

/* "aws-chunked, gzip" was "gzip" before it was framed. */
static struct str without_framing(struct s3_call *s3, struct str value)
{
    struct buf rest = BUF_INIT(OBJECTS_HEADERS_MAX);
    while (value.size > 0) {
        struct str each;
        (void) str_cut(value, ',', &each, &value);
        each = str_trim(each);
        if (each.size == 0 || str_equal_nocase(each, STR("aws-chunked")))
            continue;
        if (rest.size > 0)
            buf_append_byte(&rest, ',');
        buf_append_str(&rest, each);
    }
    struct str copy = arena_copy_str(&s3->arena, rest.size ? buf_str(&rest) : STR(""));
    buf_done(&rest);
    return copy;
}

static int append_header(struct s3_call *s3, const struct http_header *header, struct buf *text,
                         size_t *metadata)
{
    struct str value = header->value;
    if (str_equal_text(header->name, "content-encoding")) {
        value = without_framing(s3, value);
        if (value.size == 0)
            return 0;
    }
    if (str_has_prefix(header->name, STR(META)))
        *metadata += header->name.size - (sizeof(META) - 1) + value.size;
    if (*metadata > S3_METADATA_MAX)
        return s3_error(s3, AWS_S3_METADATA_TOO_LARGE,
                        "Your metadata headers exceed the maximum allowed metadata size");
    buf_append_str(text, header->name);
    buf_append_byte(text, ':');
    buf_append_str(text, value);
    buf_append_byte(text, '\n');
    return 0;
}

int s3_object_headers(struct s3_call *s3, struct str *ret_headers)
{
    AUTO_BUF struct buf text = BUF_INIT(OBJECTS_HEADERS_MAX);
    size_t metadata = 0;
    for (size_t i = 0; i < s3->header_count; i++) {
        int r =
            is_kept(s3->headers[i].name) ? append_header(s3, &s3->headers[i], &text, &metadata) : 0;
        if (r < 0)
            return r;
    }
    if (!s3_header(s3, "content-type").data)
        buf_append_text(&text, "content-type:binary/octet-stream\n");
    *ret_headers = arena_copy_str(&s3->arena, buf_str(&text));
    return buf_status(&text) < 0 || !ret_headers->data ? s3_error_memory(s3) : 0;
}

/* ---- Tags */

int s3_object_tags(struct s3_call *s3, struct str *ret_tags)
{
    struct str tags = s3_header(s3, "x-amz-tagging"), rest = tags, pair, key, value;
    unsigned count = 0;
    *ret_tags = tags.data ? tags : STR("");
    while (rest.size > 0) {
        (void) str_cut(rest, '&', &pair, &rest);
        (void) str_cut(pair, '=', &key, &value);
        char decoded[TAG_VALUE_MAX * 3 + 1];
        if (++count > TAGS_MAX || key.size == 0 || key.size > TAG_KEY_MAX * 3 ||
            value.size > TAG_VALUE_MAX * 3 || percent_decode(key, true, decoded) < 0 ||
            percent_decode(value, true, decoded) < 0)
            return s3_error(s3, AWS_S3_INVALID_ARGUMENT,
                            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded "
                            "URL query parameters without tag name duplicates.");
    }
    return 0;
}

/* ---- The answer's headers */

void s3_object_answer_version(struct s3_call *s3, const struct objects_bucket *bucket,
                              const char *name)
{
    if (bucket->versioning != OBJECTS_UNVERSIONED && name[0])
        s3_answer_header(s3, "x-amz-version-id", str_of(name));
}

void s3_object_answer(struct s3_call *s3, const struct objects_bucket *bucket,
                      const struct objects_version *version)
{
    char date[CLOCK_TEXT_MAX];
    struct str rest = version->headers, line, name, value;
    s3_answer_printf(s3, "ETag", "\"" STR_FORMAT "\"", STR_ARGUMENTS(version->etag));
    s3_answer_header(s3, "Last-Modified", str_of(clock_http(version->modified_ms, date)));
    s3_answer_header(s3, "Accept-Ranges", STR("bytes"));
    if (bucket->versioning != OBJECTS_UNVERSIONED)
        s3_answer_header(s3, "x-amz-version-id", version->name);
    while (rest.size > 0) {
        (void) str_cut(rest, '\n', &line, &rest);
        (void) str_cut(line, ':', &name, &value);
        char *copy = arena_copy(&s3->arena, name);
        if (copy)
            s3_answer_header(s3, copy, value);
    }
    unsigned tags = version->tags.size > 0;
    for (size_t i = 0; i < version->tags.size; i++)
        tags += version->tags.data[i] == '&';
    if (tags)
        s3_answer_printf(s3, "x-amz-tagging-count", "%u", tags);
}

void s3_object_answer_checksum(struct s3_call *s3, struct str checksum)
{
    struct str name, value, type, rest;
    (void) str_cut(checksum, ' ', &name, &rest);
    (void) str_cut(rest, ' ', &value, &type);
    enum checksum_kind kind = checksum_by_name(name);
    if (kind == CHECKSUM_NONE)
        return;
    s3_answer_header(s3, checksum_header(kind), value);
    s3_answer_header(s3, "x-amz-checksum-type", type);
}

struct str s3_object_checksum(struct s3_call *s3)
{
    char base64[CHECKSUM_BASE64_SIZE];
    if (!s3->proof.checksum)
        return STR("");
    char *text = arena_printf(&s3->arena, "%s %s FULL_OBJECT", checksum_name(s3->proof.checksum),
                              checksum_base64(s3->proof.checksum, &s3->proof.value, base64));
    return text ? str_of(text) : STR("");
}

/* ---- Conditions */

/* A list of entity tags, quoted or not; "*" is any. */
static bool has_etag(struct str list, struct str etag)
{
    while (list.size > 0) {
        struct str each;
        (void) str_cut(list, ',', &each, &list);
        each = str_trim(each);
        if (str_has_prefix(each, STR("W/")))
            each = str_skip(each, 2);
        if (each.size >= 2 && each.data[0] == '"' && each.data[each.size - 1] == '"')
            each = str_part(each, 1, each.size - 2);
        if (str_equal(each, STR("*")) || str_equal(each, etag))
            return true;
    }
    return false;
}

/* False: not a date of HTTP; such a header is not looked at. */
static bool parse_date(struct str text, int64_t *ret_s)
{
    char copy[64];
    struct tm tm = {0};
    if (!text.data || str_copy(text, copy, sizeof(copy)) < 0)
        return false;
    const char *end = strptime(copy, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (!end || *end)
        end = strptime(copy, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!end || *end)
        return false;
    *ret_s = (int64_t) timegm(&tm);
    return true;
}

static struct str condition_of(const struct s3_call *s3, const char *prefix, const char *name)
{
    char whole[64];
    (void) snprintf(whole, sizeof(whole), "%s%s", prefix, name);
    return s3_header(s3, whole);
}

static int refuse_condition(struct s3_call *s3, const char *name)
{
    s3->error_details = arena_copy_str(
        &s3->arena, str_of(arena_printf(&s3->arena, "<Condition>%s</Condition>", name)));
    return s3_error(s3, AWS_S3_PRECONDITION_FAILED,
                    "At least one of the pre-conditions you specified did not hold");
}

/* A copy's are all PreconditionFailed; a read's "none match" and "modified since" are NotModified. */
static int refuse_unmodified(struct s3_call *s3, const char *prefix, const char *name,
                             const struct objects_version *version)
{
    char date[CLOCK_TEXT_MAX];
    if (prefix[0])
        return refuse_condition(s3, name);
    s3_answer_printf(s3, "ETag", "\"" STR_FORMAT "\"", STR_ARGUMENTS(version->etag));
    s3_answer_header(s3, "Last-Modified", str_of(clock_http(version->modified_ms, date)));
    return s3_error(s3, AWS_S3_NOT_MODIFIED, "Not modified");
}

int s3_object_check(struct s3_call *s3, const char *prefix, const struct objects_version *version)
{
    struct str match = condition_of(s3, prefix, "if-match");
    struct str none = condition_of(s3, prefix, "if-none-match");
    int64_t modified_s = version->modified_ms / 1000, since;
    if (match.data && !has_etag(match, version->etag))
        return refuse_condition(s3, "If-Match");
    if (!match.data && parse_date(condition_of(s3, prefix, "if-unmodified-since"), &since) &&
        modified_s > since)
        return refuse_condition(s3, "If-Unmodified-Since");
    if (none.data && has_etag(none, version->etag))
        return refuse_unmodified(s3, prefix, "If-None-Match", version);
    if (!none.data && parse_date(condition_of(s3, prefix, "if-modified-since"), &since) &&
        modified_s <= since)
        return refuse_unmodified(s3, prefix, "If-Modified-Since", version);
    return 0;
}

int s3_object_condition(struct s3_call *s3, struct objects_condition *ret_condition)
{
    struct str match = s3_header(s3, "if-match"), none = s3_header(s3, "if-none-match");
    struct objects_condition condition = {.is_absent = none.data != NULL};
    if ((none.data && !str_equal(str_trim(none), STR("*"))) || (match.data && none.data))
        return s3_error(s3, AWS_S3_NOT_IMPLEMENTED,
                        "A header you provided implies functionality that is not implemented");
    if (match.data) {
        match = str_trim(match);
        if (match.size >= 2 && match.data[0] == '"' && match.data[match.size - 1] == '"')
            match = str_part(match, 1, match.size - 2);
        condition.has_etag = match;
    }
    *ret_condition = condition;
    return 0;
}

int s3_object_check_room(struct s3_call *s3, uint64_t bytes)
{
    struct error err = {0};
    uint64_t room;
    if (store_bytes_free(s3_store(s3->s3), &room) < 0 || bytes <= room)
        return 0; /* the write tells */
    (void) error_set(&err, -ENOSPC, "a content of %llu bytes does not fit",
                     (unsigned long long) bytes);
    return s3_error_internal(s3, "s3.room", &err);
}

int s3_object_put_failed(struct s3_call *s3, int code, const struct error *err)
{
    switch (code) {
    case -ENODEV:
        return s3_error_bucket(s3);
    case -ENOENT:
        return s3_error_key(s3);
    case -ENOLINK:
        return s3_error(s3, AWS_S3_NO_SUCH_UPLOAD,
                        "The specified upload does not exist. The upload ID may be invalid, or the "
                        "upload may have been aborted or completed.");
    case -ESTALE:
        return refuse_condition(s3, s3_header(s3, "if-match").data ? "If-Match" : "If-None-Match");
    default:
        return s3_error_internal(s3, "s3.commit", err);
    }
}
