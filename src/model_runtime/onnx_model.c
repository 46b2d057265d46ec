// SPDX-License-Identifier: MIT
//
// onnx_model: ONNX Runtime behind model.h.

#include "base/fd.h"
#include "base/mem.h"
#include "model_runtime/mapping.h"
#include "model_runtime/model.h"
#include "model_runtime/onnx_library.h"
#include "model_runtime/onnx_signature.h"
#include "model_runtime/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct onnx_model {
    struct model model; // first
    const OrtApi *api;
    OrtEnv *env;
    OrtSession *session;
    OrtMemoryInfo *memory_info;
    struct mapping mapping; // an .ort file, which the session uses in place
};

static struct onnx_model *onnx_of(struct model *model)
{
    return (struct onnx_model *) model;
}

// ---- loading

// ONNX Runtime's handle is a pointer to a constant that only its maker looks at.
static OrtCustomThreadHandle create_thread(void *options, OrtThreadWorkerFn work, void *arg)
{
    return (OrtCustomThreadHandle) worker_create(options, work, arg);
}

static void join_thread(OrtCustomThreadHandle handle)
{
    worker_join((const struct worker *) handle);
}

static int set_options(const OrtApi *api, OrtSessionOptions *session,
                       const struct model_options *options, struct error *err)
{
    OrtStatus *status = api->SetIntraOpNumThreads(session, options->threads);
    if (status == NULL)
        status = api->SetInterOpNumThreads(session, 1);
    if (status == NULL)
        status = api->SessionOptionsSetCustomCreateThreadFn(session, create_thread);
    if (status == NULL)
        status = api->SessionOptionsSetCustomJoinThreadFn(session, join_thread);
    // Workers that spin while they wait burn the CPU share that the run itself needs.
    if (status == NULL)
        status = api->AddSessionConfigEntry(session, "session.intra_op.allow_spinning", "0");
    if (status == NULL && options->prepack == PREPACK_OFF)
        status = api->AddSessionConfigEntry(session, "session.disable_prepacking", "1");
    return onnx_status(api, status, err);
}

// Without pre-packed weights or with them, the same is written.
static int set_form(const OrtApi *api, OrtSessionOptions *session, const char *form_path,
                    struct error *err)
{
    OrtStatus *status = api->SetOptimizedModelFilePath(session, form_path);
    if (status == NULL)
        status = api->AddSessionConfigEntry(session, "session.save_model_format", "ORT");
    return onnx_status(api, status, err);
}

static bool is_ort_format(const char *path)
{
    size_t size = strlen(path);
    return size > 4 && strcmp(path + size - 4, ".ort") == 0;
}

// The weights are used where they lie in the mapping: no copy, and nothing that is written to.
static int create_from_mapping(struct onnx_model *onnx, OrtSessionOptions *options,
                               struct error *err)
{
    static const struct {
        const char *name, *value;
    } entries[] = {
        {"session.load_model_format", "ORT"},
        {"session.use_ort_model_bytes_directly", "1"},
        {"session.use_ort_model_bytes_for_initializers", "1"},
    };
    const OrtApi *api = onnx->api;
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(entries); i++)
        r = onnx_status(api, api->AddSessionConfigEntry(options, entries[i].name, entries[i].value),
                        err);
    if (r < 0)
        return r;
    return onnx_status(api,
                       api->CreateSessionFromArray(onnx->env, onnx->mapping.data,
                                                   onnx->mapping.size, options, &onnx->session),
                       err);
}

// Fills in the session. The mapping, if there is one, is the model.
static int create_session(struct onnx_model *onnx, const char *path,
                          const struct model_options *options, struct error *err)
{
    const OrtApi *api = onnx->api;
    OrtSessionOptions *session_options;
    int r = onnx_status(api, api->CreateSessionOptions(&session_options), err);
    if (r < 0)
        return r;
    r = set_options(api, session_options, options, err);
    if (r == 0 && options->form_path != NULL)
        r = set_form(api, session_options, options->form_path, err);
    if (r == 0 && onnx->mapping.data != NULL)
        r = create_from_mapping(onnx, session_options, err);
    else if (r == 0) // by path, so that external data is found beside it
        r = onnx_status(api, api->CreateSession(onnx->env, path, session_options, &onnx->session),
                        err);
    api->ReleaseSessionOptions(session_options);
    return r;
}

