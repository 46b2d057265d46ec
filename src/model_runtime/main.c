// SPDX-License-Identifier: MIT
//
// lamina-model: the bootstrap of a function whose code is a model file.
//
// Start: find the file, take its digest, load it (phase "load"), run it once (phase "warm"); then
// each invocation is an Open Inference request (docs/open-inference.md). A start that fails is
// reported as the function's init error, in words meant for its owner. It runs under Lamina and on
// AWS Lambda alike; what it reads from the environment is in read_environment.

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "lamina.h"
#include "model_runtime/inference.h"
#include "model_runtime/model_file.h"
#include "model_runtime/remote_model.h"
#include "model_runtime/sha256.h"
#include "model_runtime/threads.h"
#include "model_runtime/warm.h"
#include "model_runtime/worker.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>
#include <string.h>

#define KEEP_BYTES (256 * 1024)

struct runtime {
    char path[PATH_MAX];
    char digest[SHA256_HEX_BYTES];
    const char *name; // of the model, in answers
    struct model *model;
    struct buf out;
};

// ---- invocations

static const char *error_type(int code)
{
    switch (code) {
    case -EINVAL:
        return "Function.InvalidInput";
    case -EFBIG:
        return "Function.ResponseSizeTooLarge";
    case -ENOMEM:
        return "Runtime.OutOfMemory";
    default:
        return "Function.InferenceFailed";
    }
}

static int answer(struct lamina_call *call, void *data)
{
    struct runtime *runtime = data;
    struct error err = {0};
    const struct oip_identity identity = {runtime->name, runtime->digest,
                                          runtime->model->engine->platform};

    int r = inference_answer(runtime->model, &identity, str_of_data(call->payload, call->size),
                             &runtime->out, &err);
    if (r < 0)
        (void) lamina_fail(call, error_type(r), "%s", err.text);
    else
        (void) lamina_write(call, runtime->out.data, runtime->out.size);
    // A large answer's memory is not kept for the small ones that follow.
    if (runtime->out.capacity > KEEP_BYTES)
        buf_done(&runtime->out);
    buf_clear(&runtime->out);
    return r < 0 ? -1 : 0;
}

// ---- the start

static double milliseconds_since(uint64_t start_ns)
{
    return (double) (clock_monotonic_ns() - start_ns) / 1e6;
}

static enum prepack prepack_of(const char *text)
{
    if (text == NULL || strcmp(text, "auto") == 0)
        return PREPACK_AUTO;
    return strcmp(text, "off") == 0  ? PREPACK_OFF
           : strcmp(text, "on") == 0 ? PREPACK_ON
                                     : PREPACK_AUTO;
}

// What Lamina prepared (docs/prepared-models.md), none of it set on AWS. What the owner of the
// function says of pre-packing beats what was measured.
static void read_prepared(struct model_options *options)
{
    const char *path = getenv("LAMINA_MODEL_PREPARED");
    const char *fd = getenv("LAMINA_MODEL_FD");
    uint64_t number = 0;
    options->prepack = prepack_of(getenv("LAMINA_PREPACK"));
    if (options->prepack == PREPACK_AUTO)
        options->prepack = prepack_of(getenv("LAMINA_MODEL_PREPACK"));
    if (path != NULL && path[0] != '\0')
        options->prepared_path = path;
    if (fd != NULL && str_to_u64(str_of(fd), INT32_MAX, &number) == 0)
        options->prepared_fd = (int) number;
}

// Under Lamina the service knows it: a large file is not read to the end before it is mapped.
static int take_digest(struct runtime *runtime, struct error *err)
{
    const char *known = getenv("LAMINA_MODEL_SHA256");
    if (known != NULL && strlen(known) == SHA256_HEX_BYTES - 1) {
        memcpy(runtime->digest, known, SHA256_HEX_BYTES);
        return 0;
    }
    int r = sha256_file(runtime->path, runtime->digest);
    return r < 0 ? error_set_errno(err, r, "read '%.200s'", runtime->path) : 0;
}

static void read_environment(struct runtime *runtime, struct model_place *place,
                             struct model_options *options)
{
    const char *name = getenv("AWS_LAMBDA_FUNCTION_NAME");
    // Of a file on a mounted file system, which somebody may overwrite while it is mapped.
    const char *copy = getenv("LAMINA_MODEL_COPY");

