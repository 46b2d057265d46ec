/* SPDX-License-Identifier: MIT
 *
 * ListObjectsV2, ListObjects and ListObjectVersions: one page of the index as XML. */

#include "api/s3_operations.h"

#include <errno.h>

#include "api/s3_object.h"
#include "api/s3_xml.h"
#include "base/base64.h"

struct listing {
    struct s3_call *s3;
    struct objects_page page;
    struct objects_bucket bucket;
    bool is_encoded; /* encoding-type=url */
    bool has_owner;
    uint64_t count;
    struct buf items;    /* Contents, Version, DeleteMarker */
    struct buf prefixes; /* CommonPrefixes */
    struct buf last, last_name;
};

static int read_max(struct s3_call *s3, const char *name, size_t *ret_max)
{
    struct str text;
    uint64_t number;
    int r = s3_query(s3, name, &text);
    *ret_max = S3_PAGE_MAX;
    if (r < 0 || !text.data || text.size == 0)
        return r;
    if (str_to_u64(text, INT32_MAX, &number) < 0)
        return s3_error(s3, AWS_S3_INVALID_ARGUMENT,
                        "Provided %s not an integer or within integer range", name);
    *ret_max = number < S3_PAGE_MAX ? (size_t) number : S3_PAGE_MAX;
    return 0;
}

static int read_encoding(struct s3_call *s3, bool *ret_is_encoded)
{
    struct str text;
    int r = s3_query(s3, "encoding-type", &text);
    if (r < 0)
        return r;
    *ret_is_encoded = text.size > 0;
    if (text.size > 0 && !str_equal(text, STR("url")))
        return s3_error(s3, AWS_S3_INVALID_ARGUMENT,
                        "Invalid Encoding Method specified in Request");
    return 0;
}

static int listing_begin(struct s3_call *s3, struct listing *listing)
{
    struct objects_page *page = &listing->page;
    listing->s3 = s3;
    buf_init(&listing->items, S3_ANSWER_MAX);
    buf_init(&listing->prefixes, S3_ANSWER_MAX);
    buf_init(&listing->last, OBJECTS_KEY_MAX + 1);
    buf_init(&listing->last_name, OBJECTS_VERSION_SIZE);
    int r = s3_bucket(s3, &listing->bucket);
    page->bucket = listing->bucket.id;
    if (r == 0)
        r = s3_query(s3, "prefix", &page->prefix);
    if (r == 0)
        r = s3_query(s3, "delimiter", &page->delimiter);
    if (r == 0)
        r = read_max(s3, "max-keys", &page->max);
    return r == 0 ? read_encoding(s3, &listing->is_encoded) : r;
}

static void listing_done(struct listing *listing)
{
    buf_done(&listing->items);
    buf_done(&listing->prefixes);
    buf_done(&listing->last);
    buf_done(&listing->last_name);
}

/* ---- Items */

static int note_last(struct listing *listing, struct str key, struct str name)
{
    listing->count++;
    buf_clear(&listing->last);
    buf_clear(&listing->last_name);
    buf_append_str(&listing->last, key);
    buf_append_str(&listing->last_name, name);
    int r = buf_status(&listing->items);
    return r < 0 ? r : buf_status(&listing->last);
}

static void append_checksum(struct buf *xml, struct str checksum)
{
    struct str name, rest, type;
    if (checksum.size == 0)
        return;
    (void) str_cut(checksum, ' ', &name, &rest);
    (void) str_cut(rest, ' ', &rest, &type);
    s3_xml_text(xml, "ChecksumAlgorithm", name);
    s3_xml_text(xml, "ChecksumType", type);
}

static void append_owner(struct listing *listing, struct buf *xml)
{
    buf_printf(xml, "<Owner><ID>%s</ID><DisplayName>%s</DisplayName></Owner>", listing->s3->account,
               listing->s3->account);
}

