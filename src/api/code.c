/* SPDX-License-Identifier: MIT */

#include "api/code.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/function_layers.h"
#include "api/model.h"
#include "api/rights.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "function/catalog.h"
#include "function/layer.h"
#include "store/store.h"

#define BEING_CREATED "The function is being created."

/* Whose package is that? Its name is no secret (CodeSha256), and who deploys it can read it. */
struct package_search {
    struct call *call;
    const struct digest *digest;
    bool is_allowed; /* the caller may read one function or layer that has it */
    int refused;     /* or that was refused: the call's error says which */
};

static void look(struct package_search *search, const uint8_t *zip_sha256,
                 int (*check)(struct call *call, const void *of), const void *of)
{
    if (search->is_allowed || memcmp(zip_sha256, search->digest->bytes, DIGEST_BYTES) != 0)
        return;
    int r = check(search->call, of);
    search->is_allowed = r == 0;
    search->refused = r;
}

static int check_version(struct call *call, const void *of)
{
    const struct version *version = of;
    return rights_check_code(call, str_of(version->name));
}

static int check_layer_version(struct call *call, const void *of)
{
    const struct layer_version *version = of;
    return rights_check_layer(call, version->name, version->number);
}

static void look_at_version(void *arg, const struct version *version)
{
    look(arg, version->code.zip_sha256, check_version, version);
}

static void look_at_layer(void *arg, const struct layer_version *version)
{
    look(arg, version->zip_sha256, check_layer_version, version);
}

static int may_take(struct call *call, const struct digest *digest)
{
    struct package_search search = {.call = call, .digest = digest};
    if (rights_are_all(call))
        return 0;
    catalog_each_version(call->api->config.catalog, look_at_version, &search);
    layers_each_version(call->api->config.layers, look_at_layer, &search);
    return search.is_allowed ? 0 : search.refused;
}

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
    return may_take(call, &ret_source->package);
}

static int refuse_image(struct call *call, yyjson_val *object)
{
    if (json_member(object, "ImageUri"))
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Please don't provide ImageUri when updating a function with "
                             "packageType Zip.");
    return 0;
}

/* ---- S3Bucket, S3Key, S3ObjectVersion */

static bool is_object_named(yyjson_val *object)
{
    return json_member(object, "S3Bucket") || json_member(object, "S3Key") ||
           json_member(object, "S3ObjectVersion");
}

static int may_read(struct call *call, const struct s3_uri *uri)
{
    char arn[S3_ARN_SIZE];
    s3_uri_arn(uri, arn);
    return rights_may(call, uri->version_id.size ? "s3:GetObjectVersion" : "s3:GetObject",
                      str_of(arn));
}

static int read_object(struct call *call, yyjson_val *object, struct code_source *ret_source)
{
    struct str bucket = json_str(json_member(object, "S3Bucket"));
    struct str key = json_str(json_member(object, "S3Key"));
    struct str version = json_str(json_member(object, "S3ObjectVersion"));
    struct s3_uri uri;
    struct error err = {0};
    if (call->zip || json_member(object, "LaminaPackage"))
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Please do not provide other FunctionCode parameters when providing a "
                             "ZipFile.");
    if (bucket.size == 0 || key.size == 0)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE,
                             "Please provide both S3Bucket and S3Key.");
    int n = snprintf(ret_source->uri, sizeof(ret_source->uri), "s3://%.*s/%.*s%s%.*s",
                     (int) bucket.size, bucket.data, (int) key.size, key.data,
                     version.size ? "?versionId=" : "", (int) version.size,
                     version.size ? version.data : "");
    if (n < 0 || (size_t) n >= sizeof(ret_source->uri) ||
        s3_uri_parse(str_of(ret_source->uri), &uri, &err) < 0 || uri.is_prefix)
        return aws_error_set(&call->error, AWS_INVALID_PARAMETER_VALUE, "S3Bucket, S3Key: %s",
                             err.code ? err.text : "no object's name");
    ret_source->is_object = true;
    return may_read(call, &uri);
}