    *place = (struct model_place){
        .model_path = copy != NULL && copy[0] != '\0' ? copy : getenv("MODEL_PATH"),
        .handler = getenv("_HANDLER"),
        .task_root = getenv("LAMBDA_TASK_ROOT"),
        .layers_root = "/opt",
    };
    options->threads = threads_for(getenv("LAMINA_THREADS"),
                                   getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), threads_available());
    read_prepared(options);
    runtime->name = name != NULL ? name : "model";
}

static int load(struct runtime *runtime, struct error *err)
{
    struct model_place place;
    struct model_options options = {0};
    char signature[SHA256_HEX_BYTES];
    uint64_t start_ns = clock_monotonic_ns();

    int r = remote_model_fetch(err); // outside Lamina
    if (r < 0)
        return r;
    read_environment(runtime, &place, &options);
    r = model_file_find(&place, runtime->path, err);
    if (r < 0)
        return r;
    r = take_digest(runtime, err);
    if (r < 0)
        return r;
    r = model_load(runtime->path, &options, &runtime->model, err);
    if (options.prepared_fd > 0) // mapped, if it was used
        (void) close(options.prepared_fd);
    if (r < 0)
        return error_wrap(err, r, "load '%.200s'", runtime->path);
    double load_ms = milliseconds_since(start_ns);
    lamina_init_phase("load", load_ms);
    lamina_model_digest(runtime->digest);
    signature_input_digest(&runtime->model->signature, signature);
    lamina_model_signature(signature);
    if (runtime->model->not_prepared != NULL)
        (void) fprintf(stderr, "model.not_prepared reason=%s\n", runtime->model->not_prepared);
    (void) fprintf(stderr,
                   "model.loaded file=%s digest=%.12s load_ms=%.1f threads=%d engine=%s-%s "
                   "prepared=%s sealed=%s\n",
                   runtime->path, runtime->digest, load_ms, options.threads,
                   runtime->model->engine->platform, runtime->model->engine->version(),
                   runtime->model->is_prepared ? "yes" : "no",
                   runtime->model->is_prepared && runtime->model->is_sealed ? "yes" : "no");
    return 0;
}

static void warm(struct runtime *runtime)
{
    struct error err = {0};
    uint64_t start_ns = clock_monotonic_ns();
    int r = warm_run(runtime->model, runtime->path, &err);
    double warm_ms = milliseconds_since(start_ns);
    if (r < 0) // the first caller then pays for the first run; everything else is as it should be
        (void) fprintf(stderr, "model.not_warmed warm_ms=%.1f reason=%s\n", warm_ms, err.text);
    lamina_init_phase("warm", warm_ms);
}

static void start_workers(void)
{
    int r = workers_start();
    if (r < 0)
        (void) fprintf(stderr, "model.fewer_threads reason=%s\n", strerror(-r));
}

static const char *start_error_type(int code)
{
    switch (code) {
    case -ENOENT:
        return "Runtime.ModelNotFound";
    case -ENOTSUP:
        return "Runtime.ModelFormatNotSupported";
    case -ELIBACC:
        return "Runtime.EngineNotUsable";
    case -ENOMEM:
        return "Runtime.OutOfMemory";
    default:
        return "Runtime.ModelNotLoadable";
    }
}

// ---- a template and its forks

// What tells the platform, in the program's file, that it need not be asked for.
__attribute__((used)) static const char is_a_template_by_default[] =
    "LAMINA-TEMPLATE-DEFAULT/1 lamina-model";

// A spare runs once more: its own pages of what a run writes to are there before the first caller is.
static void forked(void *data, int is_spare)
{
    struct runtime *runtime = data;
    struct error err = {0};
    start_workers();
    // One that cannot run on zeros was told of by the template.
    if (is_spare && warm_run(runtime->model, runtime->path, &err) < 0)
        (void) fprintf(stderr, "model.not_warmed reason=%s\n", err.text);
}

int main(void)
{
    static struct runtime runtime = {.out = BUF_INIT(LAMINA_PAYLOAD_BYTES_MAX)};
    static const struct lamina_snapshot hooks = {.forked = forked, .data = &runtime};
    struct error err = {0};

    int r = load(&runtime, &err);
    if (r < 0)
        return lamina_init_fail(start_error_type(r), "%s", err.text);
    if (lamina_snapshot_hooks(&hooks) == 0)
        start_workers();
    warm(&runtime);
    return lamina_run(answer, &runtime);
}
