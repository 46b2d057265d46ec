// SPDX-License-Identifier: MIT
//
// Starting laminad: in the host's file system, as the unprivileged user, with the two channels.

#ifndef LAMINA_SPAWN_LAMINAD_H
#define LAMINA_SPAWN_LAMINAD_H

#include "base/compiler.h"
#include "base/error.h"
#include "spawn/options.h"

#include <sys/types.h>

// Opened before the host's mounts are left behind.
struct laminad_place {
    int mounts_fd; // the host's mount namespace
    int root_fd; // our root in it: setns leaves it for the namespace's own, which a chroot's is not
    int cwd_fd;  // where lamina-spawn was started
    int program_fd;
};

// What is called so beside our own binary; after laminad_place_open.
int laminad_open_beside(const char *name, int flags) MUST_CHECK;

int laminad_place_open(struct laminad_place *place, struct error *err) MUST_CHECK;

// Forks it. *ret_channel_fd and *ret_work_fd are our ends, non-blocking for reading.
int laminad_start(const struct laminad_place *place, const struct options *options,
                  int *ret_channel_fd, int *ret_work_fd, pid_t *ret_pid,
                  struct error *err) MUST_CHECK;

#endif
