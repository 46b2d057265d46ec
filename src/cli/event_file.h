// SPDX-License-Identifier: MIT
//
// The event to send, from where -e/--event says: a file, "-" for stdin, or JSON itself when the
// argument begins with '{' or '['.
#ifndef LAMINA_CLI_EVENT_FILE_H
#define LAMINA_CLI_EVENT_FILE_H

#include "base/buf.h"
#include "base/error.h"

// Appends the event; argument NULL: {}. -EFBIG when it is longer than the buffer may hold.
MUST_CHECK int event_read(const char *argument, struct buf *event, struct error *err);

#endif
