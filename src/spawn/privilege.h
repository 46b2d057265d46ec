// SPDX-License-Identifier: MIT
//
// What every process that lamina-spawn starts gives up before its exec: all descriptors but those it
// is meant to have, signal settings, and every right of root. For good: nothing gives them back.
// No malloc, no stdio. -errno.

#ifndef LAMINA_SPAWN_PRIVILEGE_H
#define LAMINA_SPAWN_PRIVILEGE_H

#include "base/compiler.h"

#include <stddef.h>
#include <sys/types.h>

#define PRIVILEGE_FDS_MAX 16

// Puts sources[i] at number i, for i < count <= PRIVILEGE_FDS_MAX, and closes all else. The first
// `kept` survive an exec. Signals get their defaults.
int privilege_keep_fds(const int *sources, int count, int kept) MUST_CHECK;

// Becomes that user and nobody else: no group, no capability (empty bounding set, locked
// securebits), no_new_privs, not root's keyring; dies with its parent.
int privilege_drop(uid_t uid, gid_t gid) MUST_CHECK;

// Stays root, and keeps no capability but these; what it starts by exec may get no other. no_new_privs.
int privilege_keep(const int *capabilities, size_t count) MUST_CHECK;

// For a process that is to make a user namespace for that user: acts as the user and keeps the capabilities, with
// system calls that touch no memory which it may share. Its real and saved user stay root: by those the kernel tells
// who may send it signals, and the user, who may see it, must not stop it.
int privilege_act_as(uid_t uid) MUST_CHECK;

// The second half of privilege_drop: gives up the capabilities, in whichever user namespace.
int privilege_give_up(uid_t uid, gid_t gid) MUST_CHECK;

#endif
