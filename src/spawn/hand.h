// SPDX-License-Identifier: MIT
//
// A hand of a mounter (mounter.h): the process that touches the file system. It may hang in any call; its mounter sees
// that by `reading_ms` or by the deadline of the order.

#ifndef LAMINA_SPAWN_HAND_H
#define LAMINA_SPAWN_HAND_H

#include "base/compiler.h"
#include "spawn/mounter.h"

#include <stdatomic.h>
#include <stdint.h>

// Where a FUSE file system is, in the mounter's mount namespace.
#define HAND_MOUNT "/run/lamina/mount"

// In memory that a hand shares with its mounter.
struct hand_state {
    _Atomic int64_t
        reading_ms; // since when it waits for the file system while it reads; 0: it does not
    _Atomic uint32_t has_looked; // FILE_IS was sent
};

// What it says to its mounter when an order is done; a MOUNT's comes with the mount.
struct hand_answer {
    uint32_t error;
};

// Obeys orders from `fd` until it is closed.
_Noreturn void hand_run(const struct filesystem_line *line, int fd, struct hand_state *state);

// The two answers of a FILE, without content.
void hand_say_error(int status_fd, uint64_t id, uint32_t error, uint32_t has_looked);

#endif
