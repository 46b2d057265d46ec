// SPDX-License-Identifier: MIT
//
// lamina-init: pid 1 of a sandbox. It waits for the environment, runs the bootstrap, passes signals
// on, reaps orphans, and tells lamina-spawn how the bootstrap ended. When it exits, the kernel kills
// whatever is left in its pid namespace.
//
// If there are external extensions (extensions.h) they are started first, the bootstrap when laminad
// says that all have registered, and the end of the bootstrap is told to laminad, so that they have a
// moment for theirs.
//
// It is static, has no libc (bare.h says why) and allocates nothing: its start is part of every cold
// start. It runs with the function's uid and under the function's syscall filter, so it is trusted
// with nothing; being undumpable keeps its memory and descriptors from being had through /proc/1.

#include "init/bare.h"
#include "init/extensions.h"
#include "wire/init.h"
#include "wire/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

static char *const bootstraps[SPAWN_BOOTSTRAP_COUNT][2] = INIT_BOOTSTRAPS;

static struct init_run order; // static, not on the stack: the stack stays at one page
static char *environment[INIT_VARIABLES_MAX + 1];
static int model = -1; // came with the order

// Written by the child that shares our memory: why exec failed, 0 when it worked.
static volatile int exec_error;

static void say(uint32_t type, int status, int error)
{
    struct init_word word = {.type = type, .status = status, .error = (uint32_t) error};
    // lamina-spawn has gone if this fails, and then the next read sees end of file.
    (void) CALL(write, INIT_FD_CONTROL, &word, sizeof(word));
}

// The one message that init gets, with the descriptor that it may bring.
static long order_read(void)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {&order, sizeof(order)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    long size = CALL(recvmsg, INIT_FD_CONTROL, &message, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *head = size > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (head && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof(int)))
        model = *(const int *) (const void *) CMSG_DATA(head);
    return size;
}

// 0, 1 when there is nothing to run here, or -1 when no order is to come.
static int order_receive(void)
{
    long size;
    do
        size = order_read();
    while (size == -EINTR);
    if (size == sizeof(struct init_word) && order.type == INIT_HOLD)
        return 1;
    const long head = offsetof(struct init_run, env);
    if (size < head || order.type != INIT_RUN || order.bootstrap >= SPAWN_BOOTSTRAP_COUNT ||
        order.env_size > INIT_ENV_MAX || size != head + (long) order.env_size ||
        (order.env_size > 0 && order.env[order.env_size - 1] != '\0'))
        return -1;
    size_t count = 0;
    for (size_t at = 0; at < order.env_size && count < INIT_VARIABLES_MAX; at++) {
        environment[count++] = order.env + at;
        while (order.env[at] != '\0')
            at++;
    }
    environment[count] = NULL;
    return 0;
}

// The value of AWS_LAMBDA_EXEC_WRAPPER: a program that the managed runtimes are started by, with their own
// command behind it; a layer brings it. NULL: none.
static char *wrapper(void)
{
    static const char name[] = "AWS_LAMBDA_EXEC_WRAPPER=";
    if (order.bootstrap == SPAWN_BOOTSTRAP_PROVIDED)
        return NULL;
    for (int i = 0; environment[i]; i++) {
        unsigned long at = 0;
        while (at < sizeof(name) - 1 && environment[i][at] == name[at])
            at++;
        if (at == sizeof(name) - 1 && environment[i][at] != '\0')
            return environment[i] + at;
    }
    return NULL;
}

