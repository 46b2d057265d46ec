// SPDX-License-Identifier: MIT
//
// The strategy s3: the model stays in an object store, the function gets the runtime alone and
// MODEL_URI. `lamina deploy s3://bucket/key` names what is there; `lamina deploy model.onnx --strategy s3`
// uploads the file to the service's own store first, as s3://lamina-models/<name>/<file>.
#include "cli/deploy_job.h"

#include "client/object.h"

#include "base/fd.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool deploy_is_uri(const struct deploy_job *job)
{
    return strncmp(job->path, "s3://", 5) == 0;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

int deploy_take_uri(struct deploy_job *job, struct error *err)
{
    int n = deploy_is_uri(job)
                ? snprintf(job->model_uri, sizeof job->model_uri, "%s", job->path)
                : snprintf(job->model_uri, sizeof job->model_uri, "s3://" DEPLOY_BUCKET "/%s/%s",
                           job->name, file_name(job->path));

    if (n < 0 || (size_t) n >= sizeof job->model_uri)
        return error_set(err, -ENAMETOOLONG, "the model's URI is too long");
    if (job->settings.variable_count == OPTION_LIST_MAX)
        return error_set(err, -EINVAL, "--env: too many variables");
    job->variables[job->settings.variable_count++] =
        (struct lambda_variable){"MODEL_URI", job->model_uri};
    job->settings.has_variables = true;
    return 0;
}

static void on_upload(void *arg, uint64_t sent, uint64_t received)
{
    progress_move(arg, sent);
}

int deploy_send_model(struct deploy_job *job, struct error *err)
{
    struct stat st;
    char key[200];

    if (job->strategy != STRATEGY_S3 || deploy_is_uri(job))
        return 0;
    AUTO_FD int fd = open(job->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set_errno(err, -errno, "open '%s'", job->path);
    const struct object_upload upload = {.fd = fd,
                                         .size = (uint64_t) st.st_size,
                                         .progress = on_upload,
                                         .progress_arg = &job->progress};
    (void) snprintf(key, sizeof key, "%s/%s", job->name, file_name(job->path));
    int r = bucket_make(job->client, DEPLOY_BUCKET, err);
    if (r < 0)
        return r;
    progress_start(&job->progress, job->cli->is_quiet, "uploading", upload.size);
    r = object_put(job->client, DEPLOY_BUCKET, key, &upload, NULL, err);
    progress_end(&job->progress);
    return r;
}
