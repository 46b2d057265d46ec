/* SPDX-License-Identifier: MIT
 *
 * The route table of S3. Source of methods, paths and parameters: AWS's service model of S3 (botocore
 * 1.43.67). The first row that fits is taken: those with a parameter or header stand before those without.
 */

#include "api/s3_operations.h"

#define ROW(method, level, parameter, operation, action, body, run)                                \
    {                                                                                              \
        HTTP_METHOD_##method, S3_##level, parameter, NULL, operation, "s3:" action,                \
            S3_BODY_##body, NULL, run, NULL, NULL, NULL                                            \
    }

/* A table reads by its rows. */
/* clang-format off */
const struct s3_route s3_routes[] = {
    {HTTP_METHOD_PUT, S3_OBJECT, NULL, NULL, "PutObject", "s3:PutObject", S3_BODY_OBJECT, NULL, s3_put, s3_put_open, s3_put_finish, s3_put_drop},
    ROW(GET, OBJECT, NULL, "GetObject", "GetObject", NONE, s3_get),
    ROW(HEAD, OBJECT, NULL, "HeadObject", "GetObject", NONE, s3_get),
    ROW(DELETE, OBJECT, NULL, "DeleteObject", "DeleteObject", NONE, s3_delete_object),

    ROW(GET, BUCKET, "list-type", "ListObjectsV2", "ListBucket", NONE, s3_list_objects_v2),
    ROW(GET, BUCKET, "location", "GetBucketLocation", "GetBucketLocation", NONE, s3_get_bucket_location),
    ROW(GET, BUCKET, "versioning", "GetBucketVersioning", "GetBucketVersioning", NONE, s3_get_versioning),
    ROW(PUT, BUCKET, "versioning", "PutBucketVersioning", "PutBucketVersioning", XML, s3_put_versioning),
    ROW(GET, BUCKET, "versions", "ListObjectVersions", "ListBucketVersions", NONE, s3_list_object_versions),
    {HTTP_METHOD_POST, S3_BUCKET, "delete", NULL, "DeleteObjects", NULL, S3_BODY_XML, s3_delete_objects_check, s3_delete_objects, NULL, NULL, NULL},
    ROW(GET, BUCKET, NULL, "ListObjects", "ListBucket", NONE, s3_list_objects),
    ROW(PUT, BUCKET, NULL, "CreateBucket", "CreateBucket", XML, s3_create_bucket),
    ROW(HEAD, BUCKET, NULL, "HeadBucket", "ListBucket", NONE, s3_head_bucket),
    ROW(DELETE, BUCKET, NULL, "DeleteBucket", "DeleteBucket", NONE, s3_delete_bucket),
    ROW(GET, SERVICE, NULL, "ListBuckets", "ListAllMyBuckets", NONE, s3_list_buckets),
    {0},
};
