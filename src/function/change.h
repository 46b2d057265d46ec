/* SPDX-License-Identifier: MIT
 *
 * change: one alteration of one function, from its first check to the registry's commit.
 *
 *   change_begin_*  takes the name: a second change of it meets -EBUSY (ResourceConflictException)
 *        |
 *   (a deployment job may run here, for seconds; reads and calls see the function as it was)
 *        |
 *   change_commit   one registry transaction; then the catalog shows it, retired versions are told
 *        |          of, and `done` is called; or change_abort, which leaves no trace
 *      freed
 *
 * Loop thread only.
 */
#ifndef LAMINA_FUNCTION_CHANGE_H
#define LAMINA_FUNCTION_CHANGE_H

#include <stdbool.h>

#include "base/error.h"
#include "function/catalog.h"

struct change;

/* A new function. -EEXIST: the name is in use (also by a creation under way); -ENOSPC, -ENOMEM. */
MUST_CHECK int change_begin_create(struct catalog *catalog, const char *name,
                                   struct change **ret_change);
/* A change of an existing one. -ENOENT, -EBUSY, -ENOMEM. */
MUST_CHECK int change_begin(struct catalog *catalog, const char *name, struct change **ret_change);
void change_abort(struct change *change); /* accepts NULL */

struct function *change_function(const struct change *change); /* borrowed */

/* What shall be after the commit. Each member that is NULL or false leaves that part alone. */
struct change_plan {
    struct version *latest;  /* the new $LATEST snapshot; the reference is taken */
    bool is_serving;         /* calls to $LATEST run `latest` from the commit on */
    struct version *publish; /* a new published version, numbered next_number; taken */
    struct version
        *replace; /* a published version as it is now: another state, the same code; taken */
    const char *tags_json;     /* replaces the tags, "{}" by none; copied */
    struct attachment *attach; /* hung on, or in the place of the one with its key; taken */
    bool is_detaching; /* take off (detach_kind, detach_qualifier), which may be absent; of */
                       /* an alias also its policy, event-invoke and provisioned settings */
    enum attachment_kind detach_kind;
    const char *detach_qualifier; /* copied */
    uint64_t drop_number;         /* delete this published version */
    bool drop_function;           /* delete all of it */
};

/* Takes the plan's references and the change whatever happens. 0, and one call of `done` later (never
 * from inside): err is NULL after the commit; otherwise nothing changed and the error is the
 * registry's. Negative (-ENOMEM, -EAGAIN: too many changes wait, -E2BIG): nothing changed, no call. */
MUST_CHECK int change_commit(struct change *change, const struct change_plan *plan,
                             void (*done)(void *arg, const struct error *err), void *arg);

#endif
