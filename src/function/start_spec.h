/* SPDX-License-Identifier: MIT
 *
 * start_spec: what lamina-spawn is to be asked for when something of a version starts: an instance, a template or a fork.
 * The same for all three, so that a fork finds what its template was started with.
 *
 * Thread: loop only. Private to src/function. The spec's members point into it and into the version.
 */
#ifndef LAMINA_FUNCTION_START_SPEC_H
#define LAMINA_FUNCTION_START_SPEC_H

#include "base/compiler.h"
#include "base/digest.h"
#include "function/version_model.h"
#include "function/scheduler.h"
#include "instance/instance.h"

struct version;

/* "/opt/lamina/models/<sha256>/prepared-<16 digits>/model.ort" */
#define START_SPEC_PREPARED_SIZE (sizeof(VERSION_MODELS_ROOT) + DIGEST_HEX_SIZE + 64)

struct start_spec {
    struct instance_spec spec;
    struct instance_variable *variables; /* owned */
    char model_path[VERSION_MODEL_PATH_SIZE];
    char model_sha256[DIGEST_HEX_SIZE];
    char prepared_path[START_SPEC_PREPARED_SIZE];
    struct spawn_filesystem_use filesystem;
    struct error refusal;
    int model_fd; /* borrowed */
    struct digest models;
};

/* All that the version decides; the caller fills in the rest (limits of time, template, what kind). -ENOMEM. Not to be
 * moved afterwards. */
MUST_CHECK int start_spec_init(struct start_spec *start, const struct version *version);
/* Its file system, if it has one. */
void start_spec_mount(struct start_spec *start, const struct version *version,
                      const struct scheduler_mounter *mounter);
void start_spec_done(struct start_spec *start);

#endif
