/* SPDX-License-Identifier: MIT
 *
 * GetObjectAttributes, and the tags of an object. */

#include <errno.h>
#include <string.h>

#include "api/s3_object.h"
#include "api/s3_operations.h"
#include "api/s3_xml.h"
#include "base/clock.h"
#include "base/percent.h"

/* ---- GetObjectAttributes */

static bool has_attribute(const struct s3_call *s3, const char *name)
{
    for (size_t i = 0; i < s3->header_count; i++) {
        struct str rest = s3->headers[i].value, each;
        if (!str_equal_text(s3->headers[i].name, "x-amz-object-attributes"))
            continue;
        while (rest.size > 0) {
            (void) str_cut(rest, ',', &each, &rest);
            if (str_equal_text(str_trim(each), name))
                return true;
        }
    }
    return false;
}

static void append_parts(struct s3_call *s3, const struct objects_version *version)
{
    struct buf *xml = &s3->answer;
    struct str rest = version->parts;
    struct buf items = BUF_INIT(S3_ANSWER_MAX);
    struct str name = {0};
    unsigned count = 0;
    (void) str_cut(version->checksum, ' ', &name, &(struct str){0});
    while (rest.size > 0) {
        struct str each, size, checksum;
        (void) str_cut(rest, ' ', &each, &rest);
        (void) str_cut(each, ':', &size, &checksum);
        if (++count > S3_PAGE_MAX)
            continue;
        buf_append_text(&items, "<Part>");
        if (name.size > 0 && checksum.size > 0)
            buf_printf(&items, "<Checksum" STR_FORMAT ">" STR_FORMAT "</Checksum" STR_FORMAT ">",
                       STR_ARGUMENTS(name), STR_ARGUMENTS(checksum), STR_ARGUMENTS(name));
        s3_xml_number(&items, "PartNumber", count);
        s3_xml_text(&items, "Size", size);
        buf_append_text(&items, "</Part>");
    }
    buf_printf(xml, "<ObjectParts><PartsCount>%u</PartsCount><IsTruncated>%s</IsTruncated>", count,
               count > S3_PAGE_MAX ? "true" : "false");
    buf_append_str(xml, buf_str(&items));
    buf_append_text(xml, "</ObjectParts>");
    buf_done(&items);
}

int s3_get_attributes(struct s3_call *s3)
{
    struct objects_bucket bucket;
    struct objects_version version;
    struct buf *xml = &s3->answer;
    char date[CLOCK_TEXT_MAX];
    if (!s3_header(s3, "x-amz-object-attributes").data)
        return s3_error(s3, AWS_S3_INVALID_REQUEST,
                        "Missing required header for this request: x-amz-object-attributes");
    int r = s3_object_find(s3, &bucket, &version);
    if (r < 0)
        return r;
    s3_answer_header(s3, "Last-Modified", str_of(clock_http(version.modified_ms, date)));
    if (bucket.versioning != OBJECTS_UNVERSIONED)
        s3_answer_header(s3, "x-amz-version-id", version.name);
    s3_xml_begin(s3, "GetObjectAttributesOutput");
    if (has_attribute(s3, "ETag"))
        s3_xml_text(xml, "ETag", version.etag);
    if (has_attribute(s3, "Checksum") && version.checksum.size > 0) {
        buf_append_text(xml, "<Checksum>");
        s3_xml_checksum(xml, version.checksum);
        buf_append_text(xml, "</Checksum>");
    }
    if (has_attribute(s3, "ObjectParts") && version.parts.size > 0)
        append_parts(s3, &version);
    if (has_attribute(s3, "StorageClass"))
        buf_append_text(xml, "<StorageClass>STANDARD</StorageClass>");
    if (has_attribute(s3, "ObjectSize"))
        s3_xml_number(xml, "ObjectSize", version.size);
    buf_append_text(xml, "</GetObjectAttributesOutput>");
    objects_version_done(&version);
    return 0;
}

/* ---- Tags */

static void append_decoded(struct s3_call *s3, const char *name, struct str text)
{
    char *decoded = arena_alloc(&s3->arena, text.size + 1);
    ptrdiff_t size = decoded ? percent_decode(text, true, decoded) : -ENOMEM;
    s3_xml_text(&s3->answer, name, str_of_data(decoded, size < 0 ? 0 : (size_t) size));
}

