// SPDX-License-Identifier: MIT
//
// cgroup v2, the unified hierarchy. The service works inside the group it was started in:
//
//     <own>                     delegated to us (systemd: Delegate=yes; from a shell
//      |                        `systemd-run --scope -p Delegate=yes`)
//      +-- lamina-main-<key>    lamina-spawn and laminad: a group with children and controllers may
//      |                        hold no process itself, except at the root
//      +-- lamina-<key>
//           +-- 0, 1, 2 ...     one sandbox each
//
// A group that cgroup.kill was used on is removed and never used again: forks into it may be killed
// too.

#include "spawn/cgroup.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char controllers[] = "+memory +cpu +pids";

static int write_at(int dir, const char *name, const char *text)
{
    AUTO_FD int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

// Where this process is in the hierarchy, "" at its root.
static int find_own(char *path, size_t size)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file)
        return -errno;
    char line[4096];
    int r = -ENOENT;
    while (r < 0 && fgets(line, sizeof(line), file))
        if (strncmp(line, "0::/", 4) == 0) {
            line[strcspn(line, "\n")] = '\0';
            r = snprintf(path, size, "%s", line[4] ? line + 3 : "") < (int) size ? 0
                                                                                 : -ENAMETOOLONG;
        }
    fclose(file);
    return r;
}

// Moves this process into a leaf of its own below `dir`, which frees `dir` for controllers.
static int move_to_leaf(int dir, const char *key)
{
    char name[80];
    (void) snprintf(name, sizeof(name), "lamina-main-%s", key);
    if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
        return -errno;
    (void) snprintf(name, sizeof(name), "lamina-main-%s/cgroup.procs", key);
    return write_at(dir, name, "0");
}

// Opens the group we were started in, with controllers enabled for its children.
static int open_own(const char *key, char *path, size_t size, struct error *err)
{
    struct cgroup_mount mount;
    char own[512];
    int r = cgroup_find_mount(NULL, &mount);
    if (r == 0)
        r = find_own(own, sizeof(own));
    if (r < 0)
        return error_set(err, r, "neither cgroup v1's memory controller nor cgroup v2 is mounted");
    char *leaf = strstr(own, "/lamina-main-"); // started from inside another service's leaf
    if (leaf)
        *leaf = '\0';
    (void) snprintf(path, size, "%s%s", mount.path, own);
    AUTO_FD int base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (base < 0)
        return error_set_errno(err, -errno, "open cgroup '%s'", path);
    if (own[0] && (r = move_to_leaf(base, key)) < 0)
        return error_set_errno(err, r, "make a cgroup in '%s'", path);
    if ((r = write_at(base, "cgroup.subtree_control", controllers)) < 0)
        return error_set_errno(err, r,
                               "enable memory, cpu and pids in cgroup '%s' (it must be delegated "
                               "and hold no other process: systemd-run --scope -p Delegate=yes)",
                               path);
    return TAKE_FD(base);
}

static int v2_open(struct cgroups *groups, struct error *err)
{
    char path[1024], name[80];
    AUTO_FD int base = open_own(groups->key, path, sizeof(path), err);
    if (base < 0)
        return base;
    (void) snprintf(name, sizeof(name), "lamina-%s", groups->key);
    (void) snprintf(groups->memory_path, sizeof(groups->memory_path), "%.150s/%s", path, name);
    if (mkdirat(base, name, 0755) < 0 && errno != EEXIST)
        return error_set_errno(err, -errno, "make cgroup '%s'", groups->memory_path);
    const int dir = openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < CGROUP_DIRS; i++)
        groups->dirs[i] = dir;
    int r = dir < 0 ? -errno : write_at(dir, "cgroup.subtree_control", controllers);
    return r < 0 ? error_set_errno(err, r, "open cgroup '%s'", groups->memory_path) : 0;
}

// All or nothing when memory runs out.
static int v2_set_up(const struct cgroups *groups, uint32_t slot)
{
    return cgroup_write(groups, CGROUP_MEMORY, slot, "memory.oom.group", "1");
}

static int v2_limit_swap(const struct cgroups *groups, uint32_t slot, uint64_t memory_bytes)
{
    (void) memory_bytes;
    return cgroup_write(groups, CGROUP_MEMORY, slot, "memory.swap.max", "0");
}

static int v2_limit_cpu(const struct cgroups *groups, uint32_t slot, uint32_t quota_us)
{
    char text[32] = "max";
    if (quota_us > 0)
        (void) snprintf(text, sizeof(text), "%u %u", quota_us, CGROUP_CPU_PERIOD_US);
    return cgroup_write(groups, CGROUP_CPU, slot, "cpu.max", text);
}

// Its clone has put it there.
static int v2_enter(const struct cgroups *groups, uint32_t slot)
{
    (void) groups;
    (void) slot;
    return 0;
}

static int v2_is_frozen(const struct cgroups *groups, uint32_t slot)
{
    uint64_t is_frozen = 0;
    int r = cgroup_read_number(groups, CGROUP_FREEZER, slot, "cgroup.events", "frozen", &is_frozen);
    return r < 0 ? r : is_frozen != 0;
}

static void v2_kill(const struct cgroups *groups, uint32_t slot)
{
    if (cgroup_write(groups, CGROUP_PIDS, slot, "cgroup.kill", "1") == -ENOENT) // before Linux 5.14
        cgroup_kill_listed(groups, CGROUP_PIDS, slot);
}

const struct cgroup_manager cgroup_v2 = {
    .version = 2,
    .memory_max = "memory.max",
    .memory_now = "memory.current",
    .memory_peak = "memory.peak",
    .memory_events = "memory.events",
    .pids_max = "pids.max",
    .cpu_share = "cpu.weight",
    .cpu_share_background = "10",
    .frozen = "cgroup.freeze",
    .frozen_yes = "1",
    .frozen_no = "0",
    .entrance = "cgroup.procs",
    .open = v2_open,
    .set_up = v2_set_up,
    .limit_swap = v2_limit_swap,
    .limit_cpu = v2_limit_cpu,
    .enter = v2_enter,
    .is_frozen = v2_is_frozen,
    .kill = v2_kill,
};
