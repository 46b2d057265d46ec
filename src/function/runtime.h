// SPDX-License-Identifier: MIT
//
// runtime: the identifiers of Lambda runtimes that this service has, and what each needs.
//
// `provided*`: the package brings a bootstrap. `python3.*` and `nodejs*`: Lamina's bootstraps in
// /opt/lamina/runtimes, run by the host's own interpreter, whichever version that is: a function
// for python3.12 runs under Debian 12's 3.11.
//
// Constant data; any thread.

#ifndef LAMINA_FUNCTION_RUNTIME_H
#define LAMINA_FUNCTION_RUNTIME_H

#include "base/error.h"
#include "base/str.h"

#include <stddef.h>

enum runtime_kind {
    RUNTIME_PROVIDED,
    RUNTIME_PYTHON, // /opt/lamina/runtimes/python/bootstrap
    RUNTIME_NODE,   // /opt/lamina/runtimes/node/bootstrap
};

struct runtime {
    const char *name; // as the API spells it
    enum runtime_kind kind;
};

// NULL: this service has no such runtime.
const struct runtime *runtime_find(struct str name) MUST_CHECK;

// All of them, for messages and tests; `*ret_count` rows.
const struct runtime *runtime_all(size_t *ret_count) MUST_CHECK;

// Whether the host can run it now. -ENOENT: its interpreter is missing; the text says which file
// and how to install it.
int runtime_check(const struct runtime *runtime, struct error *err) MUST_CHECK;

#endif
