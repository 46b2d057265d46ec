// SPDX-License-Identifier: MIT
#include "cli/interrupt.h"

#include "cli/command.h"

#include <signal.h>
#include <stddef.h>

static volatile int flag; // the signal's number

static void on_signal(int number)
{
    flag = number;
}

void interrupt_watch(void)
{
    // RESETHAND: the second signal finds the default action.
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int) SA_RESETHAND};

    sigemptyset(&action.sa_mask);
    (void) sigaction(SIGINT, &action, NULL);
    (void) sigaction(SIGTERM, &action, NULL);
}

const volatile int *interrupt_flag(void)
{
    return &flag;
}

bool interrupt_happened(void)
{
    return flag != 0;
}

int interrupt_die(void)
{
    int number = flag;

    signal(number, SIG_DFL);
    raise(number);
    return EXIT_FAILED; // only if the signal is blocked
}
