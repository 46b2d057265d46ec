// SPDX-License-Identifier: MIT
//
// The deployment job's straight line: package -> worker -> staged files -> committed tree. Runs on a
// deployment thread, blocks. Internal to deploy/.

#ifndef LAMINA_DEPLOY_UNPACK_H
#define LAMINA_DEPLOY_UNPACK_H

#include "deploy/deploy.h"

struct unpack_spec {
    struct store *store;    // borrowed
    int work_fd;            // borrowed
    struct store_file *zip; // taken; NULL: `package`
    struct digest package;
    enum deploy_limits limits;
    bool has_models_set;
    struct digest models_set; // store/models.h
};

// Fills *result whatever happens.
void unpack_run(const struct unpack_spec *spec, struct deploy_result *result);

#endif
