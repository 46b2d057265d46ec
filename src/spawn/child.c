// SPDX-License-Identifier: MIT

#include "spawn/child.h"

#include "base/clock.h"
#include "base/fd.h"
#include "spawn/net.h"
#include "spawn/privilege.h"
#include "spawn/root.h"
#include "spawn/seccomp.h"
#include "wire/init.h"
#include "wire/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    CHILD_FD_PROGRAM = 4,
    CHILD_FD_GROUPS = 5,
    CHILD_FDS = CHILD_FD_GROUPS + CGROUP_DIRS,
};

static _Noreturn void fail(uint32_t step, int error)
{
    struct init_word word = {.type = INIT_FAILED, .step = step, .error = (uint32_t) -error};
    (void) !send(INIT_FD_CONTROL, &word, sizeof(word), MSG_NOSIGNAL);
    _exit(125);
}

// Of all that lamina-spawn holds (channels, other sandboxes' sockets), these stay.
static void descriptors(const struct child_plan *plan, struct cgroups *groups)
{
    int sources[CHILD_FDS] = {plan->in_fd, plan->out_fd, plan->error_fd, plan->control_fd,
                              plan->program_fd};
    *groups = *plan->groups;
    for (int i = 0; i < CGROUP_DIRS; i++) {
        const int dir = plan->kind != CHILD_SEAT   ? groups->dirs[i]
                        : i < plan->entrance_count ? plan->entrances[i]
                                                   : -1;
        sources[CHILD_FD_GROUPS + i] = dir >= 0 ? dir : plan->in_fd;
        groups->dirs[i] = CHILD_FD_GROUPS + i;
    }
    const int kept = plan->kind == CHILD_WORK ? INIT_FD_CONTROL : INIT_FD_CONTROL + 1;
    if (privilege_keep_fds(sources, CHILD_FDS, kept) < 0)
        _exit(126); // there may be no control socket to say it on
}

static uint32_t micros_since(int64_t begin_ns)
{
    return (uint32_t) ((clock_monotonic_ns() - begin_ns) / CLOCK_NS_PER_US);
}

// The next order. There may be none to come: it is not needed any more.
static void order_receive(uint32_t type, void *ret_order, size_t size)
{
    ssize_t got;
    do
        got = recv(INIT_FD_CONTROL, ret_order, size, 0);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t) size || *(const uint32_t *) ret_order != type)
        _exit(0);
}

// Into its cgroups, which the parent has made meanwhile. Its own group is the root that it sees.
static void enter_groups(const struct child_plan *plan, const struct cgroups *groups)
{
    struct init_word word;
    order_receive(INIT_GROUPS, &word, sizeof(word));
    int r = 0;
    if (plan->kind != CHILD_SEAT)
        r = cgroup_enter(groups, plan->slot);
    else // in v2 its clone has put it there
        for (int i = 0; r == 0 && groups->manager->version == 1 && i < plan->entrance_count; i++)
            r = write(CHILD_FD_GROUPS + i, "0", 1) < 0 ? -errno : 0;
    if (r == 0 && unshare(CLONE_NEWCGROUP) < 0)
        r = -errno;
    if (r < 0)
        fail(SPAWN_STEP_ATTACH, r);
    (void) syscall(SYS_close_range, CHILD_FD_GROUPS, CHILD_FDS - 1, 0);
}

// Network and cgroups, the two that a function's sandbox can be given ahead of its root.
static void surroundings(const struct child_plan *plan, const struct cgroups *groups)
{
    const int64_t begin_ns = clock_monotonic_ns();
    struct init_word word = {.type = INIT_NET};
    int listeners[2];
    uint32_t step = 0;
    int r = net_make(listeners, &step);
    if (r < 0)
        fail(step, r);
    word.step = micros_since(begin_ns);
    enter_groups(plan, groups);
    word.status = (int32_t) (micros_since(begin_ns) - word.step);
    if (fd_send_packet(INIT_FD_CONTROL, &word, sizeof(word), listeners, 2) < 0)
        _exit(125);
    close(listeners[0]);
    close(listeners[1]);
}

static enum seccomp_filter filter_of(const struct child_plan *plan)
{
    if (plan->kind != CHILD_WORK)
        return plan->kind == CHILD_SEAT ? SECCOMP_HOLDER : SECCOMP_FUNCTION;
    return plan->is_cache ? SECCOMP_CACHE : plan->has_engine ? SECCOMP_ENGINE : SECCOMP_WORK;
}

