/* SPDX-License-Identifier: MIT
 *
 * attach: what the operations on aliases, policies, URLs, event-invoke configurations and concurrency have in
 * common: find the function, check the qualifier, commit one attachment, answer.
 */
#ifndef LAMINA_API_ATTACH_H
#define LAMINA_API_ATTACH_H

#include "api/call.h"
#include "function/catalog.h"
#include "function/change.h"

enum attach_qualifier {
    ATTACH_IGNORES_QUALIFIER, /* the function itself */
    ATTACH_ANY_QUALIFIER,     /* none, a version or an alias */
    ATTACH_PUBLISHED,         /* a version or an alias: not none, not $LATEST */
};

/* Reads label and ?Qualifier, finds the function, and checks that what the qualifier names exists. $LATEST
 * becomes "" in ret_name. 0, or the error is set. */
MUST_CHECK int attach_find(struct call *call, enum attach_qualifier rule,
                           struct function_name *ret_name, struct function **ret_function);

/* Does `qualifier` name something of the function: "" or $LATEST, a published number, an alias? */
bool attach_has_qualifier(const struct function *function, const char *qualifier);

/* Appends the ARN with `qualifier` (NULL or "": none) as a JSON string. */
void attach_append_arn(struct buf *json, const struct function *function, const char *qualifier);

/* Makes an attachment of `json` (freed in any case), or sets the error. */
MUST_CHECK int attach_make(struct call *call, enum attachment_kind kind, const char *qualifier,
                           struct buf *json, struct attachment **ret_attachment);

/* Answers a list of all attachments of a kind, in pages: {"<member>":[...],"NextMarker":...}. The marker is
 * the qualifier. Ends the call. */
void attach_list(struct call *call, enum attachment_kind kind, const char *member,
                 void (*append)(struct call *call, struct buf *json,
                                const struct attachment *attachment));

/* Commits the plan for the function and answers `status` with `answer` (moved from; NULL: no body).
 * `then` (may be NULL) is called after the commit, before the answer. Ends the call in any case. */
void attach_commit(struct call *call, const char *name, const struct change_plan *plan,
                   unsigned status, struct buf *answer,
                   void (*then)(struct api *api, const char *name));

#endif
