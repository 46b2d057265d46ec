// SPDX-License-Identifier: MIT
//
// liblamina-snapshot.so: what the Python runtime needs to be a template, for ctypes.
//
// Python's own os.fork cannot enter another sandbox on the way, and a fork must not return to the
// interpreter's frames (their stack guard is the template's). So the waiting and the fork happen in here,
// and the fork calls back. The interpreter's C functions are looked up when they are needed, all of its
// stable interface: one library serves Python 3.8 and everything later, and none is needed to build it.

#include "sdk/snapshot.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>

struct python {
    void (*before_fork)(void);
    void (*after_fork_parent)(void);
    void (*after_fork_child)(void);
    void *(*bytes)(const char *data, ssize_t size);
    void *(*number)(double value);
    void *(*call)(void *callable, ...);
    void (*print_error)(void);
    void *begin; // borrowed: the caller's, who waits inside lamina_snapshot_python
};

static struct python python;

static int look_up(void)
{
    const struct {
        const char *name;
        void *place;
    } functions[] = {
        {"PyOS_BeforeFork", &python.before_fork},
        {"PyOS_AfterFork_Parent", &python.after_fork_parent},
        {"PyOS_AfterFork_Child", &python.after_fork_child},
        {"PyBytes_FromStringAndSize", &python.bytes},
        {"PyFloat_FromDouble", &python.number},
        {"PyObject_CallFunctionObjArgs", &python.call},
        {"PyErr_Print", &python.print_error},
    };
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if ((*(void **) functions[i].place = dlsym(RTLD_DEFAULT, functions[i].name)) == NULL)
            return -ENOSYS;
    return 0;
}

// Its locks and the identity of its one thread; and the handlers of os.register_at_fork, `random`'s among
// them.
static void forked(void *arg, bool is_spare)
{
    (void) arg;
    (void) is_spare;
    python.after_fork_child();
}

// begin(environment, milliseconds since it was needed)
static int run(void *arg, const struct snapshot_fork *fork)
{
    (void) arg;
    void *environment = python.bytes(fork->environment, (ssize_t) fork->environment_size);
    void *restore_ms = python.number(fork->restore_ms);
    void *result = NULL;
    if (environment != NULL && restore_ms != NULL)
        result = python.call(python.begin, environment, restore_ms, NULL);
    if (result == NULL)
        python.print_error(); // ends the process for a SystemExit, with its status
    return result == NULL;
}

// Called with the interpreter's lock held, by its only thread. Calls `begin` in each fork, and ends the
// fork when it returns. Returns as snapshot_serve; `ret_reason` has room for BEGINNING_TEXT_BYTES.
__attribute__((visibility("default"))) int lamina_snapshot_python(void *begin, char *ret_reason);

int lamina_snapshot_python(void *begin, char *ret_reason)
{
    const struct snapshot snapshot = {.forked = forked, .run = run};
    int r = look_up();
    if (r < 0)
        return r;
    python.begin = begin;
    python.before_fork(); // its locks are held from here on: nobody else could want them
    r = snapshot_serve(&snapshot, ret_reason);
    python.after_fork_parent();
    return r;
}
