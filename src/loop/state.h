// SPDX-License-Identifier: MIT
//
// The moves of a state machine, checked. The machine's file draws its diagram above the enum and
// has one table; its one step function moves by state_move() only.
//
//     static const struct state_machine door = {
//         .name = "door",
//         .states = {
//             [DOOR_SHUT] = {"SHUT", STATE_TO(DOOR_OPEN)},
//             [DOOR_OPEN] = {"OPEN", STATE_TO(DOOR_SHUT) | STATE_TO(DOOR_BROKEN)},
//             [DOOR_BROKEN] = {"BROKEN", 0},
//         },
//     };
//
// The names are what `lamina ps`, logs and metrics print.

#ifndef LAMINA_LOOP_STATE_H
#define LAMINA_LOOP_STATE_H

#include <stdbool.h>
#include <stdint.h>

#define STATE_COUNT_MAX 16
#define STATE_TO(state) (UINT32_C(1) << (state))

struct state_machine {
    const char *name;
    struct {
        const char *name; // NULL: no such state
        uint32_t next;    // STATE_TO(...) of every state that may follow
    } states[STATE_COUNT_MAX];
};

// Sets *state. A move that the table does not allow is our bug: prints machine, from and to, and
// aborts, in release builds too.
void state_move(const struct state_machine *machine, int *state, int to);

bool state_can_move(const struct state_machine *machine, int from, int to);

// The state's name; "?" for a number that is none.
const char *state_name(const struct state_machine *machine, int state);

#endif