int code_source_read(struct call *call, yyjson_val *object, struct code_source *ret_source)
{
    struct code_source source = {.is_package = false};
    struct str hex;
    int r = refuse_image(call, object);
    if (r == 0 && is_object_named(object)) {
        r = read_object(call, object, &source);
        if (r == 0)
            *ret_source = source;
        return r;
    }
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
    struct store_pin *pin; /* of an object that was fetched for it */
    bool has_set;
    struct digest set;
    void (*done)(struct call *call, struct deploy_result *result);
};

static void deployed(void *arg, struct deploy_result *result)
{
    struct deployment *deployment = arg;
    deployment->done(deployment->call, result);
    store_unpin(deployment->pin);
    free(deployment);
}

static int deployment_start(struct deployment *deployment, const struct deploy_spec *code)
{
    struct deploy_spec spec = *code;
    spec.limits = code_limits(deployment->call->api);
    spec.models_set = deployment->has_set ? &deployment->set : NULL;
    return deploy_start(deployment->call->api->config.deploy, &spec, deployed, deployment);
}

/* "s3://b/k: NoSuchKey: The specified key does not exist" in the words of AWS's Lambda. */
static void object_refused(const struct fetch_result *fetched, struct deploy_result *result)
{
    struct str rest, code, message;
    struct str text = str_of(fetched->err.text);
    ptrdiff_t at = str_has_prefix(text, STR("s3://")) ? str_find(str_skip(text, 5), ' ') : -1;
    result->status = fetched->code == -ENOSPC ? DEPLOY_NO_SPACE : DEPLOY_BAD_ZIP;
    rest = at < 0 ? text : str_trim(str_skip(text, (size_t) at + 5));
    if (!str_cut(rest, ':', &code, &message)) {
        error_set(&result->err, fetched->code, "Error occurred while GetObject. " STR_FORMAT,
                  STR_ARGUMENTS(text));
        return;
    }
    message = str_trim(message);
    error_set(&result->err, fetched->code,
              "Error occurred while GetObject. S3 Error Code: " STR_FORMAT
              ". S3 Error Message: " STR_FORMAT,
              STR_ARGUMENTS(code), STR_ARGUMENTS(message));
}

static void object_fetched(void *arg, struct fetch_result *fetched)
{
    struct deployment *deployment = arg;
    struct deploy_result result = {0};
    const struct deploy_spec spec = {.package = &fetched->digest};
    if (fetched->code < 0) {
        object_refused(fetched, &result);
    } else if (fetched->bytes == 0) {
        result.status = DEPLOY_BAD_ZIP;
        error_set(&result.err, -EINVAL, "Uploaded file must be a non-empty zip");
    } else {
        deployment->pin = TAKE_PTR(fetched->pin);
        if (deployment_start(deployment, &spec) == 0)
            return;
        result.status = DEPLOY_INTERNAL;
        error_set(&result.err, -EAGAIN, "too many deployments wait");
    }
    deployed(deployment, &result);
}

int code_deploy(struct call *call, const struct code_source *source,
                void (*done)(struct call *call, struct deploy_result *result))
{
    const struct deploy_spec spec = {
        .zip = source->is_package ? NULL : call->zip,
        .package = source->is_package ? &source->package : NULL,
    };
    const struct fetch_request object = {
        .uri = str_of(source->uri)}; /* the caller's rights were asked */
    struct deployment *deployment = mem_new(struct deployment);
    int r = -ENOMEM;
    if (deployment) {
        *deployment = (struct deployment){.call = call, .done = done};
        deployment->has_set = source->version != NULL;
        if (source->version)
            deployment->set = version_models_set(source->version);
        r = source->is_object
                ? fetcher_start(call->api->config.fetcher, &object, object_fetched, deployment)
                : deployment_start(deployment, &spec);
    }
    if (r < 0) {
        free(deployment);
        return aws_error_set_reason(&call->error, AWS_TOO_MANY_REQUESTS, "CallerRateLimitExceeded",
                                    "Rate Exceeded.");
    }
    if (!source->is_object)
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
        r = model_fetch(call->api, version, false, model_fetched, fetching);
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
    return aws_error_set(&call->error,
                         result->code == -EACCES && !result->is_file ? AWS_ACCESS_DENIED
                                                                     : AWS_INVALID_PARAMETER_VALUE,
                         "%s: %s", model_variable(result), result->err.text);
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
