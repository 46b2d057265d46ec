// SPDX-License-Identifier: MIT
//
// cgroup v1: a directory per slot in each of four hierarchies, at the top of what is mounted here
// (as container engines do it), so that the next start finds them from whichever shell it comes.

#include "spawn/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *const controllers[CGROUP_DIRS] = {
    [CGROUP_MEMORY] = "memory",
    [CGROUP_PIDS] = "pids",
    [CGROUP_FREEZER] = "freezer",
    [CGROUP_CPU] = "cpu",
};

static int v1_open(struct cgroups *groups, struct error *err)
{
    for (size_t i = 0; i < CGROUP_DIRS; i++) {
        struct cgroup_mount mount;
        int r = cgroup_find_mount(controllers[i], &mount);
        if (r < 0)
            return error_set(err, r, "cgroup v1 controller '%s' is not mounted", controllers[i]);
        char path[sizeof(mount.path) + 80];
        (void) snprintf(path, sizeof(path), "%s/lamina-%s", mount.path, groups->key);
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

static int v1_set_up(const struct cgroups *groups, uint32_t slot)
{
    char period[16];
    (void) snprintf(period, sizeof(period), "%u", CGROUP_CPU_PERIOD_US);
    return cgroup_write(groups, CGROUP_CPU, slot, "cpu.cfs_period_us", period);
}

// Memory and swap together: as much as memory alone.
static int v1_limit_swap(const struct cgroups *groups, uint32_t slot, uint64_t memory_bytes)
{
    char text[24];
    (void) snprintf(text, sizeof(text), "%" PRIu64, memory_bytes);
    return cgroup_write(groups, CGROUP_MEMORY, slot, "memory.memsw.limit_in_bytes", text);
}

static int v1_limit_cpu(const struct cgroups *groups, uint32_t slot, uint32_t quota_us)
{
    char text[16];
    (void) snprintf(text, sizeof(text), "%d", quota_us > 0 ? (int) quota_us : -1);
    return cgroup_write(groups, CGROUP_CPU, slot, "cpu.cfs_quota_us", text);
}

// A thread that moves itself, by "0" into `tasks`, is the one case in which the kernel (5.5 and
// later) does not take its global lock against forks and exits. With cgroup.procs, or from another
// process, that lock waits for a grace period of RCU: 8 to 11 ms after idling
// (docs/kernel/cgroup-v1-attach.md).
static int v1_enter(const struct cgroups *groups, uint32_t slot)
{
    int r = 0;
    for (int i = 0; r == 0 && i < CGROUP_DIRS; i++)
        r = cgroup_write(groups, i, slot, "tasks", "0");
    return r;
}

static int v1_is_frozen(const struct cgroups *groups, uint32_t slot)
{
    char state[16];
    int r = cgroup_read(groups, CGROUP_FREEZER, slot, "freezer.state", state, sizeof(state));
    return r < 0 ? r : strncmp(state, "FROZEN", 6) == 0;
}

// A frozen process takes SIGKILL only once it is thawed (docs/kernel/frozen-v1-kill.md).
static void v1_kill(const struct cgroups *groups, uint32_t slot)
{
    cgroup_kill_listed(groups, CGROUP_FREEZER, slot);
    (void) !cgroup_freeze(groups, slot, false);
    cgroup_kill_listed(groups, CGROUP_FREEZER, slot); // what was forked meanwhile
}

const struct cgroup_manager cgroup_v1 = {
    .version = 1,
    .memory_max = "memory.limit_in_bytes",
    .memory_now = "memory.usage_in_bytes",
    .memory_peak = "memory.max_usage_in_bytes",
    .memory_events = "memory.oom_control",
    .pids_max = "pids.max",
    .cpu_share = "cpu.shares",
    .cpu_share_background = "102",
    .frozen = "freezer.state",
    .frozen_yes = "FROZEN",
    .frozen_no = "THAWED",
    .entrance = "tasks",
    .open = v1_open,
    .set_up = v1_set_up,
    .limit_swap = v1_limit_swap,
    .limit_cpu = v1_limit_cpu,
    .enter = v1_enter,
    .is_frozen = v1_is_frozen,
    .kill = v1_kill,
};
