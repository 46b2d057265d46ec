// SPDX-License-Identifier: MIT
//
// snapshot: an initialised process waits to be forked, and what happens then, in order.
//
//     template                              a fork, in its own sandbox
//     snapshot_serve: record, flush, READY
//         ... no CPU, until FORK ...  --->  new stack guard, begin again (beginning.h)
//                                           forked(is_spare)     no environment of its own yet
//                                           FORKED ... RUN       a spare waits here
//                                           run(environment)     its result is the exit status
//
// Needs nothing but libc, and not lamina_run: the Python runtime calls it through a shared library.
#ifndef LAMINA_SDK_SNAPSHOT_H
#define LAMINA_SDK_SNAPSHOT_H

#include "sdk/beginning.h"

#include <stdbool.h>

struct snapshot_fork {
    const char *environment; // NAME=value\0NAME=value\0
    size_t environment_size;
    double restore_ms; // since somebody needed it: since the fork, or since RUN for a spare
};

struct snapshot {
    void (*forked)(void *arg, bool is_spare); // may be NULL
    int (*run)(void *arg, const struct snapshot_fork *fork);
    void *arg;
};

// Is this process to be a template?
bool snapshot_is_wanted(void);

// Returns in the template only: 0 when it is not needed any more, -EBUSY with the reason when it cannot
// be forked, or another negative errno.
int snapshot_serve(const struct snapshot *snapshot, char ret_reason[BEGINNING_TEXT_BYTES]);

// Milliseconds since then, by the same clock; for adding to restore_ms.
double snapshot_clock_ms(void);

#endif
