/* SPDX-License-Identifier: MIT
 *
 * How the open files that this process may have are shared out. At the limit the descriptors of a started sandbox are
 * lost on their way, and that is the end of the service: so they are set aside before clients get any.
 */
#ifndef LAMINA_DAEMON_DESCRIPTORS_H
#define LAMINA_DAEMON_DESCRIPTORS_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"

/* Per instance: two listeners, the log pipe, the peak file, a connection of each listener, and one to spare. */
#define DESCRIPTORS_PER_INSTANCE 7
/* Databases, logs, the store, packages at work. */
#define DESCRIPTORS_OWN 256
/* With fewer clients at once nobody is served: the least that --connections takes. */
#define DESCRIPTORS_CONNECTIONS_MIN 16

/* How many of the `connections` that are asked for `limit` open files leave room for beside `concurrency` instances.
 * -EMFILE: fewer than DESCRIPTORS_CONNECTIONS_MIN. */
int descriptors_share(uint64_t limit, uint64_t concurrency, uint64_t connections,
                      uint64_t *ret_connections, struct error *err) MUST_CHECK;

#endif
