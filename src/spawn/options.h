// SPDX-License-Identifier: MIT
//
// lamina-spawn's own arguments (docs/wire-spawn.md). All else is laminad's.

#ifndef LAMINA_SPAWN_OPTIONS_H
#define LAMINA_SPAWN_OPTIONS_H

#include "base/compiler.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct options {
    const char *data_dir;
    const char *runtime_dir;      // NULL: beside the binary, if it is there
    const char *filesystems_file; // absolute
    uid_t uid;                    // laminad's
    gid_t gid;
    uid_t sandbox_uid_first, sandbox_uid_last;
    char **laminad_arguments; // those after "--", NULL-terminated
    bool is_probe;            // --probe: print what this machine can do, start nothing
};

#define OPTIONS_FALLBACK_UID 899999

// Reads the command line, then the environment, then takes the defaults. -EINVAL with words.
int options_parse(struct options *options, int count, char **arguments,
                  struct error *err) MUST_CHECK;

#endif
