// SPDX-License-Identifier: MIT
//
// What lamina-spawn says to the first process of a sandbox, over one SEQPACKET pair per sandbox.
//
// That process is first a copy of lamina-spawn (src/spawn/child.c) and then, by exec, lamina-init
// (src/init): both find the socket at INIT_FD_CONTROL. In the order of a start:
//
//     spawn -> process   GROUPS   its cgroups are there: enter them (it makes its network meanwhile)
//     process -> spawn   NET      it has; and the two listeners, made inside its network namespace
//     spawn -> process   ROOT     mount this tree, and the file system that comes with it; drop everything, exec init
//     process -> spawn   READY    lamina-init runs
//     spawn -> process   RUN      the environment: run the bootstrap
//     spawn -> process   HOLD     instead of RUN: somebody else brings the bootstrap (a template, a fork); only reap
//     process -> spawn   EXIT     the bootstrap has ended; init exits next, and with it all the rest
//     process -> spawn   FAILED   instead of NET or READY; the process is gone
//
// and for a sandbox that a fork is to enter, between ROOT and READY:
//
//     process -> spawn   USER     it is in its inner user namespace: write down which user that has
//     spawn -> process   USER     done
//
// Nothing has to be waited for: spawn may send GROUPS, ROOT and RUN at once. A generic sandbox of the pool
// waits for ROOT, a prepared waiter for RUN. End of file on the socket ends the sandbox.
//
// After READY the sender may be under the function's control (same uid): spawn takes from it only
// the status that is shown to the function's owner.

#ifndef LAMINA_WIRE_INIT_H
#define LAMINA_WIRE_INIT_H

#include <stdint.h>

enum { INIT_FD_CONTROL = 3 };

enum init_type {
    INIT_NET = 1,
    INIT_ROOT = 2,
    INIT_READY = 3,
    INIT_RUN = 4,
    INIT_EXIT = 5,
    INIT_FAILED = 6,
    INIT_GROUPS = 7,
    INIT_HOLD = 8,
    INIT_USER = 9,
};

// NET (with two descriptors), GROUPS, READY, HOLD, USER, EXIT, FAILED.
struct init_word {
    uint32_t type;
    uint32_t step;  // FAILED: enum spawn_step; NET: microseconds for the network
    int32_t status; // EXIT: as wait(2) has it; NET: microseconds for the cgroups
    uint32_t error; // FAILED: errno; EXIT: errno of the exec, 0 when it worked
};

struct init_root {
    uint32_t type;
    uint32_t reserved;
    uint8_t tree_id[32], opt_tree_id[32], models_id[32]; // all zero: none
    uint64_t tmp_bytes;                                  // 0: no /tmp
    char mount_name[160]; // with a descriptor, the mount of a file system: it is put at /mnt/<name>
};

enum { INIT_ENV_MAX = 8192, INIT_VARIABLES_MAX = 4096 };

// Where a bootstrap is looked for, by enum spawn_bootstrap. execve wants them not to be const.
#define INIT_BOOTSTRAPS                                                                            \
    {                                                                                              \
        [SPAWN_BOOTSTRAP_PROVIDED] = {(char[]){"/var/task/bootstrap"},                             \
                                      (char[]){"/opt/bootstrap"}},                                 \
        [SPAWN_BOOTSTRAP_PYTHON] = {(char[]){"/opt/lamina/runtimes/python/bootstrap"}},            \
        [SPAWN_BOOTSTRAP_NODE] = {(char[]){"/opt/lamina/runtimes/node/bootstrap"}},                \
    }

// Sent without what is unused of env. A descriptor that comes with it is the model: SPAWN_MODEL_FD.
struct init_run {
    uint32_t type;
    uint32_t bootstrap; // enum spawn_bootstrap
    uint32_t env_size;
    char env[INIT_ENV_MAX]; // NAME=value\0NAME=value\0
};

_Static_assert(sizeof(struct init_word) == 16, "init_word has a fixed size");
_Static_assert(sizeof(struct init_root) == 272, "init_root has a fixed size");
_Static_assert(sizeof(struct init_run) == 12 + INIT_ENV_MAX, "init_run has a fixed size");

#endif
