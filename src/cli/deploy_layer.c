// SPDX-License-Identifier: MIT
//
// lamina deploy MODEL --strategy layer: the model goes into a layer, which has the model's name, and the
// function gets the runtime alone. A model that is the layer's newest version already is not published
// again, so functions that are deployed from one file share one layer.
#include "cli/deploy_job.h"

#include "base/digest.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

// The model is neither in the function's zip nor in a layer's.
static bool is_apart(const struct deploy_job *job)
{
    return job->strategy == STRATEGY_S3 || job->strategy == STRATEGY_FILESYSTEM;
}

int deploy_measure(struct deploy_job *job, const struct package_options *runtime, struct error *err)
{
    struct package_options part = *runtime;

    part.part = is_apart(job) ? PACKAGE_RUNTIME : PACKAGE_WHOLE;
    if (job->strategy != STRATEGY_LAYER)
        return package_measure(job->path, &part, &job->package, err);
    part.part = PACKAGE_LAYER;
    int r = package_measure(job->path, &part, &job->layer, err);
    part.part = PACKAGE_RUNTIME;
    if (r == 0)
        r = package_measure(job->path, &part, &job->package, err);
    if (r == 0)
        r = package_name(job->path, job->layer_name, err);
    if (r < 0)
        return r;
    if (snprintf(job->layer_handler, sizeof job->layer_handler, "/opt/" PACKAGE_LAYER_FOLDER "%s",
                 job->package.handler) >= (int) sizeof job->layer_handler)
        return error_set(err, -ENAMETOOLONG, "the model's file name is too long for a layer");
    return 0;
}

int deploy_build(struct deploy_job *job, const struct package_options *runtime, struct error *err)
{
    struct package_options part = *runtime;

    part.part = is_apart(job) ? PACKAGE_RUNTIME : PACKAGE_WHOLE;
    if (job->strategy != STRATEGY_LAYER)
        return package_build(job->path, &part, &job->package, err);
    part.part = PACKAGE_LAYER;
    int r = package_build(job->path, &part, &job->layer, err);
    part.part = PACKAGE_RUNTIME;
    return r < 0 ? r : package_build(job->path, &part, &job->package, err);
}

struct strategy_size deploy_size(const struct deploy_job *job)
{
    struct strategy_size size = deployment_size(&job->package);

    if (job->strategy != STRATEGY_LAYER)
        return size;
    // Each zip travels by itself; unpacked, the layer and the function count together.
    size.unzipped_bytes += job->layer.unzipped_bytes;
    size.model_bytes = job->layer.model_bytes;
    if (job->layer.zip_bytes > size.zip_bytes)
        size.zip_bytes = job->layer.zip_bytes;
    return size;
}

static bool is_published(const struct deploy_job *job)
{
    char base64[DIGEST_BASE64_SIZE];
    struct digest digest;

    return digest_parse_hex(str_of(job->layer.sha256_hex), &digest) == 0 &&
           strcmp(digest_base64(&digest, base64), job->layer_version.code_sha256) == 0;
}

int deploy_find_layer(struct deploy_job *job, struct error *err)
{
    if (job->strategy != STRATEGY_LAYER)
        return 0;
    int r = lambda_newest_layer(job->client, job->layer_name, &job->layer_version, err);
    if (r == -ENOENT) {
        error_clear(err);
        job->layer_version = (struct lambda_layer){0};
        r = 0;
    }
    job->is_layer_new = r == 0 && !is_published(job);
    job->settings.layers[0] = job->layer_version.version_arn;
    job->settings.layer_count = 1;
    return r;
}

int deploy_send_layer(struct deploy_job *job, struct error *err)
{
    struct lambda_code code = {
        .fd = job->layer.fd,
        .size = job->layer.zip_bytes,
    };

    if (job->strategy != STRATEGY_LAYER || !job->is_layer_new)
        return 0;
    memcpy(code.sha256_hex, job->layer.sha256_hex, sizeof code.sha256_hex);
    return lambda_publish_layer(job->client, job->layer_name, NULL, &code, &job->layer_version,
                                err);
}
