/* SPDX-License-Identifier: MIT */

#include "api/s3_operations.h"

#include <errno.h>

#include "api/rights.h"
#include "api/s3_bodies.h"
#include "api/s3_object.h"
#include "api/s3_xml.h"

static void note_gone(struct s3_call *s3, const struct objects_deletion *deletion)
{
    s3->has_dropped |= deletion->has_gone;
}

/* ---- DeleteObject */

int s3_delete_object(struct s3_call *s3)
{
    struct objects_bucket bucket;
    struct objects_condition condition;
    struct objects_deletion deletion = {.key = s3->key};
    struct error err = {0};
    int r = s3_object_version_id(s3, &deletion.name);
    if (r == 0)
        r = s3_bucket(s3, &bucket);
    if (r == 0)
        r = s3_object_condition(s3, &condition);
    if (r < 0)
        return r;
    deletion.has_etag = condition.has_etag;
    r = objects_delete(s3_objects(s3->s3), bucket.id, &deletion, 1, &err);
    if (r == 0)
        r = deletion.status;
    if (r < 0)
        return s3_object_put_failed(s3, r, &err);
    note_gone(s3, &deletion);
    s3_object_answer_version(s3, &bucket, deletion.version);
    if (deletion.is_marker)
        s3_answer_header(s3, "x-amz-delete-marker", STR("true"));
    s3->status = 204;
    return 0;
}

/* ---- DeleteObjects */

struct deleting {
    struct objects_deletion items[S3_PAGE_MAX];
    bool is_denied[S3_PAGE_MAX];
    size_t count;
    bool is_quiet;
};

/* Each key by itself: what the caller may not delete is an error of the answer. */
static void check_right(struct s3_call *s3, struct deleting *deleting, size_t i)
{
    AUTO_BUF struct buf arn = BUF_INIT(OBJECTS_KEY_MAX + 128);
    const struct objects_deletion *item = &deleting->items[i];
    buf_printf(&arn, "arn:aws:s3:::" STR_FORMAT "/", STR_ARGUMENTS(s3->bucket));
    buf_append_str(&arn, item->key);
    deleting->is_denied[i] =
        rights_may(s3->call, item->name.data ? "s3:DeleteObjectVersion" : "s3:DeleteObject",
                   buf_str(&arn)) < 0;
}

int s3_delete_objects_check(struct s3_call *s3)
{
    struct deleting *deleting = arena_new(&s3->arena, struct deleting);
    if (!deleting)
        return s3_error_memory(s3);
    s3->work = deleting;
    if (!s3->proof.has_md5 && !s3->proof.checksum && !s3->proof.has_sha256)
        return s3_error(s3, AWS_S3_INVALID_REQUEST,
                        "Missing required header for this request: Content-MD5 OR "
                        "x-amz-checksum-*");
    int r = s3_body_delete(s3->body, &s3->arena, deleting->items, S3_PAGE_MAX, &deleting->count,
                           &deleting->is_quiet);
    if (r < 0)
        return r == -ENOMEM ? s3_error_memory(s3) : s3_xml_malformed(s3);
    for (size_t i = 0; i < deleting->count; i++)
        check_right(s3, deleting, i);
    return 0;
}

static void append_error(struct buf *xml, const struct objects_deletion *item, const char *code,
                         const char *message)
{
    buf_append_text(xml, "<Error>");
    s3_xml_text(xml, "Key", item->key);
    if (item->name.data)
        s3_xml_text(xml, "VersionId", item->name);
    buf_printf(xml, "<Code>%s</Code><Message>%s</Message></Error>", code, message);
}

static void append_deleted(struct buf *xml, const struct objects_deletion *item)
{
    buf_append_text(xml, "<Deleted>");
    s3_xml_text(xml, "Key", item->key);
    if (item->name.data)
        s3_xml_text(xml, "VersionId", item->name);
    if (item->is_marker) {
        buf_append_text(xml, "<DeleteMarker>true</DeleteMarker>");
        s3_xml_text(xml, "DeleteMarkerVersionId", str_of(item->version));
    }
    buf_append_text(xml, "</Deleted>");
}

/* Those that are allowed, in one commit. */
static int delete_allowed(struct s3_call *s3, struct deleting *deleting, struct error *err)
{
    struct objects_bucket bucket;
    struct objects_deletion *allowed =
        arena_alloc(&s3->arena, deleting->count * sizeof(allowed[0]));
    size_t count = 0;
    if (!allowed)
        return s3_error_memory(s3);
    int r = s3_bucket(s3, &bucket);
    if (r < 0)
        return r;
    for (size_t i = 0; i < deleting->count; i++)
        if (!deleting->is_denied[i])
            allowed[count++] = deleting->items[i];
    r = count ? objects_delete(s3_objects(s3->s3), bucket.id, allowed, count, err) : 0;
    if (r < 0)
        return s3_object_put_failed(s3, r, err);
    count = 0;
    for (size_t i = 0; i < deleting->count; i++)
        if (!deleting->is_denied[i])
            deleting->items[i] = allowed[count++];
    return 0;
}

int s3_delete_objects(struct s3_call *s3)
{
    struct deleting *deleting = s3->work;
    struct error err = {0};
    int r = delete_allowed(s3, deleting, &err);
    if (r < 0)
        return r;
    s3_xml_begin(s3, "DeleteResult");
    for (size_t i = 0; i < deleting->count; i++) {
        const struct objects_deletion *item = &deleting->items[i];
        if (deleting->is_denied[i]) {
            append_error(&s3->answer, item, "AccessDenied", "Access Denied");
        } else if (item->status < 0) {
            append_error(&s3->answer, item, "PreconditionFailed",
                         "At least one of the pre-conditions you specified did not hold");
        } else {
            note_gone(s3, item);
            if (!deleting->is_quiet)
                append_deleted(&s3->answer, item);
        }
    }
    buf_append_text(&s3->answer, "</DeleteResult>");
    return 0;
}
