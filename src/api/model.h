/* SPDX-License-Identifier: MIT
 *
 * model: from a function's MODEL_URI, or the file on its file system, to the model in its snapshot. What the deployment,
 * the look for a new model and the functions' own questions share.
 */
#ifndef LAMINA_API_MODEL_H
#define LAMINA_API_MODEL_H

#include "api/call.h"
#include "fetch/fetcher.h"
#include "function/version.h"

/* Fetches the version's model with the rights of its role and links it into the function's models; with `is_look` it only
 * says in which state it is. The version is read during the call only. As fetcher_start. */
MUST_CHECK int model_fetch(struct api *api, const struct version *version, bool is_look,
                           void (*done)(void *arg, struct fetch_result *result), void *arg);

/* What was fetched, into the draft. */
void model_fill(struct version *draft, const struct fetch_result *result);

/* Was it the network, or the store's bad moment? */
bool model_is_transient(const struct fetch_result *result);
/* StateReasonCode, as AWS has them. */
const char *model_reason_code(const struct fetch_result *result);

/* The variable that names it, for people: "MODEL_URI". */
const char *model_variable(const struct fetch_result *result);

/* A draft whose model comes from elsewhere than `before`'s has none yet. */
void model_forget_other(struct version *draft, const struct version *before);

#endif
