// SPDX-License-Identifier: MIT
//
// What runs between clone and exec: the first process of a sandbox, still root, makes everything
// around itself and gives up all it has, in this order:
//
//     descriptors -> network -> (wait for GROUPS) -> cgroups -> (wait for ROOT) -> root -> limits -> user ->
//     filter -> exec of lamina-init or lamina-work
//
// That of a seat is never root: it begins in an outer user namespace (seat.h), which then owns what it makes, and
// moves into an inner one, which owns nothing, before it gives up. It stays undumpable until its exec: the owner of
// the outer namespace, a template, must not get at it meanwhile.
//
// No malloc, no locks, no stdio. A failure is {step, errno} on the control socket.

#ifndef LAMINA_SPAWN_CHILD_H
#define LAMINA_SPAWN_CHILD_H

#include "base/compiler.h"
#include "spawn/cgroup.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum child_kind {
    CHILD_FUNCTION, // makes listeners and sends NET, becomes lamina-init, keeps the control socket
    CHILD_SEAT,     // the same in user namespaces of its own: a fork of a template will enter it
    CHILD_WORK,     // an empty network namespace, becomes lamina-work: exec closes the socket
};

// Everything is borrowed from lamina-spawn: the process has a copy of it.
struct child_plan {
    enum child_kind kind;
    int control_fd; // its end of the socket of wire/init.h
    int in_fd, out_fd, error_fd;
    int program_fd;
    const struct cgroups *groups;
    int entrances[CGROUP_DIRS], entrance_count; // CHILD_SEAT: it may not open them itself
    uint32_t slot;
    char *const *arguments;
    uid_t uid;            // and gid
    uint32_t cpu_seconds; // RLIMIT_CPU, 0: none
    bool has_engine;      // CHILD_WORK: the filter of an inference library
    bool is_cache;        // CHILD_WORK: the filter of lamina-cache
};

_Noreturn void child_run(const struct child_plan *plan);

// For occupant.c, whose process is set up in the same way: what no cgroup counts (`cpu_seconds` 0: no such limit), and
// being the first to go when the machine's memory runs out.
int child_limit(uint32_t cpu_seconds) MUST_CHECK;
void child_volunteer(void);

#endif
