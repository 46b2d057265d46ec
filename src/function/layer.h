/* SPDX-License-Identifier: MIT
 *
 * layer: the layers of the account and their versions. In memory, with rows of kind "layer" (which number
 * comes next) and "layer-version" in the registry; what is shown is on the disk.
 *
 *     publish   "layer" and "layer-version" rows in one commit --> in the table --> done
 *     delete    the "layer-version" row --> out of the table --> done; the number is never used again
 *     policy    the "layer-version" row again, if nobody was quicker --> in the table --> done
 *
 * A version's content never changes. Functions keep what they need of a version themselves (struct
 * version_layer), so deleting one takes nothing from them.
 *
 * Loop thread only; layers_new before the loop runs. Limits: LAYERS_MAX layers that have a version, LAYER_VERSIONS_MAX
 * versions of all together, LAYER_NAMES_MAX names with those whose versions are all deleted: which number comes next is
 * remembered of them (-ENOSPC).
 */
#ifndef LAMINA_FUNCTION_LAYER_H
#define LAMINA_FUNCTION_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"
#include "base/uuid.h"
#include "function/version.h"

#define LAYERS_MAX 10000
#define LAYER_VERSIONS_MAX 100000
#define LAYER_NAMES_MAX 100000

struct registry;
struct layers;

struct layer_version {
    char name[VERSION_LAYER_NAME_MAX + 1];
    uint64_t number;
    char *description; /* each NULL if it was not given */
    char *license;
    char *runtimes_json;      /* text of a JSON array of strings, as published */
    char *architectures_json; /* the same */
    int64_t created_ms;
    uint8_t zip_sha256[32];
    uint8_t tree_id[32];
    uint64_t zip_bytes;
    uint64_t tree_bytes;
    char *policy_json;           /* text of the JSON array of statements; NULL: no policy */
    char revision_id[UUID_SIZE]; /* of the policy */
    int64_t revision;            /* of the row */
};

struct layer {
    char name[VERSION_LAYER_NAME_MAX + 1];
    uint64_t next_number;            /* from 1 */
    struct layer_version **versions; /* owned, ascending; may be none */
    size_t count, capacity;
    size_t pending; /* of new versions on their way to the disk */
};

/* Reads them all; `registry` is borrowed. -EBADMSG with the row that cannot be read. */
MUST_CHECK int layers_new(struct registry *registry, struct layers **ret_layers, struct error *err);
void layers_free(struct layers *layers); /* accepts NULL; no change may be under way */

/* Borrowed, until the next turn of the loop. NULL: none. A layer whose versions are all deleted is found
 * (its numbers are used up) and has none. */
const struct layer *layers_find(const struct layers *layers, struct str name);
const struct layer_version *layers_find_version(const struct layers *layers, struct str name,
                                                uint64_t number);
/* In the order of names, for paging: the first whose name is greater than `after` ("": of all). */
const struct layer *layers_next(const struct layers *layers, const char *after);

/* Every tree and package that a version names: the store must keep them. */
void layers_each_version(const struct layers *layers,
                         void (*visit)(void *arg, const struct layer_version *version), void *arg);

struct layer_version *layer_version_new(void);          /* NULL without memory */
void layer_version_free(struct layer_version *version); /* accepts NULL */

/* What was done, once it is on the disk. `version` is borrowed, NULL after a deletion or a failure. */
typedef void (*layers_done)(void *arg, const struct layer_version *version,
                            const struct error *err);

/* Each: 0, and one call of `done` later, never from inside; or an error and no call.
 * publish: numbers the draft and takes it in any case. -ENOSPC (too many), -ENOMEM, -EAGAIN.
 * delete:  -ENOENT.
 * policy:  the new statements, NULL: none; copied. -ENOENT; `done` has -ESTALE if it was changed or
 *          deleted meanwhile. */
MUST_CHECK int layers_publish(struct layers *layers, struct layer_version *draft, layers_done done,
                              void *arg);
MUST_CHECK int layers_delete(struct layers *layers, struct str name, uint64_t number,
                             layers_done done, void *arg);
MUST_CHECK int layers_set_policy(struct layers *layers, struct str name, uint64_t number,
                                 const char *policy_json, layers_done done, void *arg);

/* The registry's form of a version; see layer_json.c. The text is malloc'ed, NULL without memory.
 * from_json: -EBADMSG with the member's name. */
char *layer_version_to_json(const struct layer_version *version, size_t *ret_size);
MUST_CHECK int layer_version_from_json(struct str json, struct layer_version *version,
                                       struct error *err);

#endif
