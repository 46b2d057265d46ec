/* SPDX-License-Identifier: MIT
 *
 * background: deployments that were answered before they are done.
 *
 * The registry says what is to be done (a $LATEST that is Pending or InProgress and has no tree yet), so
 * a restart goes on where a killed process stopped. The outcome is committed as Active or Successful,
 * or as Failed with its reason; the service's own failures are tried again.
 */
#ifndef LAMINA_API_BACKGROUND_H
#define LAMINA_API_BACKGROUND_H

#include "api/call.h"
#include "function/function.h"

/* Does `function` wait for one? */
bool background_is_wanted(const struct function *function);

/* Starts the deployment of function->latest's package. Without memory it is left for the next
 * start, and logged. */
void background_start(struct api *api, const struct function *function);

#endif
