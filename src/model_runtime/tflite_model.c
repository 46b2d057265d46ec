// SPDX-License-Identifier: MIT
//
// tflite_model: TensorFlow Lite behind model.h.
//
// The file is mapped and used where it lies: the format was made for that, and needs no prepared form. Shapes are those
// of the file (its C interface does not tell which dimensions are open). Outputs are the interpreter's memory, until the
// next run.

#include "base/mem.h"
#include "model_runtime/mapping.h"
#include "model_runtime/model.h"
#include "model_runtime/tflite_library.h"

#include <errno.h>

#define WORDS_MAX 300

struct tflite_loaded {
    struct model model; // first
    const struct tflite_api *api;
    struct mapping mapping;
    struct tflite_model *file;
    struct tflite_interpreter *interpreter;
    char words[WORDS_MAX]; // the library's last complaint
};

static struct tflite_loaded *loaded_of(struct model *model)
{
    return (struct tflite_loaded *) model;
}

// ---- loading

static const enum datatype datatypes[TFLITE_TYPES] = {
    [TFLITE_FLOAT32] = DATATYPE_FP32,
    [TFLITE_INT32] = DATATYPE_INT32,
    [TFLITE_UINT8] = DATATYPE_UINT8,
    [TFLITE_INT64] = DATATYPE_INT64,
    [TFLITE_BOOL] = DATATYPE_BOOL,
    [TFLITE_INT16] = DATATYPE_INT16,
    [TFLITE_COMPLEX64] = DATATYPE_COMPLEX64,
    [TFLITE_INT8] = DATATYPE_INT8,
    [TFLITE_FLOAT16] = DATATYPE_FP16,
    [TFLITE_FLOAT64] = DATATYPE_FP64,
    [TFLITE_COMPLEX128] = DATATYPE_COMPLEX128,
    [TFLITE_UINT64] = DATATYPE_UINT64,
    [TFLITE_UINT32] = DATATYPE_UINT32,
};

static enum datatype datatype_of(int type)
{
    return type > 0 && type < TFLITE_TYPES ? datatypes[type] : DATATYPE_NONE;
}

PRINTF_LIKE(2, 0)
static void on_error(void *arg, const char *format, va_list values)
{
    struct tflite_loaded *loaded = arg;
    (void) vsnprintf(loaded->words, sizeof(loaded->words), format, values);
}

static int failed(struct tflite_loaded *loaded, const char *what, struct error *err)
{
    return error_set(err, -EIO, "%s: %s", what,
                     loaded->words[0] != '\0' ? loaded->words : "TensorFlow Lite does not say why");
}

static int read_spec(const struct tflite_api *api, const struct tflite_tensor *tensor,
                     struct tensor_spec *spec, struct error *err)
{
    const char *name = api->TensorName(tensor);
    int32_t rank = api->TensorNumDims(tensor);
    spec->name = mem_copy_text(name != NULL ? name : "");
    if (spec->name == NULL)
        return error_set(err, -ENOMEM, "no memory for a signature");
    if (rank < 0 || rank > TENSOR_RANK_MAX)
        return error_set(err, -EINVAL, "'%.80s' has %d dimensions, at most %d are possible",
                         spec->name, rank, TENSOR_RANK_MAX);
    spec->datatype = datatype_of(api->TensorType(tensor));
    spec->kind = spec->datatype == DATATYPE_NONE ? "tensor of a type without a name here" : NULL;
    spec->rank = (size_t) rank;
    spec->has_shape = true;
    for (int32_t i = 0; i < rank; i++)
        spec->shape[i] = api->TensorDim(tensor, i);
    return 0;
}

static int count_of(int32_t count, struct error *err)
{
    if (count < 0 || count > SIGNATURE_VALUES_MAX)
        return error_set(err, -EINVAL,
                         "the model has %d inputs or outputs, at most %d are possible", count,
                         SIGNATURE_VALUES_MAX);
    return count;
}

