// SPDX-License-Identifier: MIT
//
// The one table of AWS's errors: names on the wire, HTTP status, whose fault. Sources: the service
// model of botocore 1.43 for status and members, recorded answers for those that no model names.
//
//     return aws_error_set(error, AWS_RESOURCE_NOT_FOUND, "Function not found: %s", arn);
//     ...
//     aws_error_body(error, &body);  // {"Type":"User","message":"...","Message":"..."}
//
// Any thread.

#ifndef LAMINA_AWS_ERROR_H
#define LAMINA_AWS_ERROR_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

#include <stdbool.h>

// X(enumerator, name on the wire, HTTP status)
#define AWS_ERRORS(X)                                                                              \
    /* Lambda, by status */                                                                        \
    X(AWS_INVALID_PARAMETER_VALUE, "InvalidParameterValueException", 400)                          \
    X(AWS_INVALID_REQUEST_CONTENT, "InvalidRequestContentException", 400)                          \
    X(AWS_VALIDATION, "ValidationException", 400)                                                  \
    X(AWS_SERIALIZATION, "SerializationException", 400)                                            \
    X(AWS_POLICY_LENGTH_EXCEEDED, "PolicyLengthExceededException", 400)                            \
    X(AWS_PUBLIC_POLICY, "PublicPolicyException", 400)                                             \
    X(AWS_CODE_STORAGE_EXCEEDED, "CodeStorageExceededException", 400)                              \
    X(AWS_INVALID_CODE_SIGNATURE, "InvalidCodeSignatureException", 400)                            \
    X(AWS_CODE_VERIFICATION_FAILED, "CodeVerificationFailedException", 400)                        \
    X(AWS_ALIAS_LIMIT_EXCEEDED, "AliasLimitExceededException", 400)                                \
    X(AWS_RECURSIVE_INVOCATION, "RecursiveInvocationException", 400)                               \
    X(AWS_NO_PUBLISHED_VERSION, "NoPublishedVersionException", 400)                                \
    X(AWS_MODE_NOT_SUPPORTED, "ModeNotSupportedException", 400)                                    \
    X(AWS_CALLBACK_TIMEOUT, "CallbackTimeoutException", 400)                                       \
    X(AWS_SNAP_START, "SnapStartException", 400)                                                   \
    X(AWS_FUNCTION_VERSIONS_PER_CAPACITY_PROVIDER_LIMIT_EXCEEDED,                                  \
      "FunctionVersionsPerCapacityProviderLimitExceededException", 400)                            \
    X(AWS_CAPACITY_PROVIDER_LIMIT_EXCEEDED, "CapacityProviderLimitExceededException", 400)         \
    X(AWS_RESOURCE_IN_USE, "ResourceInUseException", 400)                                          \
    X(AWS_SERVICE_QUOTA_EXCEEDED, "ServiceQuotaExceededException", 402)                            \
    X(AWS_ACCESS_DENIED, "AccessDeniedException", 403)                                             \
    X(AWS_EFS_MOUNT_FAILURE, "EFSMountFailureException", 403)                                      \
    X(AWS_S3_FILES_MOUNT_FAILURE, "S3FilesMountFailureException", 403)                             \
    X(AWS_RESOURCE_NOT_FOUND, "ResourceNotFoundException", 404)                                    \
    X(AWS_PROVISIONED_CONCURRENCY_CONFIG_NOT_FOUND,                                                \
      "ProvisionedConcurrencyConfigNotFoundException", 404)                                        \
    X(AWS_CODE_SIGNING_CONFIG_NOT_FOUND, "CodeSigningConfigNotFoundException", 404)                \
    X(AWS_UNKNOWN_OPERATION, "UnknownOperationException", 404)                                     \
    X(AWS_METHOD_NOT_ALLOWED, "MethodNotAllowedException", 405)                                    \
    X(AWS_EFS_MOUNT_CONNECTIVITY, "EFSMountConnectivityException", 408)                            \
    X(AWS_EFS_MOUNT_TIMEOUT, "EFSMountTimeoutException", 408)                                      \
    X(AWS_SNAP_START_TIMEOUT, "SnapStartTimeoutException", 408)                                    \
    X(AWS_S3_FILES_MOUNT_CONNECTIVITY, "S3FilesMountConnectivityException", 408)                   \
    X(AWS_S3_FILES_MOUNT_TIMEOUT, "S3FilesMountTimeoutException", 408)                             \
    X(AWS_REQUEST_TIMEOUT, "RequestTimeoutException", 408)                                         \
    X(AWS_RESOURCE_CONFLICT, "ResourceConflictException", 409)                                     \
    X(AWS_SNAP_START_NOT_READY, "SnapStartNotReadyException", 409)                                 \
    X(AWS_SNAP_START_REGENERATION_FAILURE, "SnapStartRegenerationFailureException", 409)           \
    X(AWS_DURABLE_EXECUTION_ALREADY_STARTED, "DurableExecutionAlreadyStartedException", 409)       \
    X(AWS_CODE_ARTIFACT_USER_PENDING, "CodeArtifactUserPendingException", 409)                     \
    X(AWS_CODE_ARTIFACT_USER_FAILED, "CodeArtifactUserFailedException", 409)                       \
    X(AWS_CODE_ARTIFACT_USER_DELETED, "CodeArtifactUserDeletedException", 409)                     \
    X(AWS_EFS_IO, "EFSIOException", 410)                                                           \
    X(AWS_PRECONDITION_FAILED, "PreconditionFailedException", 412)                                 \
    X(AWS_REQUEST_TOO_LARGE, "RequestTooLargeException", 413)                                      \
    X(AWS_REQUEST_ENTITY_TOO_LARGE, "RequestEntityTooLargeException", 413)                         \
    X(AWS_SERIALIZED_REQUEST_ENTITY_TOO_LARGE, "SerializedRequestEntityTooLargeException", 413)    \
    X(AWS_UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaTypeException", 415)                            \
    X(AWS_TOO_MANY_REQUESTS, "TooManyRequestsException", 429)                                      \
    X(AWS_SERVICE, "ServiceException", 500)                                                        \
    X(AWS_NOT_IMPLEMENTED, "NotImplementedException", 501)                                         \
    X(AWS_EC2_UNEXPECTED, "EC2UnexpectedException", 502)                                           \
    X(AWS_EC2_THROTTLED, "EC2ThrottledException", 502)                                             \
    X(AWS_EC2_ACCESS_DENIED, "EC2AccessDeniedException", 502)                                      \
    X(AWS_ENI_LIMIT_REACHED, "ENILimitReachedException", 502)                                      \
    X(AWS_ENI_NOT_READY, "ENINotReadyException", 502)                                              \
    X(AWS_SUBNET_IP_ADDRESS_LIMIT_REACHED, "SubnetIPAddressLimitReachedException", 502)            \
    X(AWS_INVALID_SUBNET_ID, "InvalidSubnetIDException", 502)                                      \
    X(AWS_INVALID_SECURITY_GROUP_ID, "InvalidSecurityGroupIDException", 502)                       \
    X(AWS_INVALID_RUNTIME, "InvalidRuntimeException", 502)                                         \
    X(AWS_INVALID_ZIP_FILE, "InvalidZipFileException", 502)                                        \
    X(AWS_KMS_DISABLED, "KMSDisabledException", 502)                                               \
    X(AWS_KMS_INVALID_STATE, "KMSInvalidStateException", 502)                                      \
    X(AWS_KMS_ACCESS_DENIED, "KMSAccessDeniedException", 502)                                      \
    X(AWS_KMS_NOT_FOUND, "KMSNotFoundException", 502)                                              \
    X(AWS_RESOURCE_NOT_READY, "ResourceNotReadyException", 502)                                    \
    X(AWS_SERVICE_UNAVAILABLE, "ServiceUnavailableException", 503)                                 \
    /* The query services: STS, IAM */                                                             \
    X(AWS_INVALID_ACTION, "InvalidAction", 400)                                                    \
    X(AWS_IAM_INVALID_INPUT, "InvalidInput", 400)                                                  \
    X(AWS_IAM_MALFORMED_POLICY, "MalformedPolicyDocument", 400)                                    \
    X(AWS_IAM_NO_SUCH_ENTITY, "NoSuchEntity", 404)                                                 \
    X(AWS_IAM_ENTITY_ALREADY_EXISTS, "EntityAlreadyExists", 409)                                   \
    X(AWS_IAM_LIMIT_EXCEEDED, "LimitExceeded", 409)                                                \
    X(AWS_IAM_DELETE_CONFLICT, "DeleteConflict", 409)                                              \
    X(AWS_IAM_CONCURRENT_MODIFICATION, "ConcurrentModification", 409)                              \
    /* EFS */                                                                                      \
    X(AWS_EFS_BAD_REQUEST, "BadRequest", 400)                                                      \
    X(AWS_EFS_ACCESS_POINT_LIMIT_EXCEEDED, "AccessPointLimitExceeded", 403)                        \
    X(AWS_EFS_ACCESS_POINT_NOT_FOUND, "AccessPointNotFound", 404)                                  \
    X(AWS_EFS_FILE_SYSTEM_NOT_FOUND, "FileSystemNotFound", 404)                                    \
    X(AWS_EFS_MOUNT_TARGET_NOT_FOUND, "MountTargetNotFound", 404)                                  \
    X(AWS_EFS_POLICY_NOT_FOUND, "PolicyNotFound", 404)                                             \
    X(AWS_EFS_REPLICATION_NOT_FOUND, "ReplicationNotFound", 404)                                   \
    X(AWS_EFS_ACCESS_POINT_ALREADY_EXISTS, "AccessPointAlreadyExists", 409)                        \
    X(AWS_EFS_MOUNT_TARGET_CONFLICT, "MountTargetConflict", 409)                                   \
    X(AWS_EFS_THROTTLING, "ThrottlingException", 429)                                              \
    X(AWS_EFS_INTERNAL, "InternalServerError", 500)                                                \
    /* Authentication, all JSON services */                                                        \
    X(AWS_MISSING_AUTHENTICATION_TOKEN, "MissingAuthenticationTokenException", 403)                \
    X(AWS_INCOMPLETE_SIGNATURE, "IncompleteSignatureException", 400)                               \
    X(AWS_INVALID_SIGNATURE, "InvalidSignatureException", 403)                                     \
    X(AWS_UNRECOGNIZED_CLIENT, "UnrecognizedClientException", 403)                                 \
    X(AWS_EXPIRED_TOKEN, "ExpiredTokenException", 403)                                             \
    /* S3 */                                                                                       \
    X(AWS_S3_BAD_DIGEST, "BadDigest", 400)                                                         \
    X(AWS_S3_CONTENT_SHA256_MISMATCH, "XAmzContentSHA256Mismatch", 400)                            \
    X(AWS_S3_ENTITY_TOO_LARGE, "EntityTooLarge", 400)                                              \
    X(AWS_S3_ENTITY_TOO_SMALL, "EntityTooSmall", 400)                                              \
    X(AWS_S3_EXPIRED_TOKEN, "ExpiredToken", 400)                                                   \
    X(AWS_S3_INCOMPLETE_BODY, "IncompleteBody", 400)                                               \
    X(AWS_S3_INVALID_ARGUMENT, "InvalidArgument", 400)                                             \
    X(AWS_S3_INVALID_BUCKET_NAME, "InvalidBucketName", 400)                                        \
    X(AWS_S3_INVALID_DIGEST, "InvalidDigest", 400)                                                 \
    X(AWS_S3_INVALID_PART, "InvalidPart", 400)                                                     \
    X(AWS_S3_INVALID_PART_ORDER, "InvalidPartOrder", 400)                                          \
    X(AWS_S3_INVALID_REQUEST, "InvalidRequest", 400)                                               \
    X(AWS_S3_INVALID_TAG, "InvalidTag", 400)                                                       \
    X(AWS_S3_INVALID_URI, "InvalidURI", 400)                                                       \
    X(AWS_S3_KEY_TOO_LONG, "KeyTooLongError", 400)                                                 \
    X(AWS_S3_MALFORMED_TRAILER, "MalformedTrailerError", 400)                                      \
    X(AWS_S3_MALFORMED_XML, "MalformedXML", 400)                                                   \
    X(AWS_S3_MAX_MESSAGE_LENGTH, "MaxMessageLengthExceeded", 400)                                  \
    X(AWS_S3_METADATA_TOO_LARGE, "MetadataTooLarge", 400)                                          \
    X(AWS_S3_MISSING_DIGEST, "MissingContentMD5", 400)                                             \
    X(AWS_S3_TOO_MANY_BUCKETS, "TooManyBuckets", 400)                                              \
    X(AWS_S3_AUTHORIZATION_HEADER_MALFORMED, "AuthorizationHeaderMalformed", 400)                  \
    X(AWS_S3_AUTHORIZATION_QUERY_PARAMETERS, "AuthorizationQueryParametersError", 400)             \
    X(AWS_S3_REQUEST_TIMEOUT, "RequestTimeout", 400)                                               \
    X(AWS_S3_ILLEGAL_LOCATION, "IllegalLocationConstraintException", 400)                          \
    X(AWS_S3_ACCESS_DENIED, "AccessDenied", 403)                                                   \
    X(AWS_S3_INVALID_ACCESS_KEY, "InvalidAccessKeyId", 403)                                        \
    X(AWS_S3_REQUEST_TIME_TOO_SKEWED, "RequestTimeTooSkewed", 403)                                 \
    X(AWS_S3_SIGNATURE_DOES_NOT_MATCH, "SignatureDoesNotMatch", 403)                               \
    X(AWS_S3_NO_SUCH_BUCKET, "NoSuchBucket", 404)                                                  \
    X(AWS_S3_NO_SUCH_KEY, "NoSuchKey", 404)                                                        \
    X(AWS_S3_NO_SUCH_UPLOAD, "NoSuchUpload", 404)                                                  \
    X(AWS_S3_NO_SUCH_VERSION, "NoSuchVersion", 404)                                                \
    X(AWS_S3_METHOD_NOT_ALLOWED, "MethodNotAllowed", 405)                                          \
    X(AWS_S3_BUCKET_EXISTS, "BucketAlreadyOwnedByYou", 409)                                        \
    X(AWS_S3_BUCKET_NOT_EMPTY, "BucketNotEmpty", 409)                                              \
    X(AWS_S3_MISSING_CONTENT_LENGTH, "MissingContentLength", 411)                                  \
    X(AWS_S3_PRECONDITION_FAILED, "PreconditionFailed", 412)                                       \
    X(AWS_S3_INVALID_RANGE, "InvalidRange", 416)                                                   \
    X(AWS_S3_INTERNAL, "InternalError", 500)                                                       \
    X(AWS_S3_NOT_IMPLEMENTED, "NotImplemented", 501)                                               \
    X(AWS_S3_NO_SPACE, "InsufficientStorage", 507)                                                 \
    X(AWS_S3_SLOW_DOWN, "SlowDown", 503)                                                           \
    X(AWS_S3_NOT_MODIFIED, "NotModified", 304)

enum aws_error_code {
#define AWS_ERROR_ENUM(code, name, status) code,
    AWS_ERRORS(AWS_ERROR_ENUM)
#undef AWS_ERROR_ENUM
        AWS_ERROR_COUNT
};

#define AWS_ERROR_MESSAGE_MAX 1024

struct aws_error {
    enum aws_error_code code;
    const char *reason;                  // literal for member "Reason" (429), or NULL
    char message[AWS_ERROR_MESSAGE_MAX]; // NUL-terminated; longer texts are cut
};

// Returns -EREMOTEIO, always, so that it can stand in a return statement ("the API says no"). A
// NULL error is accepted. `reason` becomes NULL.
int aws_error_set(struct aws_error *error, enum aws_error_code code, const char *format, ...)
    PRINTF_LIKE(3, 4);
// The same with member "Reason".
int aws_error_set_reason(struct aws_error *error, enum aws_error_code code, const char *reason,
                         const char *format, ...) PRINTF_LIKE(4, 5);

const char *aws_error_name(enum aws_error_code code);
unsigned aws_error_status(enum aws_error_code code);
// By the name on the wire, without what follows a ':' or '#'. AWS_ERROR_COUNT: not in the table.
enum aws_error_code aws_error_by_name(struct str name);

// Appends the JSON body: Type, Reason if there is one, and the text as both `message` and
// `Message` (services differ in which one their model reads). ValidationException has `message`
// only, as AWS answers it.
int aws_error_body(const struct aws_error *error, struct buf *body);

#endif