static void append_object(struct listing *listing, const struct objects_version *version)
{
    struct buf *xml = &listing->items;
    s3_xml_time(xml, "LastModified", version->modified_ms);
    buf_printf(xml, "<ETag>&quot;" STR_FORMAT "&quot;</ETag>", STR_ARGUMENTS(version->etag));
    append_checksum(xml, version->checksum);
    s3_xml_number(xml, "Size", version->size);
    buf_append_text(xml, "<StorageClass>STANDARD</StorageClass>");
}

static int visit_object(void *arg, const struct objects_version *version)
{
    struct listing *listing = arg;
    struct buf *xml = &listing->items;
    buf_append_text(xml, "<Contents>");
    s3_xml_key(xml, "Key", version->key, listing->is_encoded);
    append_object(listing, version);
    if (listing->has_owner)
        append_owner(listing, xml);
    buf_append_text(xml, "</Contents>");
    return note_last(listing, version->key, version->name);
}

static int visit_version(void *arg, const struct objects_version *version)
{
    struct listing *listing = arg;
    struct buf *xml = &listing->items;
    const char *element = version->is_marker ? "DeleteMarker" : "Version";
    buf_printf(xml, "<%s>", element);
    s3_xml_key(xml, "Key", version->key, listing->is_encoded);
    s3_xml_text(xml, "VersionId", version->name);
    buf_printf(xml, "<IsLatest>%s</IsLatest>", version->is_current ? "true" : "false");
    if (version->is_marker)
        s3_xml_time(xml, "LastModified", version->modified_ms);
    else
        append_object(listing, version);
    append_owner(listing, xml);
    buf_printf(xml, "</%s>", element);
    return note_last(listing, version->key, version->name);
}

static int visit_prefix(void *arg, struct str prefix)
{
    struct listing *listing = arg;
    buf_append_text(&listing->prefixes, "<CommonPrefixes>");
    s3_xml_key(&listing->prefixes, "Prefix", prefix, listing->is_encoded);
    buf_append_text(&listing->prefixes, "</CommonPrefixes>");
    return note_last(listing, prefix, STR(""));
}

/* 1: there is more. */
static int listing_run(struct listing *listing)
{
    struct s3_call *s3 = listing->s3;
    struct error err = {0};
    struct objects_visitor visitor = {
        .version = listing->page.with_versions ? visit_version : visit_object,
        .prefix = visit_prefix,
        .arg = listing,
    };
    if (listing->page.max == 0)
        return 0;
    int r = objects_list(s3_objects(s3->s3), &listing->page, &visitor, &err);
    return r < 0 ? s3_error_internal(s3, "s3.list", &err) : r;
}

static void append_head(struct listing *listing)
{
    struct buf *xml = &listing->s3->answer;
    const struct objects_page *page = &listing->page;
    s3_xml_text(xml, "Name", str_of(listing->bucket.name));
    s3_xml_key(xml, "Prefix", page->prefix, listing->is_encoded);
    if (page->delimiter.size > 0)
        s3_xml_key(xml, "Delimiter", page->delimiter, listing->is_encoded);
    s3_xml_number(xml, "MaxKeys", page->max);
    if (listing->is_encoded)
        buf_append_text(xml, "<EncodingType>url</EncodingType>");
}

static void append_items(struct listing *listing, bool is_truncated)
{
    struct buf *xml = &listing->s3->answer;
    buf_printf(xml, "<IsTruncated>%s</IsTruncated>", is_truncated ? "true" : "false");
    buf_append_str(xml, buf_str(&listing->items));
    buf_append_str(xml, buf_str(&listing->prefixes));
}

/* ---- ListObjectsV2 */

static int decode_token(struct s3_call *s3, struct str token, struct str *ret_key)
{
    char *key = arena_alloc(&s3->arena, BASE64_DECODED_SIZE_MAX(token.size) + 1);
    ptrdiff_t size = key ? base64_decode(token, key) : -EINVAL;
    if (size <= 0 || size > OBJECTS_KEY_MAX)
        return s3_error(s3, AWS_S3_INVALID_ARGUMENT,
                        "The continuation token provided is incorrect");
    *ret_key = str_of_data(key, (size_t) size);
    return 0;
}

static void append_token(struct buf *xml, struct str key)
{
    buf_append_text(xml, "<NextContinuationToken>");
    base64_append(xml, key.data, key.size);
    buf_append_text(xml, "</NextContinuationToken>");
}

