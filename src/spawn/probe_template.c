// SPDX-License-Identifier: MIT
//
// Can forks of templates be isolated here? Tried in small: a process without any right joins, as a whole, a sandbox whose
// outer user namespace is its user's (wire/template.h). Distributions that restrict user namespaces forbid it, and the kernel
// does in a chroot, be it into a mount.

#include "spawn/probe.h"

#include "base/fd.h"
#include "spawn/privilege.h"
#include "spawn/seat.h"
#include "wire/template.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// The first two of the default range: nobody else's (probe.c tries whether there are any).
enum { PROBE_TEMPLATE = 900000, PROBE_SEAT = 900001 };

struct made {
    int begin[2], ready[2]; // pipes
    int pid_fd;
    long pid; // or -errno
};

// The sandbox's first process: moves from the outer user namespace into an inner one.
static _Noreturn void hold(const struct made *made)
{
    char byte;
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    close(made->begin[1]);
    if (read(made->begin[0], &byte, 1) != 1 || setresgid(PROBE_SEAT, PROBE_SEAT, PROBE_SEAT) < 0 ||
        setresuid(PROBE_SEAT, PROBE_SEAT, PROBE_SEAT) < 0 || unshare(CLONE_NEWUSER) < 0 ||
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 || // an exec makes it so
        write(made->ready[1], &byte, 1) != 1)
        _exit(1);
    (void) !read(made->begin[0], &byte, 1); // until the probe ends
    _exit(0);
}

static int make(void *argument)
{
    struct made *made = argument;
    struct clone_args arguments = {
        .flags = CLONE_PIDFD | CLONE_PARENT | (uint64_t) TEMPLATE_NAMESPACES,
        .pidfd = (uint64_t) (uintptr_t) &made->pid_fd,
    };
    made->pid = privilege_act_as(PROBE_TEMPLATE);
    if (made->pid == 0)
        made->pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (made->pid == 0)
        hold(made);
    if (made->pid == -1)
        made->pid = -errno;
    return 0;
}

static int join(int pid_fd)
{
    pid_t pid = fork();
    if (pid == 0) {
        int r = privilege_drop(PROBE_TEMPLATE, PROBE_TEMPLATE);
        if (r == 0 && setns(pid_fd, TEMPLATE_NAMESPACES) < 0)
            r = -errno;
        _exit(-r);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return -errno;
    return -WEXITSTATUS(status);
}

int probe_template(void)
{
    static char stack[65536] __attribute__((aligned(16)));
    struct made made = {.pid_fd = -1, .pid = -ECHILD};
    AUTO_FD int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc_fd < 0 || pipe2(made.begin, O_CLOEXEC) < 0 || pipe2(made.ready, O_CLOEXEC) < 0 ||
        clone(make, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, &made) <
            0)
        return -errno;
    close(made.ready[1]);
    if (made.pid < 0)
        return (int) made.pid;
    int r = seat_map_outer(proc_fd, (pid_t) made.pid, PROBE_SEAT);
    char byte = 0;
    if (r == 0 && (write(made.begin[1], &byte, 1) != 1 || read(made.ready[0], &byte, 1) != 1))
        r = -EPERM; // it could not make the inner one
    return r < 0 ? r : join(made.pid_fd);
}
