// SPDX-License-Identifier: MIT
//
// What template.c and fork.c, two files of the monitor, need of each other.

#ifndef LAMINA_SPAWN_FORK_H
#define LAMINA_SPAWN_FORK_H

#include "spawn/monitor.h"
#include "wire/template.h"

#include <sys/socket.h>

// The next seat of that template, with or without a fork in it, that has not ended; *at begins at 0. NULL: no more.
struct sandbox *fork_next(struct monitor *monitor, const struct sandbox *template, uint32_t *at);

// A seat that gets no fork: why, which its end will tell, and that end.
void fork_fail(struct monitor *monitor, struct sandbox *seat, uint32_t step, int error);

// Orders forks for those that are waited for, as many as the template may have before it.
void fork_orders_send(struct monitor *monitor, struct sandbox *template);

// A fork has spoken; `sender` is the kernel's word for which process that is, NULL: it gave none.
void fork_word(struct monitor *monitor, struct sandbox *fork, const struct template_word *word,
               const struct ucred *sender);

#endif