int s3_get_tagging(struct s3_call *s3)
{
    struct objects_bucket bucket;
    struct objects_version version;
    int r = s3_object_find(s3, &bucket, &version);
    if (r < 0)
        return r;
    if (bucket.versioning != OBJECTS_UNVERSIONED)
        s3_answer_header(s3, "x-amz-version-id", version.name);
    s3_xml_begin(s3, "Tagging");
    buf_append_text(&s3->answer, "<TagSet>");
    struct str rest = version.tags, pair, key, value;
    while (rest.size > 0) {
        (void) str_cut(rest, '&', &pair, &rest);
        (void) str_cut(pair, '=', &key, &value);
        buf_append_text(&s3->answer, "<Tag>");
        append_decoded(s3, "Key", key);
        append_decoded(s3, "Value", value);
        buf_append_text(&s3->answer, "</Tag>");
    }
    buf_append_text(&s3->answer, "</TagSet></Tagging>");
    objects_version_done(&version);
    return 0;
}

#define TAGS_MAX 10
#define TAG_KEY_MAX 128
#define TAG_VALUE_MAX 256

struct tags {
    struct str keys[TAGS_MAX];
    size_t count;
    struct buf text;
};

static int read_tag(struct s3_call *s3, struct xml *xml, struct tags *tags)
{
    struct xml_event event;
    struct str key = {0}, value = {0};
    int r;
    while ((r = xml_next(xml, &event)) > 0 && event.kind != XML_END) {
        if (event.kind != XML_START)
            continue;
        struct str *to = str_equal(event.name, STR("Key"))     ? &key
                         : str_equal(event.name, STR("Value")) ? &value
                                                               : NULL;
        r = to && !to->data ? xml_content(xml, &s3->arena, to) : -EINVAL;
        if (r < 0)
            return r;
    }
    if (r < 0 || key.size == 0 || key.size > TAG_KEY_MAX || !value.data ||
        value.size > TAG_VALUE_MAX || tags->count == TAGS_MAX)
        return r < 0 ? r : -EBADMSG;
    for (size_t i = 0; i < tags->count; i++)
        if (str_equal(tags->keys[i], key))
            return -EBADMSG;
    tags->keys[tags->count++] = key;
    if (tags->text.size > 0)
        buf_append_byte(&tags->text, '&');
    percent_append(&tags->text, key, false);
    buf_append_byte(&tags->text, '=');
    return percent_append(&tags->text, value, false);
}

static int read_tags(struct s3_call *s3, struct tags *tags)
{
    struct xml xml;
    struct xml_event event;
    xml_init(&xml, s3->body);
    int r = xml_next(&xml, &event);
    if (r <= 0 || !str_equal(event.name, STR("Tagging")))
        return -EINVAL;
    while ((r = xml_next(&xml, &event)) > 0) {
        if (event.kind != XML_START || str_equal(event.name, STR("TagSet")))
            continue;
        r = str_equal(event.name, STR("Tag")) ? read_tag(s3, &xml, tags) : -EINVAL;
        if (r < 0)
            return r;
    }
    return r;
}

static int set_tags(struct s3_call *s3, struct str tags)
{
    struct objects_bucket bucket;
    struct error err = {0};
    struct str name;
    int r = s3_object_version_id(s3, &name);
    if (r == 0)
        r = s3_bucket(s3, &bucket);
    if (r < 0)
        return r;
    r = objects_set_tags(s3_objects(s3->s3), bucket.id, s3->key, name, tags, &err);
    return r < 0 ? s3_object_put_failed(s3, r, &err) : 0;
}

int s3_put_tagging(struct s3_call *s3)
{
    struct tags tags = {.text = BUF_INIT(TAGS_MAX * 3 * (TAG_KEY_MAX + TAG_VALUE_MAX + 2))};
    int r = read_tags(s3, &tags);
    if (r == -EBADMSG)
        r = s3_error(s3, AWS_S3_INVALID_TAG,
                     "The tags are not what AWS allows: at most 10, different keys of 1 to 128 "
                     "characters, values of at most 256");
    else if (r < 0)
        r = r == -ENOMEM ? s3_error_memory(s3) : s3_xml_malformed(s3);
    else
        r = set_tags(s3, tags.text.size ? buf_str(&tags.text) : STR(""));
    buf_done(&tags.text);
    return r;
}

int s3_delete_tagging(struct s3_call *s3)
{
    s3->status = 204;
    return set_tags(s3, STR(""));
}
