// SPDX-License-Identifier: MIT
//
// The dependencies of a Python function: what its requirements.txt names, installed by pip into a temporary
// directory that goes into the package.
//
// pip is run as /usr/bin/python3 -m pip, the interpreter that the service runs python3.x functions with, with
// --target and without byte code (its time stamps would make every package another one). pip's own
// environment and configuration count: PIP_NO_INDEX, PIP_FIND_LINKS, an index of one's own. pip may run code
// of packages that have no wheel, as the user who calls it.
#ifndef LAMINA_CLI_REQUIREMENTS_H
#define LAMINA_CLI_REQUIREMENTS_H

#include "base/buf.h"
#include "base/error.h"

// Installs what DIR/requirements.txt names. *ret_path: the directory, made below TMPDIR; empty when there is
// no such file. requirements_remove removes it, also after an error. pip's output goes to stderr, with
// is_quiet only its errors.
// Errors: -ENOENT (no pip, with what to install), -ECHILD (pip failed: it has said why).
MUST_CHECK int requirements_install(const char *dir, bool is_quiet, struct buf *ret_path,
                                    struct error *err);
void requirements_remove(struct buf *path);

#endif
