// SPDX-License-Identifier: MIT

#include "loop/state.h"

#include <stdio.h>
#include <stdlib.h>

static bool is_state(const struct state_machine *machine, int state)
{
    return state >= 0 && state < STATE_COUNT_MAX && machine->states[state].name;
}

bool state_can_move(const struct state_machine *machine, int from, int to)
{
    return is_state(machine, from) && is_state(machine, to) &&
           (machine->states[from].next & STATE_TO(to));
}

void state_move(const struct state_machine *machine, int *state, int to)
{
    if (!state_can_move(machine, *state, to)) {
        fprintf(stderr, "state machine %s: no move from %s to %s\n", machine->name,
                state_name(machine, *state), state_name(machine, to));
        abort();
    }
    *state = to;
}

const char *state_name(const struct state_machine *machine, int state)
{
    return is_state(machine, state) ? machine->states[state].name : "?";
}
