// SPDX-License-Identifier: MIT
//
// The event to send, from where -e/--event says: a file, "-" for stdin, or JSON itself when the
// argument begins with '{' or '['.
#ifndef LAMINA_CLI_EVENT_FILE_H
#define LAMINA_CLI_EVENT_FILE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"

#define EVENT_BYTES_MAX ((size_t) LIMIT_PAYLOAD_SYNC_MAX)

// Appends the event; argument NULL: {}. -EFBIG when it is longer than EVENT_BYTES_MAX; event should
// have room for one byte more, which tells.
MUST_CHECK int event_read(const char *argument, struct buf *event, struct error *err);

#endif
