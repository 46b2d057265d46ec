/* SPDX-License-Identifier: MIT
 *
 * function: a name, its $LATEST, and the versions published from it.
 *
 *            latest      what Get and List show; may be PENDING, or a change in progress
 *   function live        what calls to $LATEST run: NULL until the first deployment is done, and the
 *                        earlier snapshot while an update's code is still being deployed
 *            published   1, 2, 3 ... immutable, ascending; numbers are never used twice
 *
 * Owned by the catalog, which is the only one that changes it. Loop thread only.
 */
#ifndef LAMINA_FUNCTION_FUNCTION_H
#define LAMINA_FUNCTION_FUNCTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "function/attachment.h"
#include "function/version.h"

struct change;

struct function {
    char *name;
    struct version *latest;     /* one reference; never NULL once the function can be found */
    struct version *live;       /* one reference, or NULL */
    struct version **published; /* one reference each, ascending by number */
    size_t n_published;
    size_t published_capacity;
    uint64_t next_number; /* of the next version to be published, from 1 */

    struct attachment **attachments; /* owned; sorted by kind, then qualifier */
    size_t n_attachments;
    size_t attachments_capacity;

    char *tags_json;       /* text of a JSON object, or NULL */
    struct change *change; /* the change under way (function/change.h), or NULL; borrowed */
    bool is_new;           /* being created: not found, and its name is taken */
    int64_t revision;      /* of the registry's row, for its compare-and-set */
};

struct function *function_new(const char *name);
void function_free(struct function *function); /* accepts NULL */

/* Borrowed: valid until the loop next runs the catalog's code; NULL if there is none. */
struct version *function_published(const struct function *function, uint64_t number);
/* The published version with the highest number, or NULL. */
struct version *function_newest(const struct function *function);

/* Room for one more published version, so that adding it after a commit cannot fail. -ENOMEM. */
MUST_CHECK int function_reserve_published(struct function *function);
/* Takes the reference, in the room reserved before; in any order of numbers, each once. */
void function_add_published(struct function *function, struct version *version);
/* Gives the reference back to the caller, or NULL if there is no such number. */
struct version *function_remove_published(struct function *function, uint64_t number);

/* NULL if there is none. Borrowed. */
struct attachment *function_attachment(const struct function *function, enum attachment_kind kind,
                                       const char *qualifier);
/* The first of a kind whose qualifier is greater than `after` (NULL: the first), or NULL: for lists. */
struct attachment *function_attachment_next(const struct function *function,
                                            enum attachment_kind kind, const char *after);
/* Room for one more, so that hanging it on after a commit cannot fail. -ENOSPC, -ENOMEM. */
MUST_CHECK int function_reserve_attachment(struct function *function);
/* Takes it, in the room reserved before; gives back the one that it replaces, or NULL. */
struct attachment *function_attach(struct function *function, struct attachment *attachment);
/* Gives it back to the caller, or NULL. */
struct attachment *function_detach(struct function *function, enum attachment_kind kind,
                                   const char *qualifier);

#endif
