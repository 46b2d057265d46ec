// SPDX-License-Identifier: MIT
//
// function_filesystem: the member FileSystemConfigs of CreateFunction and UpdateFunctionConfiguration.
//
// The access point must be there when the function takes it; whether it still is, and what the function's role allows
// of it, is asked at each start (filesystem/filesystems.h). Who names one for a function whose role nobody defined gives
// the function the right to it, so it needs that right: elasticfilesystem:ClientMount, and ClientWrite where the mount
// can be written to. A role that was defined needs iam:PassRole only, as on AWS.
//
// Loop thread.

#ifndef LAMINA_API_FUNCTION_FILESYSTEM_H
#define LAMINA_API_FUNCTION_FILESYSTEM_H

#include "api/call.h"
#include "function/version.h"

// After function_settings_read. Absent: the draft's stay; []: none. 0, or the error is set.
int function_filesystem_read(struct call *call, struct version *draft) MUST_CHECK;

#endif
