/* SPDX-License-Identifier: MIT */

#include "api/code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/function_layers.h"
#include "api/model.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store.h"

#define BEING_CREATED "The function is being created."

static int read_package(struct call *call, struct str hex, struct code_source *ret_source)
{
    if (call->zip)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Please do not provide other FunctionCode parameters when providing a "
                             "ZipFile.");
    if (digest_parse_hex(hex, &ret_source->package) < 0)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "LaminaPackage must be a SHA-256 in 64 lower-case hex digits");
    ret_source->is_package = true;
    return 0;
}

static int refuse_elsewhere(struct call *call, yyjson_val *object)
{
    static const char *const s3[] = {"S3Bucket", "S3Key", "S3ObjectVersion"};
    if (json_member(object, "ImageUri"))
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Please don't provide ImageUri when updating a function with "
                             "packageType Zip.");
    for (size_t i = 0; i < ARRAY_SIZE(s3); i++)
        if (json_member(object, s3[i]))
            return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                                 "%s is not available in this service yet: send the package as "
                                 "ZipFile.",
                                 s3[i]);
    return 0;
}

int code_source_read(struct call *call, yyjson_val *object, struct code_source *ret_source)
{
    struct code_source source = {.is_package = false};
    struct str hex;
    int r = refuse_elsewhere(call, object);
    if (r < 0)
        return r;
    r = json_member_str(object, "LaminaPackage", &hex);
    if (r == -EINVAL)
        return aws_error_set(&call->error, AWS_SERIALIZATION, "LaminaPackage must be a String");
    if (r == 0)
        r = read_package(call, hex, &source);
    else if (!call->zip)
        r = aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                          "Please provide a source for function code.");
    else if (store_file_bytes(call->zip) == 0)
        r = aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                          "Uploaded file must be a non-empty zip");
    else
        r = 0;
    if (r == 0)
        *ret_source = source;
    return r;
}

enum deploy_limits code_limits(const struct api *api)
{
    return api->config.limits == API_LIMITS_ENFORCE ? DEPLOY_LIMITS_ENFORCE : DEPLOY_LIMITS_OFF;
}

void code_warn(const struct api *api, const char *name, const struct deploy_result *result)
{
    if (api->config.limits != API_LIMITS_WARN)
        return;
    if (result->zip_bytes > LIMIT_ZIP_DIRECT_MAX || result->tree_bytes > LIMIT_ZIP_UNPACKED_MAX)
        log_warn("deploy.beyond_aws", "function=%s zip_bytes=%llu unzipped_bytes=%llu", name,
                 (unsigned long long) result->zip_bytes, (unsigned long long) result->tree_bytes);
}

/* The call waits in a deployment; who asked for it. */
struct deployment {
    struct call *call;
    void (*done)(struct call *call, struct deploy_result *result);
};

static void deployed(void *arg, struct deploy_result *result)
{
    struct deployment deployment = *(struct deployment *) arg;
    free(arg);
    deployment.done(deployment.call, result);
}

int code_deploy(struct call *call, const struct code_source *source,
                void (*done)(struct call *call, struct deploy_result *result))
{
    struct deploy_spec spec = {
        .zip = source->is_package ? NULL : call->zip,
        .package = source->is_package ? &source->package : NULL,
        .limits = code_limits(call->api),
    };
    struct deployment *deployment = mem_new(struct deployment);
    struct digest set;
    int r = -ENOMEM;
    if (source->version) {
        set = version_models_set(source->version);
        spec.models_set = &set;
    }
    if (deployment) {
        *deployment = (struct deployment){call, done};
        r = deploy_start(call->api->config.deploy, &spec, deployed, deployment);
    }
    if (r < 0) {
        free(deployment);
        return aws_error_set_reason(&call->error, AWS_TOO_MANY_REQUESTS, "CallerRateLimitExceeded",
                                    "Rate Exceeded.");
    }
    call->zip = NULL; /* the deployment's now */
    return 0;
}

int code_refused(struct call *call, const struct deploy_result *result)
{
    enum aws_error_code code = AWS_INVALID_PARAMETER_VALUE;
    switch (result->status) {
    case DEPLOY_OK:
        return 0;
    case DEPLOY_BAD_ZIP:
    case DEPLOY_UNZIPPED_TOO_LARGE:
    case DEPLOY_NO_PACKAGE:
        break;
    case DEPLOY_ZIP_TOO_LARGE:
        code = AWS_REQUEST_ENTITY_TOO_LARGE;
        break;
    case DEPLOY_NO_SPACE:
        return aws_error_set(&call->error, AWS_SERVICE, "The disk of this service is full.");
    case DEPLOY_INTERNAL:
        log_error("deploy.failed", "request=%s error=%s", call->request_id,
                  LOG_TEXT(result->err.text));
        return aws_error_set(&call->error, AWS_SERVICE,
                             "The deployment failed; the service's log names request %s.",
                             call->request_id);
    }
    return aws_error_set(&call->error, code, "%s", result->err.text);
}

