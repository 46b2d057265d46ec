// SPDX-License-Identifier: MIT
//
// The file system that a sandbox sees.
//
// root_prepare (once, at start) moves lamina-spawn into a small mount namespace of its own, which
// holds nothing but
//
//     /base        the sandbox root, read-only: usr (the host's), etc (synthesised), opt/lamina,
//                  dev, and empty places for var/task, tmp and proc
//     /trees       the store's directory of unpacked trees, read-only
//     /models      the directory of models that functions load, read-only
//     /proc        what lets a sandbox with a user namespace mount its own: the kernel wants to see one
//
// A sandbox's first process gets a copy of that namespace with its clone (eight mounts: cheap),
// completes /base with root_enter and makes it its root. The host's other mounts are in no
// sandbox's namespace at any time.

#ifndef LAMINA_SPAWN_ROOT_H
#define LAMINA_SPAWN_ROOT_H

#include "base/compiler.h"
#include "base/error.h"
#include "wire/init.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// Enters a mount namespace of one's own. What is to be bound must be opened after it: a directory
// descriptor of another mount namespace cannot be bound (EINVAL, docs/kernel/foreign-mounts.md).
int root_begin(struct error *err) MUST_CHECK;

// `trees_fd` and `models_fd` are the store's directories; `runtime_dir` becomes /opt/lamina (NULL: empty there).
// After it, no path of the host resolves in this process any more.
// Each of the sandboxes' uids gets a name in /etc/passwd.
int root_prepare(int trees_fd, int models_fd, const char *runtime_dir, uid_t uid_first,
                 uint32_t uid_count, struct error *err) MUST_CHECK;

// In the sandbox's first process: mounts what is its own and makes it the root. `tree_fd`: the mount of a file system for
// /mnt/<mount_name>, taken; -1: none. 0, or -errno with
// *ret_step (enum spawn_step) saying where. No malloc, no stdio. `is_own`: its mounts belong to a user namespace of its
// own, and those that it came with cannot be taken apart.
int root_enter(const struct init_root *order, int tree_fd, bool is_own,
               uint32_t *ret_step) MUST_CHECK;

#endif
