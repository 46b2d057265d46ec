// SPDX-License-Identifier: MIT
//
// mount_error: AWS's words for a file system that an instance could not have. Any thread.

#ifndef LAMINA_API_MOUNT_ERROR_H
#define LAMINA_API_MOUNT_ERROR_H

#include "aws/error.h"
#include "function/version.h"
#include "wire/filesystem.h"

// EFSMountFailureException, EFSMountConnectivityException, EFSMountTimeoutException or EFSIOException, S3Files' of those
// where the version names one of its access points; `reason` follows AWS's sentence. Returns -EREMOTEIO, as
// aws_error_set.
int mount_error_set(struct aws_error *error, const struct version *version,
                    enum spawn_filesystem_failure failure, const char *reason);

// The same as a reason of a status: "EFSMountFailure" and its like.
const char *mount_error_reason(enum spawn_filesystem_failure failure);

#endif
