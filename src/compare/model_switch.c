// SPDX-License-Identifier: MIT
//
// What the strategies s3 and filesystem share: the model lies beside the function, and a new one is taken up by the service
// itself (MODEL_REFRESH_S=1).
#include "compare/variant.h"

#include "base/clock.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIELD_DOC_STRING 0x32 // of ModelProto: 6, length-delimited; the last one counts
#define POLL_US 20000u
#define SWITCH_TIMEOUT_MS 120000

const char *variant_file_name(const struct session *session)
{
    const char *slash = strrchr(session->options->path, '/');
    return slash != NULL ? slash + 1 : session->options->path;
}

int variant_build_runtime(struct session *session, const char *marker,
                          struct strategy_size *ret_size, struct error *err)
{
    const char *strategy = strategy_name(session->variant->strategy);
    struct package_options part = session->options->runtime;
    struct stat st;

    package_done(&session->package);
    part.part = PACKAGE_RUNTIME;
    int r = package_build(session->options->path, &part, &session->package, err);
    if (r == -EINVAL)
        return error_set(err, -ENOTSUP, "the strategy %s is for a model; this is code of its own",
                         strategy);
    if (r < 0)
        return r;
    if (stat(session->options->path, &st) < 0 || !S_ISREG(st.st_mode))
        return error_set(err, -ENOTSUP, "the strategy %s is measured with one model file",
                         strategy);
    snprintf(session->marker, sizeof session->marker, "%s", marker != NULL ? marker : "");
    *ret_size = (struct strategy_size){
        .zip_bytes = session->package.zip_bytes,
        .unzipped_bytes = session->package.unzipped_bytes,
        .model_bytes = (uint64_t) st.st_size,
    };
    return 0;
}

size_t variant_marker_bytes(const struct session *session, char bytes[VARIANT_MARKER_MAX])
{
    size_t size = strlen(session->marker);
    const char *name = variant_file_name(session);
    bool is_onnx = strlen(name) > 5 && strcmp(name + strlen(name) - 5, ".onnx") == 0;

    if (size == 0 || size > VARIANT_MARKER_MAX - 2 || !is_onnx)
        return 0;
    bytes[0] = FIELD_DOC_STRING;
    bytes[1] = (char) size;
    memcpy(bytes + 2, session->marker, size);
    return size + 2;
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

int variant_wait_serving(struct session *session, const char *hex, struct error *err)
{
    int64_t give_up_ms = clock_monotonic_ms() + SWITCH_TIMEOUT_MS;
    int r;

    while ((r = is_serving(session, hex, err)) == 0) {
        if (clock_monotonic_ms() > give_up_ms)
            return error_set(err, -ETIMEDOUT, "the new model was not taken up");
        usleep(POLL_US);
    }
    return r < 0 ? r : 0;
}
