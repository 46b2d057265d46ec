// SPDX-License-Identifier: MIT
//
// What a template and a fork are, seen from outside: read in the host's /proc, whatever they say themselves.

#ifndef LAMINA_SPAWN_LOOK_H
#define LAMINA_SPAWN_LOOK_H

#include "base/compiler.h"
#include "spawn/sandbox.h"

#include <sys/types.h>

struct look {
    uint32_t reason; // enum spawn_template_reason
    uint32_t error;  // errno, when it could not be looked at
    uint32_t files;  // regular files that are open
    uint32_t took_us;
    char text[SPAWN_TEMPLATE_TEXT_MAX]; // what was found, printable
};

// May this process be forked as it is: one thread, no children, nothing open or mapped that its forks would
// share with each other, no timer? `holder` is the first process of its sandbox. An honest template waits
// meanwhile; one that changes itself afterwards has spoilt its own forks only. Slow: for the keeper.
void look_at_template(const struct sandbox_tools *tools, uint32_t slot, pid_t pid, pid_t holder,
                      struct look *ret_look);

// Where the fork of a seat has to be: the namespaces of its first process, once that is settled in them.
int look_at_seat(const struct sandbox_tools *tools, pid_t holder,
                 uint64_t ret_names[SANDBOX_NAMES]) MUST_CHECK;

// Is this process a child of ours, in the seat whose namespaces these are and in its cgroups, under its user, with no
// capability and both filters? 0, -EPERM if not, or -errno.
int look_at_fork(const struct sandbox_tools *tools, const struct sandbox *seat,
                 pid_t pid) MUST_CHECK;

#endif
