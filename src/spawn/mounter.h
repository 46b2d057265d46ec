// SPDX-License-Identifier: MIT
//
// The mounter: a process for each file system that is used, in which everything is done that a foreign file system can
// make hang. lamina-spawn's loop and the keeper never touch one.
//
//     lamina-spawn --order--> mounter --order--> a hand: opens, looks, makes the mount, reads
//                                 |
//                                 +-- the FUSE program of mount= (unprivileged, or root without capabilities)
//
// The mounter itself only waits: for orders, for its hands' answers, for deadlines. A hand that does not answer in time is
// killed, and over FUSE the connection is aborted, which makes every process that hangs in it fail (instances too) and
// frees the hand; the next order starts the program anew. Hands are kept for the next order.
//
// It is pid 1 of a pid namespace and has a mount namespace of its own, a slave of the host's: what is mounted there is
// nowhere else, and nothing of it outlives it. It ends with lamina-spawn, or when its socket is closed.

#ifndef LAMINA_SPAWN_MOUNTER_H
#define LAMINA_SPAWN_MOUNTER_H

#include "base/compiler.h"
#include "wire/filesystems_file.h"
#include "wire/spawn.h"

#include <stdint.h>
#include <sys/types.h>

enum {
    MOUNTER_ORDER_MS = 4000,   // a hand's time for one step
    MOUNTER_PROGRAM_MS = 8000, // from the program's start until its file system answers
    MOUNTER_HANDS_MAX = 56,
    MOUNTER_WAITING_MAX = 512, // orders for which there is no hand yet; more are refused (EAGAIN)
    MOUNTER_LOST_MAX =
        16, // hands that hang in the kernel; with so many everything is answered ETIMEDOUT
};
_Static_assert((int) MOUNTER_ORDER_MS + MOUNTER_PROGRAM_MS <= (int) SPAWN_FILE_DEADLINE_MS,
               "as promised");
_Static_assert((int) MOUNTER_HANDS_MAX > (int) SPAWN_FILE_MAX, "files leave hands for mounts");

enum mounter_type {
    MOUNTER_MOUNT = 1, // answered, with a mount that is nowhere yet
    MOUNTER_FILE = 2,  // comes with the descriptors of SPAWN_FILE; answered there, not here
    MOUNTER_CHECK = 3, // does its server still answer? Not answered: what hangs is aborted
    MOUNTER_GONE =
        4, // to lamina-spawn, unasked: mounts that were handed out have lost their server
};

struct mounter_order {
    uint32_t type;
    uint32_t file_flags;
    uint64_t ticket; // comes back; of a FILE its head's id
    uint32_t sandbox_uid, reserved;
    struct spawn_filesystem_use use;
    char path[SPAWN_FILE_PATH_SIZE];
};

struct mounter_answer {
    uint32_t type;
    uint32_t error; // errno
    uint64_t ticket;
};

// The host's mount namespace and root, as lamina-spawn was started in.
struct mounter_place {
    int mounts_fd, root_fd;
};

// *ret_fd: a SEQPACKET socket. `line` is copied by the fork. The process is the caller's child.
int mounter_start(const struct mounter_place *place, const struct filesystem_line *line,
                  int *ret_fd, pid_t *ret_pid) MUST_CHECK;

#endif
