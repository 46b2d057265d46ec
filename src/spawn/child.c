// SPDX-License-Identifier: MIT

#include "spawn/child.h"

#include "base/clock.h"
#include "base/fd.h"
#include "spawn/net.h"
#include "spawn/root.h"
#include "spawn/seccomp.h"
#include "wire/init.h"
#include "wire/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    CHILD_FD_PROGRAM = 4,
    CHILD_FD_GROUPS = 5,
    CHILD_FD_FIRST_FREE = CHILD_FD_GROUPS + CGROUP_DIRS,
    CHILD_FD_SCRATCH = 64,
};

static _Noreturn void fail(uint32_t step, int error)
{
    struct init_word word = {.type = INIT_FAILED, .step = step, .error = (uint32_t) -error};
    (void) !send(INIT_FD_CONTROL, &word, sizeof(word), MSG_NOSIGNAL);
    _exit(125);
}

// Of all that lamina-spawn holds (channels, other sandboxes' sockets, cgroups), these stay.
static void descriptors(const struct child_plan *plan, struct cgroups *groups)
{
    int sources[CHILD_FD_FIRST_FREE] = {plan->in_fd, plan->out_fd, plan->error_fd, plan->control_fd,
                                        plan->program_fd};
    *groups = *plan->groups;
    for (int i = 0; i < CGROUP_DIRS; i++) {
        sources[CHILD_FD_GROUPS + i] = groups->dirs[i] >= 0 ? groups->dirs[i] : plan->in_fd;
        groups->dirs[i] = CHILD_FD_GROUPS + i;
    }
    // First to numbers above all goals: placing one must not overwrite the next.
    int copies[CHILD_FD_FIRST_FREE];
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
        if ((copies[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, CHILD_FD_SCRATCH)) < 0)
            _exit(126); // there is no control socket yet to say it on
    for (int i = 0; i < (int) ARRAY_SIZE(sources); i++) {
        const bool is_kept =
            i < INIT_FD_CONTROL || (i == INIT_FD_CONTROL && plan->kind == CHILD_FUNCTION);
        if (dup3(copies[i], i, is_kept ? 0 : O_CLOEXEC) < 0)
            _exit(126);
    }
    if (syscall(SYS_close_range, CHILD_FD_FIRST_FREE, ~0U, 0) < 0)
        _exit(126);
}

// lamina-spawn blocks signals and ignores SIGPIPE; both would outlive exec.
static void signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static uint32_t micros_since(int64_t begin_ns)
{
    return (uint32_t) ((clock_monotonic_ns() - begin_ns) / CLOCK_NS_PER_US);
}

static void network(void)
{
    const int64_t begin_ns = clock_monotonic_ns();
    int listeners[2];
    uint32_t step = 0;
    int r = net_make(listeners, &step);
    if (r < 0)
        fail(step, r);
    const struct init_word word = {.type = INIT_NET, .step = micros_since(begin_ns)};
    if (fd_send_packet(INIT_FD_CONTROL, &word, sizeof(word), listeners, 2) < 0)
        _exit(125);
    close(listeners[0]);
    close(listeners[1]);
}

// Into its cgroups, which the parent has made meanwhile.
static void enter_groups(const struct cgroups *groups, uint32_t slot)
{
    struct init_word word;
    ssize_t size;
    do
        size = recv(INIT_FD_CONTROL, &word, sizeof(word), 0);
    while (size < 0 && errno == EINTR);
    if (size != sizeof(word) || word.type != INIT_GROUPS)
        _exit(0);
    const int64_t begin_ns = clock_monotonic_ns();
    int r = groups->manager->enter(groups, slot);
    if (r == 0 && unshare(CLONE_NEWCGROUP) < 0) // its own group is the root that it sees
        r = -errno;
    if (r < 0)
        fail(SPAWN_STEP_ATTACH, r);
    (void) syscall(SYS_close_range, CHILD_FD_GROUPS, CHILD_FD_FIRST_FREE - 1, 0);
    word = (struct init_word){.type = INIT_ENTERED, .step = micros_since(begin_ns)};
    (void) !send(INIT_FD_CONTROL, &word, sizeof(word), MSG_NOSIGNAL);
}

static void order_receive(struct init_root *ret_order)
{
    ssize_t size;
    do
        size = recv(INIT_FD_CONTROL, ret_order, sizeof(*ret_order), 0);
    while (size < 0 && errno == EINTR);
    if (size != sizeof(*ret_order) || ret_order->type != INIT_ROOT)
        _exit(0); // not needed any more
}

static int limit(int resource, rlim_t value)
{
    const struct rlimit both = {value, value};
    return setrlimit((__rlimit_resource_t) resource, &both) < 0 ? -errno : 0;
}

// What no cgroup counts. Files as in Lambda; no core files; no locked-up queues or priorities.
static int limits(const struct child_plan *plan)
{
    int r = limit(RLIMIT_NOFILE, 1024);
    if (r == 0)
        r = limit(RLIMIT_CORE, 0);
    if (r == 0)
        r = limit(RLIMIT_MSGQUEUE, 819200);
    if (r == 0)
        r = limit(RLIMIT_SIGPENDING, 4096);
    if (r == 0)
        r = limit(RLIMIT_MEMLOCK, 8 << 20);
    if (r == 0)
        r = limit(RLIMIT_RTPRIO, 0);
    if (r == 0)
        r = limit(RLIMIT_NICE, 0);
    if (r == 0 && plan->cpu_seconds > 0)
        r = limit(RLIMIT_CPU, plan->cpu_seconds);
    return r;
}

// The kernel takes sandboxes before anything else of the machine when memory runs out. Best effort:
// an outer container may forbid it.
static void volunteer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void) !write(fd, "500", 3);
        close(fd);
    }
}

static int user(const struct child_plan *plan)
{
    (void) syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL); // not root's; ENOSYS is fine
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
            return -errno;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0)
        return -errno;
    if (setgroups(0, NULL) < 0 || setresgid(plan->uid, plan->uid, plan->uid) < 0 ||
        setresuid(plan->uid, plan->uid, plan->uid) < 0)
        return -errno;
    // After setresuid, which clears it.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

void child_run(const struct child_plan *plan)
{
    struct cgroups groups;
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    descriptors(plan, &groups);
    signals();
    setsid();
    if (plan->kind == CHILD_FUNCTION)
        network();
    enter_groups(&groups, plan->slot);

    struct init_root order;
    order_receive(&order);
    uint32_t step = SPAWN_STEP_ROOT;
    int r = root_enter(&order, &step);
    if (r < 0)
        fail(step, r);
    volunteer();
    if ((r = limits(plan)) < 0)
        fail(SPAWN_STEP_LIMITS, r);
    if ((r = user(plan)) < 0)
        fail(SPAWN_STEP_USER, r);
    if ((r = seccomp_install(plan->kind == CHILD_FUNCTION ? SECCOMP_FUNCTION : SECCOMP_WORK)) < 0)
        fail(SPAWN_STEP_SECCOMP, r);
    char *environment[] = {NULL};
    syscall(SYS_execveat, CHILD_FD_PROGRAM, "", plan->arguments, environment, AT_EMPTY_PATH);
    fail(SPAWN_STEP_EXEC, -errno);
}
