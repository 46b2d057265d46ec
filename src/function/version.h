/* SPDX-License-Identifier: MIT
 *
 * version: what one function is at one moment: its code, its configuration, its state.
 *
 * A version is a snapshot. While it is being made (version_new, version_copy) it has one owner who
 * may write to it; once it was given to the catalog it never changes again, and everybody else
 * reads it through a counted reference. An update makes a new snapshot; an invocation or an
 * instance that holds the old one goes on with exactly what it started with.
 *
 * `$LATEST` and each published number have snapshots of their own. Two snapshots with the same
 * `execution_id` run the same code with the same configuration (they differ in state, description
 * or RevisionId only), so an instance started for one may answer calls for the other.
 *
 * Thread: the loop thread only; the reference count is a plain integer. A job on another thread
 * works on copies of the few members it needs.
 * Limits: strings and the environment were validated by the API (base/limits.h) before they came
 * here; version_from_json checks them again, since the registry is a file.
 */
#ifndef LAMINA_FUNCTION_VERSION_H
#define LAMINA_FUNCTION_VERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/uuid.h"
#include "function/version_model.h"
#include "function/version_prepared.h"

#define VERSION_LATEST "$LATEST"

/* Room for the longest qualified ARN that we make, with its final NUL: the fixed words, a region of
 * at most 32, twelve digits, a name of 64 and a qualifier of 128. */
#define VERSION_ARN_MAX 320

/* State, as the API prints it.
 *
 *              deployment done
 *   PENDING ------------------------> ACTIVE
 *      |
 *      +---- deployment failed -----> FAILED
 *
 * Only an ACTIVE version may be invoked. A later failed update does not leave ACTIVE: the update
 * status below tells of it, and the old code goes on serving. */
enum version_state { VERSION_PENDING, VERSION_ACTIVE, VERSION_FAILED };

/* LastUpdateStatus; UPDATE_NONE is a version that was not yet active: the member is absent. */
enum version_update {
    VERSION_UPDATE_NONE,
    VERSION_UPDATE_SUCCESSFUL,
    VERSION_UPDATE_IN_PROGRESS,
    VERSION_UPDATE_FAILED,
};

struct version_variable {
    char *name;
    char *value;
};

/* The code, as the deployment left it. `tree_id` names the unpacked tree in the store (what
 * lamina-spawn mounts at /var/task); it is valid only if `has_tree`, which every ACTIVE version
 * has. `zip_sha256` is the digest of the package's bytes (CodeSha256, and the store's object id,
 * from which Code.Location is served). */
/* Whether instances of a version may be forks of a template (docs/templates.md). */
enum version_forking {
    VERSION_FORKING_UNKNOWN, /* nobody has looked at its bootstrap: a row of an earlier release */
    VERSION_FORKING_NONE,
    VERSION_FORKING_ABLE,   /* its runtime can: with SnapStart */
    VERSION_FORKING_ALWAYS, /* lamina-model: without being asked */
};

struct version_code {
    bool has_tree;
    enum version_forking forking; /* of a provided runtime's bootstrap */
    uint8_t tree_id[32];
    uint8_t zip_sha256[32];
    uint64_t zip_bytes;
    uint64_t tree_bytes; /* sum of the sizes of the unpacked files */
};

/* A layer version that a function references: what it was when the function took it, so that nothing
 * of it is needed any more (it may be deleted) but its tree in the store. */
#define VERSION_LAYERS_MAX 5
#define VERSION_LAYER_NAME_MAX 64
struct version_layer {
    char name[VERSION_LAYER_NAME_MAX + 1];
    uint64_t number;
    uint64_t zip_bytes;
    uint64_t tree_bytes;
    uint8_t tree_id[32];
    /* Versions, from the first to the last, that the function was not taken to: it follows the layer, and they did not
     * start. 0: none. They are not tried again. */
    uint64_t refused_first, refused_last;
};

/* FileSystemConfigs: at most one. Which file system it is, and what of it, is decided at each start
 * (filesystem/filesystems.h). */
#define VERSION_FILESYSTEM_ARN_MAX 199
#define VERSION_FILESYSTEM_PATH_MAX 160
struct version_filesystem {
    char arn[VERSION_FILESYSTEM_ARN_MAX + 1];   /* of the access point, as it was given; "": none */
    char path[VERSION_FILESYSTEM_PATH_MAX + 1]; /* "/mnt/<name>" */
};

struct version {
    unsigned refs;         /* use version_ref and version_unref */
    uint64_t execution_id; /* see above; made new in every process, never stored, never 0 */
    bool is_incomplete;    /* a setter found no memory */

    char *name;          /* function name, without ARN or qualifier */
    char *qualifier;     /* "$LATEST" or a decimal number from 1: AWS_LAMBDA_FUNCTION_VERSION */
    char *arn;           /* unqualified: arn:aws:lambda:<region>:<account>:function:<name> */
    char *qualified_arn; /* the same and ":<qualifier>" */

    char *runtime;     /* provided | provided.al2 | provided.al2023 */
    char *handler;     /* _HANDLER */
    char *role;        /* ARN of the role: what it may do on the platform (role/roles.h) */
    char *description; /* "" if none */
    /* Of a published version: the description that $LATEST had then. A version may get one of its own,
     * which must not make it look changed. NULL for $LATEST. */
    char *latest_description;
    uint32_t memory_mb;
    uint32_t timeout_s;
    uint32_t tmp_mb; /* EphemeralStorage: the size of /tmp */

