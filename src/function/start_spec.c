/* SPDX-License-Identifier: MIT */
#include "function/start_spec.h"

#include <errno.h>
#include <stdlib.h>

#include "base/str.h"
#include "function/runtime.h"
#include "function/version.h"

/* The customer's, and MODEL_PATH where Lamina brought the model: the later of two counts. */
static struct instance_variable *spec_variables(const struct version *version,
                                                const char *model_path, size_t *ret_count)
{
    struct instance_variable *variables = calloc(version->n_environment + 1, sizeof(*variables));
    size_t n = 0;
    for (; variables && n < version->n_environment; n++) {
        variables[n].name = version->environment[n].name;
        variables[n].value = version->environment[n].value;
    }
    if (variables && version->model.has_tree)
        variables[n++] = (struct instance_variable){"MODEL_PATH", model_path};
    *ret_count = n;
    return variables;
}

/* Who starts the function: enum runtime_kind is enum spawn_bootstrap. */
static uint32_t bootstrap_of(const struct version *version)
{
    const struct runtime *runtime = runtime_find(str_of(version->runtime));
    return runtime ? (uint32_t) runtime->kind : RUNTIME_PROVIDED;
}

int start_spec_init(struct start_spec *start, const struct version *version)
{
    size_t n_variables = 0;
    version_model_path(&version->model, start->model_path);
    start->models = version_models_set(version);
    start->variables = spec_variables(version, start->model_path, &n_variables);
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
        .memory_mb = version->memory_mb,
        .tmp_mb = version->tmp_mb,
        .variables = start->variables,
        .n_variables = n_variables,
        .is_snap_start = version_is_snap_start(version),
    };
    return start->variables ? 0 : -ENOMEM;
}

void start_spec_done(struct start_spec *start)
{
    free(start->variables);
    start->variables = NULL;
}
