// SPDX-License-Identifier: MIT
//
// What this machine can do, found by trying it (never by version). One line a feature:
//
//     works    seccomp         -
//     missing  net_namespace   Operation not permitted: isolation impossible
//     fallback swap_limit      ...: what is done instead
//
// `lamina doctor` shows these lines; a start refuses with those that are missing. There is no
// degraded sandbox.

#ifndef LAMINA_SPAWN_PROBE_H
#define LAMINA_SPAWN_PROBE_H

#include "base/compiler.h"
#include "base/error.h"

// Prints all lines on stdout. 0 when nothing is missing, else 1: the exit status of --probe.
int probe_print(void);

// 0 when templates can be had (probe_template.c), or why not.
int probe_can_template(void) MUST_CHECK;
int probe_template(void) MUST_CHECK; // spoils the process that calls it

// 0, or -ENOTSUP with the missing features named.
int probe_require(struct error *err) MUST_CHECK;

// In probe_filesystem.c, for the list: 0 or -errno. They may spoil the process that they run in.
int probe_idmapped_mounts(void) MUST_CHECK;
int probe_fuse(void) MUST_CHECK;
int probe_sshfs(void) MUST_CHECK;
int probe_landlock(void) MUST_CHECK;

#endif
