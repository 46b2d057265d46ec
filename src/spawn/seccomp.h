// SPDX-License-Identifier: MIT
//
// The system call filters, compiled at build time by tools/make_filter.c, which has the policy.

#ifndef LAMINA_SPAWN_SECCOMP_H
#define LAMINA_SPAWN_SECCOMP_H

#include "base/compiler.h"

enum seccomp_filter {
    SECCOMP_FUNCTION,
    SECCOMP_HOLDER, // of a seat: a fork brings its template's filter along
    SECCOMP_TEMPLATE,
    SECCOMP_WORK,
    SECCOMP_ENGINE,
    SECCOMP_CACHE
};

// Puts the filter on this process and all it will start, for good. Needs no_new_privs. -errno.
int seccomp_install(enum seccomp_filter which) MUST_CHECK;

#endif
