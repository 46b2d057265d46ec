// SPDX-License-Identifier: MIT

#include "api/mount_error.h"

#include <string.h>

static const struct {
    enum aws_error_code efs, s3_files;
    const char *format; // of the access point's ARN
} errors[] = {
    [SPAWN_FILESYSTEM_MOUNT_FAILURE] = {AWS_EFS_MOUNT_FAILURE, AWS_S3_FILES_MOUNT_FAILURE,
                                        "The function couldn't mount the file system with access "
                                        "point %s. Check that the file system and the access point "
                                        "are there and that their permissions are valid"},
    [SPAWN_FILESYSTEM_CONNECTIVITY] = {AWS_EFS_MOUNT_CONNECTIVITY, AWS_S3_FILES_MOUNT_CONNECTIVITY,
                                       "The function couldn't connect to the file system with "
                                       "access point %s. Check your network configuration and try "
                                       "again"},
    [SPAWN_FILESYSTEM_TIMEOUT] = {AWS_EFS_MOUNT_TIMEOUT, AWS_S3_FILES_MOUNT_TIMEOUT,
                                  "The function couldn't mount the file system with access point "
                                  "%s due to mount time out"},
    // S3 Files has no error of its own for it.
    [SPAWN_FILESYSTEM_IO] = {AWS_EFS_IO, AWS_EFS_IO,
                             "An error occurred when reading from or writing to the file system "
                             "with access point %s"},
};

const char *mount_error_reason(enum spawn_filesystem_failure failure)
{
    switch (failure) {
    case SPAWN_FILESYSTEM_CONNECTIVITY:
        return "EFSMountConnectivityError";
    case SPAWN_FILESYSTEM_TIMEOUT:
        return "EFSMountTimeout";
    case SPAWN_FILESYSTEM_IO:
        return "EFSIOError";
    case SPAWN_FILESYSTEM_WORKS:
    case SPAWN_FILESYSTEM_MOUNT_FAILURE:
        break;
    }
    return "EFSMountFailure";
}

int mount_error_set(struct aws_error *error, const struct version *version,
                    enum spawn_filesystem_failure failure, const char *reason)
{
    bool is_s3_files = strstr(version->filesystem.arn, ":s3files:") != NULL;
    char text[512];
    if (failure == SPAWN_FILESYSTEM_WORKS || (size_t) failure >= ARRAY_SIZE(errors))
        failure = SPAWN_FILESYSTEM_MOUNT_FAILURE;
    enum aws_error_code code = is_s3_files ? errors[failure].s3_files : errors[failure].efs;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void) snprintf(text, sizeof(text), errors[failure].format, version->filesystem.arn);
#pragma GCC diagnostic pop
    return aws_error_set(error, code, "%s: %s.", text, reason);
}
