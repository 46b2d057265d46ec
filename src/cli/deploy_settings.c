// SPDX-License-Identifier: MIT
#include "cli/deploy_job.h"

#include "base/limits.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

int deploy_take_variables(struct deploy_job *job, struct error *err)
{
    const struct option_set *set = &job->cli->options;

    for (size_t i = 0; i < set->list_count; i++) {
        struct str name, value;
        if (!str_cut(str_of(set->list[i]), '=', &name, &value) || name.size == 0)
            return error_set(err, -EINVAL, "--env takes NAME=VALUE, not '%.60s'", set->list[i]);
        if (str_copy(name, job->variable_names[i], sizeof job->variable_names[i]) < 0)
            return error_set(err, -EINVAL, "--env: a name is too long");
        job->variables[i] =
            (struct lambda_variable){job->variable_names[i], value.data != NULL ? value.data : ""};
    }
    job->settings.has_variables = set->list_count > 0;
    job->settings.variables = job->variables;
    job->settings.variable_count = set->list_count;
    return 0;
}

int deploy_take_name(struct deploy_job *job, struct error *err)
{
    const char *name = option_text(&job->cli->options, "name", NULL);

    if (name == NULL)
        return package_name(job->path, job->name, err);
    if (str_copy(str_of(name), job->name, sizeof job->name) < 0 || name[0] == '\0')
        return error_set(err, -EINVAL, "--name takes 1 to %d characters", LIMIT_FUNCTION_NAME_MAX);
    return 0;
}

int deploy_take_strategy(struct deploy_job *job, struct error *err)
{
    const char *name = option_text(&job->cli->options, "strategy", NULL);

    if (name == NULL && strncmp(job->path, "s3://", 5) == 0)
        name = "s3";
    if (name == NULL)
        return 0;
    job->strategy = (enum strategy) strategy_find(name); // the option allows no other names
    if (deploy_is_uri(job) && job->strategy != STRATEGY_S3)
        return error_set(err, -EINVAL, "'%.80s' is deployed by the strategy s3", job->path);
    if (job->strategy == STRATEGY_PACKAGE || job->strategy == STRATEGY_LAYER ||
        job->strategy == STRATEGY_S3 || job->strategy == STRATEGY_FILESYSTEM)
        return 0;
    return error_set(
        err, -ENOTSUP,
        "the strategy '%s' is not built yet: this version deploys by 'package' (the "
        "model in the function's zip), 'layer' (the model in a layer), 's3' (the model "
        "in an object store) and 'filesystem' (the model on a mounted file system)",
        name);
}

void deploy_take_settings(struct deploy_job *job)
{
    const struct option_set *set = &job->cli->options;
    struct lambda_settings *to = &job->settings;

    to->memory_mb = (unsigned) option_number(set, "memory", 0);
    to->timeout_s = (unsigned) option_number(set, "timeout", 0);
    to->tmp_mb = (unsigned) option_number(set, "tmp", 0);
    to->handler = option_text(set, "handler", NULL);
    to->runtime = option_text(set, "runtime", NULL);
    to->role = option_text(set, "role", NULL);
    to->description = option_text(set, "description", NULL);
    // A model's name is what the built-in runtime finds it by: it goes along with every code.
    if (to->handler == NULL && job->package.handler[0] != '\0')
        to->handler = job->strategy == STRATEGY_LAYER ? job->layer_handler : job->package.handler;
}

void deploy_add_defaults(struct deploy_job *job)
{
    struct lambda_settings *to = &job->settings;
    bool is_model = job->package.handler[0] != '\0';

    if (to->runtime == NULL)
        to->runtime = "provided.al2023";
    if (to->handler == NULL)
        to->handler = "bootstrap";
    if (to->memory_mb == 0 && is_model)
        to->memory_mb = DEPLOYMENT_MODEL_MEMORY_MB;
    if (to->timeout_s == 0 && is_model)
        to->timeout_s = DEPLOYMENT_MODEL_TIMEOUT_S;
    if (to->role == NULL) {
        snprintf(job->role, sizeof job->role, "arn:aws:iam::%s:role/lamina",
                 job->limits.account_id);
        to->role = job->role;
    }
}
