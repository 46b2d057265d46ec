/* SPDX-License-Identifier: MIT
 *
 * update: what UpdateFunctionCode, UpdateFunctionConfiguration, PublishVersion and DeleteFunction share:
 * taking a function for a change, and AWS's words for why it cannot be had.
 */
#ifndef LAMINA_API_UPDATE_H
#define LAMINA_API_UPDATE_H

#include "api/call.h"
#include "function/change.h"

/* change_begin for the named function: 404, 409 (a change or a deployment is under way), or 412 if the
 * request's RevisionId (data == NULL: none) is not $LATEST's. The error is set. */
MUST_CHECK int update_begin(struct call *call, const struct function_name *name,
                            struct str revision_id, struct change **ret_change);

/* The same without taking it, for a dry run. */
MUST_CHECK int update_check(struct call *call, const struct function_name *name,
                            struct str revision_id);

/* Reads the label; refuses a qualifier other than $LATEST, since only $LATEST can change. */
MUST_CHECK int update_name(struct call *call, struct function_name *ret_name);

/* The request's member RevisionId. */
MUST_CHECK int update_revision(struct call *call, struct str *ret_revision_id);

#endif
