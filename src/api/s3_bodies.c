/* SPDX-License-Identifier: MIT */

#include "api/s3_bodies.h"

#include <errno.h>

#include "aws/xml.h"

static struct str without_quotes(struct str etag)
{
    bool is_quoted = etag.size >= 2 && etag.data[0] == '"' && etag.data[etag.size - 1] == '"';
    return is_quoted ? str_part(etag, 1, etag.size - 2) : etag;
}

/* Begins the document: its root is this one. */
static int begin(struct xml *xml, struct str body, const char *root)
{
    struct xml_event event;
    xml_init(xml, body);
    int r = xml_next(xml, &event);
    return r == 1 && event.kind == XML_START && str_equal_text(event.name, root) ? 0 : -EINVAL;
}

/* ---- CompleteMultipartUpload */

static enum checksum_kind checksum_element(struct str name)
{
    return str_has_prefix(name, STR("Checksum")) ? checksum_by_name(str_skip(name, 8))
                                                 : CHECKSUM_NONE;
}

static int read_part(struct xml *xml, struct arena *arena, struct s3_named_part *part)
{
    struct xml_event event;
    struct str number = {0};
    int r;
    *part = (struct s3_named_part){0};
    while ((r = xml_next(xml, &event)) > 0 && event.kind != XML_END) {
        if (event.kind != XML_START)
            continue;
        enum checksum_kind kind = checksum_element(event.name);
        struct str *to = str_equal(event.name, STR("PartNumber")) ? &number
                         : str_equal(event.name, STR("ETag"))     ? &part->etag
                         : kind                                   ? &part->checksum
                                                                  : NULL;
        bool is_taken = to && !to->data;
        r = is_taken ? xml_content(xml, arena, to) : xml_skip(xml);
        if (r < 0)
            return r;
        if (is_taken && kind)
            part->kind = kind;
    }
    part->etag = without_quotes(part->etag);
    bool is_whole = r > 0 && part->etag.data && str_to_u64(number, INT32_MAX, &part->number) == 0;
    return is_whole ? 0 : -EINVAL;
}

int s3_body_complete(struct str body, struct arena *arena, struct s3_named_part *parts, size_t max,
                     size_t *ret_count)
{
    struct xml xml;
    struct xml_event event;
    size_t count = 0;
    int r = begin(&xml, body, "CompleteMultipartUpload");
    while (r == 0 && (r = xml_next(&xml, &event)) > 0) {
        r = 0;
        if (event.kind != XML_START)
            continue;
        if (!str_equal(event.name, STR("Part")) || count == max)
            return -EINVAL;
        r = read_part(&xml, arena, &parts[count++]);
    }
    if (r < 0 || count == 0)
        return r < 0 ? r : -EINVAL;
    *ret_count = count;
    return 0;
}

/* ---- Delete */

static int read_object(struct xml *xml, struct arena *arena, struct objects_deletion *item)
{
    struct xml_event event;
    int r;
    *item = (struct objects_deletion){0};
    while ((r = xml_next(xml, &event)) > 0 && event.kind != XML_END) {
        if (event.kind != XML_START)
            continue;
        struct str *to = str_equal(event.name, STR("Key"))         ? &item->key
                         : str_equal(event.name, STR("VersionId")) ? &item->name
                         : str_equal(event.name, STR("ETag"))      ? &item->has_etag
                                                                   : NULL;
        r = to && !to->data ? xml_content(xml, arena, to) : xml_skip(xml);
        if (r < 0)
            return r;
    }
    item->has_etag = without_quotes(item->has_etag);
    if (item->name.size >= OBJECTS_VERSION_SIZE || item->key.size > OBJECTS_KEY_MAX)
        return -EINVAL;
    return r <= 0 || item->key.size == 0 ? -EINVAL : 0;
}

int s3_body_delete(struct str body, struct arena *arena, struct objects_deletion *items, size_t max,
                   size_t *ret_count, bool *ret_is_quiet)
{
    struct xml xml;
    struct xml_event event;
    struct str quiet = {0};
    size_t count = 0;
    int r = begin(&xml, body, "Delete");
    while (r == 0 && (r = xml_next(&xml, &event)) > 0) {
        r = 0;
        if (event.kind != XML_START)
            continue;
        bool is_object = str_equal(event.name, STR("Object"));
        if (is_object && count == max)
            return -EINVAL;
        if (is_object)
            r = read_object(&xml, arena, &items[count++]);
        else if (str_equal(event.name, STR("Quiet")) && !quiet.data)
            r = xml_content(&xml, arena, &quiet);
        else
            r = xml_skip(&xml);
    }
    if (r < 0 || count == 0)
        return r < 0 ? r : -EINVAL;
    *ret_count = count;
    *ret_is_quiet = str_equal(quiet, STR("true"));
    return 0;
}

/* ---- One element */

int s3_body_single(struct str body, struct arena *arena, const char *root, const char *name,
                   struct str *ret_text)
{
    struct xml xml;
    struct xml_event event;
    struct str text = {0};
    int r = begin(&xml, body, root);
    while (r == 0 && (r = xml_next(&xml, &event)) > 0) {
        r = 0;
        if (event.kind == XML_START)
            r = !text.data && str_equal_text(event.name, name) ? xml_content(&xml, arena, &text)
                                                               : xml_skip(&xml);
    }
    if (r < 0)
        return r;
    *ret_text = text;
    return 0;
}
