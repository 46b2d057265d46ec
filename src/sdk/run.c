// SPDX-License-Identifier: MIT
//
// run: the life of a function's process: invocation after invocation, until the platform ends it.
#include "sdk/session.h"

#include <stdarg.h>
#include <stdio.h>

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

int lamina_run(lamina_handler handler, void *data)
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
