// SPDX-License-Identifier: MIT
//
// What makes one service of a machine distinct from its others: the data directory, whose device and
// inode are its key; a lock on that key; and a slice of the sandbox uids that no other service uses.
// Locks are files in /run/lamina, which only root can write.

#ifndef LAMINA_SPAWN_SERVICE_H
#define LAMINA_SPAWN_SERVICE_H

#include "base/compiler.h"
#include "base/error.h"
#include "spawn/options.h"

#include <stdint.h>

struct service {
    char key[40];             // "<device>-<inode>", hexadecimal
    int trees_fd, models_fd;  // DATA/trees, DATA/models
    int lock_fd, uid_lock_fd; // held for life
    uid_t uid_first;
    uint32_t uid_count;
};

// Makes or takes over the data directory, takes the locks. -EBUSY when another service runs on it.
int service_open(struct service *service, const struct options *options, uint32_t uids_wanted,
                 struct error *err) MUST_CHECK;

// The lock of a service that is dead: a descriptor, held until it is closed. Below 0 when one that
// runs holds it, and when there is no such lock here: the service may run where /run is another one.
int service_lock_dead(const char *key) MUST_CHECK;

#endif
