/* SPDX-License-Identifier: MIT
 *
 * function_layers: the member Layers of CreateFunction and UpdateFunctionConfiguration: which layer versions,
 * and the one tree that they are together, which an instance sees at /opt.
 *
 *   function_layers_read    names resolved, AWS's checks        the draft has layers, no tree yet
 *   function_layers_merge   a job: manifests laid over each other   the draft has its tree
 *
 * Layers that stay as they are keep their tree. Loop thread.
 */
#ifndef LAMINA_API_FUNCTION_LAYERS_H
#define LAMINA_API_FUNCTION_LAYERS_H

#include <stdbool.h>

#include "api/call.h"
#include "deploy/deploy.h"
#include "function/version.h"

/* Absent: the draft's layers stay; []: none. 0, or the error is set. */
MUST_CHECK int function_layers_read(struct call *call, struct version *draft);

/* Has the draft layers that are not yet merged? */
bool function_layers_are_open(const struct version *draft);

/* Merges them: `done` comes once, never from inside, with the result's pin (to be kept until the commit) and the
 * tree in the result; function_layers_fill puts it into the draft. Otherwise the error is set. */
MUST_CHECK int function_layers_merge(struct call *call, const struct version *draft,
                                     void (*done)(struct call *call, struct deploy_result *result));
void function_layers_fill(struct version *draft, const struct deploy_result *result);

/* Do package and layers stay within AWS's limit together? 0, or -EFBIG with AWS's words in `err`. Of a draft
 * without code yet, the layers count alone. */
MUST_CHECK int function_layers_check_size(const struct api *api, const struct version *draft,
                                          struct error *err);

#endif
