// SPDX-License-Identifier: MIT
//
// xgboost_model: XGBoost behind model.h.
//
// A model in JSON or UBJSON (xgboost_file.h) is read into trees of the library's own when it is loaded: there is no form
// of it to be mapped, and a template reads it once for all its forks. One input, "input": rows of the features that the
// model was trained with, NaN for what is missing. One output, named after what the objective makes of the trees' sums,
// and shaped as XGBoost's own predict() shapes it: a number a row, or a row of one for each class or target.
//
// All trees answer, as in XGBoost's Booster.predict(); one thread computes (xgboost_library.h). Rows go by a DMatrix:
// the way around it, "in-place prediction", knows no linear models and answers otherwise for DART's.

#include "base/json.h"
#include "base/mem.h"
#include "model_runtime/mapping.h"
#include "model_runtime/model.h"
#include "model_runtime/xgboost_file.h"
#include "model_runtime/xgboost_library.h"

#include <errno.h>
#include <math.h>

#define CONFIG_BYTES_MAX ((size_t) 16 << 20)
// A payload holds 1.5 million numbers.
#define FEATURES_MAX (UINT64_C(1) << 21)
#define GROUPS_MAX (UINT64_C(1) << 20)

// Shapes are the same for every objective then, and ours to say: [rows, groups].
#define PREDICT                                                                                    \
    "{\"type\":0,\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,\"strict_shape\":"   \
    "true}"

struct xgboost_loaded {
    struct model model; // first
    const struct xgboost_api *api;
    void *booster;
    uint64_t features, groups;
};

static struct xgboost_loaded *loaded_of(struct model *model)
{
    return (struct xgboost_loaded *) model;
}

// The first line of its words, without the time and the place in its source: "[14:33:32] ./src/a.cc:377: Check ...".
static int failed(const struct xgboost_loaded *loaded, int code, const char *what,
                  struct error *err)
{
    const char *words = loaded->api->XGBGetLastError();
    const char *place_end = words != NULL && words[0] == '[' ? strstr(words, ": ") : NULL;
    if (place_end != NULL)
        words = place_end + 2;
    int size = words != NULL ? (int) strcspn(words, "\n") : 0;
    return error_set(err, code, "%s: %.*s", what, size > 0 ? size : 300,
                     size > 0 ? words : "XGBoost does not say why");
}

// ---- running

// [rows, groups] of the thread's own memory in the library, until the next prediction.
static int predict(struct xgboost_loaded *loaded, const float *values, uint64_t rows,
                   const float **ret_result, uint64_t *ret_groups, struct error *err)
{
    const struct xgboost_api *api = loaded->api;
    const uint64_t *shape = NULL;
    uint64_t rank = 0;
    void *matrix = NULL;
    if (api->XGDMatrixCreateFromMat(values, rows, loaded->features, NAN, &matrix) != 0)
        return failed(loaded, -EINVAL, "XGBoost does not take the input", err);
    int r = api->XGBoosterPredictFromDMatrix(loaded->booster, matrix, PREDICT, &shape, &rank,
                                             ret_result);
    if (r != 0)
        r = failed(loaded, -EIO, "predict", err);
    else if (rank != 2 || shape[0] != rows || *ret_result == NULL)
        r = error_set(err, -EIO, "predict: XGBoost's answer is not of the rows that were asked");
    else
        *ret_groups = shape[1];
    (void) api->XGDMatrixFree(matrix); // nothing is left to do about it
    return r;
}

// XGBoost would refuse it too, without saying which.
static int check_finite(const struct tensor *input, struct error *err)
{
    const float *values = input->data;
    for (size_t i = 0; i < input->count; i++)
        if (isinf(values[i]))
            return error_set(err, -EINVAL,
                             "input '" STR_FORMAT "': element %zu is infinite; XGBoost takes "
                             "numbers, and NaN for what is missing",
                             STR_ARGUMENTS(input->name), i);
    return 0;
}

