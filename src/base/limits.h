// SPDX-License-Identifier: MIT
//
// AWS Lambda's limits, in one table, so that no two places can know different numbers. Sources: the
// Lambda quotas page ("Lambda quotas", AWS Lambda Developer Guide) and the service's API model.
// Limits of our own (time-outs, queue lengths, head sizes) stand in the header of the module they
// protect.

#ifndef LAMINA_BASE_LIMITS_H
#define LAMINA_BASE_LIMITS_H

#include <stdint.h>

#define LIMIT_KIB(n) ((int64_t) (n) *1024)
#define LIMIT_MIB(n) ((int64_t) (n) *1024 * 1024)
#define LIMIT_GIB(n) ((int64_t) (n) *1024 * 1024 * 1024)

// Names (characters)
#define LIMIT_FUNCTION_NAME_MAX 64   // by itself
#define LIMIT_FUNCTION_LABEL_MAX 140 // FunctionName label: a name, a partial or a full ARN
#define LIMIT_FUNCTION_LABEL_NAMESPACED_MAX 256 // the label of read and invoke operations
#define LIMIT_QUALIFIER_MAX 128
#define LIMIT_HANDLER_MAX 128
#define LIMIT_DESCRIPTION_MAX 256
#define LIMIT_ROLE_MAX 2048

// Configuration
#define LIMIT_MEMORY_MB_MIN 128
#define LIMIT_MEMORY_MB_MAX 10240
#define LIMIT_MEMORY_MB_DEFAULT 128
#define LIMIT_TIMEOUT_S_MIN 1
#define LIMIT_TIMEOUT_S_MAX 900
#define LIMIT_TIMEOUT_S_DEFAULT 3
#define LIMIT_TMP_MB_MIN 512
#define LIMIT_TMP_MB_MAX 10240
#define LIMIT_TMP_MB_DEFAULT 512
#define LIMIT_ENVIRONMENT_BYTES_MAX 4096 // all names and values together
#define LIMIT_ENVIRONMENT_NAME_MIN 2
#define LIMIT_LAYERS_MAX 5
#define LIMIT_TAGS_MAX 50
#define LIMIT_TAG_KEY_MAX 128
#define LIMIT_TAG_VALUE_MAX 256
#define LIMIT_MEMORY_MB_PER_CPU 1769 // a whole vCPU's share

// Packages (bytes)
#define LIMIT_ZIP_DIRECT_MAX LIMIT_MIB(50)     // 52,428,800: in the request, after base64 decoding
#define LIMIT_ZIP_UNPACKED_MAX LIMIT_MIB(250)  // 262,144,000: with all layers
#define LIMIT_CREATE_REQUEST_MAX 70167211      // body of CreateFunction and UpdateFunctionCode
#define LIMIT_CONTROL_REQUEST_MAX LIMIT_MIB(1) // body of every other control operation; ours

// Invocation (bytes)
#define LIMIT_PAYLOAD_SYNC_MAX 6291456  // 6 MiB: request, synchronous
#define LIMIT_RESPONSE_SYNC_MAX 6291556 // 6 MiB + 100: what a function may answer
#define LIMIT_PAYLOAD_ASYNC_MAX 1048576 // 1 MiB: event invocation
#define LIMIT_CLIENT_CONTEXT_MAX 3583   // base64 characters of X-Amz-Client-Context
#define LIMIT_LOG_TAIL_MAX 4096         // last bytes of the log in X-Amz-Log-Result

// How many functions may have called one another before a call is refused as a loop; AWS stops at about
// as many.
#define LIMIT_INVOKE_DEPTH 16

// Time (ms)
#define LIMIT_INIT_MS 10000 // init phase; after it init is repeated within the invocation's time

// Account
#define LIMIT_CONCURRENCY_DEFAULT 1000

// Inside a sandbox
#define LIMIT_OPEN_FILES 1024
#define LIMIT_PROCESSES 1024

// Lists
#define LIMIT_LIST_PAGE_MAX                                                                        \
    50 // ListFunctions, ListVersionsByFunction: a page when MaxItems is more
#define LIMIT_LIST_ITEMS_MAX 10000 // most that MaxItems may ask for

#endif