struct model_fetching {
    struct call *call;
    void (*done)(struct call *call, struct fetch_result *result);
};

static void model_fetched(void *arg, struct fetch_result *result)
{
    struct model_fetching fetching = *(struct model_fetching *) arg;
    free(arg);
    fetching.done(fetching.call, result);
}

int code_fetch_model(struct call *call, const struct version *version,
                     void (*done)(struct call *call, struct fetch_result *result))
{
    struct model_fetching *fetching = mem_new(struct model_fetching);
    int r = -ENOMEM;
    if (fetching) {
        *fetching = (struct model_fetching){call, done};
        r = model_fetch(call->api, version, str_of(version_model_uri(version)), false,
                        model_fetched, fetching);
    }
    if (r < 0) {
        free(fetching);
        return aws_error_set_reason(&call->error, AWS_TOO_MANY_REQUESTS, "CallerRateLimitExceeded",
                                    "Rate Exceeded.");
    }
    return 0;
}

int code_model_refused(struct call *call, const struct fetch_result *result)
{
    if (result->code == 0)
        return 0;
    if (result->code == -EACCES)
        return aws_error_set(&call->error, AWS_ACCESS_DENIED, "MODEL_URI: %s", result->err.text);
    return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE, "MODEL_URI: %s",
                         result->err.text);
}

void code_fill(struct version *draft, const struct deploy_result *result)
{
    static const enum version_forking forking[] = {[MARK_NONE] = VERSION_FORKING_NONE,
                                                   [MARK_ABLE] = VERSION_FORKING_ABLE,
                                                   [MARK_ALWAYS] = VERSION_FORKING_ALWAYS};
    struct version_code *code = &draft->code;
    code->has_tree = true;
    memcpy(code->tree_id, result->tree_id.bytes, DIGEST_BYTES);
    memcpy(code->zip_sha256, result->zip_sha256.bytes, DIGEST_BYTES);
    code->zip_bytes = result->zip_bytes;
    code->tree_bytes = result->tree_bytes;
    code->forking = forking[result->mark];
}

int code_check_layers(struct call *call, const struct version *draft)
{
    struct error err = {0};
    if (function_layers_check_size(call->api, draft, &err) == 0)
        return 0;
    return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE, "%s", err.text);
}

void code_set_pending(struct version *draft)
{
    draft->state = VERSION_PENDING;
    version_set(draft, &draft->state_reason, BEING_CREATED);
    version_set(draft, &draft->state_reason_code, "Creating");
    draft->update = VERSION_UPDATE_NONE;
}

void code_set_in_progress(struct version *draft)
{
    draft->update = VERSION_UPDATE_IN_PROGRESS;
    version_set(draft, &draft->update_reason, BEING_CREATED);
    version_set(draft, &draft->update_reason_code, "Creating");
}

void code_set_active(struct version *draft)
{
    draft->state = VERSION_ACTIVE;
    draft->update = VERSION_UPDATE_SUCCESSFUL;
    version_set(draft, &draft->state_reason, NULL);
    version_set(draft, &draft->state_reason_code, NULL);
    version_set(draft, &draft->update_reason, NULL);
    version_set(draft, &draft->update_reason_code, NULL);
}

/* Measuring opens the file: a job. */
struct measuring {
    struct call *call;
    struct store *store;
    struct digest package;
    void (*done)(struct call *call, int status, uint64_t bytes);
    int status;
    uint64_t bytes;
};

static void measure(void *arg)
{
    struct measuring *measuring = arg;
    int fd;
    measuring->status =
        store_blob_open(measuring->store, &measuring->package, &fd, &measuring->bytes);
    if (measuring->status == 0)
        (void) close(fd); /* read-only: nothing to lose */
}

static void measured(void *arg, int status)
{
    AUTO_FREE struct measuring *measuring = arg;
    measuring->done(measuring->call, status < 0 ? status : measuring->status, measuring->bytes);
}

int code_measure(struct call *call, const struct digest *package,
                 void (*done)(struct call *call, int status, uint64_t bytes))
{
    struct measuring *measuring = mem_new(struct measuring);
    int r = -ENOMEM;
    if (measuring) {
        measuring->call = call;
        measuring->store = call->api->config.store;
        measuring->package = *package;
        measuring->done = done;
        r = job_submit(call->api->jobs, measure, measured, measuring);
    }
    if (r < 0) {
        free(measuring);
        return aws_error_set_reason(&call->error, AWS_TOO_MANY_REQUESTS, "CallerRateLimitExceeded",
                                    "Rate Exceeded.");
    }
    return 0;
}
