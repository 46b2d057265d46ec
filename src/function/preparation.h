/* SPDX-License-Identifier: MIT
 *
 * preparation: makes the templates of versions ahead of their first call (docs/templates.md).
 *
 *   published with SnapStart   PENDING --template made-------------------> ACTIVE, OptimizationStatus On
 *                                 |    --it cannot be forked-------------> ACTIVE, Off; StateReason says why
 *                                 |    --its init phase failed-----------> FAILED, with the function's own reason
 *                                 +    --laminad is killed: again at the next start
 *   a model's runtime          as soon as calls may name the version; nobody waits for the outcome
 *
 * At most PREPARATIONS_MAX at a time, in the order in which versions appear. The outcome is committed to the
 * registry before the catalog shows it.
 * Thread: loop only.
 */
#ifndef LAMINA_FUNCTION_PREPARATION_H
#define LAMINA_FUNCTION_PREPARATION_H

#include <stdbool.h>

#include "base/compiler.h"
#include "function/catalog.h"
#include "function/scheduler.h"

#define PREPARATIONS_MAX 2

struct preparation;

/* NULL without memory. Catalog and scheduler are borrowed. */
struct preparation *preparation_new(struct loop *loop, struct catalog *catalog,
                                    struct scheduler *scheduler);

/* catalog_listener.appeared. */
void preparation_add(struct preparation *preparation, const struct version *version);
/* catalog_listener.replacing: waits for the draft's template, if `old` runs here and the draft is to have one; at most
 * PREPARATION_WAIT_MS. */
#define PREPARATION_WAIT_MS 15000
bool preparation_before(struct preparation *preparation, const struct version *old,
                        const struct version *draft, void (*done)(void *arg), void *arg);
/* Those that an earlier life of the service left PENDING. */
void preparation_resume(struct preparation *preparation);

#endif
