// SPDX-License-Identifier: MIT

#include "spawn/seat.h"

#include "base/fd.h"
#include "spawn/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct job {
    const struct seat_order *order;
    int pid_fd;
    int result; // 0 or -errno
};

// A helper is made among the template's processes, since only inside may a namespace below be made. It runs in its maker's
// memory while the maker waits, with credentials of its own.
//
// CLONE_PARENT throughout: both are children of the maker's parent, which reaps them.
#define HELPER_FLAGS (CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PARENT | SIGCHLD)

static int helper_run(void *argument)
{
    struct job *job = argument;
    const struct seat_order *order = job->order;
    job->result = privilege_act_as(order->template_uid);
    if (job->result < 0)
        return 0;
    struct clone_args arguments = {
        .flags = CLONE_PIDFD | CLONE_PARENT | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
                 CLONE_NEWIPC | CLONE_NEWUTS,
        .pidfd = (uint64_t) (uintptr_t) &job->pid_fd,
    };
    if (order->group_fd >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (uint64_t) order->group_fd;
    }
    const long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid == 0)
        child_run(order->plan);
    job->result = pid < 0 ? -errno : 0;
    return 0;
}

// The namespace of processes, as setns sets it, is that of children to come.
static int helper_run_inside(struct job *job)
{
    static char stack[65536] __attribute__((aligned(16)));
    static int own = -1; // ours, for good
    if (own < 0 && (own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC)) < 0)
        return -errno;
    if (setns(job->order->template_fd, CLONE_NEWPID) < 0)
        return -errno;
    int r = clone(helper_run, stack + sizeof(stack), HELPER_FLAGS, job) < 0 ? -errno : 0;
    if (setns(own, CLONE_NEWPID) < 0) // else all that is made after it would be in there
        abort();
    return r < 0 ? r : job->result;
}

// As the host sees it: its maker knew its number among the template's processes only.
static pid_t pid_of(int proc_fd, int pid_fd)
{
    char path[48], text[512];
    (void) snprintf(path, sizeof(path), "self/fdinfo/%d", pid_fd);
    AUTO_FD int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    const ssize_t size = fd_read_all(fd, text, sizeof(text) - 1);
    if (size < 0)
        return (pid_t) size;
    text[size] = '\0';
    const char *line = strstr(text, "\nPid:");
    const long pid = line ? strtol(line + 5, NULL, 10) : 0;
    return pid > 0 ? (pid_t) pid : -ESRCH;
}

pid_t seat_clone(int proc_fd, const struct seat_order *order, int *ret_pid_fd)
{
    struct job job = {.order = order, .pid_fd = -1, .result = -ECHILD};
    int r = helper_run_inside(&job);
    if (r < 0)
        return r;
    *ret_pid_fd = job.pid_fd;
    return pid_of(proc_fd, job.pid_fd);
}

static int write_map(int proc_fd, pid_t pid, const char *name, uid_t uid)
{
    char path[48], line[48];
    (void) snprintf(path, sizeof(path), "%d/%s", pid, name);
    const int size = snprintf(line, sizeof(line), "%u %u 1\n", uid, uid);
    AUTO_FD int fd = openat(proc_fd, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, line, (size_t) size) == size ? 0 : -errno;
}

int seat_map_outer(int proc_fd, pid_t pid, uid_t uid)
{
    int r = write_map(proc_fd, pid, "uid_map", uid);
    return r < 0 ? r : write_map(proc_fd, pid, "gid_map", uid);
}

struct map_job {
    int proc_fd, outer_fd, result;
    pid_t pid;
    uid_t uid;
};

static int map_run(void *argument)
{
    struct map_job *job = argument;
    job->result = setns(job->outer_fd, CLONE_NEWUSER) < 0
                      ? -errno
                      : seat_map_outer(job->proc_fd, job->pid, job->uid);
    return 0;
}

// The kernel takes a map only from somebody in the namespace itself or the one around it, and its file opens only for root
// (the process is undumpable): so for root in the outer namespace. A helper goes there, in our memory, as above.
int seat_map_inner(int proc_fd, pid_t pid, uid_t uid)
{
    static char stack[65536] __attribute__((aligned(16)));
    char path[48];
    (void) snprintf(path, sizeof(path), "%d/ns/user", pid);
    AUTO_FD int inner = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    AUTO_FD int outer = inner < 0 ? -1 : ioctl(inner, NS_GET_PARENT);
    if (outer < 0)
        return -errno;
    struct map_job job = {
        .proc_fd = proc_fd, .outer_fd = outer, .result = -ECHILD, .pid = pid, .uid = uid};
    // Without a signal at its end: it is waited for here.
    const pid_t helper =
        clone(map_run, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_FILES, &job);
    if (helper < 0)
        return -errno;
    while (waitpid(helper, NULL, __WALL) < 0 && errno == EINTR)
        continue;
    return job.result;
}
