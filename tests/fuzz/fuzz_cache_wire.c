// SPDX-License-Identifier: MIT
//
// Any packet: what passes cache_request_check is within its limits.

#include "wire/cache.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cache_request request = {0};
    if (size < 1)
        return 0;
    size_t fds = data[0] & 3;
    data++, size--;
    memcpy(&request, data, size < sizeof(request) ? size : sizeof(request));
    if (cache_request_check(&request, size, fds) < 0)
        return 0;
    if (size != sizeof(request) || fds != 1 || request.bytes == 0 ||
        request.bytes > CACHE_BYTES_MAX || request.version != CACHE_VERSION ||
        request.type != CACHE_HOLD)
        abort();
    return 0;
}