static int list_v2(struct s3_call *s3, struct listing *listing)
{
    struct buf *xml = &s3->answer;
    struct str token, start, owner;
    int r = listing_begin(s3, listing);
    if (r == 0)
        r = s3_query(s3, "continuation-token", &token);
    if (r == 0)
        r = s3_query(s3, "start-after", &start);
    if (r == 0)
        r = s3_query(s3, "fetch-owner", &owner);
    if (r < 0)
        return r;
    listing->has_owner = str_equal(owner, STR("true"));
    listing->page.after = start;
    if (token.data)
        r = decode_token(s3, token, &listing->page.after);
    if (r == 0)
        r = listing_run(listing);
    if (r < 0)
        return r;
    s3_xml_begin(s3, "ListBucketResult");
    append_head(listing);
    s3_xml_number(xml, "KeyCount", listing->count);
    if (token.data)
        s3_xml_text(xml, "ContinuationToken", token);
    if (start.size > 0)
        s3_xml_key(xml, "StartAfter", start, listing->is_encoded);
    if (r == 1)
        append_token(xml, buf_str(&listing->last));
    append_items(listing, r == 1);
    buf_append_text(xml, "</ListBucketResult>");
    return 0;
}

int s3_list_objects_v2(struct s3_call *s3)
{
    struct listing listing = {0};
    int r = list_v2(s3, &listing);
    listing_done(&listing);
    return r;
}

/* ---- ListObjects */

static int list_v1(struct s3_call *s3, struct listing *listing)
{
    struct buf *xml = &s3->answer;
    int r = listing_begin(s3, listing);
    if (r == 0)
        r = s3_query(s3, "marker", &listing->page.after);
    if (r < 0)
        return r;
    listing->has_owner = true;
    r = listing_run(listing);
    if (r < 0)
        return r;
    s3_xml_begin(s3, "ListBucketResult");
    append_head(listing);
    s3_xml_key(xml, "Marker", listing->page.after, listing->is_encoded);
    if (r == 1 && listing->page.delimiter.size > 0)
        s3_xml_key(xml, "NextMarker", buf_str(&listing->last), listing->is_encoded);
    append_items(listing, r == 1);
    buf_append_text(xml, "</ListBucketResult>");
    return 0;
}

int s3_list_objects(struct s3_call *s3)
{
    struct listing listing = {0};
    int r = list_v1(s3, &listing);
    listing_done(&listing);
    return r;
}

/* ---- ListObjectVersions */

static int list_versions(struct s3_call *s3, struct listing *listing)
{
    struct buf *xml = &s3->answer;
    struct objects_page *page = &listing->page;
    int r = listing_begin(s3, listing);
    if (r == 0)
        r = s3_query(s3, "key-marker", &page->after);
    if (r == 0)
        r = s3_query(s3, "version-id-marker", &page->after_name);
    if (r < 0)
        return r;
    page->with_versions = true;
    page->has_after_name = page->after_name.size > 0;
    if (page->has_after_name && page->after.size == 0)
        return s3_error(s3, AWS_S3_INVALID_ARGUMENT,
                        "A version-id marker cannot be specified without a key marker.");
    r = listing_run(listing);
    if (r < 0)
        return r;
    s3_xml_begin(s3, "ListVersionsResult");
    append_head(listing);
    s3_xml_key(xml, "KeyMarker", page->after, listing->is_encoded);
    s3_xml_text(xml, "VersionIdMarker", page->after_name);
    if (r == 1) {
        s3_xml_key(xml, "NextKeyMarker", buf_str(&listing->last), listing->is_encoded);
        if (listing->last_name.size > 0)
            s3_xml_text(xml, "NextVersionIdMarker", buf_str(&listing->last_name));
    }
    append_items(listing, r == 1);
    buf_append_text(xml, "</ListVersionsResult>");
    return 0;
}

int s3_list_object_versions(struct s3_call *s3)
{
    struct listing listing = {0};
    int r = list_versions(s3, &listing);
    listing_done(&listing);
    return r;
}
