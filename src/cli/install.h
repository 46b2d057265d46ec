// SPDX-License-Identifier: MIT
//
// Where Lamina's other files are: beside the program that is running (/proc/self/exe), in a build
// directory as in an installation.
#ifndef LAMINA_CLI_INSTALL_H
#define LAMINA_CLI_INSTALL_H

#include "base/buf.h"
#include "base/error.h"

#define INSTALL_PATH_BYTES_MAX 4096

// Appends the absolute path of name (such as "laminad" or "runtime/lib"). Does not check that it
// exists. Errors: those of readlink, -EFBIG.
MUST_CHECK int install_path(const char *name, struct buf *path, struct error *err);

#endif
