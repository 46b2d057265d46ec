// SPDX-License-Identifier: MIT
#include "cli/deploy_job.h"

#include "base/base64.h"
#include "base/digest.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

static void on_upload(void *arg, uint64_t sent, uint64_t received)
{
    progress_move(arg, sent);
}

static struct lambda_code code_of(struct deploy_job *job)
{
    struct lambda_code code = {
        .fd = job->package.fd,
        .size = job->package.zip_bytes,
        .progress = on_upload,
        .progress_arg = &job->progress,
    };

    memcpy(code.sha256_hex, job->package.sha256_hex, sizeof code.sha256_hex);
    progress_start(&job->progress, job->cli->is_quiet, "uploading",
                   code.size <= LAMBDA_ZIP_INLINE_BYTES_MAX ? BASE64_ENCODED_SIZE(code.size)
                                                            : code.size);
    return code;
}

bool deploy_is_same_code(const struct deploy_job *job)
{
    char base64[DIGEST_BASE64_SIZE];
    struct digest digest;

    return digest_parse_hex(str_of(job->package.sha256_hex), &digest) == 0 &&
           strcmp(digest_base64(&digest, base64), job->function.code_sha256) == 0;
}

static bool is_other(const char *wanted, const char *present)
{
    return wanted != NULL && strcmp(wanted, present) != 0;
}

// Whether something was asked for that is not so already, as far as a configuration tells.
static bool are_settings_new(const struct deploy_job *job)
{
    const struct lambda_settings *to = &job->settings;
    const struct lambda_function *is = &job->function;

    return (to->memory_mb != 0 && to->memory_mb != is->memory_mb) ||
           (to->timeout_s != 0 && to->timeout_s != is->timeout_s) || to->tmp_mb != 0 ||
           to->role != NULL || to->description != NULL || to->has_variables ||
           is_other(to->runtime, is->runtime) || is_other(to->handler, is->handler) ||
           (to->layer_count > 0 &&
            (is->layer_count != 1 || strcmp(to->layers[0], is->layers[0]) != 0)) ||
           is_other(to->filesystem_arn, is->filesystem_arn);
}

static int wait_until_ready(struct deploy_job *job, struct error *err)
{
    unsigned wait_s = (unsigned) option_number(&job->cli->options, "wait", 300);

    return lambda_wait(job->client, job->name, wait_s * 1000, &job->function, err);
}

static int create(struct deploy_job *job, struct error *err)
{
    job->action = "created";
    deploy_add_defaults(job);
    const struct lambda_code code = code_of(job);
    int r = lambda_create(job->client, job->name, &job->settings, &code, &job->function, err);
    progress_end(&job->progress);
    return r < 0 ? r : wait_until_ready(job, err);
}

// Code first: while the new handler's name is not yet known the old code would not find it, and
// the other way round; a model that keeps its file name has no such moment.
static int update(struct deploy_job *job, struct error *err)
{
    bool is_new_code = !deploy_is_same_code(job);
    bool are_new_settings = are_settings_new(job);
    int r = 0;

    job->action = is_new_code || are_new_settings ? "updated" : "unchanged";
    if (is_new_code) {
        const struct lambda_code code = code_of(job);
        r = lambda_update_code(job->client, job->name, &code, &job->function, err);
        progress_end(&job->progress);
        if (r == 0)
            r = wait_until_ready(job, err);
    }
    if (r == 0 && are_new_settings) {
        r = lambda_update_settings(job->client, job->name, &job->settings, &job->function, err);
        if (r == 0)
            r = wait_until_ready(job, err);
    }
    return r;
}

// Of a function that is just being created or updated by somebody else, the end is awaited first.
int deploy_send(struct deploy_job *job, bool exists, struct error *err)
{
    int sent = deploy_send_layer(job, err);
    if (sent == 0)
        sent = deploy_send_model(job, err);
    if (sent == 0)
        sent = deploy_send_filesystem(job, err);
    if (sent < 0)
        return sent;
    if (!exists)
        return create(job, err);
    if (strcmp(job->function.state, "Failed") == 0)
        return error_set(err, -EBUSY,
                         "'%s' exists but could not be created (%s): delete it, then deploy again",
                         job->name, job->function.reason);
    int r = strcmp(job->function.state, "Pending") == 0 ||
                    strcmp(job->function.update_status, "InProgress") == 0
                ? wait_until_ready(job, err)
                : 0;
    return r < 0 ? r : update(job, err);
}
