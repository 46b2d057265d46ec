// SPDX-License-Identifier: MIT
//
// The keeper: a second process of lamina-spawn that does what must not make a START wait. It makes
// generic sandboxes for the pool and seats for templates (their parent is the main process all the same:
// CLONE_PARENT), removes the cgroups of ended ones, reads the memory figures of running ones, and looks
// at processes that want to be templates.
//
// One SEQPACKET pair; the keeper handles one message at a time and dies with the main process.

#ifndef LAMINA_SPAWN_KEEPER_H
#define LAMINA_SPAWN_KEEPER_H

#include "base/compiler.h"
#include "base/error.h"
#include "spawn/look.h"
#include "spawn/sandbox.h"

#include <stdint.h>

enum keeper_type { KEEPER_MAKE, KEEPER_SEAT, KEEPER_REMOVE, KEEPER_STATS, KEEPER_LOOK };

// Main process -> keeper. SEAT comes with a descriptor of its template's first process.
struct keeper_order {
    uint32_t type, slot;
    uint64_t id;
    // SEAT
    uint64_t memory_bytes;
    uint32_t pids_max, template_uid;
    // LOOK
    int32_t pid, holder;
};

// Keeper -> main process, one for each order. MAKE and SEAT come with pid_fd, control_fd, log_fd, peak_fd and, SEAT,
// occupant_log_fd and as many entrances as there are.
enum { KEEPER_FDS_MADE = 4, KEEPER_FDS_SEAT = 5, KEEPER_FDS = KEEPER_FDS_SEAT + CGROUP_DIRS };

struct keeper_answer {
    uint32_t type, slot;
    int32_t pid;
    uint32_t step, error; // MAKE: error != 0 when it failed
    uint32_t reserved;
    union {
        struct spawn_stats stats;
        struct look look;
    };
};

// Forks it. *ret_fd is the main process's end, *ret_pid the process, whose death is fatal.
int keeper_start(const struct sandbox_tools *tools, int *ret_fd, pid_t *ret_pid,
                 struct error *err) MUST_CHECK;

#endif
