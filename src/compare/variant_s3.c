// SPDX-License-Identifier: MIT
//
// The model in the service's own object store, the runtime in the function, MODEL_URI between them. A new
// model is an upload under the same key: the service notices it (MODEL_REFRESH_S), warms it beside the
// old one and switches; the function is not deployed again (claim O3).
#include "compare/variant.h"

#include "base/fd.h"
#include "client/object.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int upload(struct session *session, char hex[65], uint64_t *ret_bytes, struct error *err)
{
    const char *path = session->options->path;
    char more[VARIANT_MARKER_MAX];
    struct stat st;

    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set_errno(err, -errno, "open '%s'", path);
    const struct object_upload object = {.fd = fd,
                                         .size = (uint64_t) st.st_size,
                                         .more = more,
                                         .more_size = variant_marker_bytes(session, more)};
    *ret_bytes = object.size + object.more_size;
    return object_put(session->client, session->name, variant_file_name(session), &object, hex,
                      err);
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
    if (snprintf(uri, sizeof uri, "s3://%s/%s", session->name, variant_file_name(session)) >=
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

static int update(struct session *session, uint64_t *ret_bytes, struct error *err)
{
    char hex[65];
    int r = upload(session, hex, ret_bytes, err);
    return r < 0 ? r : variant_wait_serving(session, hex, err);
}

static int remove_rest(struct client *client, const struct session *session, struct error *err)
{
    int r = object_delete(client, session->name, variant_file_name(session), err);
    if (r == 0 || r == -ENOENT)
        r = bucket_delete(client, session->name, err);
    if (r != -ENOENT)
        return r;
    error_clear(err);
    return 0;
}

const struct variant variant_s3 = {
    .strategy = STRATEGY_S3,
    .build = variant_build_runtime,
    .create = create,
    .update = update,
    .remove = remove_rest,
    .redeploys = false,
};
