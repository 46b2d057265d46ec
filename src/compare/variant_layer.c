// SPDX-License-Identifier: MIT
//
// The model in a layer of the function's own name, the runtime in the function. A new model is a new
// version of the layer, and a change of the function's configuration that names it (claim L3).
#include "compare/variant.h"

#include <errno.h>
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
    struct package_options part = session->options->runtime;
    struct package *layer = &session->layer, *function = &session->package;

    package_done(layer);
    package_done(function);
    part.part = PACKAGE_LAYER;
    part.marker = marker;
    int r = package_build(session->options->path, &part, layer, err);
    if (r == -EINVAL && layer->handler[0] == '\0')
        return error_set(err, -ENOTSUP, "a layer is for a model; this is code of its own");
    part.part = PACKAGE_RUNTIME;
    part.marker = NULL;
    if (r == 0)
        r = package_build(session->options->path, &part, function, err);
    if (r < 0)
        return r;
    *ret_size = (struct strategy_size){
        .zip_bytes =
            layer->zip_bytes > function->zip_bytes ? layer->zip_bytes : function->zip_bytes,
        .unzipped_bytes = layer->unzipped_bytes + function->unzipped_bytes,
        .model_bytes = layer->model_bytes,
    };
    return 0;
}

static int publish(struct session *session, struct lambda_layer *ret, struct error *err)
{
    const struct lambda_code code = code_of(&session->layer);

    return lambda_publish_layer(session->client, session->name,
                                "made by lamina compare; deleted by it", &code, ret, err);
}

static int create(struct session *session, const struct lambda_settings *settings,
                  struct error *err)
{
    const struct lambda_code code = code_of(&session->package);
    struct lambda_settings with_layer = *settings;
    struct lambda_function function;
    struct lambda_layer layer;
    char handler[160];

    int r = publish(session, &layer, err);
    if (r < 0)
        return r;
    if (snprintf(handler, sizeof handler, "/opt/" PACKAGE_LAYER_FOLDER "%s",
                 session->package.handler) >= (int) sizeof handler)
        return error_set(err, -ENAMETOOLONG, "the model's file name is too long for a layer");
    with_layer.handler = handler;
    with_layer.layers[0] = layer.version_arn;
    with_layer.layer_count = 1;
    return lambda_create(session->client, session->name, &with_layer, &code, &function, err);
}

static int update(struct session *session, uint64_t *ret_bytes, struct error *err)
{
    struct lambda_function function;
    struct lambda_layer layer;

    *ret_bytes = session->layer.zip_bytes;
    int r = publish(session, &layer, err);
    if (r < 0)
        return r;
    const struct lambda_settings settings = {.layers = {layer.version_arn}, .layer_count = 1};
    return lambda_update_settings(session->client, session->name, &settings, &function, err);
}

static int remove_rest(struct client *client, const struct session *session, struct error *err)
{
    struct lambda_layer layer;
    int r = lambda_newest_layer(client, session->name, &layer, err);

    while (r == 0) {
        r = lambda_delete_layer(client, session->name, layer.version, err);
        if (r == 0)
            r = lambda_newest_layer(client, session->name, &layer, err);
    }
    if (r != -ENOENT)
        return r;
    error_clear(err);
    return 0;
}

const struct variant variant_layer = {
    .strategy = STRATEGY_LAYER,
    .build = build,
    .create = create,
    .update = update,
    .remove = remove_rest,
    .redeploys = true,
};
