// SPDX-License-Identifier: MIT
//
// A subscription to the Telemetry API or the Logs API (the first byte tells): what is accepted is within its
// limits, and its path can stand in a request's line.

#include <assert.h>
#include <string.h>

#include "instance/subscription.h"
#include "wire/spawn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct subscription wanted;
    const char *message = NULL;
    if (size < 1)
        return 0;
    int r = subscription_read(str_of_data(data + 1, size - 1), data[0] & 1, &wanted, &message);
    if (r < 0) {
        assert(message && message[0]);
        return 0;
    }
    assert(wanted.kinds > 0 && wanted.kinds < 8);
    assert(wanted.items_max >= 1000 && wanted.items_max <= 10000);
    assert(wanted.bytes_max >= 262144 && wanted.bytes_max <= 1048576);
    assert(wanted.timeout_ms >= 25 && wanted.timeout_ms <= 30000);
    assert(wanted.port > 0 && wanted.port != SPAWN_PORT_RUNTIME &&
           wanted.port != SPAWN_PORT_PLATFORM);
    if (wanted.is_tcp)
        return 0;
    assert(wanted.path[0] == '/' && strlen(wanted.path) < sizeof(wanted.path));
    for (const char *at = wanted.path; *at; at++)
        assert(*at > ' ' && *at <= '~');
    return 0;
}
