/* SPDX-License-Identifier: MIT
 *
 * paths: where laminad's sister programs are (beside its own binary), and the small files in the data directory that tell
 * others where the service is:
 *
 *     DIR/endpoint      http://127.0.0.1:4566, or https:// with TLS   written when the service listens, removed when it ends
 *     DIR/laminad.pid   the pid to send SIGTERM to                    lamina-spawn's: it ends everything
 *
 * Blocking; at start and at the end only.
 */
#ifndef LAMINA_DAEMON_PATHS_H
#define LAMINA_DAEMON_PATHS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define PATHS_ENDPOINT "endpoint"
#define PATHS_PID "laminad.pid"

/* The path of a program beside this one. */
MUST_CHECK int paths_sister(const char *name, char path[PATH_MAX], struct error *err);

MUST_CHECK int paths_write_endpoint(int data_dir_fd, bool is_tls, const char *address,
                                    uint16_t port, struct error *err);
MUST_CHECK int paths_write_pid(int data_dir_fd, pid_t pid, struct error *err);
void paths_remove(int data_dir_fd);

#endif
