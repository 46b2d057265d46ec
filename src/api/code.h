/* SPDX-License-Identifier: MIT
 *
 * code: where a function's package comes from, and its way into the store.
 *
 *   Code.ZipFile        the spool has put it into a file already: call->zip
 *   Code.LaminaPackage  the SHA-256 of a package that PUT /lamina/v1/packages has brought
 *   Code.S3Bucket ...   an object, fetched with the caller's rights (fetch/fetcher.h) before the answer
 *
 * With ZipFile the deployment is done before the answer, so that a package that is no zip is the
 * caller's error, as AWS has it. A package may be gigabytes: it is answered at once, Pending or
 * InProgress, and deployed in the background (background.h), unless the caller wants a version
 * published in the same call.
 */
#ifndef LAMINA_API_CODE_H
#define LAMINA_API_CODE_H

#include <stdbool.h>

#include "api/call.h"
#include "deploy/deploy.h"
#include "fetch/s3_uri.h"
#include "function/version.h"

struct fetch_result;

struct code_source {
    bool is_package;
    struct digest package;
    bool is_object;
    char uri[S3_URI_MAX + 1];      /* s3://bucket/key[?versionId=] */
    const struct version *version; /* whose code it will be; borrowed; NULL: nobody's */
};

/* `object` has the members (Code of CreateFunction, all of UpdateFunctionCode). 0, or the error is set. */
MUST_CHECK int code_source_read(struct call *call, yyjson_val *object,
                                struct code_source *ret_source);

/* Deploys call->zip or the package; `done` comes once, never from inside. Otherwise the error is set. */
MUST_CHECK int code_deploy(struct call *call, const struct code_source *source,
                           void (*done)(struct call *call, struct deploy_result *result));

/* Size of the package in the store: `done` with 0 or -errno, never from inside. */
MUST_CHECK int code_measure(struct call *call, const struct digest *package,
                            void (*done)(struct call *call, int status, uint64_t bytes));

/* Sets the call's error by the deployment's outcome; 0 if it was DEPLOY_OK. */
MUST_CHECK int code_refused(struct call *call, const struct deploy_result *result);

/* Fetches the version's model within this call, for a version that is published by it; `done` comes once, never from
 * inside. Otherwise the error is set. */
MUST_CHECK int code_fetch_model(struct call *call, const struct version *version,
                                void (*done)(struct call *call, struct fetch_result *result));
/* Sets the call's error by its outcome; 0 if it came. */
MUST_CHECK int code_model_refused(struct call *call, const struct fetch_result *result);

/* What was deployed, into the draft: the tree, digests and sizes. */
void code_fill(struct version *draft, const struct deploy_result *result);

/* The package, just deployed, and the draft's layers: too large together? 0, or the error is set. */
MUST_CHECK int code_check_layers(struct call *call, const struct version *draft);

enum deploy_limits code_limits(const struct api *api);
/* With --aws-limits warn: says what AWS would have refused. */
void code_warn(const struct api *api, const char *name, const struct deploy_result *result);

/* Life-cycle members of a snapshot. */
void code_set_pending(struct version *draft);     /* State Pending */
void code_set_in_progress(struct version *draft); /* LastUpdateStatus InProgress */
void code_set_active(struct version *draft);      /* Active, Successful */

#endif
