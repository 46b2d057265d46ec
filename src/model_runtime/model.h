// SPDX-License-Identifier: MIT
//
// model: a loaded model, whichever engine runs it.
//
// An engine is one constant struct engine: how to recognise, load and run its files. One thread
// loads and runs; one run at a time. Errors carry the text for the caller: -EINVAL when the request
// is at fault, -EIO when the engine failed, -ENOMEM.

#ifndef LAMINA_MODEL_RUNTIME_MODEL_H
#define LAMINA_MODEL_RUNTIME_MODEL_H

#include "base/error.h"
#include "model_runtime/signature.h"
#include "model_runtime/tensor.h"

#include <stdbool.h>

enum prepack {
    PREPACK_AUTO, // the engine's default
    PREPACK_ON,
    PREPACK_OFF, // weights are used as they lie in the file: less memory, some models are slower
};

struct model_options {
    int threads; // that one run may use, its caller included; at least 1
    enum prepack prepack;
    // The prepared form of the file (docs/prepared-models.md), used in its place: mapped read-only,
    // shared with all who map it. NULL: none.
    const char *prepared_path;
    // The same bytes as a sealed memfd, which beats the path; borrowed during the load. 0: none. Without
    // a prepared_path it is the model file itself, of a format that is used where it lies.
    int prepared_fd;
    // Written on the way, created or cut: the model's prepared form, what the engine makes of it at each
    // start, optimised for this processor, in the format whose weights are used where they lie. Only
    // lamina-work asks for it, on strangers' models. NULL: nothing is written, nor by an engine that
    // uses its files where they lie.
    const char *form_path;
};

struct model {
    const struct engine *engine;
    struct signature signature;
    bool is_prepared; // the prepared form is in use
    bool is_sealed;   // and it is sealed memory, not a file
    char
        *not_prepared; // why a prepared form that was given is not in use; NULL: it is, or none was
};

struct engine {
    const char *platform; // as the protocol names it
    int (*load)(const char *path, const struct model_options *options, struct model **ret_model,
                struct error *err);
    int (*run)(struct model *model, const struct tensor *inputs, size_t input_count,
               const struct tensor_spec *const *wanted, size_t wanted_count,
               struct tensor *ret_outputs, struct error *err);
    void (*outputs_done)(struct model *model, struct tensor *outputs, size_t count);
    void (*done)(struct model *model);
    const char *(*version)(void); // of the engine's library; "" before the first load
};

// ONNX and ORT files, by ONNX Runtime.
extern const struct engine engine_onnx;
// TFLITE files, by TensorFlow Lite.
extern const struct engine engine_tflite;
// XGBoost's models in JSON and UBJSON.
extern const struct engine engine_xgboost;

// A prepared form that cannot be used never fails a load: the file itself is loaded then, and
// `not_prepared` says why.
//
// `wanted` are specs of model->signature, and ret_outputs has room for as many tensors, in that
// order. They borrow their names from the signature; their memory lives until model_outputs_done.
int model_load(const char *path, const struct model_options *options, struct model **ret_model,
               struct error *err) MUST_CHECK;
int model_run(struct model *model, const struct tensor *inputs, size_t input_count,
              const struct tensor_spec *const *wanted, size_t wanted_count,
              struct tensor *ret_outputs, struct error *err) MUST_CHECK;
void model_outputs_done(struct model *model, struct tensor *outputs, size_t count);
void model_free(struct model *model);

#endif
