// SPDX-License-Identifier: MIT
//
// Ctrl-C (SIGINT) and SIGTERM as a flag, for commands that have something to clean up. The second
// one ends the program at once, as if nothing had been watched.
#ifndef LAMINA_CLI_INTERRUPT_H
#define LAMINA_CLI_INTERRUPT_H

#include <stdbool.h>

void interrupt_watch(void);
const volatile int *interrupt_flag(void);
bool interrupt_happened(void);
// Ends the program by the signal that came, so that a shell sees what happened.
int interrupt_die(void);

#endif