// The sealed memory, or else the file: one of them may not be there.
static int map_prepared(struct onnx_model *onnx, const struct model_options *options,
                        struct error *err)
{
    int r = -ENOENT;
    if (options->prepared_fd > 0)
        r = mapping_of_sealed(options->prepared_fd, &onnx->mapping, err);
    onnx->model.is_sealed = r == 0;
    if (r < 0 && options->prepared_path != NULL)
        r = mapping_of_file(options->prepared_path, &onnx->mapping, err);
    return r;
}

static int load_prepared(struct onnx_model *onnx, const struct model_options *options,
                         struct error *err)
{
    int r = map_prepared(onnx, options, err);
    if (r == 0)
        r = create_session(onnx, NULL, options, err);
    if (r < 0)
        mapping_done(&onnx->mapping);
    return r;
}

static int load_original(struct onnx_model *onnx, const char *path,
                         const struct model_options *options, struct error *err)
{
    int r = is_ort_format(path) ? mapping_of_file(path, &onnx->mapping, err) : 0;
    return r < 0 ? r : create_session(onnx, path, options, err);
}

// The prepared form if there is one that works, else the file itself.
static int load_either(struct onnx_model *onnx, const char *path,
                       const struct model_options *options, struct error *err)
{
    struct error why = {0};
    if (options->prepared_fd <= 0 && options->prepared_path == NULL)
        return load_original(onnx, path, options, err);
    if (load_prepared(onnx, options, &why) == 0) {
        onnx->model.is_prepared = true;
        return 0;
    }
    onnx->model.not_prepared = mem_copy_text(why.text);
    return load_original(onnx, path, options, err);
}

static void onnx_done(struct model *model)
{
    struct onnx_model *onnx = onnx_of(model);
    if (onnx->api != NULL) { // each accepts NULL
        onnx->api->ReleaseSession(onnx->session);
        onnx->api->ReleaseMemoryInfo(onnx->memory_info);
        onnx->api->ReleaseEnv(onnx->env);
    }
    mapping_done(&onnx->mapping); // after the session that used it
    signature_done(&model->signature);
    free(model->not_prepared);
    free(onnx);
}

// ONNX Runtime's processor library complains on stderr, at each start and to no use, where the
// sandbox shows no /proc/cpuinfo; what it needs to know it asks the processor itself. Returns what
// unmute_stderr takes: a descriptor of the real stderr, or -1.
static int mute_stderr(void)
{
    if (access("/proc/cpuinfo", R_OK) == 0)
        return -1;
    AUTO_FD int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    AUTO_FD int real = null < 0 ? -1 : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (real < 0 || dup2(null, STDERR_FILENO) < 0)
        return -1;
    return TAKE_FD(real);
}

static void unmute_stderr(int real)
{
    if (real < 0)
        return;
    (void) dup2(real, STDERR_FILENO); // cannot fail: both are open
    (void) fd_close(real);
}

static int open_engine(struct onnx_model *onnx, struct error *err)
{
    int real_stderr = mute_stderr();
    int r = onnx_library_open(&onnx->api, err);
    // Its own log would repeat, in colours, what the caller is told in the error.
    if (r == 0)
        r = onnx_status(onnx->api,
                        onnx->api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "lamina", &onnx->env), err);
    unmute_stderr(real_stderr);
    return r;
}

static int onnx_load_into(struct onnx_model *onnx, const char *path,
                          const struct model_options *options, struct error *err)
{
    // The official builds report to their maker unless told otherwise before their environment is
    // made: a thread, a file under ~/.cache and an address outside.
    if (setenv("ORT_DISABLE_TELEMETRY", "1", 1) < 0)
        return error_set(err, -ENOMEM, "no memory for the environment");
    int r = open_engine(onnx, err);
    if (r < 0)
        return r;
    const OrtApi *api = onnx->api;
    r = load_either(onnx, path, options, err);
    if (r == 0)
        r = onnx_status(
            api,
            api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &onnx->memory_info),
            err);
    if (r == 0)
        r = onnx_signature_read(api, onnx->session, &onnx->model.signature, err);
    return r;
}

static int onnx_load(const char *path, const struct model_options *options,
                     struct model **ret_model, struct error *err)
{
    struct onnx_model *onnx = mem_new(struct onnx_model);
    if (onnx == NULL)
        return error_set(err, -ENOMEM, "no memory for a model");
    onnx->model.engine = &engine_onnx;
    int r = onnx_load_into(onnx, path, options, err);
    if (r < 0) {
        onnx_done(&onnx->model);
        return r;
    }
    *ret_model = &onnx->model;
    return 0;
}

