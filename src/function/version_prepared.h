/* SPDX-License-Identifier: MIT
 *
 * version_prepared: the model that a version runs, and the prepared form of it that its instances use in place
 * (docs/prepared-models.md).
 *
 * Found and decided when a version is committed (catalog_set_preparer), before any instance of it runs, and kept with the
 * snapshot: forms with and without pre-packed weights differ in the last bits, so instances of one version never mix them.
 *
 * `wish` is a digest of all that the decision depends on; a draft whose wish is another is looked at again. A form that was
 * made on another processor or for another engine is not used: its instances load the model the ordinary way.
 *
 * Plain values: copying a version copies them. Loop thread.
 */
#ifndef LAMINA_FUNCTION_VERSION_PREPARED_H
#define LAMINA_FUNCTION_VERSION_PREPARED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/digest.h"
#include "base/json.h"

struct version;

#define VERSION_PREPARED_PATH_MAX 440 /* of a model, in the sandbox */
#define VERSION_PREPARED_REASON_MAX 200

struct version_prepared {
    bool is_looked; /* the rest is known */
    struct digest wish;
    struct digest platform;
    bool has_model;                           /* there is one model file: */
    char path[VERSION_PREPARED_PATH_MAX + 1]; /* /var/task/net.onnx */
    struct digest model;
    uint64_t model_bytes;
    bool is_in_place; /* of a format that is used where it lies: its own form */
    bool has_form;    /* and a form that is used in its place: */
    struct digest key, form;
    uint64_t form_bytes;
    bool is_measured; /* the form, or the model as it is if it is too large for one: */
    bool is_packed;   /* instances pack the weights anew, into memory of their own */
    uint64_t cold_us, warm_us, private_bytes; /* as measured, with one thread */
    uint64_t shared_bytes;                    /* of files that are mapped */
    char reason[VERSION_PREPARED_REASON_MAX]; /* of the choice, or why there is no form */
};

/* Where to look for a version's model. */
struct version_prepared_place {
    const uint8_t *tree_id;                   /* borrowed from the version */
    const char *path;                         /* in the tree; "": the only model file in it */
    char root[VERSION_PREPARED_PATH_MAX + 1]; /* where the sandbox sees the tree: "/var/task" */
};

/* False: it is not a function that loads a model by itself, or its code is not there yet. */
MUST_CHECK bool version_prepared_find(const struct version *version,
                                      struct version_prepared_place *ret_place);

/* What LAMINA_PREPACK in its environment says: "on", "off", or "auto" for everything else. */
const char *version_prepared_packing(const struct version *version);

struct digest version_prepared_wish(const struct version *version);
/* Is it to be looked at (again) before it is committed? */
MUST_CHECK bool version_prepared_is_wanted(const struct version *version);

/* Of this service: set once, at start. All zero before. */
void version_prepared_set_platform(const struct digest *platform);
/* Was it measured on this platform? Then it is packed as was chosen, whether it has a form or not. */
MUST_CHECK bool version_prepared_is_chosen(const struct version *version);
/* Does it have a form that was made for this platform? */
MUST_CHECK bool version_prepared_is_usable(const struct version *version);

/* Who keeps forms in sealed memory, set once at start: its descriptor, borrowed until the next turn of the loop, or 0. */
struct version_prepared_holder {
    int (*held)(void *arg, const struct version_prepared *prepared);
    void *arg;
};
void version_prepared_set_holder(const struct version_prepared_holder *holder);
MUST_CHECK int version_prepared_fd(const struct version *version);

/* LAMINA_ONNXRUNTIME names another library than ours: our forms are not for it. */
MUST_CHECK bool version_has_own_engine(const struct version *version);

/* The registry's form. -EBADMSG. */
void version_prepared_append(struct buf *out, const struct version_prepared *prepared);
MUST_CHECK int version_prepared_read(yyjson_val *object, struct version_prepared *ret_prepared);

#endif