static int xgboost_run(struct model *model, const struct tensor *inputs, size_t input_count,
                       const struct tensor_spec *const *wanted, size_t wanted_count,
                       struct tensor *ret_outputs, struct error *err)
{
    struct xgboost_loaded *loaded = loaded_of(model);
    const float *result = NULL;
    uint64_t rows = input_count > 0 ? (uint64_t) inputs[0].shape[0] : 0, groups = loaded->groups;
    int r = input_count > 0 ? check_finite(&inputs[0], err) : 0;
    if (r == 0 && rows > 0)
        r = predict(loaded, inputs[0].data, rows, &result, &groups, err);
    if (r == 0 && groups != loaded->groups)
        r = error_set(err, -EIO, "predict: XGBoost's answer is not of the model's shape");
    for (size_t i = 0; r == 0 && i < wanted_count; i++) // there is one output
        ret_outputs[i] = (struct tensor){
            .name = str_of(wanted[i]->name),
            .datatype = DATATYPE_FP32,
            .rank = wanted[i]->rank,
            .shape = {(int64_t) rows, (int64_t) groups},
            .count = rows * groups,
            .data = (void *) (uintptr_t) result, // only read
            .size = rows * groups * sizeof(float),
        };
    return r;
}

static void xgboost_outputs_done(struct model *model, struct tensor *outputs, size_t count)
{
    (void) model;
    for (size_t i = 0; i < count; i++) // the memory is the library's
        outputs[i] = (struct tensor){0};
}

// ---- loading

