// SPDX-License-Identifier: MIT

#include "spawn/probe.h"

#include "base/fd.h"
#include "spawn/cgroup.h"
#include "spawn/net.h"
#include "spawn/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// Each runs in a process of its own, which it may spoil. 0 or -errno.

static int try_root(void)
{
    return geteuid() == 0 ? 0 : -EPERM;
}

static int try_namespaces(void)
{
    return unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) < 0 ? -errno : 0;
}

// A chroot into a plain directory cannot be left behind by pivot_root.
static int try_root_mount(void)
{
    struct statx at;
    if (statx(AT_FDCWD, "/", 0, STATX_TYPE, &at) < 0)
        return -errno;
    return at.stx_attributes & STATX_ATTR_MOUNT_ROOT ? 0 : -EINVAL;
}

static int try_net(void)
{
    int listeners[2];
    uint32_t step;
    return net_make(listeners, &step);
}

static int try_clone3(void)
{
    int pid_fd = -1;
    struct clone_args arguments = {.flags = CLONE_PIDFD | CLONE_NEWPID,
                                   .pidfd = (uint64_t) (uintptr_t) &pid_fd,
                                   .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid == 0)
        _exit(0);
    if (pid < 0)
        return -errno;
    return waitpid((pid_t) pid, NULL, 0) < 0 ? -errno : 0;
}

// A tmpfs on a directory that every machine has, in a namespace that ends with this process.
static int stage(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("probe", "/proc", "tmpfs", 0, "size=64k,nr_inodes=16") < 0 ||
        mkdir("/proc/a", 0755) < 0 || mkdir("/proc/b", 0755) < 0)
        return -errno;
    return 0;
}

static int try_mount(void)
{
    int r = stage();
    if (r < 0)
        return r;
    int tree = (int) syscall(SYS_open_tree, AT_FDCWD, "/usr", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0 ||
        syscall(SYS_move_mount, tree, "", AT_FDCWD, "/proc/a", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}

static int try_proc(void)
{
    int r = stage();
    if (r < 0)
        return r;
    if (unshare(CLONE_NEWPID) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0)
        _exit(mount("proc", "/proc/a", "proc", 0, "subset=pid,hidepid=invisible") < 0 ? errno : 0);
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return -errno;
    return -WEXITSTATUS(status);
}

static int try_devices(void)
{
    int r = stage();
    if (r < 0)
        return r;
    return mknod("/proc/a/null", S_IFCHR | 0666, (1 << 8) | 3) < 0 ? -errno : 0;
}

static int try_seccomp(void)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return seccomp_install(SECCOMP_FUNCTION);
}

static int try_close_range(void)
{
    return syscall(SYS_close_range, 100, ~0U, 0) < 0 ? -errno : 0;
}

static int try_openat2(void)
{
    const uint64_t how[3] = {O_PATH | O_CLOEXEC, 0, 0};
    return syscall(SYS_openat2, AT_FDCWD, "/usr", how, sizeof(how)) < 0 ? -errno : 0;
}

static int try_users(void)
{
    // A container's user namespace may map few uids.
    return setresuid(900000, 900000, 900000) < 0 ? -errno : 0;
}

static int try_cgroups(void)
{
    struct cgroup_mount mount;
    static const char *const needed[] = {"memory", "cpu", "pids", "freezer"};
    if (cgroup_find_mount("memory", &mount) < 0)
        return cgroup_find_mount(NULL, &mount);
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        int r = cgroup_find_mount(needed[i], &mount);
        if (r < 0)
            return r;
        if (access(mount.path, W_OK) < 0)
            return -errno;
    }
    return 0;
}

static int try_swap_limit(void)
{
    struct cgroup_mount mount;
    char path[sizeof(mount.path) + 48];
    if (cgroup_find_mount("memory", &mount) < 0)
        return 0; // v2 has it, or no swap
    (void) snprintf(path, sizeof(path), "%s/memory.memsw.limit_in_bytes", mount.path);
    return access(path, F_OK) < 0 ? -errno : 0;
}

static int try_clone_into_cgroup(void)
{
    struct cgroup_mount mount;
    return cgroup_find_mount("memory", &mount) == 0 ? -EOPNOTSUPP : 0;
}

static const struct probe {
    const char *name;
    int (*try)(void);
    const char *without; // what is done instead; NULL: the sandbox is impossible
} probes[] = {
    {"root", try_root, NULL},
    {"clone3", try_clone3, NULL},
    {"namespaces", try_namespaces, NULL},
    {"root_is_a_mount", try_root_mount, NULL}, // in a chroot: mount --bind DIR DIR first
    {"net_namespace", try_net, NULL},
    {"mount_api", try_mount, NULL},
    {"proc_subset", try_proc, NULL},
    {"openat2", try_openat2, NULL},
    {"close_range", try_close_range, NULL},
    {"seccomp", try_seccomp, NULL},
    {"sandbox_uids", try_users, NULL},
    {"cgroups", try_cgroups, NULL},
    {"device_nodes", try_devices, "the host's own are bound into sandboxes"},
    {"swap_limit", try_swap_limit, "memory limits do not count swap"},
    {"clone_into_cgroup", try_clone_into_cgroup,
     "cgroup v1: processes are attached after the clone"},
    {"templates", probe_template,
     "instances are started one by one, none is forked from a template"},
    {"idmapped_mounts", probe_idmapped_mounts,
     "the root file system cannot: directories on one that cannot either are refused to functions"},
    {"landlock", probe_landlock, "functions can make sockets on file systems that they share"},
    {"fuse", probe_fuse, "file systems with mount= are refused to functions"},
    {"sshfs", probe_sshfs, "file systems with mount=fuse.sshfs are refused to functions"},
};

static int probe_run(const struct probe *probe)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(-probe->try());
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return -errno;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EFAULT;
}

int probe_print(void)
{
    int is_missing = 0;
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
        int r = probe_run(&probes[i]);
        const bool is_needed = !probes[i].without;
        if (r == 0)
            printf("works    %-18s -\n", probes[i].name);
        else
            printf("%-8s %-18s %s: %s\n", is_needed ? "missing" : "fallback", probes[i].name,
                   error_name(r), is_needed ? "the sandbox is impossible" : probes[i].without);
        is_missing |= r != 0 && is_needed;
        (void) fflush(stdout); // or the next child prints it again
    }
    return is_missing;
}

int probe_can_template(void)
{
    static const struct probe probe = {"templates", probe_template, ""};
    return probe_run(&probe);
}

int probe_require(struct error *err)
{
    char names[256] = "";
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
        if (probes[i].without)
            continue;
        int r = probe_run(&probes[i]);
        const size_t used = strlen(names);
        if (r < 0)
            (void) snprintf(names + used, sizeof(names) - used, " %s (%s)", probes[i].name,
                            error_name(r));
    }
    if (names[0])
        return error_set(err, -ENOTSUP, "this machine cannot isolate functions, missing:%s", names);
    return 0;
}
