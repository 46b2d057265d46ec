// SPDX-License-Identifier: MIT
#include "compare/variant.h"

#include <string.h>

static struct lambda_code code_of(const struct package *package)
{
    struct lambda_code code = {.fd = package->fd, .size = package->zip_bytes};

    memcpy(code.sha256_hex, package->sha256_hex, sizeof code.sha256_hex);
    return code;
}

static int build(struct session *session, const char *marker, struct strategy_size *ret_size,
                 struct error *err)
{
    struct package_options runtime = session->options->runtime;
    struct package *package = &session->package;

    runtime.marker = marker;
    package_done(package);
    int r = package_build(session->options->path, &runtime, package, err);
    if (r == 0)
        *ret_size = (struct strategy_size){.zip_bytes = package->zip_bytes,
                                           .unzipped_bytes = package->unzipped_bytes,
                                           .model_bytes = package->model_bytes};
    return r;
}

static int create(struct session *session, const struct lambda_settings *settings,
                  struct error *err)
{
    const struct lambda_code code = code_of(&session->package);
    struct lambda_function function;

    return lambda_create(session->client, session->name, settings, &code, &function, err);
}

static int update(struct session *session, uint64_t *ret_bytes, struct error *err)
{
    const struct lambda_code code = code_of(&session->package);
    struct lambda_function function;

    *ret_bytes = code.size;
    return lambda_update_code(session->client, session->name, &code, &function, err);
}

static int remove_rest(struct client *client, const struct session *session, struct error *err)
{
    return 0; // all of it was the function's
}

const struct variant variant_package = {
    .strategy = STRATEGY_PACKAGE,
    .build = build,
    .create = create,
    .update = update,
    .remove = remove_rest,
    .redeploys = true,
};
