/* SPDX-License-Identifier: MIT
 *
 * server: the running daemon: every part made in its order, wired to the others, and ended in the reverse order.
 *
 *     store, registry -> catalog ---------+
 *     credentials -> auth ----------------+--> api --> http server (DIR/endpoint)
 *     fd 3 -> instance host -> scheduler -+
 *     fd 4 -> deploy ---------------------+
 *
 * Thread: the main thread, which runs the loop.
 */
#ifndef LAMINA_DAEMON_SERVER_H
#define LAMINA_DAEMON_SERVER_H

#include "base/error.h"
#include "daemon/config.h"

/* Serves until SIGTERM, SIGINT or the end of lamina-spawn. Returns the exit status; an error before the service was ready is
 * in `err` and gives 1. `spawn_fd` and `work_fd` are taken. `data_path` is where this process sees the data directory:
 * lamina-spawn mounts it where it can be reached, whatever the rights of its parents are. */
int server_run(const struct config *config, const char *data_path, int spawn_fd, int work_fd,
               struct error *err);

#endif
