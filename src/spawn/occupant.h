// SPDX-License-Identifier: MIT
//
// Bringing a template into its sandbox, and forks of it into theirs.
//
// The template is a child of the main process, as each fork is (CLONE_PARENT): lamina-spawn reaps them itself, knows
// their ends without asking anybody, and they die with it. The process that made the sandbox is pid 1 in it.

#ifndef LAMINA_SPAWN_OCCUPANT_H
#define LAMINA_SPAWN_OCCUPANT_H

#include "base/compiler.h"
#include "spawn/sandbox.h"

// Starts the bootstrap in a sandbox that stands: in its namespaces and cgroups, under its user, without capabilities,
// with the template's filter. It reads its order (struct init_run) from `control_fd`, which becomes its descriptor 3.
// The pid or -errno.
pid_t occupant_start(const struct sandbox_tools *tools, const struct sandbox *sandbox,
                     int control_fd, int *ret_pid_fd) MUST_CHECK;

// Opens seat->occupant.control_fd, on which the fork will say FORKED with its credentials, as the kernel sees them, and
// the other end. Ahead, as all that a seat needs.
int occupant_prepare_fork(struct sandbox *seat) MUST_CHECK;

// Tells the template to make a fork in that seat.
int occupant_order_fork(const struct sandbox_tools *tools, const struct sandbox *template,
                        struct sandbox *seat, bool is_spare) MUST_CHECK;

#endif
