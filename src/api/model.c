/* SPDX-License-Identifier: MIT */

#include "api/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "filesystem/filesystems.h"
#include "role/roles.h"
#include "wire/filesystem.h"

static struct role_variable *variables_of(const struct version *version)
{
    struct role_variable *variables = calloc(version->n_environment + 1, sizeof(*variables));
    for (size_t i = 0; variables && i < version->n_environment; i++) {
        variables[i].name = str_of(version->environment[i].name);
        variables[i].value = str_of(version->environment[i].value);
    }
    return variables;
}

/* Nothing is made while looking: the access point's directory is, when an instance starts. */
static int place_of(const struct api *api, const struct version *version, struct file_place *place,
                    struct error *err)
{
    struct filesystem_use use;
    *place = (struct file_place){0};
    if (str_copy(str_of(version_model_file(version)), place->path, sizeof(place->path)) < 0)
        return error_set(err, -ENAMETOOLONG, "the model's path is longer than %d bytes",
                         SPAWN_FILE_PATH_SIZE - 1);
    if (!filesystems_are_known(api->config.filesystems))
        return error_set(err, -EAGAIN, "the file systems are not known yet");
    int r = filesystems_resolve(api->config.filesystems, version->role,
                                str_of(version->filesystem.arn), &use, err);
    if (r < 0)
        return r;
    use.has_creation = false;
    filesystem_use_to_wire(&use, "", &place->use);
    return 0;
}

static int file_fetch(struct api *api, const struct version *version, bool is_look,
                      void (*done)(void *arg, struct fetch_result *result), void *arg)
{
    struct file_place place;
    struct error refusal = {0};
    int r = place_of(api, version, &place, &refusal);
    const struct fetch_request request = {
        .place = &place,
        .refusal = r < 0 ? &refusal : NULL,
        .has_set = !is_look,
        .set = version_models_set(version),
        .is_look = is_look,
    };
    return fetcher_start(api->config.fetcher, &request, done, arg);
}

int model_fetch(struct api *api, const struct version *version, bool is_look,
                void (*done)(void *arg, struct fetch_result *result), void *arg)
{
    if (version_model_file(version))
        return file_fetch(api, version, is_look, done, arg);
    AUTO_FREE struct role_variable *variables = variables_of(version);
    if (!variables)
        return -ENOMEM;
    const struct role_asker asker = {
        .role = version->role ? version->role : "",
        .variables = variables,
        .variable_count = version->n_environment,
    };
    const struct fetch_request request = {
        .uri = str_of(version_model_uri(version)),
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
    *model = (struct version_model){.has_tree = !result->is_in_place,
                                    .is_in_place = result->is_in_place,
                                    .bytes = result->bytes};
    if (result->is_in_place)
        return;
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

/* The names of lambda's StateReasonCode. */
static const char *file_reason_code(const struct fetch_result *result)
{
    switch (spawn_filesystem_failure((uint32_t) -result->code)) {
    case SPAWN_FILESYSTEM_CONNECTIVITY:
        return "EFSMountConnectivityError";
    case SPAWN_FILESYSTEM_TIMEOUT:
        return "EFSMountTimeout";
    case SPAWN_FILESYSTEM_IO:
        return "EFSIOError";
    default:
        return "EFSMountFailure";
    }
}

const char *model_variable(const struct fetch_result *result)
{
    return result->is_file ? "The model on the file system" : "MODEL_URI";
}

const char *model_reason_code(const struct fetch_result *result)
{
    if (result->code == -ENOSPC || result->code == -ENOMEM)
        return "InternalError";
    if (result->is_file)
        return file_reason_code(result);
    switch (result->code) {
    case -EACCES:
        return "InsufficientRolePermissions";
    case -EIO:
        return "InternalError";
    default:
        return "InvalidConfiguration";
    }
}

void model_forget_other(struct version *draft, const struct version *before)
{
    if (version_is_same_model_source(draft, before))
        return;
    memset(&draft->model, 0, sizeof(draft->model));
    memset(&draft->previous_model, 0, sizeof(draft->previous_model));
    draft->refused_mark[0] = '\0';
}
