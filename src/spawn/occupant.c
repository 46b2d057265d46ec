// SPDX-License-Identifier: MIT

#include "spawn/occupant.h"

#include "base/fd.h"
#include "spawn/child.h"
#include "spawn/privilege.h"
#include "spawn/seccomp.h"
#include "wire/init.h"
#include "wire/template.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// ---- the template's own process, between clone and exec -----------------------------------------

enum {
    PLACE_NULL,
    PLACE_LOG,
    PLACE_CONTROL,
    PLACE_SANDBOX,
    PLACE_GROUPS,
    PLACES = PLACE_GROUPS + CGROUP_DIRS,
};

static _Noreturn void fail(uint32_t step, int error)
{
    const struct init_word word = {.type = INIT_FAILED, .step = step, .error = (uint32_t) -error};
    (void) !send(TEMPLATE_FD_CONTROL, &word, sizeof(word), MSG_NOSIGNAL);
    _exit(125);
}

// Into the cgroups and then the namespaces of the sandbox's first process.
static int enter(int sandbox_fd, const int *groups, int group_count)
{
    for (int i = 0; i < group_count; i++)
        if (write(groups[i], "0", 1) < 0)
            return -errno;
    return setns(sandbox_fd,
                 CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) < 0
               ? -errno
               : 0;
}

static char *const bootstraps[SPAWN_BOOTSTRAP_COUNT][2] = INIT_BOOTSTRAPS;

// Why it could not; it is told as lamina-init tells it.
static _Noreturn void bootstrap_exec(struct init_run *order, size_t size)
{
    static char *environment[INIT_VARIABLES_MAX + 2];
    static char own[] = TEMPLATE_ENV_FD "=3";
    size_t count = 0;
    environment[count++] = own;
    const size_t end = size - offsetof(struct init_run, env);
    for (size_t at = 0; at < end && count <= INIT_VARIABLES_MAX; at += strlen(order->env + at) + 1)
        environment[count++] = order->env + at;
    int error = ENOENT;
    for (int i = 0; i < 2 && error == ENOENT && bootstraps[order->bootstrap][i]; i++) {
        char *const path = bootstraps[order->bootstrap][i];
        char *arguments[] = {path, NULL};
        execve(path, arguments, environment);
        error = errno;
        if (error == ENOENT && access(path, F_OK) == 0)
            error = ELIBACC;
    }
    const struct init_word word = {
        .type = INIT_EXIT, .status = 127 << 8, .error = (uint32_t) error};
    (void) !send(TEMPLATE_FD_CONTROL, &word, sizeof(word), MSG_NOSIGNAL);
    _exit(127);
}

static _Noreturn void template_run(const int sources[PLACES], int group_count, uid_t uid)
{
    // 0, 1, 2 and 3 as the bootstrap finds them.
    const int all[] = {
        sources[PLACE_NULL],       sources[PLACE_LOG],        sources[PLACE_LOG],
        sources[PLACE_CONTROL],    sources[PLACE_SANDBOX],    sources[PLACE_GROUPS],
        sources[PLACE_GROUPS + 1], sources[PLACE_GROUPS + 2], sources[PLACE_GROUPS + 3]};
    enum { SANDBOX = TEMPLATE_FD_CONTROL + 1, GROUPS };
    int groups[CGROUP_DIRS];
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (privilege_keep_fds(all, ARRAY_SIZE(all), SANDBOX) < 0)
        _exit(126);
    setsid();
    for (int i = 0; i < CGROUP_DIRS; i++)
        groups[i] = GROUPS + i;
    int r = enter(SANDBOX, groups, group_count);
    if (r < 0)
        fail(SPAWN_STEP_ATTACH, r);
    child_volunteer();
    if ((r = child_limit(0)) < 0)
        fail(SPAWN_STEP_LIMITS, r);
    (void) syscall(SYS_close_range, SANDBOX, ~0U, 0);
    if ((r = privilege_drop(uid, uid)) < 0)
        fail(SPAWN_STEP_USER, r);
    if ((r = seccomp_install(SECCOMP_TEMPLATE)) < 0)
        fail(SPAWN_STEP_SECCOMP, r);
    static struct init_run order;
    int model;
    size_t count;
    const ssize_t size =
        fd_receive_packet(TEMPLATE_FD_CONTROL, &order, sizeof(order), &model, 1, &count);
    if (size < (ssize_t) offsetof(struct init_run, env))
        _exit(0); // there is none to come
    if (model == SPAWN_MODEL_FD)
        r = fcntl(model, F_SETFD, 0) < 0 ? -errno : 0;
    else if (model >= 0)
        r = dup2(model, SPAWN_MODEL_FD) < 0 ? -errno : 0;
    if (r < 0 || chdir("/var/task") < 0)
        fail(SPAWN_STEP_EXEC, r < 0 ? r : -errno);
    bootstrap_exec(&order, (size_t) size);
}