// In the child: becomes the bootstrap, or leaves the reason in exec_error.
static _Noreturn __attribute__((noinline)) void bootstrap_exec(void)
{
    static const uint64_t none;
    CALL(rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
    CALL(setsid);
    CALL(chdir, "/var/task"); // always there
    if (model == SPAWN_MODEL_FD)
        CALL(fcntl, model, F_SETFD, 0);
    else if (model >= 0)
        CALL(dup3, model, SPAWN_MODEL_FD, 0);
    long r = -ENOENT;
    for (int i = 0; i < 2 && r == -ENOENT; i++) {
        char *const path = bootstraps[order.bootstrap][i];
        char *const first = wrapper();
        char *arguments[] = {first ? first : path, first ? path : NULL, NULL};
        if (!path)
            break;
        r = CALL(execve, arguments[0], arguments, environment);
        // A file whose interpreter or loader is missing is ENOENT too: that is told apart, and the
        // next place must not hide it.
        if (r == -ENOENT && CALL(faccessat, AT_FDCWD, arguments[0], 0 /* F_OK */) == 0)
            r = -ELIBACC;
    }
    exec_error = (int) -r;
    for (;;)
        CALL(exit_group, 127);
}

// Reaps all that has ended. 1 when the bootstrap was among them.
static int reap(long bootstrap, int *ret_status)
{
    int status = 0;
    long pid;
    int is_over = 0;
    while ((pid = CALL(wait4, -1, &status, WNOHANG, NULL)) > 0)
        if (pid == bootstrap) {
            *ret_status = status;
            is_over = 1;
        } else {
            extensions_reap(pid, status);
        }
    return is_over;
}

static void pass_on_signal(int signals, long bootstrap)
{
    struct signalfd_siginfo info;
    if (CALL(read, signals, &info, sizeof(info)) == sizeof(info) && info.ssi_signo != SIGCHLD &&
        bootstrap > 0)
        CALL(kill, bootstrap, info.ssi_signo);
}

// Until the bootstrap has ended. Returns its status, or ends when lamina-spawn is gone.
static int bootstrap_wait(long bootstrap, int signals)
{
    struct pollfd polled[] = {{.fd = signals, .events = POLLIN},
                              {.fd = INIT_FD_CONTROL, .events = POLLIN}};
    int status = 0;
    while (!reap(bootstrap, &status)) {
        long r = CALL(ppoll, polled, 2, NULL, NULL, 8);
        if ((r < 0 && r != -EINTR) || polled[1].revents)
            CALL(exit_group, 1);
        if (polled[0].revents & POLLIN)
            pass_on_signal(signals, bootstrap);
    }
    return status;
}

static long bootstrap_start(void)
{
    long bootstrap = bare_vfork();
    if (bootstrap == 0)
        bootstrap_exec();
    return bootstrap;
}

// A child that could not be made ends as one that could not be run.
static void bootstrap_over(int status, int error)
{
    exec_error = error;
    extensions_tell_bootstrap(status, error);
}

static int order_obey(long *bootstrap, int *status)
{
    switch (extensions_read()) {
    case EXTENSIONS_RUN:
        *bootstrap = bootstrap_start();
        if (*bootstrap < 0) {
            *status = 127 << 8;
            bootstrap_over(*status, (int) -*bootstrap);
            return 1;
        }
        break;
    case EXTENSIONS_COURIER:
        courier_start();
        break;
    case EXTENSIONS_TERM:
        if (*bootstrap > 0)
            CALL(kill, *bootstrap, SIGTERM);
        break;
    case EXTENSIONS_NOTHING:
        break;
    }
    return 0;
}

// Until the bootstrap and all extensions have ended. laminad's patience is limited: then all is killed.
static int extensions_wait(int signals)
{
    struct pollfd polled[] = {{.fd = signals, .events = POLLIN},
                              {.fd = INIT_FD_CONTROL, .events = POLLIN},
                              {.events = POLLIN}};
    long bootstrap = 0;
    int status = 0, is_over = 0;
    for (;;) {
        if (reap(bootstrap, &status)) {
            is_over = 1;
            bootstrap = 0;
            bootstrap_over(status, exec_error);
        }
        if (is_over && extensions_alive() == 0)
            return status;
        polled[2].fd = extensions_socket(); // -1 is skipped
        polled[2].revents = 0;
        long r = CALL(ppoll, polled, 3, NULL, NULL, 8);
        if ((r < 0 && r != -EINTR) || polled[1].revents)
            CALL(exit_group, 1);
        if (polled[0].revents & POLLIN)
            pass_on_signal(signals, bootstrap);
        if (polled[2].revents)
            is_over |= order_obey(&bootstrap, &status);
    }
}

static int run_with_extensions(int signals)
{
    extensions_start(environment);
    int status = extensions_wait(signals);
    say(INIT_EXIT, status, exec_error);
    return 0;
}

static int init_main(long count, char **arguments)
{
    (void) count;
    (void) arguments;
    static const uint64_t all = ~UINT64_C(0);
    CALL(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    CALL(rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all));
    long signals = CALL(signalfd4, -1, &all, sizeof(all), SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0 || CALL(fcntl, INIT_FD_CONTROL, F_SETFD, FD_CLOEXEC) < 0)
        return 1;

    say(INIT_READY, 0, 0);
    const int is_held = order_receive();
    if (is_held < 0)
        return 1;
    if (is_held) {
        CALL(close, 1); // the log ends with those who write it
        CALL(close, 2);
        return bootstrap_wait(0, (int) signals); // never: until end of file
    }
    if (extensions_find() > 0)
        return run_with_extensions((int) signals);
    long bootstrap = bootstrap_start();
    if (bootstrap < 0) {
        say(INIT_EXIT, 127 << 8, (int) -bootstrap);
        return 1;
    }
    int status = bootstrap_wait(bootstrap, (int) signals);
    say(INIT_EXIT, status, exec_error);
    return 0;
}

BARE_MAIN(init_main);
