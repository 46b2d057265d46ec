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
// A group that cgroup.kill was used on is never used again: forks into it may be killed too.

#include "spawn/cgroup.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_at(int dir, const char *name, const char *text)
{
    AUTO_FD int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
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

static const char controllers[] = "+memory +cpu +pids";

static int v2_open(struct cgroups *groups, const char *key, struct error *err)
{
    struct cgroup_mount mount;
    char own[512], path[1024];
    int r = cgroup_find_mount(NULL, &mount);
    if (r == 0)
        r = cgroup_find_own(own, sizeof(own));
    if (r < 0)
        return error_set(err, r, "neither cgroup v1's memory controller nor cgroup v2 is mounted");
    const bool is_root = strcmp(own, "/") == 0;
    char *leaf = strstr(own, "/lamina-main-"); // started again from a shell inside a service's leaf
    if (leaf)
        *leaf = '\0';
    (void) snprintf(path, sizeof(path), "%s%s", mount.path, own);
    AUTO_FD int base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (base < 0)
        return error_set_errno(err, -errno, "open cgroup '%s'", path);
    if (!is_root && (r = move_to_leaf(base, key)) < 0)
        return error_set_errno(err, r, "make a cgroup in '%s'", path);
    if ((r = write_at(base, "cgroup.subtree_control", controllers)) < 0)
        return error_set_errno(err, r,
                               "enable memory, cpu and pids in cgroup '%s' (it must be delegated "
                               "and hold no other process: systemd-run --scope -p Delegate=yes)",
                               path);
    char name[80];
    (void) snprintf(name, sizeof(name), "lamina-%s", key);
    if (mkdirat(base, name, 0755) < 0 && errno != EEXIST)
        return error_set_errno(err, -errno, "make cgroup '%s/%s'", path, name);
    groups->dirs[0] = openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (groups->dirs[0] < 0)
        return error_set_errno(err, -errno, "open cgroup '%s/%s'", path, name);
    (void) snprintf(groups->memory_path, sizeof(groups->memory_path), "%.150s/%s", path, name);
    if ((r = write_at(groups->dirs[0], "cgroup.subtree_control", controllers)) < 0)
        return error_set_errno(err, r, "enable controllers in cgroup '%s/%s'", path, name);
    return 0;
}

static int v2_make(const struct cgroups *groups, uint32_t slot)
{
    int r = cgroup_make_dir(groups->dirs[0], slot);
    if (r < 0)
        return r;
    // All or nothing under memory pressure, and no swap (missing where there is none).
    (void) !cgroup_write(groups->dirs[0], slot, "memory.oom.group", "1");
    (void) !cgroup_write(groups->dirs[0], slot, "memory.swap.max", "0");
    return 0;
}

static int v2_limit_cpu(const struct cgroups *groups, uint32_t slot, uint32_t cpu_millis)
{
    if (cpu_millis == 0)
        return cgroup_write(groups->dirs[0], slot, "cpu.max", "max");
    uint64_t quota_us = (uint64_t) cpu_millis * CGROUP_CPU_PERIOD_US / 1000;
    char text[48];
    (void) snprintf(text, sizeof(text), "%" PRIu64 " %u", quota_us < 1000 ? 1000 : quota_us,
                    CGROUP_CPU_PERIOD_US);
    return cgroup_write(groups->dirs[0], slot, "cpu.max", text);
}

static int v2_limit(const struct cgroups *groups, uint32_t slot, const struct cgroup_limits *limits)
{
    int r = 0;
    if (limits->memory_bytes > 0)
        r = cgroup_write_number(groups->dirs[0], slot, "memory.max", limits->memory_bytes);
    if (r == 0 && limits->pids_max > 0)
        r = cgroup_write_number(groups->dirs[0], slot, "pids.max", limits->pids_max);
    if (r == 0 && limits->cpu_millis > 0)
        r = v2_limit_cpu(groups, slot, limits->cpu_millis);
    return r;
}

// Its clone has put it there.
static int v2_enter(const struct cgroups *groups, uint32_t slot)
{
    (void) groups;
    (void) slot;
    return 0;
}

static int v2_open_for_clone(const struct cgroups *groups, uint32_t slot)
{
    return cgroup_open_file(groups->dirs[0], slot, NULL, O_RDONLY | O_DIRECTORY);
}

static int v2_freeze(const struct cgroups *groups, uint32_t slot, bool is_frozen)
{
    return cgroup_write(groups->dirs[0], slot, "cgroup.freeze", is_frozen ? "1" : "0");
}

static int v2_is_frozen(const struct cgroups *groups, uint32_t slot)
{
    uint64_t is_frozen = 0;
    int r = cgroup_read_number(groups->dirs[0], slot, "cgroup.events", "frozen", &is_frozen);
    return r < 0 ? r : is_frozen != 0;
}

static int v2_open_peak(const struct cgroups *groups, uint32_t slot)
{
    int fd = cgroup_open_file(groups->dirs[0], slot, "memory.peak", O_RDONLY); // Linux 5.19
    if (fd == -ENOENT)
        fd = cgroup_open_file(groups->dirs[0], slot, "memory.current", O_RDONLY);
    return fd;
}

static int v2_usage(const struct cgroups *groups, uint32_t slot, struct cgroup_usage *ret_usage)
{
    const int dir = groups->dirs[0];
    struct cgroup_usage usage = {0};
    uint64_t kills = 0;
    int r = cgroup_read_number(dir, slot, "memory.current", NULL, &usage.memory_bytes);
    if (r < 0)
        return r;
    (void) !cgroup_read_number(dir, slot, "memory.peak", NULL, &usage.memory_peak_bytes);
    (void) !cgroup_read_number(dir, slot, "memory.events", "oom_kill", &kills);
    usage.has_oom = kills > 0;
    *ret_usage = usage;
    return 0;
}

static int v2_kill(const struct cgroups *groups, uint32_t slot)
{
    int r = cgroup_write(groups->dirs[0], slot, "cgroup.kill", "1"); // Linux 5.14
    if (r == -ENOENT)
        r = cgroup_kill_listed(groups->dirs[0], slot);
    return r < 0 ? r : 0;
}

static int v2_remove(const struct cgroups *groups, uint32_t slot)
{
    return cgroup_remove_dir(groups->dirs[0], slot);
}

static int v2_open_procs(const struct cgroups *groups, uint32_t slot)
{
    return cgroup_open_file(groups->dirs[0], slot, "cgroup.procs", O_RDONLY);
}

const struct cgroup_manager cgroup_v2 = {
    .version = 2,
    .open = v2_open,
    .make = v2_make,
    .limit = v2_limit,
    .limit_cpu = v2_limit_cpu,
    .enter = v2_enter,
    .open_for_clone = v2_open_for_clone,
    .freeze = v2_freeze,
    .is_frozen = v2_is_frozen,
    .open_peak = v2_open_peak,
    .usage = v2_usage,
    .kill = v2_kill,
    .remove = v2_remove,
    .open_procs = v2_open_procs,
};
