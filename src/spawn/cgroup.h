// SPDX-License-Identifier: MIT
//
// The control groups of one service: `lamina-<key>` in each hierarchy, and in it one group per slot
// (a small number that one sandbox owns from its making until its groups are removed).
//
// The kernels that people run have one of two managers: cgroup_v1.c (separate hierarchies for memory,
// cpu, pids and freezer) and cgroup_v2.c (the unified one). Most of what they differ in is the names
// of files. All calls return 0 or -errno, block only for the kernel, and allocate nothing.

#ifndef LAMINA_SPAWN_CGROUP_H
#define LAMINA_SPAWN_CGROUP_H

#include "base/compiler.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// The period of the CPU limit. With the kernel's own 100 ms a sandbox of 128 MB (7 % of a CPU) that
// has used its share stands still for 93 ms; with 20 ms it is 19, mostly (docs/kernel/cpu-period.md).
#define CGROUP_CPU_PERIOD_US 20000u

struct cgroup_limits {
    uint64_t memory_bytes; // 0: none
    uint32_t pids_max;     // 0: none
    bool is_background;    // a tenth of a processor's share, where somebody else wants it
};

struct cgroup_usage {
    uint64_t memory_bytes;
    uint64_t memory_peak_bytes; // 0 where the kernel does not tell (v2 before Linux 5.19)
    bool has_oom;               // the kernel killed for memory in it
};

enum { CGROUP_MEMORY, CGROUP_PIDS, CGROUP_FREEZER, CGROUP_CPU, CGROUP_DIRS };

struct cgroups {
    const struct cgroup_manager *manager;
    // Open directories `lamina-<key>`, one per controller; in v2 all are the same descriptor.
    int dirs[CGROUP_DIRS];
    char key[40];
    char memory_path[256]; // where that is, for messages
};

// Chooses the manager that this machine has controllers for, makes and opens the subtree of `key`;
// `err` says what a person can do if it cannot.
int cgroups_open(struct cgroups *groups, const char *key, struct error *err) MUST_CHECK;

// Kills and removes every group in the subtree: what an earlier service left. Waits up to
// `deadline_ms` for processes to go.
int cgroups_sweep(const struct cgroups *groups, int deadline_ms, struct error *err) MUST_CHECK;

// The same for the subtrees of other services beside it whose lock `lock` gives (a descriptor that is
// held while their groups go; below 0: leave it alone). Those that were killed and never started
// again would stay for ever, frozen processes with them. Waits up to `deadline_ms` in all; returns
// how many are gone.
int cgroups_sweep_dead(const struct cgroups *groups, int (*lock)(const char *key), int deadline_ms);

// Removes the subtree itself, when it is empty, and closes it.
void cgroups_close(struct cgroups *groups);

int cgroup_make(const struct cgroups *groups, uint32_t slot) MUST_CHECK;
// Memory without swap, and the number of processes. The CPU is free until cgroup_limit_cpu.
int cgroup_limit(const struct cgroups *groups, uint32_t slot,
                 const struct cgroup_limits *limits) MUST_CHECK;
int cgroup_limit_cpu(const struct cgroups *groups, uint32_t slot, uint32_t cpu_millis) MUST_CHECK;
// Moves the calling process, which must have one thread. In v2 it has been cloned into its group.
int cgroup_enter(const struct cgroups *groups, uint32_t slot) MUST_CHECK;
int cgroup_freeze(const struct cgroups *groups, uint32_t slot, bool is_frozen) MUST_CHECK;
// 1 when all of it stands still, 0 while some still run.
int cgroup_is_frozen(const struct cgroups *groups, uint32_t slot) MUST_CHECK;
int cgroup_usage(const struct cgroups *groups, uint32_t slot,
                 struct cgroup_usage *ret_usage) MUST_CHECK;
// SIGKILL to all of it, frozen or not.
void cgroup_kill(const struct cgroups *groups, uint32_t slot);
// -EBUSY while a process is in it.
int cgroup_remove(const struct cgroups *groups, uint32_t slot) MUST_CHECK;

// Open descriptors: the file of its peak memory, its list of processes, the directory itself.
int cgroup_open_peak(const struct cgroups *groups, uint32_t slot) MUST_CHECK;
int cgroup_open_procs(const struct cgroups *groups, uint32_t slot) MUST_CHECK;
int cgroup_open_dir(const struct cgroups *groups, uint32_t slot) MUST_CHECK;
// The files by which a process that may open none of this enters: each takes a "0" from it. Returns how
// many there are.
int cgroup_open_entrances(const struct cgroups *groups, uint32_t slot,
                          int ret_fds[CGROUP_DIRS]) MUST_CHECK;

// ---- for the managers ----

struct cgroup_manager {
    int version;
    // The files, each in the directory of its controller.
    const char *memory_max, *memory_now, *memory_peak, *memory_events, *pids_max;
    const char *cpu_share, *cpu_share_background;
    const char *frozen, *frozen_yes, *frozen_no;
    const char *entrance;
    int (*open)(struct cgroups *groups, struct error *err);
    int (*set_up)(const struct cgroups *groups, uint32_t slot); // after its directories are made
    int (*limit_swap)(const struct cgroups *groups, uint32_t slot, uint64_t memory_bytes);
    int (*limit_cpu)(const struct cgroups *groups, uint32_t slot, uint32_t quota_us); // 0: none
    int (*enter)(const struct cgroups *groups, uint32_t slot);
    int (*is_frozen)(const struct cgroups *groups, uint32_t slot);
    void (*kill)(const struct cgroups *groups, uint32_t slot);
};

extern const struct cgroup_manager cgroup_v1, cgroup_v2;

struct cgroup_mount {
    char path[256];
};

// The mount point of a v1 hierarchy that has the controller, or of the v2 hierarchy for NULL.
int cgroup_find_mount(const char *controller, struct cgroup_mount *ret_mount) MUST_CHECK;

// A file of slot `slot` in the directory of a controller. A write of "" is none.
int cgroup_write(const struct cgroups *groups, int controller, uint32_t slot, const char *name,
                 const char *text) MUST_CHECK;
int cgroup_read(const struct cgroups *groups, int controller, uint32_t slot, const char *name,
                char *text, size_t size) MUST_CHECK;
// The number after `key` and a space in a file of such lines, or the file's first number if key is
// NULL.
int cgroup_read_number(const struct cgroups *groups, int controller, uint32_t slot,
                       const char *name, const char *key, uint64_t *ret_number) MUST_CHECK;
// SIGKILL to each process listed in its cgroup.procs.
void cgroup_kill_listed(const struct cgroups *groups, int controller, uint32_t slot);

#endif
