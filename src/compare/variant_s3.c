// SPDX-License-Identifier: MIT
//
// The model in the service's own object store, the runtime in the function, MODEL_URI between them. A new
// model is an upload under the same key: the service notices it (MODEL_REFRESH_S), warms it beside the
// old one and switches; the function is not deployed again (claim O3).
#include "compare/variant.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "client/object.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIELD_DOC_STRING 0x32 // of ModelProto: 6, length-delimited; the last one counts
#define POLL_US 20000u
#define SWITCH_TIMEOUT_MS 120000

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static int build(struct session *session, const char *marker, struct strategy_size *ret_size,
                 struct error *err)
{
    struct package_options part = session->options->runtime;
    struct stat st;

    package_done(&session->package);
    part.part = PACKAGE_RUNTIME;
    int r = package_build(session->options->path, &part, &session->package, err);
    if (r == -EINVAL)
        return error_set(err, -ENOTSUP, "the strategy s3 is for a model; this is code of its own");
    if (r < 0)
        return r;
    if (stat(session->options->path, &st) < 0 || !S_ISREG(st.st_mode))
        return error_set(err, -ENOTSUP, "the strategy s3 is measured with one model file");
    snprintf(session->marker, sizeof session->marker, "%s", marker != NULL ? marker : "");
    *ret_size = (struct strategy_size){
        .zip_bytes = session->package.zip_bytes,
        .unzipped_bytes = session->package.unzipped_bytes,
        .model_bytes = (uint64_t) st.st_size,
    };
    return 0;
}

// Another digest, the same model: an ONNX file may say a second time what it is for.
static size_t marker_bytes(const struct session *session, char bytes[80])
{
    size_t size = strlen(session->marker);
    const char *name = file_name(session->options->path);
    bool is_onnx = strlen(name) > 5 && strcmp(name + strlen(name) - 5, ".onnx") == 0;

    if (size == 0 || size > 64 || !is_onnx)
        return 0;
    bytes[0] = FIELD_DOC_STRING;
    bytes[1] = (char) size;
    memcpy(bytes + 2, session->marker, size);
    return size + 2;
}

static int upload(struct session *session, char hex[65], uint64_t *ret_bytes, struct error *err)
{
    const char *path = session->options->path;
    char more[80];
    struct stat st;

    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set_errno(err, -errno, "open '%s'", path);
    const struct object_upload object = {.fd = fd,
                                         .size = (uint64_t) st.st_size,
                                         .more = more,
                                         .more_size = marker_bytes(session, more)};
    *ret_bytes = object.size + object.more_size;
    return object_put(session->client, session->name, file_name(path), &object, hex, err);
}

static int create(struct session *session, const struct lambda_settings *settings,
                  struct error *err)
{
    struct lambda_code code = {.fd = session->package.fd, .size = session->package.zip_bytes};
    struct lambda_settings with_uri = *settings;
    struct lambda_function function;
    char uri[1200], hex[65];
    uint64_t bytes;

    memcpy(code.sha256_hex, session->package.sha256_hex, sizeof code.sha256_hex);
    if (snprintf(uri, sizeof uri, "s3://%s/%s", session->name, file_name(session->options->path)) >=
        (int) sizeof uri)
        return error_set(err, -ENAMETOOLONG, "the model's file name is too long");
    const struct lambda_variable variables[] = {{"MODEL_URI", uri}, {"MODEL_REFRESH_S", "1"}};
    with_uri.has_variables = true;
    with_uri.variables = variables;
    with_uri.variable_count = 2;
    int r = bucket_make(session->client, session->name, err);
    if (r == 0)
        r = upload(session, hex, &bytes, err);
    return r < 0 ? r
                 : lambda_create(session->client, session->name, &with_uri, &code, &function, err);
}

// 1: it answers with this model.
static int is_serving(struct session *session, const char *hex, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    char path[128];
    snprintf(path, sizeof path, "/lamina/v1/functions/%s", session->name);
    int r = service_get(session->client, path, NULL, "look at the model", &doc, err);
    if (r < 0)
        return r;
    struct str is = json_str(json_member(json_member(yyjson_doc_get_root(doc), "model"), "sha256"));
    return str_equal_text(is, hex);
}

static int update(struct session *session, uint64_t *ret_bytes, struct error *err)
{
    int64_t give_up_ms = clock_monotonic_ms() + SWITCH_TIMEOUT_MS;
    char hex[65];
    int r = upload(session, hex, ret_bytes, err);

    while (r == 0) {
        r = is_serving(session, hex, err);
        if (r != 0)
            return r < 0 ? r : 0;
        if (clock_monotonic_ms() > give_up_ms)
            return error_set(err, -ETIMEDOUT, "the new model was not taken up");
        usleep(POLL_US);
    }
    return r;
}

static int remove_rest(struct client *client, const struct session *session, struct error *err)
{
    int r = object_delete(client, session->name, file_name(session->options->path), err);
    if (r == 0 || r == -ENOENT)
        r = bucket_delete(client, session->name, err);
    if (r != -ENOENT)
        return r;
    error_clear(err);
    return 0;
}

const struct variant variant_s3 = {
    .strategy = STRATEGY_S3,
    .build = build,
    .create = create,
    .update = update,
    .remove = remove_rest,
    .redeploys = false,
};
