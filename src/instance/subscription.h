/* SPDX-License-Identifier: MIT
 *
 * subscription: what an extension asks of the Telemetry API or the Logs API, out of its request's JSON. Pure functions.
 *
 *   {"schemaVersion": "2022-12-13", "types": ["platform", "function", "extension"],
 *    "buffering": {"maxItems": 1000..10000, "maxBytes": 262144..1048576, "timeoutMs": 25..30000},
 *    "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:PORT/PATH"} or {"protocol": "TCP", "port": n}}
 *
 * Private to src/instance.
 */
#ifndef LAMINA_INSTANCE_SUBSCRIPTION_H
#define LAMINA_INSTANCE_SUBSCRIPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/str.h"

#define SUBSCRIPTION_BYTES_MAX ((size_t) 16 * 1024)
#define SUBSCRIPTION_PATH_MAX 256

struct subscription {
    unsigned kinds; /* of enum telemetry_kind */
    bool is_logs;   /* by the Logs API: other names of some events */
    int64_t items_max, bytes_max, timeout_ms;
    bool is_tcp;
    uint16_t port;
    char path
        [SUBSCRIPTION_PATH_MAX]; /* HTTP: printable, without spaces: it goes into a request's line */
};

/* -EINVAL with what is wrong in *ret_message, a literal. */
MUST_CHECK int subscription_read(struct str body, bool is_logs, struct subscription *ret,
                                 const char **ret_message);

#endif