pid_t occupant_start(const struct sandbox_tools *tools, const struct sandbox *sandbox,
                     int control_fd, int *ret_pid_fd)
{
    int sources[PLACES];
    char path[48];
    // What its first process writes to, and lets go of when it is told to HOLD.
    (void) snprintf(path, sizeof(path), "%d/fd/1", sandbox->parts.pid);
    AUTO_FD int log_fd = openat(tools->proc_fd, path, O_WRONLY | O_CLOEXEC);
    if (log_fd < 0)
        return -errno;
    int group_count = cgroup_open_entrances(&tools->groups, sandbox->slot, sources + PLACE_GROUPS);
    if (group_count < 0)
        return group_count;
    for (int i = group_count; i < CGROUP_DIRS; i++)
        sources[PLACE_GROUPS + i] = tools->null_fd;
    sources[PLACE_NULL] = tools->null_fd;
    sources[PLACE_LOG] = log_fd;
    sources[PLACE_CONTROL] = control_fd;
    sources[PLACE_SANDBOX] = sandbox->parts.pid_fd;
    // Its number must not be that of its forks: libraries tell a fork by it.
    const pid_t number = TEMPLATE_PID;
    struct clone_args arguments = {.flags = CLONE_PIDFD,
                                   .pidfd = (uint64_t) (uintptr_t) ret_pid_fd,
                                   .exit_signal = SIGCHLD,
                                   .set_tid = (uint64_t) (uintptr_t) &number,
                                   .set_tid_size = 1};
    long pid = -1;
    AUTO_FD int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    int r = own < 0 || setns(sandbox->parts.pid_fd, CLONE_NEWPID) < 0 ? -errno : 0;
    if (r == 0) {
        pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
        if (pid == 0)
            template_run(sources, group_count, tools->uid_first + sandbox->slot);
        r = pid < 0 ? -errno : 0;
        if (setns(own, CLONE_NEWPID) < 0) // else all that is started after it would be in there
            abort();
    }
    for (int i = 0; i < group_count; i++)
        fd_close(sources[PLACE_GROUPS + i]);
    return r < 0 ? r : (pid_t) pid;
}

// ---- forks --------------------------------------------------------------------------------------

int occupant_prepare_fork(struct sandbox *seat)
{
    int pair[2];
    const int yes = 1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    seat->occupant.control_fd = pair[0];
    seat->occupant.fork_fd = pair[1];
    if (setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)) < 0)
        return -errno;
    return fd_set_nonblocking(pair[0], true);
}

int occupant_order_fork(const struct sandbox_tools *tools, const struct sandbox *template,
                        struct sandbox *seat, bool is_spare)
{
    int fds[TEMPLATE_FORK_FDS_MAX];
    size_t count = TEMPLATE_FORK_GROUPS;
    for (int i = 0; i < CGROUP_DIRS && seat->parts.entrances[i] >= 0; i++)
        fds[count++] = seat->parts.entrances[i];
    fds[TEMPLATE_FORK_SANDBOX] = seat->parts.pid_fd;
    fds[TEMPLATE_FORK_CONTROL] = seat->occupant.fork_fd;
    fds[TEMPLATE_FORK_LOG] = seat->parts.occupant_log_fd;
    const struct template_fork order = {.type = TEMPLATE_FORK,
                                        .number = seat->slot,
                                        .user = tools->uid_first + seat->slot,
                                        .flags = is_spare ? (uint32_t) TEMPLATE_FORK_SPARE : 0};
    int r = fd_send_packet(template->occupant.control_fd, &order, sizeof(order), fds, count);
    if (r < 0)
        return r;
    for (int i = 0; i < CGROUP_DIRS; i++)
        seat->parts.entrances[i] = fd_close(seat->parts.entrances[i]);
    // The last copies outside: end of file says that the fork is gone.
    seat->occupant.fork_fd = fd_close(seat->occupant.fork_fd);
    seat->parts.occupant_log_fd = fd_close(seat->parts.occupant_log_fd);
    return 0;
}
