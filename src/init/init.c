// SPDX-License-Identifier: MIT
//
// lamina-init: pid 1 of a sandbox. It waits for the environment, runs the bootstrap, passes signals
// on, reaps orphans, and tells lamina-spawn how the bootstrap ended. When it exits, the kernel kills
// whatever is left in its pid namespace.
//
// It is linked statically and allocates nothing: its start is part of every cold start. It runs with
// the function's uid and under the function's syscall filter, so it is trusted with nothing; being
// undumpable only keeps its memory from being written by mistake through /proc/1/mem.

#include "wire/init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

// execve wants arguments that are not const.
static char bootstrap_task[] = "/var/task/bootstrap", bootstrap_opt[] = "/opt/bootstrap";
static char *const bootstraps[] = {bootstrap_task, bootstrap_opt};

static struct init_run order; // static, not on the stack: the stack stays at one page
static char *environment[INIT_VARIABLES_MAX + 1];

static void say(uint32_t type, int status, int error)
{
    struct init_word word = {.type = type, .status = status, .error = (uint32_t) error};
    // lamina-spawn has gone if this fails, and then the next read sees end of file.
    (void) !send(INIT_FD_CONTROL, &word, sizeof(word), MSG_NOSIGNAL);
}

// The one message that init gets. 0, or -1 when there is none to come.
static int order_receive(void)
{
    ssize_t size;
    do
        size = recv(INIT_FD_CONTROL, &order, sizeof(order), 0);
    while (size < 0 && errno == EINTR);
    const ssize_t head = (ssize_t) offsetof(struct init_run, env);
    if (size < head || order.type != INIT_RUN || order.env_size > INIT_ENV_MAX ||
        size != head + (ssize_t) order.env_size)
        return -1;

    size_t count = 0;
    for (size_t at = 0; at < order.env_size && count < INIT_VARIABLES_MAX;) {
        environment[count++] = order.env + at;
        while (at < order.env_size && order.env[at] != '\0')
            at++;
        at++;
    }
    if (order.env_size > 0 && order.env[order.env_size - 1] != '\0')
        return -1;
    environment[count] = NULL;
    return 0;
}

// In the child: becomes the bootstrap, or tells why not through `report`.
static _Noreturn void bootstrap_exec(int report)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    (void) !chdir("/var/task"); // always there
    int error = ENOENT;
    for (size_t i = 0; i < sizeof(bootstraps) / sizeof(bootstraps[0]) && error == ENOENT; i++) {
        char *arguments[] = {bootstraps[i], NULL};
        execve(bootstraps[i], arguments, environment);
        // A file whose interpreter or loader is missing is ENOENT too: that is told apart, and the
        // next place must not hide it.
        error = errno;
        if (error == ENOENT && access(bootstraps[i], F_OK) == 0)
            error = ELIBACC;
    }
    (void) !write(report, &error, sizeof(error));
    _exit(127);
}

// Starts the bootstrap. Returns its pid, or -errno; *ret_exec_error is 0 when exec worked.
static pid_t bootstrap_start(int *ret_exec_error)
{
    int report[2];
    if (pipe2(report, O_CLOEXEC) < 0)
        return -errno;
    pid_t child = fork();
    if (child < 0)
        return -errno;
    if (child == 0)
        bootstrap_exec(report[1]);
    close(report[1]);
    ssize_t size;
    do
        size = read(report[0], ret_exec_error, sizeof(*ret_exec_error));
    while (size < 0 && errno == EINTR);
    if (size != sizeof(*ret_exec_error))
        *ret_exec_error = 0; // end of file: exec has closed it
    close(report[0]);
    return child;
}

// Reaps all that has ended. 1 when the bootstrap was among them.
static int reap(pid_t bootstrap, int *ret_status)
{
    int status;
    pid_t pid;
    int is_over = 0;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == bootstrap) {
            *ret_status = status;
            is_over = 1;
        }
    return is_over;
}

static void pass_on(const struct signalfd_siginfo *info, pid_t bootstrap)
{
    if (info->ssi_signo != SIGCHLD)
        kill(bootstrap, (int) info->ssi_signo);
}

// Until the bootstrap has ended. Returns its status, or exits when lamina-spawn is gone.
static int bootstrap_wait(pid_t bootstrap, int signals)
{
    struct pollfd polled[] = {{.fd = signals, .events = POLLIN},
                              {.fd = INIT_FD_CONTROL, .events = POLLIN}};
    int status = 0;
    while (!reap(bootstrap, &status)) {
        if (poll(polled, 2, -1) < 0 && errno != EINTR)
            _exit(1);
        if (polled[1].revents)
            _exit(1);
        struct signalfd_siginfo info;
        if ((polled[0].revents & POLLIN) && read(signals, &info, sizeof(info)) == sizeof(info))
            pass_on(&info, bootstrap);
    }
    return status;
}

int main(void)
{
    prctl(PR_SET_DUMPABLE, 0);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    int signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0 || fcntl(INIT_FD_CONTROL, F_SETFD, FD_CLOEXEC) < 0)
        return 1;

    say(INIT_READY, 0, 0);
    if (order_receive() < 0)
        return 1;
    int exec_error = 0;
    pid_t bootstrap = bootstrap_start(&exec_error);
    if (bootstrap < 0) {
        say(INIT_EXIT, 127 << 8, (int) -bootstrap);
        return 1;
    }
    int status = bootstrap_wait(bootstrap, signals);
    say(INIT_EXIT, status, exec_error);
    return 0;
}
