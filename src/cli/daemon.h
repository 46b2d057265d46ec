// SPDX-License-Identifier: MIT
//
// The running service of a data directory, as `lamina up` and `lamina down` see it from outside.
//
// DIR/laminad.pid names the process whose SIGTERM ends everything (lamina-spawn). A pid in a file may be
// anybody's by now, so it is held by a pidfd first and then verified: the program must be lamina-spawn and
// its --data-dir the same directory. Only then is it signalled, through the pidfd.
#ifndef LAMINA_CLI_DAEMON_H
#define LAMINA_CLI_DAEMON_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

// A pidfd of the service of data_dir. Errors: -ENOENT (no file, or nothing of ours runs under its pid),
// -EACCES (the file may not be read).
MUST_CHECK int daemon_find(const char *data_dir, int *ret_pidfd, pid_t *ret_pid, struct error *err);

// True when the process ended within timeout_ms.
bool daemon_wait_end(int pidfd, unsigned timeout_ms);

// The value of an option of the running service's command line. -ENOENT: none runs, or it has none; -ENAMETOOLONG.
MUST_CHECK int daemon_argument(const char *data_dir, const char *option, char *ret, size_t size);

// Any signal, and SIGTERM. Errors: -EPERM, -ESRCH.
MUST_CHECK int daemon_signal(int pidfd, int number, struct error *err);
MUST_CHECK int daemon_terminate(int pidfd, struct error *err);

#endif
