/* SPDX-License-Identifier: MIT
 *
 * The route table of S3. Source of methods, paths and parameters: AWS's service model of S3
 * (botocore 1.43.67). The first row that fits is taken: those with a parameter or header stand
 * before those without. docs/object-store.md tells about each row; tools/check_docs.py compares the
 * two.
 */

#include "api/s3_operations.h"
#include "api/s3_source.h"

#define ROW(method, level, parameter, operation, action, body, run)                                \
    {                                                                                              \
        HTTP_METHOD_##method, S3_##level, parameter, NULL, operation, "s3:" action,                \
            S3_BODY_##body, NULL, run, NULL, NULL, NULL, false                                     \
    }

/* An operation that AWS has and this service has not: 501 with its name. */
#define ABSENT(method, level, parameter, operation)                                                \
    {                                                                                              \
        HTTP_METHOD_##method, S3_##level, parameter, NULL, operation, "s3:" operation,             \
            S3_BODY_NONE, NULL, NULL, NULL, NULL, NULL, false                                      \
    }

/* A table reads by its rows. */
/* clang-format off */
const struct s3_route s3_routes[] = {
    /* Objects */
    {HTTP_METHOD_PUT, S3_OBJECT, "uploadId", "x-amz-copy-source", "UploadPartCopy", "s3:PutObject", S3_BODY_NONE, s3_source_check, s3_part_copy, NULL, NULL, NULL, false},
    {HTTP_METHOD_PUT, S3_OBJECT, "uploadId", NULL, "UploadPart", "s3:PutObject", S3_BODY_OBJECT, NULL, s3_part, s3_part_open, s3_part_finish, s3_part_drop, false},
    ROW(PUT, OBJECT, "tagging", "PutObjectTagging", "PutObjectTagging", XML, s3_put_tagging),
    ABSENT(PUT, OBJECT, "acl", "PutObjectAcl"),
    ABSENT(PUT, OBJECT, "legal-hold", "PutObjectLegalHold"),
    ABSENT(PUT, OBJECT, "retention", "PutObjectRetention"),
    ABSENT(PUT, OBJECT, "encryption", "UpdateObjectEncryption"),
    ABSENT(PUT, OBJECT, "renameObject", "RenameObject"),
    {HTTP_METHOD_PUT, S3_OBJECT, NULL, "x-amz-copy-source", "CopyObject", "s3:PutObject", S3_BODY_NONE, s3_source_check, s3_copy, NULL, NULL, NULL, false},
    {HTTP_METHOD_PUT, S3_OBJECT, NULL, NULL, "PutObject", "s3:PutObject", S3_BODY_OBJECT, NULL, s3_put, s3_put_open, s3_put_finish, s3_put_drop, true},
    ROW(GET, OBJECT, "uploadId", "ListParts", "ListMultipartUploadParts", NONE, s3_list_parts),
    ROW(GET, OBJECT, "tagging", "GetObjectTagging", "GetObjectTagging", NONE, s3_get_tagging),
    ROW(GET, OBJECT, "attributes", "GetObjectAttributes", "GetObjectAttributes", NONE, s3_get_attributes),
    ABSENT(GET, OBJECT, "acl", "GetObjectAcl"),
    ABSENT(GET, OBJECT, "legal-hold", "GetObjectLegalHold"),
    ABSENT(GET, OBJECT, "retention", "GetObjectRetention"),
    ABSENT(GET, OBJECT, "torrent", "GetObjectTorrent"),
    ROW(GET, OBJECT, NULL, "GetObject", "GetObject", NONE, s3_get),
    ROW(HEAD, OBJECT, NULL, "HeadObject", "GetObject", NONE, s3_get),
    ROW(DELETE, OBJECT, "uploadId", "AbortMultipartUpload", "AbortMultipartUpload", NONE, s3_abort_upload),
    ROW(DELETE, OBJECT, "tagging", "DeleteObjectTagging", "DeleteObjectTagging", NONE, s3_delete_tagging),
    ROW(DELETE, OBJECT, NULL, "DeleteObject", "DeleteObject", NONE, s3_delete_object),
    ROW(POST, OBJECT, "uploads", "CreateMultipartUpload", "PutObject", NONE, s3_create_upload),
    ROW(POST, OBJECT, "uploadId", "CompleteMultipartUpload", "PutObject", XML, s3_complete_upload),
    ABSENT(POST, OBJECT, "select", "SelectObjectContent"),
    ABSENT(POST, OBJECT, "restore", "RestoreObject"),

    /* Buckets */
    ROW(GET, BUCKET, "list-type", "ListObjectsV2", "ListBucket", NONE, s3_list_objects_v2),
    ROW(GET, BUCKET, "location", "GetBucketLocation", "GetBucketLocation", NONE, s3_get_bucket_location),
    ROW(GET, BUCKET, "versioning", "GetBucketVersioning", "GetBucketVersioning", NONE, s3_get_versioning),
    ROW(GET, BUCKET, "versions", "ListObjectVersions", "ListBucketVersions", NONE, s3_list_object_versions),
    ROW(GET, BUCKET, "uploads", "ListMultipartUploads", "ListBucketMultipartUploads", NONE, s3_list_uploads),
    ABSENT(GET, BUCKET, "accelerate", "GetBucketAccelerateConfiguration"),
    ABSENT(GET, BUCKET, "acl", "GetBucketAcl"),
    ABSENT(GET, BUCKET, "analytics", "GetBucketAnalyticsConfiguration"),
    ABSENT(GET, BUCKET, "cors", "GetBucketCors"),
    ABSENT(GET, BUCKET, "encryption", "GetBucketEncryption"),
    ABSENT(GET, BUCKET, "intelligent-tiering", "GetBucketIntelligentTieringConfiguration"),
    ABSENT(GET, BUCKET, "inventory", "GetBucketInventoryConfiguration"),
    ABSENT(GET, BUCKET, "lifecycle", "GetBucketLifecycleConfiguration"),
    ABSENT(GET, BUCKET, "logging", "GetBucketLogging"),
    ABSENT(GET, BUCKET, "metadataConfiguration", "GetBucketMetadataConfiguration"),
    ABSENT(GET, BUCKET, "metrics", "GetBucketMetricsConfiguration"),
    ABSENT(GET, BUCKET, "notification", "GetBucketNotificationConfiguration"),
    ABSENT(GET, BUCKET, "object-lock", "GetObjectLockConfiguration"),
    ABSENT(GET, BUCKET, "ownershipControls", "GetBucketOwnershipControls"),
    ABSENT(GET, BUCKET, "policy", "GetBucketPolicy"),
    ABSENT(GET, BUCKET, "policyStatus", "GetBucketPolicyStatus"),
    ABSENT(GET, BUCKET, "publicAccessBlock", "GetPublicAccessBlock"),
    ABSENT(GET, BUCKET, "replication", "GetBucketReplication"),
    ABSENT(GET, BUCKET, "requestPayment", "GetBucketRequestPayment"),
    ABSENT(GET, BUCKET, "session", "CreateSession"),
    ABSENT(GET, BUCKET, "tagging", "GetBucketTagging"),
    ABSENT(GET, BUCKET, "website", "GetBucketWebsite"),
    ROW(GET, BUCKET, NULL, "ListObjects", "ListBucket", NONE, s3_list_objects),
    ROW(PUT, BUCKET, "versioning", "PutBucketVersioning", "PutBucketVersioning", XML, s3_put_versioning),
    ABSENT(PUT, BUCKET, "accelerate", "PutBucketAccelerateConfiguration"),
    ABSENT(PUT, BUCKET, "acl", "PutBucketAcl"),
    ABSENT(PUT, BUCKET, "analytics", "PutBucketAnalyticsConfiguration"),
    ABSENT(PUT, BUCKET, "cors", "PutBucketCors"),
    ABSENT(PUT, BUCKET, "encryption", "PutBucketEncryption"),
    ABSENT(PUT, BUCKET, "intelligent-tiering", "PutBucketIntelligentTieringConfiguration"),
    ABSENT(PUT, BUCKET, "inventory", "PutBucketInventoryConfiguration"),
    ABSENT(PUT, BUCKET, "lifecycle", "PutBucketLifecycleConfiguration"),
    ABSENT(PUT, BUCKET, "logging", "PutBucketLogging"),
    ABSENT(PUT, BUCKET, "metrics", "PutBucketMetricsConfiguration"),
    ABSENT(PUT, BUCKET, "notification", "PutBucketNotificationConfiguration"),
    ABSENT(PUT, BUCKET, "object-lock", "PutObjectLockConfiguration"),
    ABSENT(PUT, BUCKET, "ownershipControls", "PutBucketOwnershipControls"),
    ABSENT(PUT, BUCKET, "policy", "PutBucketPolicy"),
    ABSENT(PUT, BUCKET, "publicAccessBlock", "PutPublicAccessBlock"),
    ABSENT(PUT, BUCKET, "replication", "PutBucketReplication"),
    ABSENT(PUT, BUCKET, "requestPayment", "PutBucketRequestPayment"),
    ABSENT(PUT, BUCKET, "tagging", "PutBucketTagging"),
    ABSENT(PUT, BUCKET, "website", "PutBucketWebsite"),
    ROW(PUT, BUCKET, NULL, "CreateBucket", "CreateBucket", XML, s3_create_bucket),
    {HTTP_METHOD_POST, S3_BUCKET, "delete", NULL, "DeleteObjects", NULL, S3_BODY_XML, s3_delete_objects_check, s3_delete_objects, NULL, NULL, NULL, false},
    ROW(HEAD, BUCKET, NULL, "HeadBucket", "ListBucket", NONE, s3_head_bucket),
    ABSENT(DELETE, BUCKET, "analytics", "DeleteBucketAnalyticsConfiguration"),
    ABSENT(DELETE, BUCKET, "cors", "DeleteBucketCors"),
    ABSENT(DELETE, BUCKET, "encryption", "DeleteBucketEncryption"),
    ABSENT(DELETE, BUCKET, "intelligent-tiering", "DeleteBucketIntelligentTieringConfiguration"),
    ABSENT(DELETE, BUCKET, "inventory", "DeleteBucketInventoryConfiguration"),
    ABSENT(DELETE, BUCKET, "lifecycle", "DeleteBucketLifecycle"),
    ABSENT(DELETE, BUCKET, "metrics", "DeleteBucketMetricsConfiguration"),
    ABSENT(DELETE, BUCKET, "ownershipControls", "DeleteBucketOwnershipControls"),
    ABSENT(DELETE, BUCKET, "policy", "DeleteBucketPolicy"),
    ABSENT(DELETE, BUCKET, "publicAccessBlock", "DeletePublicAccessBlock"),
    ABSENT(DELETE, BUCKET, "replication", "DeleteBucketReplication"),
    ABSENT(DELETE, BUCKET, "tagging", "DeleteBucketTagging"),
    ABSENT(DELETE, BUCKET, "website", "DeleteBucketWebsite"),
    ROW(DELETE, BUCKET, NULL, "DeleteBucket", "DeleteBucket", NONE, s3_delete_bucket),

    ROW(GET, SERVICE, NULL, "ListBuckets", "ListAllMyBuckets", NONE, s3_list_buckets),
    {0},
};