    bool has_environment; /* set, maybe to nothing: the API shows an empty object then */
    struct version_variable *environment; /* as the caller gave it, sorted by name */
    size_t n_environment;

    /* Settings that are kept and shown but change nothing in an instance (docs/aws-compat.md), as
     * the text of one JSON object whose members are those of FunctionConfiguration; NULL if none:
     * TracingConfig, VpcConfig, DeadLetterConfig, KMSKeyArn, LoggingConfig. */
    char *passive_json;

    struct version_code code;

    /* In the order of merging: later ones win. `opt_tree_id` is the merged tree, what lamina-spawn mounts
     * at /opt; valid if `has_opt_tree`, which is so exactly when there are layers. */
    struct version_layer layers[VERSION_LAYERS_MAX];
    size_t n_layers;
    bool has_opt_tree;
    bool has_extensions; /* files in /opt/extensions: processes beside the runtime */
    uint8_t opt_tree_id[32];

    struct version_filesystem filesystem;

    /* What MODEL_URI led to, what it was before (for `lamina rollback`), and the mark of one that was not
     * taken (it did not load, or was rolled back): a look for a new model passes over that one. */
    struct version_model model;
    struct version_model previous_model;
    char refused_mark[VERSION_MODEL_MARK_MAX + 1];

    struct version_prepared
        prepared; /* the model that it runs, in the form that is used in place */

    bool has_snap_start; /* SnapStart.ApplyOn is PublishedVersions */
    /* Of a published version with it: OptimizationStatus, as its template turned out. Off and ACTIVE: state_reason
     * says why its instances are started one by one. */
    bool is_optimized;

    enum version_state state;
    char *state_reason;      /* NULL when ACTIVE, but see is_optimized */
    char *state_reason_code; /* the same */
    enum version_update update;
    char *update_reason;      /* NULL unless in progress or failed */
    char *update_reason_code; /* the same */

    char revision_id[UUID_SIZE]; /* a new one at every transition */
    int64_t modified_ms;         /* LastModified, milliseconds since 1970 */
};

/* A new snapshot of `name` with one reference, the defaults of the API (128 MB, 3 s, 512 MB of
 * /tmp, empty description, qualifier $LATEST), a new execution_id and RevisionId, PENDING.
 * NULL without memory. */
struct version *version_new(const char *name, const char *region, const char *account);

/* A writable deep copy with one reference: same execution_id, same RevisionId. NULL without memory
 * (so does version_copy_as). */
struct version *version_copy(const struct version *version);

/* The copy that is published as number `number`: the qualifier and the qualified ARN change, and
 * so do execution_id, RevisionId and LastModified. With SnapStart it is PENDING: preparation.h. */
struct version *version_copy_as(const struct version *version, uint64_t number);

struct version *version_ref(const struct version *version);
void version_unref(const struct version *version); /* accepts NULL */

/* Setters for the owner of a draft; `member` is one of its texts. The text is copied; NULL clears.
 * A lack of memory sticks to the draft (is_incomplete) and change_commit refuses it with -ENOMEM, so
 * that whoever fills a draft looks once. */
void version_set(struct version *draft, char **member, const char *text);
/* Replaces the whole environment by copies of `n` pairs, sorted by name. */
void version_set_environment(struct version *draft, const struct version_variable *pairs, size_t n);
/* A new RevisionId, and LastModified becomes `now_ms` unless that is 0. */
void version_touch(struct version *draft, int64_t now_ms);
/* Do both reference the same layer versions, in the same order? */
bool version_is_same_layers(const struct version *left, const struct version *right);
/* Does an instance of it have its file system at /mnt? lamina-model, whose model was copied into the store, needs nothing
 * there, and can be forked. */
bool version_needs_mount(const struct version *version);
/* Has it FileSystemConfigs? And do both have the same? */
bool version_has_filesystem(const struct version *version);
bool version_is_same_filesystem(const struct version *left, const struct version *right);
/* The layer versions of `tried` that `draft` has not, at the same places, are remembered in `draft` as refused. */
void version_refuse_layers(struct version *draft, const struct version *tried);
/* What the layers unpack to, in all: it counts with the package against AWS's limit. */
uint64_t version_layers_bytes(const struct version *version);

/* Says that code or configuration changed: instances of the earlier snapshot must not serve it. */
void version_renew_execution(struct version *draft);

/* SnapStart applies to it: a published version of a function that has it on. */
bool version_is_snap_start(const struct version *version);
/* Its instances are to be forks of a template, if one can be made. */
bool version_is_forked(const struct version *version);

bool version_is_latest(const struct version *version);
/* The number of a published version, 0 for $LATEST. */
uint64_t version_number(const struct version *version);
/* May it be invoked now? */
bool version_is_invocable(const struct version *version);

/* Would publishing `latest` only repeat `published`? Code and configuration are compared, not
 * state, RevisionId or times. */
bool version_is_same_content(const struct version *latest, const struct version *published);

const char *version_state_name(enum version_state state);    /* "Pending" ... */
const char *version_update_name(enum version_update update); /* "InProgress" ..., NULL for none */

/* The registry's form (schema 1, described in function/version_json.c); the name is not in it, it is
 * the row's key. The text is malloc'ed, NULL without memory.
 * from_json: -EBADMSG with the member's name if the text is not one that to_json makes. */
char *version_to_json(const struct version *version, size_t *ret_length);
MUST_CHECK int version_from_json(const char *json, size_t length, const char *name,
                                 const char *region, const char *account,
                                 struct version **ret_version, struct error *err);

#endif
