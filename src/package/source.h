// SPDX-License-Identifier: MIT
//
// What a path holds, looked at before anything is packaged: a model with what belongs to it, a
// directory, or a zip. Internal to this folder; package.h says what is taken and what is refused.
#ifndef LAMINA_PACKAGE_SOURCE_H
#define LAMINA_PACKAGE_SOURCE_H

#include "base/compiler.h"
#include "base/error.h"
#include "package/file_list.h"
#include "package/package.h"

#include <sys/stat.h>

#define SOURCE_BOOTSTRAP "bootstrap"

// The open zip, or a list of files and their directory. source_done frees what is there.
struct source {
    int zip;
    int dir;
    struct file_list list;
    int more_dir; // of package_options.more
    struct file_list more;
};

#define SOURCE_INIT                                                                                \
    {                                                                                              \
        .zip = -1, .dir = -1, .more_dir = -1                                                       \
    }
#define AUTO_SOURCE AUTO(source_done)

// Fills what package can know by now: kind, handler, model_bytes, has_bootstrap, and of a zip its
// sizes. Errors: those of package_measure.
MUST_CHECK int source_open(const char *path, struct package *package, struct source *source,
                           struct error *err);
void source_done(struct source *source);

// A file that is not waited for, should it be a pipe.
MUST_CHECK int source_open_file(int dir, const char *path, int *ret_fd, struct stat *ret,
                                struct error *err);

#endif
