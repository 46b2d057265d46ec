/* SPDX-License-Identifier: MIT
 *
 * CopyObject: a further row for the same content. Nothing is copied, whatever the size. */

#include "api/s3_operations.h"

#include <errno.h>

#include "api/s3_object.h"
#include "api/s3_source.h"
#include "api/s3_xml.h"
#include "base/clock.h"

/* True: REPLACE; false: COPY or absent. */
static int read_directive(struct s3_call *s3, const char *name, bool *ret_is_replace)
{
    struct str text = s3_header(s3, name);
    *ret_is_replace = str_equal(text, STR("REPLACE"));
    if (text.data && !*ret_is_replace && !str_equal(text, STR("COPY")))
        return s3_error(s3, AWS_S3_INVALID_ARGUMENT, "Unknown metadata directive.");
    return 0;
}

static bool is_itself(const struct s3_call *s3, const struct s3_source *source)
{
    return !source->version_id.data && str_equal(source->bucket, s3->bucket) &&
           str_equal(source->key, s3->key);
}

static int describe(struct s3_call *s3, const struct s3_source *source,
                    struct objects_version *version)
{
    bool is_replaced, are_tags_replaced;
    int r = read_directive(s3, "x-amz-metadata-directive", &is_replaced);
    if (r == 0)
        r = read_directive(s3, "x-amz-tagging-directive", &are_tags_replaced);
    if (r < 0)
        return r;
    if (is_itself(s3, source) && !is_replaced)
        return s3_error(s3, AWS_S3_INVALID_REQUEST,
                        "This copy request is illegal because it is trying to copy an object to "
                        "itself without changing the object's metadata, storage class, website "
                        "redirect location or encryption attributes.");
    *version = source->version;
    version->key = s3->key;
    version->modified_ms = clock_wall_ms();
    version->upload = STR("");
    version->block = NULL;
    if (is_replaced)
        r = s3_object_headers(s3, &version->headers);
    if (r == 0 && are_tags_replaced)
        r = s3_object_tags(s3, &version->tags);
    return r;
}

static void answer_copy(struct s3_call *s3, const struct objects_bucket *bucket,
                        const struct s3_source *source, const struct objects_version *version,
                        const char *name)
{
    if (source->found_bucket.versioning != OBJECTS_UNVERSIONED)
        s3_answer_header(s3, "x-amz-copy-source-version-id", source->version.name);
    s3_object_answer_version(s3, bucket, name);
    s3_xml_begin(s3, "CopyObjectResult");
    s3_xml_time(&s3->answer, "LastModified", version->modified_ms);
    buf_printf(&s3->answer, "<ETag>&quot;" STR_FORMAT "&quot;</ETag>",
               STR_ARGUMENTS(version->etag));
    s3_xml_checksum(&s3->answer, version->checksum);
    buf_append_text(&s3->answer, "</CopyObjectResult>");
}

static int copy(struct s3_call *s3, struct s3_source *source)
{
    struct objects_bucket bucket;
    struct objects_condition condition;
    struct objects_version version;
    struct error err = {0};
    struct objects_added added;
    int r = s3_bucket(s3, &bucket);
    if (r == 0)
        r = s3_object_condition(s3, &condition);
    if (r == 0)
        r = s3_source_find(s3, source);
    if (r == 0)
        r = describe(s3, source, &version);
    if (r < 0)
        return r;
    r = objects_put(s3_objects(s3->s3), bucket.id, &version, &condition, &added, &err);
    if (r < 0)
        return s3_object_put_failed(s3, r, &err);
    s3->has_dropped = added.has_replaced;
    answer_copy(s3, &bucket, source, &version, added.name);
    return 0;
}

int s3_copy(struct s3_call *s3)
{
    struct s3_source *source = s3->work;
    int r = copy(s3, source);
    s3_source_done(source);
    return r;
}