// What predict() gives under an objective, in one word.
static const char *output_name(struct str objective)
{
    static const struct {
        const char *objective, *name;
    } known[] = {
        {"binary:logistic", "probabilities"}, {"multi:softprob", "probabilities"},
        {"reg:logistic", "probabilities"},    {"multi:softmax", "classes"},
        {"binary:hinge", "classes"},          {"binary:logitraw", "margins"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (str_equal_text(objective, known[i].objective))
            return known[i].name;
    return str_has_prefix(objective, STR("rank:")) ? "scores" : "predictions";
}

static int read_objective(struct xgboost_loaded *loaded, const char **ret_output, struct error *err)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    uint64_t size = 0;
    const char *text = NULL;
    struct str objective = STR("");
    if (loaded->api->XGBoosterSaveJsonConfig(loaded->booster, &size, &text) != 0)
        return failed(loaded, -EINVAL, "it cannot be used", err);
    int r = json_parse(str_of_data(text, size), CONFIG_BYTES_MAX, &doc, err);
    if (r < 0)
        return error_wrap(err, r, "XGBoost's description of it");
    yyjson_val *learner = json_member(yyjson_doc_get_root(doc), "learner");
    yyjson_val *trained = json_member(learner, "learner_train_param");
    if (json_member_str(trained, "objective", &objective) < 0)
        return error_set(err, -EINVAL, "it does not say its objective");
    *ret_output = output_name(objective);
    return 0;
}

// One row of nothing tells how many numbers the model gives for it.
static int try_one_row(struct xgboost_loaded *loaded, struct error *err)
{
    const float *result = NULL;
    AUTO_FREE float *row = malloc(loaded->features * sizeof(float));
    if (row == NULL)
        return error_set(err, -ENOMEM, "no memory for a row");
    for (uint64_t i = 0; i < loaded->features; i++)
        row[i] = NAN;
    int r = predict(loaded, row, 1, &result, &loaded->groups, err);
    if (r == 0 && (loaded->groups == 0 || loaded->groups > GROUPS_MAX))
        r = error_set(err, -EINVAL, "it gives %llu numbers a row, at most %llu are possible",
                      (unsigned long long) loaded->groups, (unsigned long long) GROUPS_MAX);
    return r;
}

static int make_spec(struct tensor_spec **ret_specs, size_t *ret_count, const char *name,
                     size_t rank, uint64_t columns, struct error *err)
{
    struct tensor_spec *spec = mem_new(struct tensor_spec);
    if (spec == NULL || (spec->name = mem_copy_text(name)) == NULL) {
        free(spec);
        return error_set(err, -ENOMEM, "no memory for a signature");
    }
    spec->datatype = DATATYPE_FP32;
    spec->has_shape = true;
    spec->rank = rank;
    spec->shape[0] = -1;
    spec->shape[1] = (int64_t) columns;
    *ret_specs = spec;
    *ret_count = 1;
    return 0;
}

static int read_signature(struct xgboost_loaded *loaded, struct error *err)
{
    struct signature *signature = &loaded->model.signature;
    const char *output = NULL;
    if (loaded->api->XGBoosterGetNumFeature(loaded->booster, &loaded->features) != 0)
        return failed(loaded, -EINVAL, "count its features", err);
    if (loaded->features == 0 || loaded->features > FEATURES_MAX)
        return error_set(err, -EINVAL, "it has %llu features, 1 to %llu are possible",
                         (unsigned long long) loaded->features, (unsigned long long) FEATURES_MAX);
    int r = read_objective(loaded, &output, err);
    if (r == 0)
        r = try_one_row(loaded, err);
    if (r == 0)
        r = make_spec(&signature->inputs, &signature->input_count, "input", 2, loaded->features,
                      err);
    if (r == 0)
        r = make_spec(&signature->outputs, &signature->output_count, output,
                      loaded->groups == 1 ? 1 : 2, loaded->groups, err);
    return r;
}

static int read_model(struct xgboost_loaded *loaded, const char *path, struct error *err)
{
    struct mapping mapping = {0};
    int r = mapping_of_file(path, &mapping, err);
    if (r < 0)
        return r;
    if (!xgboost_head_is_model(
            mapping.data, mapping.size < XGBOOST_HEAD_BYTES ? mapping.size : XGBOOST_HEAD_BYTES))
        r = error_set(err, -EINVAL,
                      "it is not an XGBoost model in JSON or UBJSON: an object with \"learner\" in "
                      "it (booster.save_model(\"model.ubj\") writes one)");
    else if (loaded->api->XGBoosterLoadModelFromBuffer(loaded->booster, mapping.data,
                                                       mapping.size) != 0)
        r = failed(loaded, -EINVAL, "it is a damaged XGBoost model", err);
    mapping_done(&mapping); // the trees are the library's own
    return r;
}

static int load_into(struct xgboost_loaded *loaded, const char *path, struct error *err)
{
    int r = xgboost_library_open(&loaded->api, err);
    if (r < 0)
        return r;
    if (loaded->api->XGBoosterCreate(NULL, 0, &loaded->booster) != 0 ||
        loaded->api->XGBoosterSetParam(loaded->booster, "nthread", "1") != 0)
        return failed(loaded, -EIO, "make a booster", err);
    r = read_model(loaded, path, err);
    return r < 0 ? r : read_signature(loaded, err);
}

static void xgboost_done(struct model *model)
{
    struct xgboost_loaded *loaded = loaded_of(model);
    if (loaded->booster != NULL)
        (void) loaded->api->XGBoosterFree(loaded->booster); // nothing is left to do about it
    signature_done(&model->signature);
    free(model->not_prepared);
    free(loaded);
}

static int xgboost_load(const char *path, const struct model_options *options,
                        struct model **ret_model, struct error *err)
{
    struct xgboost_loaded *loaded = mem_new(struct xgboost_loaded);
    (void) options; // threads, packing and prepared forms are of other engines
    if (loaded == NULL)
        return error_set(err, -ENOMEM, "no memory for a model");
    loaded->model.engine = &engine_xgboost;
    int r = load_into(loaded, path, err);
    if (r < 0) {
        xgboost_done(&loaded->model);
        return r;
    }
    *ret_model = &loaded->model;
    return 0;
}

const struct engine engine_xgboost = {
    .platform = "xgboost",
    .load = xgboost_load,
    .run = xgboost_run,
    .outputs_done = xgboost_outputs_done,
    .done = xgboost_done,
    .version = xgboost_library_version,
};