// What no cgroup counts. Files as in Lambda; no core files, no priorities.
int child_limit(uint32_t cpu_seconds)
{
    const struct {
        __rlimit_resource_t resource;
        rlim_t value;
    } all[] = {{RLIMIT_NOFILE, 1024},     {RLIMIT_CORE, 0},          {RLIMIT_MSGQUEUE, 819200},
               {RLIMIT_SIGPENDING, 4096}, {RLIMIT_MEMLOCK, 8 << 20}, {RLIMIT_RTPRIO, 0},
               {RLIMIT_NICE, 0},          {RLIMIT_CPU, cpu_seconds}};
    // The last one is for jobs only.
    for (size_t i = 0; i < ARRAY_SIZE(all) - (cpu_seconds ? 0 : 1); i++) {
        // Root without CAP_SYS_RESOURCE (a container's) may only lower them.
        struct rlimit both;
        if (getrlimit(all[i].resource, &both) < 0)
            return -errno;
        both.rlim_cur = both.rlim_max = all[i].value < both.rlim_max ? all[i].value : both.rlim_max;
        if (setrlimit(all[i].resource, &both) < 0)
            return -errno;
    }
    return 0;
}

// The kernel takes sandboxes before anything else of the machine when memory runs out. Best effort:
// an outer container may forbid it.
void child_volunteer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void) !write(fd, "500", 3);
        close(fd);
    }
}

// From root's place of the outer user namespace, which owns all that was made, to that of the sandbox's user in an inner
// one.
static int leave_outer(uid_t uid)
{
    struct init_word word = {.type = INIT_USER};
    if (unshare(CLONE_NEWUSER) < 0)
        return -errno;
    int r = fd_send_packet(INIT_FD_CONTROL, &word, sizeof(word), NULL, 0);
    if (r == 0)
        order_receive(INIT_USER, &word, sizeof(word));
    return r < 0 ? r : privilege_give_up(uid, uid);
}

// Where the kernel has Landlock: no sockets and no FIFOs on a file system that others see too, by which descriptors could
// be handed on. A second wall: those of others cannot be written to, since their owners have no name in the mount.
static void forbid_meeting_places(void)
{
    const struct landlock_ruleset_attr handled = {
        .handled_access_fs =
            LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_REFER};
    const struct {
        const char *path;
        uint64_t allowed;
    } rules[] = {{"/tmp", LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO},
                 {"/", LANDLOCK_ACCESS_FS_REFER}};
    const int ruleset = (int) syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);
    bool is_complete = ruleset >= 0;
    for (size_t i = 0; is_complete && i < ARRAY_SIZE(rules); i++) {
        const struct landlock_path_beneath_attr rule = {
            .allowed_access = rules[i].allowed,
            .parent_fd = open(rules[i].path, O_PATH | O_DIRECTORY | O_CLOEXEC)};
        is_complete =
            syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
        close(rule.parent_fd);
    }
    if (is_complete)
        (void) syscall(SYS_landlock_restrict_self, ruleset, 0);
    fd_close(ruleset);
}

void child_run(const struct child_plan *plan)
{
    struct cgroups groups;
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    descriptors(plan, &groups);
    setsid();
    (void) !sethostname("lamina", 6); // not the host's; its own namespace, so it works
    (void) !setdomainname("", 0);
    if (plan->kind == CHILD_WORK)
        enter_groups(plan, &groups);
    else
        surroundings(plan, &groups);
    // Its user is known here since GROUPS came.
    if (plan->kind == CHILD_SEAT && (setresgid(plan->uid, plan->uid, plan->uid) < 0 ||
                                     setresuid(plan->uid, plan->uid, plan->uid) < 0))
        fail(SPAWN_STEP_USER, -errno);

    struct init_root order;
    int tree_fd;
    size_t count;
    if (fd_receive_packet(INIT_FD_CONTROL, &order, sizeof(order), &tree_fd, 1, &count) !=
            sizeof(order) ||
        order.type != INIT_ROOT)
        _exit(0);
    uint32_t step = SPAWN_STEP_ROOT;
    int r = root_enter(&order, tree_fd, plan->kind == CHILD_SEAT, &step);
    if (r < 0)
        fail(step, r);
    if (plan->kind != CHILD_SEAT) // it is no process that needs memory
        child_volunteer();
    // The log pipe is its own: `echo > /dev/stderr` opens it anew.
    if (plan->kind == CHILD_FUNCTION && fchown(STDOUT_FILENO, plan->uid, plan->uid) < 0)
        fail(SPAWN_STEP_USER, -errno);
    if ((r = child_limit(plan->cpu_seconds)) < 0)
        fail(SPAWN_STEP_LIMITS, r);
    r = plan->kind == CHILD_SEAT ? leave_outer(plan->uid) : privilege_drop(plan->uid, plan->uid);
    if (r < 0)
        fail(SPAWN_STEP_USER, r);
    if (tree_fd >= 0)
        forbid_meeting_places();
    if ((r = seccomp_install(filter_of(plan))) < 0)
        fail(SPAWN_STEP_SECCOMP, r);
    char *environment[] = {NULL};
    syscall(SYS_execveat, CHILD_FD_PROGRAM, "", plan->arguments, environment, AT_EMPTY_PATH);
    fail(SPAWN_STEP_EXEC, -errno);
}
