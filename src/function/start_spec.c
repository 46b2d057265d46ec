/* SPDX-License-Identifier: MIT */
#include "function/start_spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "function/runtime.h"
#include "function/version.h"

#define MODEL_VARIABLES 6
#define MODEL_FD "4" /* SPAWN_MODEL_FD */

/* Of the model file, where it is known without reading it: of several fetched files there is only the tree's. */
static bool model_digest(const struct version *version, char hex[DIGEST_HEX_SIZE])
{
    const struct version_model *model = &version->model;
    if (version->prepared.has_model)
        digest_hex(&version->prepared.model, hex);
    else if (model->has_tree && memcmp(model->digest, model->tree_id, DIGEST_BYTES) != 0)
        hex_encode(model->digest, DIGEST_BYTES, hex);
    else
        return false;
    return true;
}

/* The prepared form, and how it is packed; so is a model that is too large for one. */
static size_t add_form(struct start_spec *start, const struct version *version, size_t n)
{
    const struct version_prepared *prepared = &version->prepared;
    char key[DIGEST_HEX_SIZE];
    if (!version_prepared_is_chosen(version))
        return n;
    start->variables[n++] =
        (struct instance_variable){"LAMINA_MODEL_PREPACK", prepared->is_packed ? "on" : "off"};
    if (!version_prepared_is_usable(version))
        return n;
    (void) snprintf(start->prepared_path, sizeof(start->prepared_path),
                    VERSION_MODELS_ROOT "/%s/prepared-%.16s/model.ort", start->model_sha256,
                    digest_hex(&prepared->key, key));
    start->variables[n++] =
        (struct instance_variable){"LAMINA_MODEL_PREPARED", start->prepared_path};
    return n;
}

/* The model and its prepared form, as lamina-model takes them (docs/prepared-models.md). */
static size_t add_model(struct start_spec *start, const struct version *version, size_t n)
{
    const struct version_prepared *prepared = &version->prepared;
    if (version->model.has_tree)
        start->variables[n++] = (struct instance_variable){
            version_model_file(version) ? "LAMINA_MODEL_COPY" : "MODEL_PATH", start->model_path};
    else if (prepared->has_model)
        start->variables[n++] = (struct instance_variable){"MODEL_PATH", prepared->path};
    /* Not settled yet (settle.h): packing weights would take longer than the load, for the seconds until it is. */
    if (!prepared->is_looked && version_prepared_is_wanted(version))
        start->variables[n++] = (struct instance_variable){"LAMINA_MODEL_PREPACK", "off"};
    if (!model_digest(version, start->model_sha256))
        return n;
    start->variables[n++] = (struct instance_variable){"LAMINA_MODEL_SHA256", start->model_sha256};
    if (version_has_own_engine(version))
        return n;
    n = add_form(start, version, n);
    if (version_prepared_is_usable(version) || prepared->is_in_place)
        start->model_fd = version_prepared_fd(version);
    if (start->model_fd > 0)
        start->variables[n++] = (struct instance_variable){"LAMINA_MODEL_FD", MODEL_FD};
    return n;
}

/* The customer's, then ours: of two the later counts. */
static size_t fill_variables(struct start_spec *start, const struct version *version)
{
    start->variables =
        calloc(version->n_environment + MODEL_VARIABLES, sizeof(start->variables[0]));
    size_t n = 0;
    for (; start->variables && n < version->n_environment; n++) {
        start->variables[n].name = version->environment[n].name;
        start->variables[n].value = version->environment[n].value;
    }
    return start->variables ? add_model(start, version, n) : 0;
}

/* Who starts the function: enum runtime_kind is enum spawn_bootstrap. */
static uint32_t bootstrap_of(const struct version *version)
{
    const struct runtime *runtime = runtime_find(str_of(version->runtime));
    return runtime ? (uint32_t) runtime->kind : RUNTIME_PROVIDED;
}

int start_spec_init(struct start_spec *start, const struct version *version)
{
    start->model_fd =
        0; /* a function without a model: whatever lay there would be handed to lamina-spawn */
    version_model_path(&version->model, start->model_path);
    start->models = version_models_set(version);
    size_t n_variables = fill_variables(start, version);
    start->spec = (struct instance_spec){
        .function = version->name,
        .version = version->qualifier,
        .handler = version->handler ? version->handler : "",
        .runtime = version->runtime ? version->runtime : "",
        .role = version->role,
        .bootstrap = bootstrap_of(version),
        .tree_id = version->code.has_tree ? version->code.tree_id : NULL,
        .opt_tree_id = version->has_opt_tree ? version->opt_tree_id : NULL,
        .models_id = start->models.bytes,
        .model_fd = start->model_fd,
        .memory_mb = version->memory_mb,
        .tmp_mb = version->tmp_mb,
        .variables = start->variables,
        .n_variables = n_variables,
        .is_snap_start = version_is_snap_start(version),
    };
    return start->variables ? 0 : -ENOMEM;
}

void start_spec_mount(struct start_spec *start, const struct version *version,
                      const struct scheduler_mounter *mounter)
{
    int r = -ENOSYS;
    if (!version_needs_mount(version))
        return;
    if (mounter->resolve)
        r = mounter->resolve(mounter->arg, version, &start->filesystem, &start->refusal);
    else
        error_set(&start->refusal, r, "this service has no file systems");
    start->spec.mount.use = &start->filesystem;
    start->spec.mount.refusal = r < 0 ? start->refusal.text : NULL;
}

void start_spec_done(struct start_spec *start)
{
    free(start->variables);
    start->variables = NULL;
}
