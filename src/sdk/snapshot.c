// SPDX-License-Identifier: MIT
#include "sdk/snapshot.h"

#include "sdk/forking.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// Static: a fork has it as the template left it, and its stack may be small.
static struct {
    struct snapshot snapshot;
    struct beginning beginning;
    struct forking fork;
    struct template_run run;
    double forked_ms;
} state;

bool snapshot_is_wanted(void)
{
    return forking_fd() >= 0;
}

double snapshot_clock_ms(void)
{
    struct timespec now;
    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec * 1e3 + (double) now.tv_nsec / 1e6;
}

static int failed(const char *what, int r)
{
    (void) fprintf(stderr, "lamina: fork: %s: %s\n", what, strerror(-r));
    return 1;
}

static int be_an_instance(void *arg)
{
    (void) arg;
    int r = beginning_apply(&state.beginning);
    if (r < 0)
        return failed("begin again", r);
    // A spare stands when it is warm. Who is waited for says so at once, and does the rest while it is looked at.
    const bool is_spare = state.fork.is_spare;
    if (!is_spare)
        r = forking_stand(&state.fork);
    if (r == 0 && state.snapshot.forked != NULL)
        state.snapshot.forked(state.snapshot.arg, is_spare);
    if (r == 0 && is_spare)
        r = forking_stand(&state.fork);
    if (r == 0)
        r = forking_run(&state.fork, &state.run);
    if (r < 0)
        return r == -EPROTO ? 0 : failed("wait for work", r); // a spare that nobody needed any more
    if (is_spare)
        state.forked_ms = snapshot_clock_ms();
    r = beginning_environment(state.run.env, state.run.env_size);
    if (r < 0)
        return failed("environment", r);
    const struct snapshot_fork fork = {state.run.env, state.run.env_size,
                                       snapshot_clock_ms() - state.forked_ms};
    return state.snapshot.run(state.snapshot.arg, &fork);
}

// The model came as a descriptor, and is mapped by now.
static void close_model(void)
{
    const char *text = getenv("LAMINA_MODEL_FD");
    if (text != NULL && text[0] != '\0')
        (void) close((int) strtol(text, NULL, 10));
}

int snapshot_serve(const struct snapshot *snapshot, char ret_reason[BEGINNING_TEXT_BYTES])
{
    state.snapshot = *snapshot;
    close_model();
    beginning_forget_keys();
    (void) fflush(
        NULL); // or each fork would write it again; an error is the stream's, told at its use
    int r = beginning_record(&state.beginning, ret_reason);
    if (r < 0)
        return r;
#ifdef __GLIBC__
    // What is free lies together then: a fork's first allocations would take, and copy, a page here and a page there.
    (void) malloc_trim(0);
#endif
    r = forking_serve(forking_fd(), &state.fork);
    if (state.fork.control_fd < 0)
        return r;
    state.forked_ms = snapshot_clock_ms();
    beginning_enter(be_an_instance, NULL);
}
