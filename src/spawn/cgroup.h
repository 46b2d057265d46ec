// SPDX-License-Identifier: MIT
//
// The control groups of one service: `lamina-<key>` in each hierarchy, and in it one group per slot
// (a small number that one sandbox owns from its making until its groups are removed).
//
// Two managers behind one table, because the kernels that people run have one or the other:
// cgroup_v1.c (separate hierarchies for memory, cpu, pids and freezer) and cgroup_v2.c (the unified
// one). All calls return 0 or -errno, block only for the kernel, and allocate nothing.

#ifndef LAMINA_SPAWN_CGROUP_H
#define LAMINA_SPAWN_CGROUP_H

#include "base/compiler.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct cgroup_limits {
    uint64_t memory_bytes; // 0: none
    uint32_t cpu_millis;   // 0: none
    uint32_t pids_max;     // 0: none
};

struct cgroup_usage {
    uint64_t memory_bytes;
    uint64_t memory_peak_bytes;
    bool has_oom; // the kernel killed for memory in it
};

enum { CGROUP_MEMORY, CGROUP_PIDS, CGROUP_FREEZER, CGROUP_CPU, CGROUP_DIRS };

// The period of the CPU limit. With the kernel's own 100 ms a sandbox of 128 MB (7 % of a CPU) that
// has used its share stands still for 93 ms; with 20 ms it is 19, mostly (docs/kernel/cpu-period.md).
#define CGROUP_CPU_PERIOD_US 20000u

struct cgroups {
    const struct cgroup_manager *manager;
    // Open directories `lamina-<key>`. v1: one per hierarchy (two entries may be one hierarchy,
    // mounted together); v2: only the first is used.
    int dirs[CGROUP_DIRS];
    char key[40];
    char memory_path[256]; // where that is, for messages
};

struct cgroup_manager {
    int version;
    // Makes and opens the service's subtree; says in `err` what a person can do if it cannot.
    int (*open)(struct cgroups *groups, const char *key, struct error *err);
    int (*make)(const struct cgroups *groups, uint32_t slot);
    int (*limit)(const struct cgroups *groups, uint32_t slot, const struct cgroup_limits *limits);
    int (*limit_cpu)(const struct cgroups *groups, uint32_t slot, uint32_t cpu_millis);
    // Moves the calling process, which must have one thread.
    int (*enter)(const struct cgroups *groups, uint32_t slot);
    // v2: a directory for CLONE_INTO_CGROUP, so that `enter` is not needed.
    int (*open_for_clone)(const struct cgroups *groups, uint32_t slot);
    int (*freeze)(const struct cgroups *groups, uint32_t slot, bool is_frozen);
    // 1 when all of it stands still, 0 while some still run.
    int (*is_frozen)(const struct cgroups *groups, uint32_t slot);
    int (*open_peak)(const struct cgroups *groups, uint32_t slot);
    int (*usage)(const struct cgroups *groups, uint32_t slot, struct cgroup_usage *ret_usage);
    // SIGKILL to all of it, frozen or not.
    int (*kill)(const struct cgroups *groups, uint32_t slot);
    // -EBUSY while a process is in it.
    int (*remove)(const struct cgroups *groups, uint32_t slot);
    int (*open_procs)(const struct cgroups *groups, uint32_t slot); // its cgroup.procs, for reading
};

extern const struct cgroup_manager cgroup_v1, cgroup_v2;

// Chooses the manager that this machine has controllers for, and opens the subtree of `key`.
int cgroups_open(struct cgroups *groups, const char *key, struct error *err) MUST_CHECK;

// Kills and removes every group in the subtree: what an earlier service left. Waits up to
// `deadline_ms` for processes to go.
int cgroups_sweep(const struct cgroups *groups, int deadline_ms, struct error *err) MUST_CHECK;

// Removes the subtree itself, when it is empty.
void cgroups_remove(struct cgroups *groups);

// ---- for the managers ----

struct cgroup_mount {
    char path[256];
};

// The mount point of a v1 hierarchy that has the controller, or of the v2 hierarchy for NULL.
int cgroup_find_mount(const char *controller, struct cgroup_mount *ret_mount) MUST_CHECK;
// Where this process is in the v2 hierarchy, "/" at its root.
int cgroup_find_own(char *path, size_t size) MUST_CHECK;

// Files of slot `slot` beneath `dir`; `name` NULL is the directory itself.
int cgroup_open_file(int dir, uint32_t slot, const char *name, int flags) MUST_CHECK;
int cgroup_write(int dir, uint32_t slot, const char *name, const char *text) MUST_CHECK;
int cgroup_write_number(int dir, uint32_t slot, const char *name, uint64_t number) MUST_CHECK;
int cgroup_read(int dir, uint32_t slot, const char *name, char *text, size_t size) MUST_CHECK;
// The number after `key` and a space in a file of such lines, or the file's first number if key is
// NULL.
int cgroup_read_number(int dir, uint32_t slot, const char *name, const char *key,
                       uint64_t *ret_number) MUST_CHECK;
int cgroup_make_dir(int dir, uint32_t slot) MUST_CHECK;
int cgroup_remove_dir(int dir, uint32_t slot) MUST_CHECK;
// SIGKILL to each process listed in cgroup.procs; returns how many there were.
int cgroup_kill_listed(int dir, uint32_t slot) MUST_CHECK;

#endif
