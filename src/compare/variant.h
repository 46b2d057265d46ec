// SPDX-License-Identifier: MIT
//
// A strategy as compare deploys it: what is built of the model, how the function is made under its
// temporary name, how a new model reaches it, and what is left to remove.
//
//   build ─► create ─► (measured) ─► update, update, ... ─► remove
//
// One file a strategy: variant_package.c, variant_layer.c, variant_s3.c, variant_filesystem.c. compare.c goes through the table below.
// Internal to compare/.
#ifndef LAMINA_COMPARE_VARIANT_H
#define LAMINA_COMPARE_VARIANT_H

#include "client/service.h"
#include "compare/session.h"

struct variant {
    enum strategy strategy;
    // Makes session->package (and what else it needs) of the model, with `marker` or NULL: another digest, same
    // function. Sets the sizes of *ret_size. -ENOTSUP: not of this kind of code; the text says so.
    int (*build)(struct session *session, const char *marker, struct strategy_size *ret_size,
                 struct error *err);
    // Sends what was built and makes the function; must not be interrupted.
    int (*create)(struct session *session, const struct lambda_settings *settings,
                  struct error *err);
    // Sends what was built to the function that is there. *ret_bytes: how many went.
    int (*update)(struct session *session, uint64_t *ret_bytes, struct error *err);
    // Beyond the function itself: what it used. Called with a client that no interrupt ends.
    int (*remove)(struct client *client, const struct session *session, struct error *err);
    bool redeploys; // a new model means deploying the function again (claims P4, L3)
};

extern const struct variant variant_package;
extern const struct variant variant_layer;
extern const struct variant variant_s3;
extern const struct variant variant_filesystem;

// model_switch.c: of those whose model lies beside the function, in one file. build makes the runtime's package and keeps
// the marker; its bytes behind an ONNX file make another digest and the same model.
const char *variant_file_name(const struct session *session);
MUST_CHECK int variant_build_runtime(struct session *session, const char *marker,
                                     struct strategy_size *ret_size, struct error *err);
#define VARIANT_MARKER_MAX 80
size_t variant_marker_bytes(const struct session *session, char bytes[VARIANT_MARKER_MAX]);
// Until the service says that the function answers with the model of this digest.
MUST_CHECK int variant_wait_serving(struct session *session, const char *hex, struct error *err);

void variant_done(struct session *session); // what build made

#define VARIANT_READY_TIMEOUT_MS 600000

#endif
