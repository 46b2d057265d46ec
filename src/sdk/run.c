// SPDX-License-Identifier: MIT
//
// run: the life of a function's process: invocation after invocation, until the platform ends it.
#include "sdk/session.h"
#include "sdk/snapshot.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// As AWS's own C++ runtime does it: a request for work that fails is tried again at once, and the
// third failure in a row ends the process, which the platform then reports and replaces.
#define NEXT_FAILURES_MAX 3

static int serve(struct session *session, struct call *call, lamina_handler handler, void *data)
{
    int failures = 0;
    while (failures < NEXT_FAILURES_MAX) {
        if (session_next(session, call) < 0) {
            failures++;
            continue;
        }
        failures = 0;
        call_settle(call, handler(&call->public, data));
        if (session_answer(session, call) < 0)
            return 1;
    }
    return 1;
}

// What tells the platform, in the program's file, that this process can be a template.
__attribute__((used)) static const char can_be_a_template[] = "LAMINA-TEMPLATE/1 liblamina";

static int run(lamina_handler handler, void *data)
{
    struct session session;
    struct call call;
    int status = 1;

    call_init(&call, stream_write, &session.stream);
    if (session_init(&session) == 0)
        status = serve(&session, &call, handler, data);
    session_done(&session);
    call_done(&call);
    return status;
}

// ---- templates

static struct lamina_snapshot hooks;

struct runner {
    lamina_handler handler;
    void *data;
};

static void tell_forked(void *arg, bool is_spare)
{
    (void) arg;
    if (!is_spare) // who is waited for; a spare may wait for long
        session_connect_ahead();
    if (hooks.forked != NULL)
        hooks.forked(hooks.data, is_spare);
}

static int run_restored(void *arg, const struct snapshot_fork *fork)
{
    const struct runner *runner = arg;
    double start_ms = snapshot_clock_ms();
    session_forget_phases(); // the template's
    if (hooks.restored != NULL)
        hooks.restored(hooks.data);
    lamina_init_phase("restore", fork->restore_ms + snapshot_clock_ms() - start_ms);
    return run(runner->handler, runner->data);
}

static int be_a_template(lamina_handler handler, void *data)
{
    char reason[BEGINNING_TEXT_BYTES] = "";
    struct runner runner = {handler, data};
    struct snapshot snapshot = {.forked = tell_forked, .run = run_restored, .arg = &runner};
    if (hooks.before != NULL)
        hooks.before(hooks.data);
    int r = snapshot_serve(&snapshot, reason);
    if (r == -EBUSY)
        return lamina_init_fail("Runtime.NotForkable", "%s", reason);
    if (r < 0)
        (void) fprintf(stderr, "lamina: template: %s\n", strerror(-r));
    return r < 0;
}

int lamina_snapshot_hooks(const struct lamina_snapshot *snapshot)
{
    hooks = *snapshot;
    return snapshot_is_wanted();
}

int lamina_run(lamina_handler handler, void *data)
{
    return snapshot_is_wanted() ? be_a_template(handler, data) : run(handler, data);
}

// ---- a start that failed

int lamina_init_fail(const char *type, const char *format, ...)
{
    char message[CALL_MESSAGE_BYTES];
    struct session session;
    va_list arguments;

    va_start(arguments, format);
    if (vsnprintf(message, sizeof message, format, arguments) < 0)
        message[0] = '\0';
    va_end(arguments);
    (void) fprintf(stderr, "%s: %s\n", type, message);
    // Whether the platform could be told or not, the process ends with 1 and the line is in the
    // log: there is nobody left to give the result to.
    if (session_init(&session) == 0)
        (void) session_init_error(&session, call_is_error_type(type) ? type : "Runtime.Unknown",
                                  message);
    session_done(&session);
    return 1;
}