// ---- inputs

static int fill_strings(const OrtApi *api, OrtValue *value, const struct tensor *tensor,
                        struct error *err)
{
    for (size_t i = 0; i < tensor->count; i++) {
        char *bytes;
        // Not FillStringTensor: it takes C strings, and these may hold NULs.
        int r = onnx_status(
            api,
            api->GetResizedStringTensorElementBuffer(value, i, tensor->strings[i].size, &bytes),
            err);
        if (r < 0)
            return r;
        if (tensor->strings[i].size > 0)
            memcpy(bytes, tensor->strings[i].data, tensor->strings[i].size);
    }
    return 0;
}

static int make_input(struct onnx_model *onnx, const struct tensor *tensor, OrtValue **ret_value,
                      struct error *err)
{
    const OrtApi *api = onnx->api;
    ONNXTensorElementDataType type = onnx_element_type(tensor->datatype);
    if (tensor->datatype != DATATYPE_BYTES)
        return onnx_status(api,
                           api->CreateTensorWithDataAsOrtValue(onnx->memory_info, tensor->data,
                                                               tensor->size, tensor->shape,
                                                               tensor->rank, type, ret_value),
                           err);
    OrtAllocator *allocator;
    int r = onnx_status(api, api->GetAllocatorWithDefaultOptions(&allocator), err);
    if (r == 0)
        r = onnx_status(
            api,
            api->CreateTensorAsOrtValue(allocator, tensor->shape, tensor->rank, type, ret_value),
            err);
    return r < 0 ? r : fill_strings(api, *ret_value, tensor, err);
}

// ---- outputs

static int read_strings(const OrtApi *api, const OrtValue *value, struct tensor *tensor,
                        struct error *err)
{
    AUTO_FREE size_t *offsets = calloc(tensor->count + 1, sizeof *offsets);
    size_t size;
    int r = onnx_status(api, api->GetStringTensorDataLength(value, &size), err);
    if (r < 0)
        return r;
    tensor->data = malloc(size + 1);
    tensor->strings = calloc(tensor->count + 1, sizeof *tensor->strings);
    if (offsets == NULL || tensor->data == NULL || tensor->strings == NULL)
        return error_set(err, -ENOMEM, "no memory for %zu strings", tensor->count);
    r = onnx_status(
        api, api->GetStringTensorContent(value, tensor->data, size, offsets, tensor->count), err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < tensor->count; i++) {
        size_t end = i + 1 < tensor->count ? offsets[i + 1] : size;
        tensor->strings[i] = str_of_data((char *) tensor->data + offsets[i], end - offsets[i]);
    }
    return 0;
}

static int read_shape(const OrtApi *api, const OrtTensorTypeAndShapeInfo *info,
                      struct tensor *tensor, struct error *err)
{
    ONNXTensorElementDataType type;
    int r = onnx_status(api, api->GetTensorElementType(info, &type), err);
    if (r == 0)
        r = onnx_status(api, api->GetDimensionsCount(info, &tensor->rank), err);
    if (r < 0)
        return r;
    tensor->datatype = onnx_datatype(type);
    if (tensor->datatype == DATATYPE_NONE || tensor->rank > TENSOR_RANK_MAX)
        return error_set(err, -EIO, "the tensor's type or its %zu dimensions cannot be given",
                         tensor->rank);
    r = onnx_status(api, api->GetDimensions(info, tensor->shape, tensor->rank), err);
    if (r == 0)
        r = onnx_status(api, api->GetTensorShapeElementCount(info, &tensor->count), err);
    return r;
}

static int read_output(struct onnx_model *onnx, struct tensor *tensor, struct error *err)
{
    const OrtApi *api = onnx->api;
    OrtTensorTypeAndShapeInfo *info = NULL;
    int is_tensor = 0, r = onnx_status(api, api->IsTensor(tensor->handle, &is_tensor), err);
    if (r == 0 && !is_tensor)
        return error_set(err, -EIO, "not a tensor");
    if (r == 0)
        r = onnx_status(api, api->GetTensorTypeAndShape(tensor->handle, &info), err);
    if (r < 0)
        return r;
    r = read_shape(api, info, tensor, err);
    api->ReleaseTensorTypeAndShapeInfo(info);
    if (r < 0)
        return r;
    if (tensor->datatype == DATATYPE_BYTES)
        return read_strings(api, tensor->handle, tensor, err);
    tensor->size = datatype_bytes(tensor->datatype, tensor->count);
    return onnx_status(api, api->GetTensorMutableData(tensor->handle, &tensor->data), err);
}

