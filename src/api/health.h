/* SPDX-License-Identifier: MIT
 *
 * health: /healthz, /readyz and /metrics: without a signature, but only for loopback peers that name the
 * host by a literal address or "localhost" (a web page cannot do that under a name of its own).
 * They read counters and never wake, start or ask a function.
 */
#ifndef LAMINA_API_HEALTH_H
#define LAMINA_API_HEALTH_H

#include <stdbool.h>

#include "api/call.h"

/* True if the request was one of them and is answered. */
bool health_answer(struct api *api, struct http_request *request);

#endif
