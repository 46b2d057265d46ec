// SPDX-License-Identifier: MIT
//
// The models of functions: hard links onto objects, one directory a function.

#include "unit.h"

#include "base/mem.h"
#include "store/models.h"
#include "store_bench.h"

#include <sys/stat.h>

static void add_file(struct store_batch *batch, const char *path, const char *content)
{
    struct store_file *file = NULL;
    OK(store_file_new(store, &file, &err));
    OK(store_file_write(file, content, strlen(content), &err));
    OK(store_file_finish(file, &err));
    OK(store_batch_file(batch, str_of(path), file, false, 0, &err));
}

static struct digest commit(struct store_batch *batch)
{
    struct digest tree;
    struct store_pin *pin;
    OK(store_batch_commit(batch, &tree, &pin, &err));
    store_batch_free(batch);
    store_unpin(pin);
    return tree;
}

static struct digest one_file(const char *name, const char *content)
{
    struct store_batch *batch = store_batch_new(store);
    add_file(batch, name, content);
    return commit(batch);
}

static struct digest set_of(const char *name)
{
    return digest_of(name, strlen(name));
}

// The path of a file of a model, in the data directory.
static const char *in_model(const struct digest *set, const struct digest *model, const char *name)
{
    static char path[5000];
    char set_hex[DIGEST_HEX_SIZE], hex[DIGEST_HEX_SIZE];
    snprintf(path, sizeof(path), "%s/models/%s/%s/%s", scratch_path, digest_hex(set, set_hex),
             digest_hex(model, hex), name);
    return path;
}

static bool is_there(const char *path)
{
    struct stat stat;
    return lstat(path, &stat) == 0;
}

static struct store_collected collect(const struct digest *tree,
                                      const struct store_live_models *models, size_t n)
{
    struct store_live live = {
        .trees = tree, .tree_count = tree ? 1 : 0, .models = models, .models_count = n};
    struct store_collected collected = {0};
    OK(store_collect(store, &live, &collected, &err));
    return collected;
}

static void test_a_model_is_the_objects_inode(void **state)
{
    struct digest tree = one_file("m.onnx", "weights");
    struct digest set = set_of("f"), model = digest_of("weights", 7);
    struct stat link, object;
    char path[5000], hex[DIGEST_HEX_SIZE];
    OK(store_models_make(store, &set, &err));
    OK(store_models_put(store, &set, &model, &tree, NULL, &err));
    OK(store_models_put(store, &set, &model, &tree, NULL, &err)); // there already
    assert_int_equal(lstat(in_model(&set, &model, "m.onnx"), &link), 0);
    digest_hex(&model, hex);
    snprintf(path, sizeof(path), "%s/objects/%.2s/%s", scratch_path, hex, hex);
    assert_int_equal(lstat(path, &object), 0);
    assert_int_equal(link.st_ino, object.st_ino);
    assert_int_equal(link.st_mode, S_IFREG | 0444);
}

static void test_a_prefix_has_its_folders(void **state)
{
    struct store_batch *batch = store_batch_new(store);
    add_file(batch, "m.onnx", "graph");
    add_file(batch, "data/weights.bin", "weights");
    add_file(batch, "data/empty", "");
    struct digest tree = commit(batch), set = set_of("f");
    OK(store_models_put(store, &set, &tree, &tree, NULL, &err));
    assert_true(is_there(in_model(&set, &tree, "data/weights.bin")));
    assert_true(is_there(in_model(&set, &tree, "data/empty")));
}

static void test_a_lost_link_is_made_again(void **state)
{
    struct digest tree = one_file("m.onnx", "weights");
    struct digest set = set_of("f"), model = digest_of("weights", 7);
    OK(store_models_put(store, &set, &model, &tree, NULL, &err));
    assert_int_equal(unlink(in_model(&set, &model, "m.onnx")), 0);
    OK(store_models_put(store, &set, &model, &tree, NULL, &err));
    assert_true(is_there(in_model(&set, &model, "m.onnx")));
}

static void test_a_foreign_file_in_a_models_place_is_replaced(void **state)
{
    struct digest tree = one_file("m.onnx", "weights");
    struct digest set = set_of("f"), model = digest_of("weights", 7);
    OK(store_models_put(store, &set, &model, &tree, NULL, &err));
    assert_int_equal(unlink(in_model(&set, &model, "m.onnx")), 0);
    FILE *file = fopen(in_model(&set, &model, "m.onnx"), "w");
    assert_non_null(file);
    fputs("weighty", file);
    fclose(file);
    OK(store_models_put(store, &set, &model, &tree, NULL, &err));
    struct stat stat;
    assert_int_equal(lstat(in_model(&set, &model, "m.onnx"), &stat), 0);
    assert_int_equal(stat.st_nlink, 3); // object, farm, model
}

