// SPDX-License-Identifier: MIT

#include "unit.h"

#include "model_runtime/model_file.h"
#include "model_runtime/threads.h"

static char root[64];
static int root_fd;

static int make_root(void **state)
{
    root_fd = unit_dir_make(root);
    return 0;
}

static int remove_root(void **state)
{
    unit_dir_remove(root_fd, root);
    return 0;
}

static void put(const char *name)
{
    int fd = openat(root_fd, name, O_WRONLY | O_CREAT, 0644);
    assert_true(fd >= 0);
    close(fd);
}

static int find(const char *model_path, const char *handler, char path[PATH_MAX], struct error *err)
{
    struct model_place place = {.model_path = model_path, .handler = handler, .task_root = root};
    *err = (struct error){0};
    return model_file_find(&place, path, err);
}

static void assert_found(const char *model_path, const char *handler, const char *name)
{
    char path[PATH_MAX], expected[PATH_MAX];
    struct error err;
    (void) snprintf(expected, sizeof expected, "%s/%s", root, name);
    assert_int_equal(find(model_path, handler, path, &err), 0);
    assert_string_equal(path, expected);
}

static void assert_not_found(const char *model_path, const char *handler, int code,
                             const char *part)
{
    char path[PATH_MAX];
    struct error err;
    assert_int_equal(find(model_path, handler, path, &err), code);
    assert_non_null(strstr(err.text, part));
}

static void by_handler_by_path_and_alone(void **state)
{
    char elsewhere[PATH_MAX];
    put("bootstrap");
    assert_not_found(NULL, "bootstrap", -ENOENT, "no .onnx, .ort, .tflite or .ubj file");
    assert_int_equal(mkdirat(root_fd, "models", 0755), 0);
    put("models/a.onnx");
    assert_found(NULL, NULL, "models/a.onnx");
    assert_found("", "", "models/a.onnx");
    assert_found(NULL, "bootstrap", "models/a.onnx");
    assert_found(NULL, "app.handler", "models/a.onnx");
    put("b.ort");
    assert_not_found(NULL, "bootstrap", -ENOENT, "2 model files");
    assert_found(NULL, "b.ort", "b.ort");
    assert_found(NULL, "models/a.onnx", "models/a.onnx");
    assert_not_found(NULL, "c.onnx", -ENOENT, "the handler names");
    (void) snprintf(elsewhere, sizeof elsewhere, "%s/models/a.onnx", root);
    assert_found(elsewhere, "b.ort", "models/a.onnx"); // MODEL_PATH beats the handler
    assert_found(NULL, elsewhere, "models/a.onnx");
    assert_not_found("/nowhere/x.onnx", "b.ort", -ENOENT, "MODEL_PATH names '/nowhere/x.onnx'");
    assert_not_found(root, NULL, -ENOENT, "which is a folder");
}

static void other_formats_are_refused_with_the_way_out(void **state)
{
    static const struct {
        const char *name, *part;
    } rows[] = {
        {"net.pt", "torch.onnx.export("},
        {"net.PTH", "torch.onnx.export("},
        {"pytorch_model.bin", "torch.onnx"},
        {"model.pkl", "skl2onnx.to_onnx("},
        {"m.joblib", "skl2onnx.to_onnx("},
        {"model.safetensors", "optimum-cli export onnx"},
        {"llama.gguf", "optimum-cli export"},
        {"m.h5", "format=\"onnx\""},
        {"m.keras", "format=\"onnx\""},
        {"saved_model.pb", "--saved-model"},
        {"m.bst", "save_model("},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        put(rows[i].name);
        assert_not_found(NULL, rows[i].name, -ENOTSUP, rows[i].part);
        assert_not_found(NULL, "bootstrap", -ENOTSUP, rows[i].part);
        assert_not_found(NULL, rows[i].name, -ENOTSUP, "docs/export-to-onnx.md");
        assert_int_equal(unlinkat(root_fd, rows[i].name, 0), 0);
        assert_non_null(model_file_refusal(rows[i].name));
        assert_false(model_file_is_model(rows[i].name));
    }
    assert_null(model_file_refusal("model.onnx"));
    assert_null(model_file_refusal("data.bin"));
    assert_null(model_file_refusal(".pt/x"));
    assert_true(model_file_is_model("a/b/model.onnx"));
    assert_true(model_file_is_model("MODEL.ONNX"));
    assert_false(model_file_is_model(".onnx"));
}

static void a_saved_model_folder_is_refused(void **state)
{
    char path[PATH_MAX];
    assert_int_equal(mkdirat(root_fd, "sm", 0755), 0);
    put("sm/saved_model.pb");
    (void) snprintf(path, sizeof path, "%s/sm", root);
    assert_not_found(path, NULL, -ENOTSUP, "tf2onnx.convert --saved-model");
}

static void a_model_beside_other_files_wins(void **state)
{
    put("weights.pt");
    put("model.onnx");
    put("model.onnx.data");
    put(".hidden.onnx");
    assert_found(NULL, "bootstrap", "model.onnx");
}

static void put_text(const char *name, const char *text)
{
    int fd = openat(root_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void an_xgboost_model_is_told_by_its_content(void **state)
{
    put_text("config.json", "{\"learner\":1}");
    put_text("warm_up.json", "{\"inputs\":[]}");
    assert_not_found(NULL, "bootstrap", -ENOENT, "no XGBoost model in JSON");
    put_text("trees.json", "{\"learner\":{}}");
    assert_found(NULL, "bootstrap", "trees.json");
    assert_found(NULL, "trees.json", "trees.json");
    assert_found(NULL, "config.json", "config.json"); // named: what is wrong with it, loading tells
    put_text("more.ubj", "{U\7learner{");
    assert_not_found(NULL, "bootstrap", -ENOENT, "2 model files");
    put_text("more.ubj", "none");
    assert_found(NULL, "bootstrap", "trees.json");
    assert_true(model_file_is_model("m.ubj") && !model_file_is_model("m.json"));
    assert_true(model_file_is_xgboost("m.UBJ") && model_file_is_xgboost("m.json"));
    assert_false(model_file_is_xgboost("m.onnx"));
}

static void threads_follow_the_share(void **state)
{
    static const struct {
        const char *threads, *memory;
        int processors, expected;
    } rows[] = {
        {NULL, "128", 8, 1},   {NULL, "1769", 8, 1},  {NULL, "2048", 8, 1},  {NULL, "3008", 8, 2},
        {NULL, "3538", 8, 2},  {NULL, "10240", 8, 6}, {NULL, "10240", 2, 2}, {NULL, NULL, 8, 1},
        {NULL, "x", 8, 1},     {"3", "128", 8, 3},    {"3", "128", 2, 2},    {"0", "3538", 8, 2},
        {"65", "1769", 80, 1}, {"-1", "1769", 8, 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(threads_for(rows[i].threads, rows[i].memory, rows[i].processors),
                         rows[i].expected);
    assert_in_range(threads_available(), 1, 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(by_handler_by_path_and_alone, make_root, remove_root),
        cmocka_unit_test_setup_teardown(other_formats_are_refused_with_the_way_out, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(a_saved_model_folder_is_refused, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_model_beside_other_files_wins, make_root, remove_root),
        cmocka_unit_test_setup_teardown(an_xgboost_model_is_told_by_its_content, make_root,
                                        remove_root),
        cmocka_unit_test(threads_follow_the_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