static int read_inputs(struct tflite_loaded *loaded, struct error *err)
{
    const struct tflite_api *api = loaded->api;
    struct signature *signature = &loaded->model.signature;
    int count = count_of(api->InterpreterGetInputTensorCount(loaded->interpreter), err);
    if (count < 0)
        return count;
    signature->inputs = calloc((size_t) count + 1, sizeof(struct tensor_spec));
    if (signature->inputs == NULL)
        return error_set(err, -ENOMEM, "no memory for a signature");
    int r = 0;
    for (int i = 0; r == 0 && i < count; i++)
        r = read_spec(api, api->InterpreterGetInputTensor(loaded->interpreter, i),
                      &signature->inputs[signature->input_count++], err);
    return r;
}

static int read_outputs_of(struct tflite_loaded *loaded, struct error *err)
{
    const struct tflite_api *api = loaded->api;
    struct signature *signature = &loaded->model.signature;
    int count = count_of(api->InterpreterGetOutputTensorCount(loaded->interpreter), err);
    if (count < 0)
        return count;
    signature->outputs = calloc((size_t) count + 1, sizeof(struct tensor_spec));
    if (signature->outputs == NULL)
        return error_set(err, -ENOMEM, "no memory for a signature");
    int r = 0;
    for (int i = 0; r == 0 && i < count; i++)
        r = read_spec(api, api->InterpreterGetOutputTensor(loaded->interpreter, i),
                      &signature->outputs[signature->output_count++], err);
    return r;
}

// Its own pool begins threads at once: in a template that would be one too many.
static int threads_of(const struct model_options *options)
{
    const char *template_fd = getenv("LAMINA_TEMPLATE_FD");
    return template_fd != NULL && template_fd[0] != '\0' ? 1 : options->threads;
}

static int make_interpreter(struct tflite_loaded *loaded, const struct model_options *options,
                            struct error *err)
{
    const struct tflite_api *api = loaded->api;
    struct tflite_options *settings = api->InterpreterOptionsCreate();
    if (settings == NULL)
        return error_set(err, -ENOMEM, "no memory for an interpreter");
    api->InterpreterOptionsSetNumThreads(settings, threads_of(options));
    api->InterpreterOptionsSetErrorReporter(settings, on_error, loaded);
    loaded->interpreter = api->InterpreterCreate(loaded->file, settings);
    api->InterpreterOptionsDelete(settings);
    if (loaded->interpreter == NULL)
        return failed(loaded, "make an interpreter", err);
    if (api->InterpreterAllocateTensors(loaded->interpreter) != 0)
        return failed(loaded, "lay out its tensors", err);
    return 0;
}

static void tflite_done(struct model *model)
{
    struct tflite_loaded *loaded = loaded_of(model);
    if (loaded->interpreter != NULL)
        loaded->api->InterpreterDelete(loaded->interpreter);
    if (loaded->file != NULL)
        loaded->api->ModelDelete(loaded->file);
    mapping_done(&loaded->mapping); // after the model that used it
    signature_done(&model->signature);
    free(model->not_prepared);
    free(loaded);
}

// The same bytes in sealed memory, if they are there and sealed; else the file.
static int map_model(struct tflite_loaded *loaded, const char *path,
                     const struct model_options *options, struct error *err)
{
    struct error why = {0};
    if (options->prepared_fd > 0 &&
        mapping_of_sealed(options->prepared_fd, &loaded->mapping, &why) == 0) {
        loaded->model.is_prepared = loaded->model.is_sealed = true;
        return 0;
    }
    if (options->prepared_fd > 0)
        loaded->model.not_prepared = mem_copy_text(why.text);
    return mapping_of_file(path, &loaded->mapping, err);
}

static int load_into(struct tflite_loaded *loaded, const char *path,
                     const struct model_options *options, struct error *err)
{
    int r = tflite_library_open(&loaded->api, err);
    if (r == 0)
        r = map_model(loaded, path, options, err);
    if (r < 0)
        return r;
    loaded->file = loaded->api->ModelCreate(loaded->mapping.data, loaded->mapping.size);
    if (loaded->file == NULL)
        return error_set(err, -EINVAL, "it is not a TensorFlow Lite model, or a damaged one");
    r = make_interpreter(loaded, options, err);
    if (r == 0)
        r = read_inputs(loaded, err);
    return r < 0 ? r : read_outputs_of(loaded, err);
}