static void test_a_known_object_needs_no_copy(void **state)
{
    struct digest first = one_file("a", "weights"), model = digest_of("weights", 7);
    struct store_batch *batch = store_batch_new(store);
    struct store_only_file only;
    OK(store_batch_known(batch, STR("other/name.onnx"), &model, 7, &err));
    struct digest second = commit(batch);
    assert_false(digest_equal(&first, &second));
    OK(store_tree_only_file(store, &second, &only, &err));
    assert_string_equal(only.path, "other/name.onnx");
    assert_true(digest_equal(&only.digest, &model));
    assert_int_equal(only.bytes, 7);
}

static void test_an_object_that_is_not_there_fails_the_tree(void **state)
{
    struct digest model = digest_of("nowhere", 7), tree;
    struct store_batch *batch = store_batch_new(store);
    struct store_pin *pin;
    OK(store_batch_known(batch, STR("m.onnx"), &model, 7, &err));
    assert_int_equal(store_batch_commit(batch, &tree, &pin, &err), -EUCLEAN);
    store_batch_free(batch);
}

static void test_a_prepared_form_lies_beside_its_model(void **state)
{
    struct digest tree = one_file("m.onnx", "weights"), prepared = digest_of("weights", 7);
    struct digest set = set_of("f"), model = digest_of("weights", 7);
    char path[200], hex[DIGEST_HEX_SIZE];
    snprintf(path, sizeof(path), "%s/prepared-1/model.ort", digest_hex(&model, hex));
    OK(store_models_put(store, &set, &model, &tree, NULL, &err));
    OK(store_models_link(store, &set, path, &prepared, &err));
    OK(store_models_link(store, &set, path, &prepared, &err));
    assert_true(is_there(in_model(&set, &model, "prepared-1/model.ort")));
    struct digest nowhere = digest_of("nowhere", 7);
    assert_int_equal(store_models_link(store, &set, "x/y", &nowhere, &err), -ENOENT);
    assert_int_equal(store_models_link(store, &set, "../y", &prepared, &err), -EINVAL);
}

static void test_a_function_that_is_gone_takes_its_models_along(void **state)
{
    struct digest tree = one_file("m.onnx", "weights");
    struct digest set = set_of("f"), model = digest_of("weights", 7);
    OK(store_models_put(store, &set, &model, &tree, NULL, &err));
    struct store_collected collected = collect(NULL, NULL, 0);
    assert_int_equal(collected.objects, 1);
    assert_int_equal(collected.bytes, 7); // no link of it is left
    assert_false(is_there(in_model(&set, &model, "")));
}

static void test_an_old_model_goes_when_nobody_runs(void **state)
{
    struct digest old = one_file("m.onnx", "old"), new = one_file("m.onnx", "new");
    struct digest set = set_of("f"), old_model = digest_of("old", 3), model = digest_of("new", 3);
    OK(store_models_put(store, &set, &old_model, &old, NULL, &err));
    OK(store_models_put(store, &set, &model, &new, NULL, &err));
    struct store_live_models live[] = {
        {.set = set, .has_model = true, .model = model},
        {.set = set, .is_busy = true},
    };
    collect(&new, live, 2); // an instance runs: it may have the old one open
    assert_true(is_there(in_model(&set, &old_model, "m.onnx")));
    struct digest again = one_file("m.onnx", "old"); // still the same inode
    struct stat stat;
    assert_int_equal(lstat(in_model(&set, &old_model, "m.onnx"), &stat), 0);
    assert_int_equal(stat.st_nlink, 3);
    collect(&new, live, 1);
    assert_false(is_there(in_model(&set, &old_model, "")));
    assert_true(is_there(in_model(&set, &model, "m.onnx")));
    (void) again;
}

static void test_a_pinned_set_stays(void **state)
{
    struct digest tree = one_file("m.onnx", "weights");
    struct digest set = set_of("f"), model = digest_of("weights", 7);
    struct store_pin *pin;
    OK(store_models_put(store, &set, &model, &tree, &pin, &err));
    collect(NULL, NULL, 0);
    assert_true(is_there(in_model(&set, &model, "m.onnx")));
    store_unpin(pin);
    collect(NULL, NULL, 0);
    assert_false(is_there(in_model(&set, &model, "m.onnx")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_model_is_the_objects_inode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_prefix_has_its_folders, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_lost_link_is_made_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_foreign_file_in_a_models_place_is_replaced, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_known_object_needs_no_copy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_object_that_is_not_there_fails_the_tree, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_prepared_form_lies_beside_its_model, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_function_that_is_gone_takes_its_models_along, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_an_old_model_goes_when_nobody_runs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_pinned_set_stays, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
