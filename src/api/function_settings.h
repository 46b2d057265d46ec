/* SPDX-License-Identifier: MIT
 *
 * function_settings: the configuration members of CreateFunction and UpdateFunctionConfiguration,
 * from JSON into a draft, with every check that AWS makes.
 *
 *   function_settings.c   what an instance is made from: runtime, handler, memory, time, /tmp, role
 *   environment.c         Environment
 *   passive.c             what is kept and shown only, and what is refused because nothing is behind it
 *
 * Members that are absent leave the draft as it is; Environment replaces the whole.
 */
#ifndef LAMINA_API_FUNCTION_SETTINGS_H
#define LAMINA_API_FUNCTION_SETTINGS_H

#include <stdbool.h>

#include "api/member.h"
#include "function/version.h"

struct function_settings_context {
    const char *account; /* roles must be of it */
    bool is_new;         /* CreateFunction: required members must be there */
};

/* 0, or the error is set (-EREMOTEIO). The draft may have been changed in part then. */
MUST_CHECK int function_settings_read(yyjson_val *json,
                                      const struct function_settings_context *context,
                                      struct version *draft, struct aws_error *error);

/* Does the change from `before` to `draft` need new instances? */
bool function_settings_need_instances(const struct version *before, const struct version *draft);

/* Tags of CreateFunction: the text of the JSON object, malloc'ed, or NULL if there are none. */
MUST_CHECK int function_settings_tags(yyjson_val *json, char **ret_tags, struct aws_error *error);

/* Parts, in their files. The reader's object is the request. */
MUST_CHECK int environment_read(struct member_reader *reader, struct version *draft);
MUST_CHECK int passive_read(struct member_reader *reader, struct version *draft);
/* Members that ask for what does not exist: InvalidParameterValueException and what to do. */
/* SnapStart, after all that it depends on. */
#define SNAP_START_TMP_MB_MAX 512
MUST_CHECK int snap_start_read(struct member_reader *reader, struct version *draft);
MUST_CHECK int passive_refuse(struct member_reader *reader, const struct version *draft);

/* A runtime that AWS knows, whether or not this service has it. */
bool function_settings_is_runtime(struct str text);

/* Architectures of CreateFunction and UpdateFunctionCode. */
MUST_CHECK int architectures_check(struct member_reader *reader);

#endif
