// SPDX-License-Identifier: MIT
//
// beginning: what makes a fork of an initialised process a process of its own.
//
// A template's forks share what it had: the same random state, the same position in the same open
// files, the same secret that guards its stack. In the template, once, beginning_record() notes what
// a fork must make anew and refuses what it could not; each fork calls the others:
//
//   beginning_enter
//   stack        a new guard: the frames below can never be returned to
//   beginning_apply
//   signals      the mask as it was when beginning_record was called; dispositions are inherited
//   random       rand, random and drand48 of libc, and OpenSSL's generator if it is linked in, are
//                seeded by the kernel. What else keeps a generator must do so in its own hook
//   files        open regular files are opened again by name: no position is shared
//   directory    the working directory is entered again, in the fork's own mounts
//   beginning_environment
//                the variables given are set over those there are; the platform's own that are not
//                among them go. Nothing is allocated: each page that a fork writes to is copied
//
// beginning_forget_keys() is for the template: its own credentials are in no fork's memory.
//
// Not renewed, as nothing can: addresses, and the hash seeds of language runtimes.
//
// One thread, no other may exist. Limits: BEGINNING_FILES_MAX open regular files.
#ifndef LAMINA_SDK_BEGINNING_H
#define LAMINA_SDK_BEGINNING_H

#include <signal.h>
#include <stddef.h>
#include <sys/types.h>

#define BEGINNING_FILES_MAX 64
#define BEGINNING_PATH_BYTES 512
#define BEGINNING_TEXT_BYTES 160
#define BEGINNING_VARIABLES_MAX 4096

struct beginning_file {
    int fd;
    int flags;            // of open
    int descriptor_flags; // FD_CLOEXEC
    off_t position;
    char path[BEGINNING_PATH_BYTES];
};

struct beginning {
    sigset_t mask;
    char directory[BEGINNING_PATH_BYTES];
    struct beginning_file files[BEGINNING_FILES_MAX];
    int file_count;
};

// -EBUSY: something is open that no fork could have as its own; `ret_reason` names it. Standard input,
// output and error are whoever's forks: they are given to each.
int beginning_record(struct beginning *beginning, char ret_reason[BEGINNING_TEXT_BYTES]);

// A negative errno: the fork must end.
int beginning_apply(const struct beginning *beginning);
// NAME=value\0NAME=value\0; `size` counts all NULs. It becomes part of the environment: it must stay. -E2BIG: more than
// BEGINNING_VARIABLES_MAX variables in all.
int beginning_environment(char *environment, size_t size);

// Takes the credentials out of the environment, and wipes them where they were.
void beginning_forget_keys(void);

// Calls run(arg) under a new stack guard, and ends the process with what it returns.
_Noreturn void beginning_enter(int (*run)(void *), void *arg);

#endif
