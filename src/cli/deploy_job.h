// SPDX-License-Identifier: MIT
//
// One run of `lamina deploy`: what was asked for, what is packaged, what the service has.
// cmd_deploy.c is the order of its steps; deploy_settings.c reads the command line; deploy_send.c talks to
// the service.
#ifndef LAMINA_CLI_DEPLOY_JOB_H
#define LAMINA_CLI_DEPLOY_JOB_H

#include "cli/deployment.h"
#include "cli/filesystem_target.h"
#include "cli/output.h"
#include "client/lambda.h"
#include "client/service.h"

#define DEPLOY_MOUNT "/mnt/models"
#define DEPLOY_REFRESH_S "2"

struct deploy_job {
    const struct cli *cli;
    const char *path;
    char name[65];
    enum strategy strategy;
    struct package package; // of the function
    struct package layer;   // STRATEGY_LAYER: of the layer
    char layer_name[65];
    char layer_handler[160];
    struct lambda_layer layer_version; // the newest, and what the function shall have
    bool is_layer_new;                 // it is to be published first
    struct client *client;
    struct service_limits limits;
    struct lambda_settings settings;
    struct lambda_variable variables[OPTION_LIST_MAX];
    char variable_names[OPTION_LIST_MAX][260];
    char role[128];
    char model_uri[2200]; // STRATEGY_S3
    struct {              // STRATEGY_FILESYSTEM
        struct filesystem_target target;
        char arn[200];
        char path[SPAWN_FILE_PATH_SIZE]; // of the model beneath the target's root
        char model_path[SPAWN_FILE_PATH_SIZE + sizeof DEPLOY_MOUNT];
        bool is_copied;
    } filesystem;
    struct progress progress;
    struct lambda_function function;
    const char *action;
    int64_t start_ns;
};

// deploy_settings.c: each takes a part of the command line. -EINVAL, -ENOTSUP with what to correct.
MUST_CHECK int deploy_take_strategy(struct deploy_job *job, struct error *err);
MUST_CHECK int deploy_take_variables(struct deploy_job *job, struct error *err);
MUST_CHECK int deploy_take_name(struct deploy_job *job, struct error *err);
// After package_measure: a model decides the handler.
void deploy_take_settings(struct deploy_job *job);
// Only for a function that does not exist yet: what was not said.
void deploy_add_defaults(struct deploy_job *job);

// deploy_layer.c: what is packaged, by strategy; and the layer's part of the way.
MUST_CHECK int deploy_measure(struct deploy_job *job, const struct package_options *runtime,
                              struct error *err);
MUST_CHECK int deploy_build(struct deploy_job *job, const struct package_options *runtime,
                            struct error *err);
struct strategy_size deploy_size(const struct deploy_job *job);
MUST_CHECK int deploy_find_layer(struct deploy_job *job, struct error *err);
MUST_CHECK int deploy_send_layer(struct deploy_job *job, struct error *err);

// deploy_s3.c: MODEL_URI, after deploy_take_name; the upload of a model that is a file here.
#define DEPLOY_BUCKET "lamina-models"
bool deploy_is_uri(const struct deploy_job *job);
MUST_CHECK int deploy_take_uri(struct deploy_job *job, struct error *err);
MUST_CHECK int deploy_send_model(struct deploy_job *job, struct error *err);

// deploy_filesystem.c: MODEL_PATH and FileSystemConfigs, after deploy_take_name; the copy of a model that lies elsewhere,
// and a file system when there is none for it; then the ARN.
MUST_CHECK int deploy_take_filesystem(struct deploy_job *job, struct error *err);
MUST_CHECK int deploy_send_filesystem(struct deploy_job *job, struct error *err);

// deploy_send.c: creates the function or updates it, and waits until it is ready. exists: whether
// job->function is what the service has.
MUST_CHECK int deploy_send(struct deploy_job *job, bool exists, struct error *err);
bool deploy_is_same_code(const struct deploy_job *job);

#endif
