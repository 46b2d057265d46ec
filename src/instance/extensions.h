/* SPDX-License-Identifier: MIT
 *
 * extensions: the Extensions API of one sandbox (docs.aws.amazon.com/lambda, "Lambda Extensions API"), on the same listener as
 * the Runtime API.
 *
 *     POST /2020-01-01/extension/register      before the runtime's first `next`; answers the identifier
 *     GET  /2020-01-01/extension/event/next    parked until there is a call (INVOKE)
 *     POST /2020-01-01/extension/init/error    ends the instance
 *     POST /2020-01-01/extension/exit/error    ends the instance
 *
 * Extensions here are internal ones: threads or processes that the function's own bootstrap started. (External ones live in
 * /opt/extensions, which only layers bring.) So they may ask for INVOKE, not for SHUTDOWN. The instance is ready, at its
 * start and after each call, when every registered extension waits for its next event, as the runtime does.
 *
 * Thread: loop only. Private to src/instance. At most EXTENSIONS_MAX, as on AWS.
 */
#ifndef LAMINA_INSTANCE_EXTENSIONS_H
#define LAMINA_INSTANCE_EXTENSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/str.h"

#define EXTENSIONS_MAX 10

struct http_request;
struct instance_request;

struct extensions_events {
    bool (*may_register)(void *arg);
    void (*parked)(void *arg);   /* one waits for its next event: perhaps they all do now */
    void (*unparked)(void *arg); /* the connection of one that waited broke off */
    /* One reported an error; `type` is what it called it. */
    void (*failed)(void *arg, struct str type, bool is_init);
};

struct extensions {
    const struct extensions_events *events;
    void *arg;
    const char *function, *version, *handler; /* borrowed: the instance's */
    struct list all;                          /* of struct extension */
    unsigned count;
};

void extensions_init(struct extensions *extensions, const struct extensions_events *events,
                     void *arg);
void extensions_done(
    struct extensions *extensions); /* the listener is closed already, or about to be */

/* Handles a request whose path is one of the above; false: not ours. */
bool extensions_on_head(struct extensions *extensions, struct http_request *request);

/* All wait for their next event. */
bool extensions_are_parked(const struct extensions *extensions);
/* Tells those who asked for it of a call that begins. */
void extensions_invoke(struct extensions *extensions, const struct instance_request *request,
                       int64_t deadline_wall_ms);

#endif
