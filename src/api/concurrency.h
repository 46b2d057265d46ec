/* SPDX-License-Identifier: MIT
 *
 * concurrency: what functions reserve of the account's concurrency, and telling the scheduler of it.
 */
#ifndef LAMINA_API_CONCURRENCY_H
#define LAMINA_API_CONCURRENCY_H

#include <stdint.h>

struct api;
struct function;

/* The sum over all functions but `except` (which may be NULL). */
uint64_t concurrency_reserved(const struct api *api, const struct function *except);

/* What the catalog says now about this function (also that it is gone). */
void concurrency_apply(struct api *api, const char *name);
/* At start. */
void concurrency_apply_all(struct api *api);

/* The same for provisioned concurrency: versions, and aliases where they lead now. */
void provisioned_apply(struct api *api, const char *name);
void provisioned_apply_all(struct api *api);
/* The sum over the function's configurations but that of `except` (which may be NULL). */
uint64_t provisioned_total(const struct function *function, const char *except);

#endif
