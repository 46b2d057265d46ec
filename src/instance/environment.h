/* SPDX-License-Identifier: MIT
 *
 * environment: the environment variables of an instance (AWS's list: docs.aws.amazon.com/lambda, "Defined
 * runtime environment variables"), as the NUL-separated block that lamina-spawn hands to exec.
 *
 * Later ones win: defaults < the customer's < credentials < reserved. A customer may so replace PATH or LANG, but
 * not a reserved name, whatever the API let through.
 * Thread: any; pure function. Private to src/instance.
 */
#ifndef LAMINA_INSTANCE_ENVIRONMENT_H
#define LAMINA_INSTANCE_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "instance/instance.h"

/* Names that only the platform sets, on AWS too. */
bool environment_is_reserved(const char *name);

/* Appends NAME=value\0... for all variables; at most SPAWN_ENV_MAX bytes and SPAWN_ENV_VARIABLES_MAX
 * variables, -E2BIG beyond. Variables whose name is empty or holds '=' are left out. */
MUST_CHECK int environment_build(const struct instance_spec *spec,
                                 const struct instance_identity *identity, const char *region,
                                 const char *log_stream, struct buf *block, struct error *err);

#endif