static void onnx_outputs_done(struct model *model, struct tensor *outputs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (outputs[i].datatype == DATATYPE_BYTES) { // other data is the handle's
            free(outputs[i].data);
            free(outputs[i].strings);
        }
        onnx_of(model)->api->ReleaseValue(outputs[i].handle);
        outputs[i] = (struct tensor){0};
    }
}

// ---- running

// The arrays that Run takes, of one allocation each.
struct run_arrays {
    const char **input_names;
    OrtValue **inputs;
    const char **output_names;
    OrtValue **outputs;
};

static void run_arrays_done(struct onnx_model *onnx, struct run_arrays *arrays, size_t input_count)
{
    for (size_t i = 0; arrays->inputs != NULL && i < input_count; i++)
        onnx->api->ReleaseValue(arrays->inputs[i]);
    free(arrays->input_names);
    free(arrays->inputs);
    free(arrays->output_names);
    free(arrays->outputs);
}

static int run_arrays_fill(struct onnx_model *onnx, struct run_arrays *arrays,
                           const struct tensor *inputs, size_t input_count,
                           const struct tensor_spec *const *wanted, size_t wanted_count,
                           struct error *err)
{
    arrays->input_names = calloc(input_count + 1, sizeof *arrays->input_names);
    arrays->inputs = calloc(input_count + 1, sizeof(OrtValue *));
    arrays->output_names = calloc(wanted_count + 1, sizeof *arrays->output_names);
    arrays->outputs = calloc(wanted_count + 1, sizeof(OrtValue *));
    if (!arrays->input_names || !arrays->inputs || !arrays->output_names || !arrays->outputs)
        return error_set(err, -ENOMEM, "no memory for a run");
    for (size_t i = 0; i < input_count; i++) {
        // The request's names are views; the signature's are C strings.
        arrays->input_names[i] = signature_input(&onnx->model.signature, inputs[i].name)->name;
        int r = make_input(onnx, &inputs[i], &arrays->inputs[i], err);
        if (r < 0)
            return error_wrap(err, r, "input '%.80s'", arrays->input_names[i]);
    }
    for (size_t i = 0; i < wanted_count; i++)
        arrays->output_names[i] = wanted[i]->name;
    return 0;
}

static int read_outputs(struct onnx_model *onnx, const struct tensor_spec *const *wanted,
                        size_t count, OrtValue *const *values, struct tensor *ret_outputs,
                        struct error *err)
{
    for (size_t i = 0; i < count; i++)
        ret_outputs[i] = (struct tensor){.name = str_of(wanted[i]->name), .handle = values[i]};
    for (size_t i = 0; i < count; i++) {
        int r = read_output(onnx, &ret_outputs[i], err);
        if (r < 0) {
            onnx_outputs_done(&onnx->model, ret_outputs, count);
            return error_wrap(err, r, "output '%.80s'", wanted[i]->name);
        }
    }
    return 0;
}

static int onnx_run(struct model *model, const struct tensor *inputs, size_t input_count,
                    const struct tensor_spec *const *wanted, size_t wanted_count,
                    struct tensor *ret_outputs, struct error *err)
{
    struct onnx_model *onnx = onnx_of(model);
    struct run_arrays arrays = {0};
    int r = run_arrays_fill(onnx, &arrays, inputs, input_count, wanted, wanted_count, err);
    if (r == 0)
        r = onnx_status(onnx->api,
                        onnx->api->Run(onnx->session, NULL, arrays.input_names,
                                       (const OrtValue *const *) arrays.inputs, input_count,
                                       arrays.output_names, wanted_count, arrays.outputs),
                        err);
    if (r == 0)
        r = read_outputs(onnx, wanted, wanted_count, arrays.outputs, ret_outputs, err);
    run_arrays_done(onnx, &arrays, input_count);
    return r;
}

const struct engine engine_onnx = {
    .platform = "onnxruntime_onnx",
    .load = onnx_load,
    .run = onnx_run,
    .outputs_done = onnx_outputs_done,
    .done = onnx_done,
    .version = onnx_library_version,
};
