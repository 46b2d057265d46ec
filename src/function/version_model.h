/* SPDX-License-Identifier: MIT
 *
 * version_model: the model that a function's MODEL_URI names (strategy `s3`), or that is a file of its file system
 * (strategy `filesystem`), as it was fetched.
 *
 * MODEL_URI and MODEL_REFRESH_S are variables of the function's environment. What they led to is part of the
 * snapshot, so that all instances of one snapshot run one model:
 *
 *     s3://bucket/key ──fetch──> tree in the store (one file, or a prefix's files)
 *                                  └─ linked at DIR/models/<set>/<digest>/<name> (store/models.h)
 *                                       └─ seen by the function at $MODEL_PATH
 *
 *     /mnt/<name>/path/model.onnx (MODEL_PATH or the handler of a function with FileSystemConfigs and a provided
 *     runtime): the same, but $MODEL_PATH stays what it is, and lamina-model takes the copy at $LAMINA_MODEL_COPY. Of an
 *     immutable file system nothing is fetched: the file is mapped where it lies (is_in_place)
 *
 * `digest` is what answers and logs call the model: the file's SHA-256, or the tree's id when it is several files.
 * Plain values: copying a version copies them.
 */
#ifndef LAMINA_FUNCTION_VERSION_MODEL_H
#define LAMINA_FUNCTION_VERSION_MODEL_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/digest.h"
#include "base/json.h"

struct version;

#define VERSION_MODELS_ROOT "/opt/lamina/models"
#define VERSION_MODEL_NAME_MAX 1024 /* an object's key is no longer */
#define VERSION_MODEL_MARK_MAX 300
#define VERSION_MODEL_REFRESH_MAX_S 604800

struct version_model {
    bool has_tree;
    bool is_in_place; /* in an immutable file system: only bytes and name are known; not with has_tree */
    uint8_t tree_id[DIGEST_BYTES];
    uint8_t digest[DIGEST_BYTES];
    uint64_t bytes;
    char name[VERSION_MODEL_NAME_MAX +
              1]; /* path in the tree; "": several files, MODEL_PATH is the folder */
    char mark[VERSION_MODEL_MARK_MAX +
              1]; /* how the origin tells this content from the next: its ETag, its version */
    char signature[DIGEST_HEX_SIZE]; /* of its inputs, as lamina-model tells it; "" if not known */
};

/* The value of MODEL_URI, or NULL. Borrowed. */
const char *version_model_uri(const struct version *version);
/* Seconds between two looks for a new model; 0: only when an instance starts. Nonsense counts as 0. */
uint32_t version_model_refresh_s(const struct version *version);
/* The model's path beneath the mount point of the function's file system: "path/model.onnx". NULL: it is elsewhere, or
 * MODEL_URI names it. Borrowed. */
const char *version_model_file(const struct version *version);
/* One of both. */
bool version_has_model_source(const struct version *version);
/* Do both have the same? A model that was fetched for one is the other's, too. */
bool version_is_same_model_source(const struct version *left, const struct version *right);
/* There is such a source, and what it names is not here. */
bool version_model_is_missing(const struct version *version);

/* $MODEL_PATH: "/opt/lamina/models/<digest>/<name>". */
#define VERSION_MODEL_PATH_SIZE                                                                    \
    (sizeof(VERSION_MODELS_ROOT) + DIGEST_HEX_SIZE + VERSION_MODEL_NAME_MAX + 2)
void version_model_path(const struct version_model *model, char path[VERSION_MODEL_PATH_SIZE]);

/* Which directory of the store's models is the function's: SHA-256 of the unqualified ARN. */
struct digest version_models_set(const struct version *version);

/* The registry's form: {"TreeId","Sha256","Bytes","Name","Mark","Signature"}, or {"InPlace":true,"Bytes"}. -EBADMSG. */
void version_model_append(struct buf *out, const struct version_model *model);
MUST_CHECK int version_model_read(yyjson_val *object, struct version_model *ret_model);

#endif
