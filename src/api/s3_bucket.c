/* SPDX-License-Identifier: MIT */

#include "api/s3_operations.h"

#include <errno.h>
#include <string.h>

#include "api/s3_xml.h"
#include "base/clock.h"

static bool is_bucket_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

/* AWS's rules for new names: 3 to 63 of a-z 0-9 - . with a letter or digit at both ends, no two dots in a
 * row, no IP address. */
static bool is_bucket_name(struct str name)
{
    bool has_letter = false;
    if (name.size < 3 || name.size > OBJECTS_BUCKET_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool is_alphanumeric = is_bucket_byte(c) && c != '-' && c != '.';
        if (!is_bucket_byte(c) || ((i == 0 || i + 1 == name.size) && !is_alphanumeric) ||
            (c == '.' && name.data[i - 1] == '.'))
            return false;
        has_letter |= c >= 'a' && c <= 'z';
    }
    return has_letter || str_find(name, '.') < 0 || str_find(name, '-') >= 0;
}

/* ---- ListBuckets */

static int list_bucket(void *arg, const struct objects_bucket *bucket)
{
    struct s3_call *s3 = arg;
    buf_append_text(&s3->answer, "<Bucket>");
    s3_xml_text(&s3->answer, "Name", str_of(bucket->name));
    s3_xml_time(&s3->answer, "CreationDate", bucket->created_ms);
    buf_append_text(&s3->answer, "</Bucket>");
    return buf_status(&s3->answer);
}

void s3_xml_owner(struct s3_call *s3, const char *name)
{
    buf_printf(&s3->answer, "<%s><ID>%s</ID><DisplayName>%s</DisplayName></%s>", name, s3->account,
               s3->account, name);
}

int s3_list_buckets(struct s3_call *s3)
{
    struct error err = {0};
    s3_xml_begin(s3, "ListAllMyBucketsResult");
    s3_xml_owner(s3, "Owner");
    buf_append_text(&s3->answer, "<Buckets>");
    int r = objects_bucket_each(s3_objects(s3->s3), list_bucket, s3, &err);
    if (r < 0)
        return s3_error_internal(s3, "s3.list_buckets", &err);
    buf_append_text(&s3->answer, "</Buckets></ListAllMyBucketsResult>");
    return 0;
}

/* ---- CreateBucket */

static int read_location(struct s3_call *s3)
{
    struct str location;
    int r = s3_xml_single(s3, "CreateBucketConfiguration", "LocationConstraint", &location);
    if (r < 0 || !location.data || location.size == 0)
        return r;
    if (!str_equal_text(location, s3->region))
        return s3_error(
            s3, AWS_S3_ILLEGAL_LOCATION,
            "The " STR_FORMAT
            " location constraint is incompatible for the region specific endpoint this "
            "request was sent to.",
            STR_ARGUMENTS(str_part(location, 0, 64)));
    return 0;
}

int s3_create_bucket(struct s3_call *s3)
{
    struct error err = {0};
    if (!is_bucket_name(s3->bucket))
        return s3_error(s3, AWS_S3_INVALID_BUCKET_NAME, "The specified bucket is not valid.");
    int r = s3->body.size > 0 ? read_location(s3) : 0;
    if (r < 0)
        return r;
    r = objects_bucket_create(s3_objects(s3->s3), s3->bucket, clock_wall_ms(), &err);
    if (r == -EEXIST && strcmp(s3->region, "us-east-1") != 0)
        return s3_error(
            s3, AWS_S3_BUCKET_EXISTS,
            "Your previous request to create the named bucket succeeded and you already "
            "own it.");
    if (r == -E2BIG)
        return s3_error(s3, AWS_S3_TOO_MANY_BUCKETS,
                        "You have attempted to create more buckets than allowed");
    if (r < 0 && r != -EEXIST) /* us-east-1 says 200 to its owner */
        return s3_error_internal(s3, "s3.create_bucket", &err);
    s3_answer_printf(s3, "Location", "/" STR_FORMAT, STR_ARGUMENTS(s3->bucket));
    return 0;
}

int s3_head_bucket(struct s3_call *s3)
{
    struct objects_bucket bucket;
    int r = s3_bucket(s3, &bucket);
    if (r == 0)
        s3_answer_header(s3, "x-amz-bucket-region", str_of(s3->region));
    return r;
}

int s3_delete_bucket(struct s3_call *s3)
{
    struct objects_bucket bucket;
    struct error err = {0};
    int r = s3_bucket(s3, &bucket);
    if (r < 0)
        return r;
    r = objects_bucket_delete(s3_objects(s3->s3), bucket.id, &err);
    if (r == -ENOTEMPTY)
        return s3_error(s3, AWS_S3_BUCKET_NOT_EMPTY, "The bucket you tried to delete is not empty");
    if (r < 0)
        return r == -ENOENT ? s3_error_bucket(s3) : s3_error_internal(s3, "s3.delete_bucket", &err);
    s3->status = 204;
    return 0;
}

/* us-east-1 is the empty one. */
int s3_get_bucket_location(struct s3_call *s3)
{
    struct objects_bucket bucket;
    int r = s3_bucket(s3, &bucket);
    if (r < 0)
        return r;
    s3_xml_begin(s3, "LocationConstraint");
    if (strcmp(s3->region, "us-east-1") != 0)
        buf_append_text(&s3->answer, s3->region);
    buf_append_text(&s3->answer, "</LocationConstraint>");
    return 0;
}

/* ---- Versioning */

int s3_get_versioning(struct s3_call *s3)
{
    static const char *const statuses[] = {
        [OBJECTS_VERSIONED] = "Enabled", [OBJECTS_SUSPENDED] = "Suspended"};
    struct objects_bucket bucket;
    int r = s3_bucket(s3, &bucket);
    if (r < 0)
        return r;
    s3_xml_begin(s3, "VersioningConfiguration");
    if (bucket.versioning != OBJECTS_UNVERSIONED)
        s3_xml_text(&s3->answer, "Status", str_of(statuses[bucket.versioning]));
    buf_append_text(&s3->answer, "</VersioningConfiguration>");
    return 0;
}

int s3_put_versioning(struct s3_call *s3)
{
    struct objects_bucket bucket;
    struct error err = {0};
    struct str status;
    int r = s3_bucket(s3, &bucket);
    if (r == 0)
        r = s3_xml_single(s3, "VersioningConfiguration", "Status", &status);
    if (r < 0)
        return r;
    bool is_enabled = str_equal(status, STR("Enabled"));
    if (!is_enabled && !str_equal(status, STR("Suspended")))
        return s3_xml_malformed(s3);
    r = objects_bucket_set_versioning(s3_objects(s3->s3), bucket.id,
                                      is_enabled ? OBJECTS_VERSIONED : OBJECTS_SUSPENDED, &err);
    if (r < 0)
        return r == -ENOENT ? s3_error_bucket(s3)
                            : s3_error_internal(s3, "s3.put_versioning", &err);
    return 0;
}