static int tflite_load(const char *path, const struct model_options *options,
                       struct model **ret_model, struct error *err)
{
    struct tflite_loaded *loaded = mem_new(struct tflite_loaded);
    if (loaded == NULL)
        return error_set(err, -ENOMEM, "no memory for a model");
    loaded->model.engine = &engine_tflite;
    int r = load_into(loaded, path, options, err);
    if (r < 0) {
        tflite_done(&loaded->model);
        return r;
    }
    *ret_model = &loaded->model;
    return 0;
}

// ---- running

// By position: names need not be unique in this format, but then only the first can be given.
static int set_input(struct tflite_loaded *loaded, const struct tensor *input, struct error *err)
{
    const struct signature *signature = &loaded->model.signature;
    const struct tensor_spec *spec = signature_input(signature, input->name);
    int32_t at = (int32_t) (spec - signature->inputs);
    struct tflite_tensor *tensor = loaded->api->InterpreterGetInputTensor(loaded->interpreter, at);
    if (loaded->api->TensorByteSize(tensor) != input->size)
        return error_set(err, -EINVAL, "input '%.80s' has %zu bytes, expected are %zu", spec->name,
                         input->size, loaded->api->TensorByteSize(tensor));
    if (loaded->api->TensorCopyFromBuffer(tensor, input->data, input->size) != 0)
        return failed(loaded, "take an input", err);
    return 0;
}

static int get_output(struct tflite_loaded *loaded, const struct tensor_spec *spec,
                      struct tensor *output, struct error *err)
{
    const struct tflite_api *api = loaded->api;
    int32_t at = (int32_t) (spec - loaded->model.signature.outputs);
    const struct tflite_tensor *tensor = api->InterpreterGetOutputTensor(loaded->interpreter, at);
    int32_t rank = api->TensorNumDims(tensor);
    *output = (struct tensor){
        .name = str_of(spec->name),
        .datatype = spec->datatype,
        .rank = (size_t) rank,
        .data = api->TensorData(tensor),
        .size = api->TensorByteSize(tensor),
    };
    if (rank < 0 || rank > TENSOR_RANK_MAX)
        return error_set(err, -EIO, "output '%.80s' has %d dimensions", spec->name, rank);
    for (int32_t i = 0; i < rank; i++)
        output->shape[i] = api->TensorDim(tensor, i);
    if (tensor_count(output->shape, output->rank, &output->count) < 0 ||
        datatype_bytes(output->datatype, output->count) != output->size ||
        (output->data == NULL && output->size > 0))
        return error_set(err, -EIO, "output '%.80s' is not what its shape says", spec->name);
    return 0;
}

static int tflite_run(struct model *model, const struct tensor *inputs, size_t input_count,
                      const struct tensor_spec *const *wanted, size_t wanted_count,
                      struct tensor *ret_outputs, struct error *err)
{
    struct tflite_loaded *loaded = loaded_of(model);
    int r = 0;
    loaded->words[0] = '\0';
    for (size_t i = 0; r == 0 && i < input_count; i++)
        r = set_input(loaded, &inputs[i], err);
    if (r == 0 && loaded->api->InterpreterInvoke(loaded->interpreter) != 0)
        r = failed(loaded, "run", err);
    for (size_t i = 0; r == 0 && i < wanted_count; i++)
        r = get_output(loaded, wanted[i], &ret_outputs[i], err);
    return r;
}

static void tflite_outputs_done(struct model *model, struct tensor *outputs, size_t count)
{
    (void) model;
    for (size_t i = 0; i < count; i++) // the memory is the interpreter's
        outputs[i] = (struct tensor){0};
}

const struct engine engine_tflite = {
    .platform = "tensorflow_lite",
    .load = tflite_load,
    .run = tflite_run,
    .outputs_done = tflite_outputs_done,
    .done = tflite_done,
    .version = tflite_library_version,
};
