/* SPDX-License-Identifier: MIT
 *
 * telemetry: the Telemetry API and its predecessor, the Logs API, of one sandbox (docs.aws.amazon.com/lambda, "Lambda
 * Telemetry API"): extensions subscribe in the init phase, and get what the platform has to say and what the function prints.
 *
 *     PUT /2022-07-01/telemetry, PUT /2020-08-15/logs    subscribe: types, buffering, destination
 *     GET /lamina/init/telemetry                         the courier asks for the next delivery (src/init/courier.c)
 *
 *     report, printed lines --> telemetry_event --> a buffer a subscription --due--> courier --> http://sandbox.localdomain:PORT
 *                                                      full: dropped, counted, told (platform.logsDropped)
 *
 * A delivery is due when maxItems or maxBytes are reached, timeoutMs after the first item, and at the end. laminad cannot
 * connect into a sandbox; the courier, a child of lamina-init, carries the bytes. It runs only beside external extensions:
 * in other sandboxes a subscription is answered 202 "not supported", which extensions accept.
 *
 * Thread: loop only. Private to src/instance. Limits: TELEMETRY_SUBSCRIPTIONS_MAX; twice maxBytes (at most 1 MiB) each,
 * TELEMETRY_PENDING_MAX bytes together.
 */
#ifndef LAMINA_INSTANCE_TELEMETRY_H
#define LAMINA_INSTANCE_TELEMETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/str.h"

#define TELEMETRY_SUBSCRIPTIONS_MAX 10
#define TELEMETRY_PENDING_MAX                                                                      \
    ((size_t) 4 << 20) /* of laminad's memory a sandbox, whoever takes nothing */

struct extensions;
struct http_request;
struct loop;
struct report;
struct telemetry_subscription;

enum telemetry_kind { TELEMETRY_PLATFORM = 1, TELEMETRY_FUNCTION = 2, TELEMETRY_EXTENSION = 4 };

struct telemetry {
    struct loop *loop;             /* borrowed */
    struct extensions *extensions; /* borrowed */
    const char *version;           /* borrowed: of the function */
    int64_t started_wall_ms;       /* of the init phase, for those who subscribe in it */
    bool (*may_subscribe)(void *arg);
    void *arg;
    struct list all; /* of struct telemetry_subscription */
    unsigned count;
    struct http_request *courier;              /* parked until something is due */
    struct telemetry_subscription *delivering; /* what the courier carries; NULL: nothing */
    size_t delivering_items, delivering_bytes;
    size_t pending_bytes; /* of all subscriptions */
};

void telemetry_init(struct telemetry *telemetry, struct loop *loop, struct extensions *extensions,
                    const char *version, bool (*may_subscribe)(void *arg), void *arg);
void telemetry_done(struct telemetry *telemetry);

/* Handles a request whose path is one of the above; false: not ours. */
bool telemetry_on_head(struct telemetry *telemetry, struct http_request *request);

/* What happens. `record` is JSON. Cheap when nobody has subscribed. */
void telemetry_event(struct telemetry *telemetry, enum telemetry_kind kind, const char *type,
                     struct str record);
/* What the function printed: whole lines. */
void telemetry_lines(struct telemetry *telemetry, struct str lines);
/* platform.start, runtimeDone, report; initRuntimeDone and initReport. */
void telemetry_start(struct telemetry *telemetry, const char *request_id, struct str trace_id);
void telemetry_runtime_done(struct telemetry *telemetry, const char *request_id, const char *status,
                            uint64_t duration_us, size_t produced_bytes);
void telemetry_report(struct telemetry *telemetry, const struct report *report);
void telemetry_init_done(struct telemetry *telemetry, const char *status, uint64_t init_us);

/* The instance ends soon: what there is, is due. */
void telemetry_flush(struct telemetry *telemetry);

#endif
