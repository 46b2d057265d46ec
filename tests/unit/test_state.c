// SPDX-License-Identifier: MIT

#include "unit.h"

#include "loop/state.h"

#include <signal.h>
#include <sys/wait.h>

enum { SHUT, OPEN, BROKEN };

static const struct state_machine door = {
    .name = "door",
    .states =
        {
            [SHUT] = {"SHUT", STATE_TO(OPEN)},
            [OPEN] = {"OPEN", STATE_TO(SHUT) | STATE_TO(BROKEN)},
            [BROKEN] = {"BROKEN", 0},
        },
};

static void moves_as_the_table_allows(void **state)
{
    int at = SHUT;
    state_move(&door, &at, OPEN);
    state_move(&door, &at, SHUT);
    state_move(&door, &at, OPEN);
    state_move(&door, &at, BROKEN);
    assert_int_equal(at, BROKEN);
    assert_string_equal(state_name(&door, at), "BROKEN");
    assert_string_equal(state_name(&door, 3), "?");
    assert_string_equal(state_name(&door, -1), "?");
    assert_string_equal(state_name(&door, 99), "?");
    assert_true(state_can_move(&door, SHUT, OPEN));
    assert_false(state_can_move(&door, SHUT, BROKEN));
    assert_false(state_can_move(&door, SHUT, SHUT));
    assert_false(state_can_move(&door, OPEN, 31));
    assert_false(state_can_move(&door, -1, OPEN));
}

static void any_other_move_aborts(void **state)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 2);
        int at = BROKEN;
        state_move(&door, &at, OPEN);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_as_the_table_allows),
        cmocka_unit_test(any_other_move_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
