// SPDX-License-Identifier: MIT
//
// What deploy, package and compare share: the built-in runtime of this installation, and defaults.
#ifndef LAMINA_CLI_DEPLOYMENT_H
#define LAMINA_CLI_DEPLOYMENT_H

#include "base/buf.h"
#include "base/error.h"
#include "cli/command.h"
#include "package/package.h"
#include "package/strategy.h"

#define DEPLOYMENT_MODEL_MEMORY_MB 1769 // one whole CPU's share, as AWS gives it
#define DEPLOYMENT_MODEL_TIMEOUT_S 30

enum deployment_place {
    DEPLOYMENT_FOR_LAMINA, // ONNX Runtime is in the sandbox
    DEPLOYMENT_FOR_AWS,    // ONNX Runtime goes into the zip
};

struct deployment_runtime {
    struct package_options options; // its texts live in the buffers below
    struct buf bootstrap;
    struct buf libraries;
};

// Finds lamina-model and the libraries beside this program. What is not there stays NULL: only who
// packages a model needs it. deployment_runtime_done frees, also after an error.
MUST_CHECK int deployment_find_runtime(enum deployment_place place, struct deployment_runtime *ret,
                                       struct error *err);
void deployment_runtime_done(struct deployment_runtime *runtime);

struct strategy_size deployment_size(const struct package *package);

#endif
