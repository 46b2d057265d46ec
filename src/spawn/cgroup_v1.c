// SPDX-License-Identifier: MIT
//
// cgroup v1: a directory per slot in each of four hierarchies, at the top of what is mounted here
// (as container engines do it), so that the next start finds them from whichever shell it comes.

#include "spawn/cgroup.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const controllers[CGROUP_DIRS] = {
    [CGROUP_MEMORY] = "memory",
    [CGROUP_PIDS] = "pids",
    [CGROUP_FREEZER] = "freezer",
    [CGROUP_CPU] = "cpu",
};

static int v1_open(struct cgroups *groups, const char *key, struct error *err)
{
    for (size_t i = 0; i < CGROUP_DIRS; i++) {
        struct cgroup_mount mount;
        int r = cgroup_find_mount(controllers[i], &mount);
        if (r < 0)
            return error_set(err, r, "cgroup v1 controller '%s' is not mounted", controllers[i]);
        char path[sizeof(mount.path) + 80];
        (void) snprintf(path, sizeof(path), "%s/lamina-%s", mount.path, key);
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return error_set_errno(err, -errno, "make cgroup '%s'", path);
        groups->dirs[i] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (groups->dirs[i] < 0)
            return error_set_errno(err, -errno, "open cgroup '%s'", path);
        if (i == CGROUP_MEMORY)
            (void) snprintf(groups->memory_path, sizeof(groups->memory_path), "%.255s", path);
    }
    return 0;
}

static int v1_make(const struct cgroups *groups, uint32_t slot)
{
    for (size_t i = 0; i < CGROUP_DIRS; i++) {
        int r = cgroup_make_dir(groups->dirs[i], slot);
        if (r < 0 && r != -EEXIST) // mounted together, or left by a removal that was too early
            return r;
    }
    return cgroup_write_number(groups->dirs[CGROUP_CPU], slot, "cpu.cfs_period_us",
                               CGROUP_CPU_PERIOD_US);
}

static int v1_limit_cpu(const struct cgroups *groups, uint32_t slot, uint32_t cpu_millis)
{
    const int dir = groups->dirs[CGROUP_CPU];
    if (cpu_millis == 0)
        return cgroup_write(dir, slot, "cpu.cfs_quota_us", "-1");
    uint64_t quota_us = (uint64_t) cpu_millis * CGROUP_CPU_PERIOD_US / 1000;
    return cgroup_write_number(dir, slot, "cpu.cfs_quota_us", quota_us < 1000 ? 1000 : quota_us);
}

static int v1_limit(const struct cgroups *groups, uint32_t slot, const struct cgroup_limits *limits)
{
    const int memory = groups->dirs[CGROUP_MEMORY];
    int r = 0;
    if (limits->memory_bytes > 0) {
        r = cgroup_write_number(memory, slot, "memory.limit_in_bytes", limits->memory_bytes);
        // Memory and swap together: no swap. The file is missing where swap is not accounted.
        int swap = r < 0 ? r
                         : cgroup_write_number(memory, slot, "memory.memsw.limit_in_bytes",
                                               limits->memory_bytes);
        if (swap < 0 && swap != -ENOENT)
            r = swap;
    }
    if (r == 0 && limits->pids_max > 0)
        r = cgroup_write_number(groups->dirs[CGROUP_PIDS], slot, "pids.max", limits->pids_max);
    if (r == 0 && limits->cpu_millis > 0)
        r = v1_limit_cpu(groups, slot, limits->cpu_millis);
    return r;
}

// A thread that moves itself, by "0" into `tasks`, is the one case in which the kernel (5.5 and
// later) does not take its global lock against forks and exits. With cgroup.procs, or from another
// process, that lock waits for a grace period of RCU: 8 to 11 ms after idling
// (docs/kernel/cgroup-v1-attach.md).
static int v1_enter(const struct cgroups *groups, uint32_t slot)
{
    for (size_t i = 0; i < CGROUP_DIRS; i++) {
        int r = cgroup_write(groups->dirs[i], slot, "tasks", "0");
        if (r < 0)
            return r;
    }
    return 0;
}

static int v1_open_for_clone(const struct cgroups *groups, uint32_t slot)
{
    (void) groups;
    (void) slot;
    return -ENOSYS;
}

static int v1_freeze(const struct cgroups *groups, uint32_t slot, bool is_frozen)
{
    return cgroup_write(groups->dirs[CGROUP_FREEZER], slot, "freezer.state",
                        is_frozen ? "FROZEN" : "THAWED");
}

static int v1_is_frozen(const struct cgroups *groups, uint32_t slot)
{
    char state[16];
    int r = cgroup_read(groups->dirs[CGROUP_FREEZER], slot, "freezer.state", state, sizeof(state));
    return r < 0 ? r : strncmp(state, "FROZEN", 6) == 0;
}

static int v1_open_peak(const struct cgroups *groups, uint32_t slot)
{
    return cgroup_open_file(groups->dirs[CGROUP_MEMORY], slot, "memory.max_usage_in_bytes",
                            O_RDONLY);
}

static int v1_usage(const struct cgroups *groups, uint32_t slot, struct cgroup_usage *ret_usage)
{
    const int dir = groups->dirs[CGROUP_MEMORY];
    struct cgroup_usage usage = {0};
    uint64_t kills = 0;
    int r = cgroup_read_number(dir, slot, "memory.usage_in_bytes", NULL, &usage.memory_bytes);
    if (r == 0)
        r = cgroup_read_number(dir, slot, "memory.max_usage_in_bytes", NULL,
                               &usage.memory_peak_bytes);
    if (r < 0)
        return r;
    (void) !cgroup_read_number(dir, slot, "memory.oom_control", "oom_kill", &kills); // since 4.13
    usage.has_oom = kills > 0;
    *ret_usage = usage;
    return 0;
}

// A frozen process takes SIGKILL only once it is thawed (docs/kernel/frozen-v1-kill.md).
static int v1_kill(const struct cgroups *groups, uint32_t slot)
{
    (void) !cgroup_kill_listed(groups->dirs[CGROUP_FREEZER], slot);
    (void) v1_freeze(groups, slot, false);
    (void) !cgroup_kill_listed(groups->dirs[CGROUP_FREEZER], slot); // what was forked meanwhile
    return 0;
}

static int v1_remove(const struct cgroups *groups, uint32_t slot)
{
    int r = 0;
    for (size_t i = 0; i < CGROUP_DIRS; i++) {
        int one = cgroup_remove_dir(groups->dirs[i], slot);
        if (one < 0)
            r = one;
    }
    return r;
}

static int v1_open_procs(const struct cgroups *groups, uint32_t slot)
{
    return cgroup_open_file(groups->dirs[CGROUP_PIDS], slot, "cgroup.procs", O_RDONLY);
}

const struct cgroup_manager cgroup_v1 = {
    .version = 1,
    .open = v1_open,
    .make = v1_make,
    .limit = v1_limit,
    .limit_cpu = v1_limit_cpu,
    .enter = v1_enter,
    .open_for_clone = v1_open_for_clone,
    .freeze = v1_freeze,
    .is_frozen = v1_is_frozen,
    .open_peak = v1_open_peak,
    .usage = v1_usage,
    .kill = v1_kill,
    .remove = v1_remove,
    .open_procs = v1_open_procs,
};
