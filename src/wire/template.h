// SPDX-License-Identifier: MIT
//
// What lamina-spawn says to a template, and to a fork of it (docs/wire-template.md tells the story).
//
// A template is a process that has done a function's init phase and waits to be forked; each fork becomes an
// instance in a sandbox that lamina-spawn has made ahead. Two SEQPACKET sockets, one packet a message:
//
//   the template's, TEMPLATE_FD_CONTROL, named by TEMPLATE_ENV_FD in its environment
//     template -> spawn   READY     "I have one thread, and nothing open that cannot be shared: fork me"
//     spawn -> template   FORK      with descriptors (enum template_fork_fd): make one fork, into that sandbox
//     template -> spawn   FAILED    instead of a fork: errno
//
//   a fork's own, which came with FORK
//     fork -> spawn       FORKED    it is in its sandbox, has given everything up, and waits for RUN
//     fork -> spawn       FAILED    it could not; it ends
//     spawn -> fork       RUN       the environment: become an instance. Then the fork closes the socket
//
// End of file on its socket: a template or a fork that was not told to run ends.
//
// Trust. A template runs a stranger's code, so lamina-spawn believes no message: which process a FORKED comes from the
// kernel says (SCM_CREDENTIALS), and that process is looked at from outside before it gets RUN. Nothing is secret:
// the template could read all that its forks are told. What follows from a lie is the liar's own loss.
//
// How a process without any capability enters a sandbox. The sandbox has two user namespaces: the outer one, owned by
// the template's user, owns its mounts, network, processes and the rest; the inner one, in which the sandbox's first
// process lives, owns nothing. The kernel lets the owner of the outer one join both with ONE setns on that process's
// descriptor. It arrives with capabilities in the inner namespace only: good for becoming the sandbox's user, and
// for nothing else, whether it drops them or not. The syscall filter allows no other setns than that one.

#ifndef LAMINA_WIRE_TEMPLATE_H
#define LAMINA_WIRE_TEMPLATE_H

#include <stdint.h>

#define TEMPLATE_ENV_FD                                                                            \
    "LAMINA_TEMPLATE_FD" // set by lamina-spawn, to "3": this process is to be a template

enum { TEMPLATE_FD_CONTROL = 3 };

enum template_type {
    TEMPLATE_READY = 16,
    TEMPLATE_FORK = 17,
    TEMPLATE_FAILED = 18,
    TEMPLATE_FORKED = 19,
    TEMPLATE_RUN = 20,
};

// READY, FAILED, FORKED.
struct template_word {
    uint32_t type;
    uint32_t number; // FAILED from a template: of the FORK
    uint32_t error;  // FAILED: errno, positive
    uint32_t step;   // FAILED: enum template_step, for people
};

enum template_step {
    TEMPLATE_STEP_NONE = 0,
    TEMPLATE_STEP_ENTER = 1, // setns
    TEMPLATE_STEP_CLONE = 2,
    TEMPLATE_STEP_GROUPS = 3,
    TEMPLATE_STEP_USER = 4,
    TEMPLATE_STEP_FILTER = 5,
    TEMPLATE_STEP_FILES = 6,
};

// The descriptors that come with FORK, in this order.
enum template_fork_fd {
    TEMPLATE_FORK_SANDBOX =
        0, // pidfd of the sandbox's first process: for setns, with TEMPLATE_NAMESPACES
    TEMPLATE_FORK_CONTROL = 1, // the fork's own socket
    TEMPLATE_FORK_LOG = 2,     // its stdout and stderr
    TEMPLATE_FORK_GROUPS = 3,  // from here on: files of its cgroups, each takes a "0"
    TEMPLATE_FORK_FDS_MAX = 8,
};

enum template_fork_flags {
    // Nobody waits: do first what makes the first call fast (a dummy inference), then say FORKED.
    TEMPLATE_FORK_SPARE = 1u << 0,
};

struct template_fork {
    uint32_t type;
    uint32_t number;
    uint32_t user;  // what the fork becomes: uid and gid
    uint32_t flags; // enum template_fork_flags
};

enum { TEMPLATE_ENV_MAX = 8192 };

// Sent without what is unused of env.
struct template_run {
    uint32_t type;
    uint32_t reserved;
    uint32_t flags; // 0
    uint32_t env_size;
    char env[TEMPLATE_ENV_MAX]; // NAME=value\0NAME=value\0
};

// CLONE_NEWUSER | NEWPID | NEWNS | NEWNET | NEWIPC | NEWUTS | NEWCGROUP: the one setns that the filter allows.
#define TEMPLATE_NAMESPACES 0x7e020000

// A template's pid in its own namespace; a fork's is 2. They must differ: libraries tell a fork by getpid().
enum { TEMPLATE_PID = 100 };

_Static_assert(sizeof(struct template_word) == 16, "template_word has a fixed size");
_Static_assert(sizeof(struct template_fork) == 16, "template_fork has a fixed size");
_Static_assert(sizeof(struct template_run) == 16 + TEMPLATE_ENV_MAX,
               "template_run has a fixed size");

#endif
