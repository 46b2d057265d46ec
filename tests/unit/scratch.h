// SPDX-License-Identifier: MIT
//
// A directory of the test's own below $TMPDIR, removed again by scratch_remove() and, should the test
// end before, at exit of the process that made it.

#ifndef LAMINA_TESTS_SCRATCH_H
#define LAMINA_TESTS_SCRATCH_H

#include "base/fs.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch_path[256];
static pid_t scratch_owner;

static inline void scratch_remove(void)
{
    if (scratch_path[0] && scratch_owner == getpid())
        (void) !fs_remove_tree(AT_FDCWD, scratch_path);
    scratch_path[0] = 0;
}

static inline const char *scratch_make(void)
{
    const char *base = getenv("TMPDIR");
    scratch_remove();
    snprintf(scratch_path, sizeof(scratch_path), "%s/lamina-test-XXXXXX", base ? base : "/tmp");
    assert(mkdtemp(scratch_path));
    if (!scratch_owner)
        atexit(scratch_remove);
    scratch_owner = getpid();
    return scratch_path;
}

#endif
