/* SPDX-License-Identifier: MIT */

#include "api/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "role/roles.h"

static struct role_variable *variables_of(const struct version *version)
{
    struct role_variable *variables = calloc(version->n_environment + 1, sizeof(*variables));
    for (size_t i = 0; variables && i < version->n_environment; i++) {
        variables[i].name = str_of(version->environment[i].name);
        variables[i].value = str_of(version->environment[i].value);
    }
    return variables;
}

int model_fetch(struct api *api, const struct version *version, struct str uri, bool is_look,
                void (*done)(void *arg, struct fetch_result *result), void *arg)
{
    AUTO_FREE struct role_variable *variables = variables_of(version);
    if (!variables)
        return -ENOMEM;
    const struct role_asker asker = {
        .role = version->role ? version->role : "",
        .variables = variables,
        .variable_count = version->n_environment,
    };
    const struct fetch_request request = {
        .uri = uri,
        .asker = &asker,
        .has_set = !is_look,
        .set = version_models_set(version),
        .is_look = is_look,
    };
    return fetcher_start(api->config.fetcher, &request, done, arg);
}

void model_fill(struct version *draft, const struct fetch_result *result)
{
    struct version_model *model = &draft->model;
    *model = (struct version_model){.has_tree = true, .bytes = result->bytes};
    memcpy(model->tree_id, result->tree_id.bytes, DIGEST_BYTES);
    memcpy(model->digest, result->digest.bytes, DIGEST_BYTES);
    (void) !str_copy(str_of(result->name), model->name, sizeof(model->name)); /* as long */
    (void) !str_copy(str_of(result->mark), model->mark, sizeof(model->mark)); /* the same */
}

bool model_is_transient(const struct fetch_result *result)
{
    return result->code == -EAGAIN || result->code == -EHOSTUNREACH || result->code == -ESTALE ||
           result->code == -EUCLEAN;
}

const char *model_reason_code(const struct fetch_result *result)
{
    switch (result->code) {
    case -EACCES:
        return "InsufficientRolePermissions";
    case -ENOSPC:
    case -ENOMEM:
    case -EIO:
        return "InternalError";
    default:
        return "InvalidConfiguration";
    }
}

void model_forget_other(struct version *draft, const struct version *before)
{
    const char *uri = version_model_uri(draft), *old = version_model_uri(before);
    if (uri && old && strcmp(uri, old) == 0)
        return;
    memset(&draft->model, 0, sizeof(draft->model));
    memset(&draft->previous_model, 0, sizeof(draft->previous_model));
    draft->refused_mark[0] = '\0';
}
