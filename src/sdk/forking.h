// SPDX-License-Identifier: MIT
//
// The half of wire/template.h that is inside: a process that has initialised itself becomes a template,
// and its forks find themselves in sandboxes of their own.
//
//     int fd = forking_fd();                     // -1: an ordinary process
//     ... load, warm up, close what cannot be shared ...
//     struct forking fork;
//     forking_serve(fd, &fork);                  // returns in each fork; the template stays inside
//     ... begin again (beginning.h): random state, open files, whatever must not be the same twice ...
//     if (fork.is_spare) warm up what is copied on the first write
//     forking_stand(&fork);                      // "here I am": what follows is done while lamina-spawn looks
//     forking_run(&fork, &run);                  // waits for the call that needs it
//     ... replace the environment by run.env, be an instance ...
//
// The template must have one thread, and no descriptor beyond 0, 1, 2, its control socket and regular files.
// Everything here is system calls: no allocation, no stdio. Not for several threads.

#ifndef LAMINA_SDK_FORKING_H
#define LAMINA_SDK_FORKING_H

#include "wire/template.h"

#include <stdbool.h>

struct forking {
    int control_fd;
    bool is_spare; // nobody waits for this fork yet
};

// The control socket, when this process is to be a template, else -1. Reads the environment.
int forking_fd(void);

// Says READY and makes forks as they are ordered. In the template it returns only when it is not needed
// any more (0: end of file; -errno: the socket broke) and then `ret_fork->control_fd` is -1. In a fork it
// returns 0 with the fork's socket: by then that process is in its sandbox, alone, under its own user,
// without capabilities, its stdout and stderr its own log, in /var/task, signals as the template had them.
// Its other files are still those of the template.
int forking_serve(int control_fd, struct forking *ret_fork);

// In a fork: says FORKED. 0, or -errno: end the process then.
int forking_stand(const struct forking *fork);

// In a fork that stands: waits for RUN; closes the socket. 0, or -errno: end the process then.
int forking_run(struct forking *fork, struct template_run *ret_run);

#endif
