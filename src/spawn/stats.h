// SPDX-License-Identifier: MIT
//
// What a sandbox uses, summed over its processes. Reading others' smaps needs ptrace rights, which
// laminad does not have.

#ifndef LAMINA_SPAWN_STATS_H
#define LAMINA_SPAWN_STATS_H

#include "spawn/sandbox.h"

#include <stdint.h>

// All but the message's head. `error` says when the sandbox is gone.
void stats_read(const struct sandbox_tools *tools, uint32_t slot, struct spawn_stats *ret_stats);

#endif
