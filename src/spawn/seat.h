// SPDX-License-Identifier: MIT
//
// The first process of a seat: a sandbox that is made ahead for a fork of a template.
//
//     user namespace      owner              owns
//     outer               the template's uid mounts, network, processes, ipc, uts, cgroup view of the seat
//     inner, in outer     the seat's uid     nothing; the seat's processes live in it
//
// Both know one user, the seat's. The template, which has no capability at all, may join both as a whole because it
// owns the outer one (wire/template.h). The seat's namespace of processes lies inside the template's: the kernel lets
// a process make children only in namespaces below its own.

#ifndef LAMINA_SPAWN_SEAT_H
#define LAMINA_SPAWN_SEAT_H

#include "base/compiler.h"
#include "spawn/child.h"

#include <sys/types.h>

struct seat_order {
    const struct child_plan *plan; // what the process does
    int template_fd;               // pidfd of the first process of the template's sandbox
    uid_t template_uid;
    int group_fd; // v2: the cgroup to begin in; else -1
};

// Makes it as a child of this process's parent (the keeper makes them for the main process), waiting in the outer
// namespace for GROUPS. The pid or -errno.
pid_t seat_clone(int proc_fd, const struct seat_order *order, int *ret_pid_fd) MUST_CHECK;

// Writes down who `uid` is in the outer namespace, while that process is in it.
int seat_map_outer(int proc_fd, pid_t pid, uid_t uid) MUST_CHECK;

// The same in the inner one.
int seat_map_inner(int proc_fd, pid_t pid, uid_t uid) MUST_CHECK;

#endif
