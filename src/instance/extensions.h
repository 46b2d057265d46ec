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
 * Internal extensions are threads or processes that the function's own bootstrap started; they may ask for INVOKE, not for
 * SHUTDOWN. External ones are the files in /opt/extensions: lamina-init tells their names, starts them, and starts the
 * bootstrap when all have registered (src/init/extensions.h). The instance is ready, at its start and after each call,
 * when every registered extension waits for its next event, as the runtime does.
 *
 *     POST /lamina/init/extensions   names, a line each: answered when all have registered
 *     POST /lamina/init/orders       kept until lamina-init has to do something
 *     POST /lamina/init/ended        an extension or the bootstrap has ended: "KIND NAME STATUS ERRNO"
 *
 * Anybody in the sandbox can send these, too. What they bring about concerns their own instance, and it ends it at worst.
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

#define EXTENSIONS_NAME_MAX 128

struct http_request;
struct instance_request;
struct log_stream;
struct telemetry;

/* How a process that lamina-init started has ended. */
struct extensions_end {
    bool is_bootstrap;
    const char *name; /* of the extension */
    int status;       /* as wait(2) */
    int error;        /* not 0: it could not be run */
};

struct extensions_events {
    bool (*may_register)(void *arg);
    void (*parked)(void *arg);   /* one waits for its next event: perhaps they all do now */
    void (*unparked)(void *arg); /* the connection of one that waited broke off */
    /* One reported an error; `type` is what it called it. */
    void (*failed)(void *arg, struct str type, bool is_init);
    /* The external ones: there are more than EXTENSIONS_MAX; a process of them or the bootstrap has ended. */
    void (*too_many)(void *arg);
    void (*ended)(void *arg, const struct extensions_end *end);
};

struct extensions_external {
    char name[EXTENSIONS_NAME_MAX + 1];
    bool is_registered;
};

struct extensions {
    const struct extensions_events *events;
    void *arg;
    const char *function, *version, *handler; /* borrowed: the instance's */
    const char *account;                      /* borrowed: of its role */
    struct list all;                          /* of struct extension */
    unsigned count;

    struct extensions_external externals[EXTENSIONS_MAX];
    unsigned n_externals;
    bool is_announced;
    struct http_request *announcement; /* parked until all have registered */
    struct http_request *orders;       /* parked until there is one */
    bool wants_courier;                /* for telemetry.h; lamina-init was not yet told */
    bool has_courier;
    const char *shutdown_reason; /* a literal; NULL: the end has not begun */
    int64_t shutdown_deadline_ms;
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

/* The name of the extension that the request names by its identifier; NULL, and answered, if it names none. */
const char *extensions_caller(struct extensions *extensions, struct http_request *request);
/* lamina-init starts the courier, as soon as it listens for orders. */
void extensions_want_courier(struct extensions *extensions);

/* Lambda's line EXTENSION and the event platform.extension of each, at the end of the init phase. */
void extensions_tell(const struct extensions *extensions, struct log_stream *log,
                     struct telemetry *telemetry);

/* Are there files in /opt/extensions, whose processes want to hear of the end? */
bool extensions_are_external(const struct extensions *extensions);
/* The end comes: those who asked for SHUTDOWN are told, now or when they ask for their next event, and lamina-init
 * sends the bootstrap SIGTERM. `reason`: spindown, timeout or failure; a literal. */
void extensions_shutdown(struct extensions *extensions, const char *reason,
                         int64_t deadline_wall_ms);

#endif
