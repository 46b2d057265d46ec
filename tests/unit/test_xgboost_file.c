// SPDX-License-Identifier: MIT

#include "unit.h"

#include "model_runtime/xgboost_file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_model(const char *text)
{
    return xgboost_head_is_model(text, strlen(text));
}

static void json_models_are_known(void **state)
{
    static const char *const good[] = {
        "{\"learner\":{",
        "  {\n  \"learner\" : {\"attributes\":{}}}",
        "{\"version\":[1,7,4],\"learner\":{",
        "{\"a\":{\"b\":[1,{\"learner\":2}],\"c\":\"}\"},\"d\":\"\\\"\",\"e\":-1.5e3,\"learner\":{}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(is_model(good[i]));
}

static void other_texts_are_not(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "{}",
        "[]",
        "learner",
        "{\"learner\"",
        "{\"learner\":",
        "{\"learner\":[]}",
        "{\"learner\":null}",
        "{\"learner2\":{}}",
        "{\"a\":{\"learner\":{}}}",
        "{\"a\":\"learner\"}",
        "{\"a\":1}\"learner\":{}",
        "{\"a\":1]],\"learner\":{}",
        "{\"a\"}",
        "{\"a\",\"learner\":{",
        "{\"inputs\":[{\"name\":\"x\"}]}",
        "bs64 and more",
        "binf",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(is_model(bad[i]));
}

static void ubjson_models_are_known(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } good[] = {
        {"{L\0\0\0\0\0\0\0\007learner{", 18},
        {"{l\0\0\0\007learner{", 14},
        {"{I\0\007learner{", 12},
        {"{i\007learner{", 11},
        {"{U\007learner{", 11},
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_true(xgboost_head_is_model(good[i].bytes, good[i].size));
        for (size_t size = 0; size < good[i].size; size++) // every prefix
            assert_false(xgboost_head_is_model(good[i].bytes, size));
    }
}

static void other_bytes_are_not(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } bad[] = {
        {"{L\0\0\0\0\0\0\0\010learners{", 19},
        {"{L\0\0\0\0\0\0\0\007learner[", 18},
        {"{L\377\377\377\377\377\377\377\377learner{", 18},
        {"{L\7\0\0\0\0\0\0\0learner{", 18},
        {"{S\007learner{", 11},
        {"{$i#i\001\007learner{", 15},
        {"\010\007\022\007pytorch", 11},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(xgboost_head_is_model(bad[i].bytes, bad[i].size));
}

// A description beside a model may be long; only the beginning is looked at.
static void only_the_beginning_is_looked_at(void **state)
{
    static char text[2 * XGBOOST_HEAD_BYTES];
    char path[] = "/tmp/test_xgboost_file.XXXXXX";
    int fd = mkstemp(path);
    memset(text, ' ', sizeof(text));
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + XGBOOST_HEAD_BYTES, "\",\"learner\":{", 13);
    assert_true(xgboost_head_is_model(text, sizeof(text)));
    assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
    assert_false(xgboost_file_is_model(AT_FDCWD, path));
    assert_int_equal(pwrite(fd, "{\"learner\":{", 12, 0), 12);
    assert_true(xgboost_file_is_model(AT_FDCWD, path));
    close(fd);
    unlink(path);
    assert_false(xgboost_file_is_model(AT_FDCWD, path));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(xgboost_file_is_model(AT_FDCWD, path)); // and waits for nobody
    unlink(path);
    assert_false(xgboost_file_is_model(AT_FDCWD, "/tmp"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_models_are_known),           cmocka_unit_test(other_texts_are_not),
        cmocka_unit_test(ubjson_models_are_known),         cmocka_unit_test(other_bytes_are_not),
        cmocka_unit_test(only_the_beginning_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
