// SPDX-License-Identifier: MIT
//
// What other jobs than an unpacking need of a deploy: its threads and its store. Internal to deploy/.

#ifndef LAMINA_DEPLOY_POOL_H
#define LAMINA_DEPLOY_POOL_H

#include "deploy/deploy.h"
#include "loop/job.h"

struct job_pool *deploy_pool(const struct deploy *deploy); // DEPLOY_THREADS, DEPLOY_WAITING_MAX
struct store *deploy_store(const struct deploy *deploy);

#endif
