/* SPDX-License-Identifier: MIT */

#include "api/s3_source.h"

#include <errno.h>

#include "api/rights.h"
#include "api/s3_object.h"
#include "base/percent.h"
#include "store/stage.h"

static int refuse(struct s3_call *s3)
{
    return s3_error(s3, AWS_S3_INVALID_ARGUMENT,
                    "Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
}

/* "/bucket/key", "bucket/key", percent-encoded, and ?versionId=. */
static int read_source(struct s3_call *s3, struct s3_source *source)
{
    struct str text = s3_header(s3, "x-amz-copy-source"), path, query, id;
    char *decoded = arena_alloc(&s3->arena, text.size + 1);
    if (!decoded)
        return s3_error_memory(s3);
    (void) str_cut(text, '?', &path, &query);
    if (str_has_prefix(path, STR("/")))
        path = str_skip(path, 1);
    ptrdiff_t size = percent_decode(path, false, decoded);
    if (size < 0)
        return refuse(s3);
    path = str_of_data(decoded, (size_t) size);
    bool has_key = str_cut(path, '/', &source->bucket, &source->key);
    if (!has_key || source->bucket.size == 0 || source->key.size == 0 || !str_is_utf8(path) ||
        str_find(path, 0) >= 0 || source->key.size > OBJECTS_KEY_MAX)
        return refuse(s3);
    if (query.size > 0 && !str_has_prefix(query, STR("versionId=")))
        return refuse(s3);
    id = str_skip(query, sizeof("versionId=") - 1);
    source->version_id = query.size ? arena_copy_str(&s3->arena, id) : (struct str){0};
    return 0;
}

int s3_source_check(struct s3_call *s3)
{
    AUTO_BUF struct buf arn = BUF_INIT(OBJECTS_KEY_MAX + 128);
    struct s3_source *source = arena_new(&s3->arena, struct s3_source);
    if (!source)
        return s3_error_memory(s3);
    s3->work = source;
    int r = read_source(s3, source);
    if (r < 0)
        return r;
    buf_printf(&arn, "arn:aws:s3:::" STR_FORMAT "/", STR_ARGUMENTS(source->bucket));
    buf_append_str(&arn, source->key);
    r = rights_may(s3->call, source->version_id.data ? "s3:GetObjectVersion" : "s3:GetObject",
                   buf_str(&arn));
    if (r < 0)
        s3->error = s3->call->error;
    return r;
}

static int find_version(struct s3_call *s3, struct s3_source *source)
{
    struct error err = {0};
    struct objects *objects = s3_objects(s3->s3);
    int r = objects_bucket_get(objects, source->bucket, &source->found_bucket, &err);
    if (r == -ENOENT)
        return s3_error_bucket(s3);
    if (r == 0)
        r = objects_get(objects, source->found_bucket.id, source->key, source->version_id,
                        &source->version, &err);
    if (r == -ENOENT)
        return source->version_id.data
                   ? s3_error(s3, AWS_S3_NO_SUCH_VERSION, "The specified version does not exist.")
                   : s3_error_key(s3);
    if (r < 0)
        return s3_error_internal(s3, "s3.source", &err);
    if (!source->version.is_marker)
        return 0;
    if (!source->version_id.data)
        return s3_error_key(s3);
    return s3_error(s3, AWS_S3_INVALID_REQUEST,
                    "The source of a copy request may not specifically refer to a delete marker by "
                    "version id.");
}

#define TRIES 3

int s3_source_find(struct s3_call *s3, struct s3_source *source)
{
    for (int i = 0;; i++) {
        struct error err = {0};
        int r = find_version(s3, source);
        if (r == 0)
            r = s3_object_check(s3, "x-amz-copy-source-", &source->version);
        if (r < 0 || source->version.size == 0)
            return r;
        r = store_stage_pin(s3_store(s3->s3), &source->version.digest, &source->pin);
        if (r == 0)
            return 0;
        /* Overwritten and collected in between: another row. */
        (void) error_set_errno(&err, r, "keep the content of a copy's source");
        if (r != -ENOENT || i == TRIES)
            return s3_error_internal(s3, "s3.source", &err);
        objects_version_done(&source->version);
    }
}

void s3_source_done(struct s3_source *source)
{
    objects_version_done(&source->version);
    store_unpin(source->pin);
    source->pin = NULL;
}
