// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/json.h"

static int parse(struct str text)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    return json_parse(text, 1 << 20, &doc, NULL);
}

static void every_prefix_is_refused(void **state)
{
    const char *text = "{\"a\":[1,-2.5e3,\"x\\u00e4\\n\",true,null],\"b\":{}}";
    assert_int_equal(parse(str_of(text)), 0);
    for (size_t size = 0; size < strlen(text); size++) {
        struct unit_guard guard = unit_guard_new(text, size);
        assert_int_equal(parse(str_of_data(guard.data, size)), -EINVAL);
        unit_guard_free(&guard);
    }
}

static void refuses_what_is_not_rfc8259(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "{\"a\":1,}",
        "[1,]",
        "{'a':1}",
        "{a:1}",
        "[01]",
        "[1.]",
        "[.5]",
        "[+1]",
        "[NaN]",
        "[Infinity]",
        "nul",
        "// x\n1",
        "1 2",
        "[\"\x01\"]",
        "[\"\\x\"]",
        "[\"\\ud800\"]",
        "\xef\xbb\xbf{}",
        "[\"\xff\"]",
        "[\"\xed\xa0\x80\"]",
        "[1e]",
        "{\"a\"}",
        "\"a",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(parse(str_of(bad[i])), -EINVAL);
    assert_int_equal(parse(STR("[1]\0")), -EINVAL);
}

static void limits_size_and_depth(void **state)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    struct error err = {0};
    assert_int_equal(json_parse(STR("[1,2]"), 4, &doc, &err), -EFBIG);
    assert_string_equal(err.text, "JSON of 5 bytes is longer than 4");
    char deep[2 * JSON_DEPTH_MAX + 3];
    for (size_t depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(deep, '[', depth);
        memset(deep + depth, ']', depth);
        assert_int_equal(parse(str_of_data(deep, 2 * depth)), depth > JSON_DEPTH_MAX ? -EINVAL : 0);
    }
    // Brackets in strings are none.
    AUTO_BUF struct buf many = BUF_INIT(10000);
    buf_append_text(&many, "[\"\\\"");
    for (int i = 0; i < 1000; i++)
        buf_append_byte(&many, '[');
    buf_append_text(&many, "\"]");
    assert_int_equal(parse(buf_str(&many)), 0);
    assert_int_equal(json_parse(STR("{\"a\":x}"), 100, &doc, &err), -EINVAL);
    assert_memory_equal(err.text, "bad JSON at byte 5", 18);
}

static void reads_members_by_type(void **state)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    struct str text = STR(
        "{\"s\":\"x\\u0000y\",\"n\":5,\"big\":18446744073709551615,\"neg\":-7,\"f\":1.0,\"t\":true,"
        "\"null\":null,\"o\":{},\"a\":[],\"s\":\"second\"}");
    assert_int_equal(json_parse(text, 1000, &doc, NULL), 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *value;
    struct str view;
    int64_t number;
    bool truth;
    assert_int_equal(json_member_str(root, "s", &view), 0);
    assert_int_equal(view.size, 3);
    assert_memory_equal(view.data, "x\0y", 3);
    assert_int_equal(json_member_str(root, "null", &view), -ENOENT);
    assert_int_equal(json_member_str(root, "missing", &view), -ENOENT);
    assert_int_equal(json_member_str(root, "n", &view), -EINVAL);
    assert_int_equal(json_member_i64(root, "n", 0, 5, &number), 0);
    assert_int_equal(number, 5);
    assert_int_equal(json_member_i64(root, "n", 0, 4, &number), -ERANGE);
    assert_int_equal(json_member_i64(root, "n", 6, 9, &number), -ERANGE);
    assert_int_equal(json_member_i64(root, "big", INT64_MIN, INT64_MAX, &number), -ERANGE);
    assert_int_equal(json_member_i64(root, "neg", INT64_MIN, INT64_MAX, &number), 0);
    assert_int_equal(number, -7);
    assert_int_equal(json_member_i64(root, "f", 0, 9, &number), -EINVAL);
    assert_int_equal(json_member_i64(root, "s", 0, 9, &number), -EINVAL);
    assert_int_equal(json_member_bool(root, "t", &truth), 0);
    assert_true(truth);
    assert_int_equal(json_member_bool(root, "n", &truth), -EINVAL);
    assert_int_equal(json_member_object(root, "o", &value), 0);
    assert_int_equal(json_member_object(root, "a", &value), -EINVAL);
    assert_int_equal(json_member_array(root, "a", &value), 0);
    assert_int_equal(json_member_array(root, "null", &value), -ENOENT);
    assert_null(json_member(NULL, "x"));
    assert_null(json_member(value, "x")); // an array has no members
    assert_str_equal(json_str(NULL), "");
    assert_str_equal(json_str(value), "");
}

static void writes_strings_that_parse_back(void **state)
{
    char bytes[300];
    for (size_t i = 0; i < 128; i++)
        bytes[i] = (char) i;
    memcpy(bytes + 128, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9);
    AUTO_BUF struct buf buf = BUF_INIT(10000);
    assert_int_equal(json_append_string(&buf, str_of_data(bytes, 137)), 0);
    AUTO_JSON yyjson_doc *doc = NULL;
    assert_int_equal(json_parse(buf_str(&buf), 10000, &doc, NULL), 0);
    struct str back = json_str(yyjson_doc_get_root(doc));
    assert_int_equal(back.size, 137);
    assert_memory_equal(back.data, bytes, 137);
    buf_clear(&buf);
    assert_int_equal(json_append_string(&buf, STR("a\xff\xc3(\xed\xa0\x80\"")), 0);
    assert_string_equal(buf.data,
                        "\"a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\\"\"");
    buf_init(&buf, (buf_done(&buf), 3));
    assert_int_equal(json_append_string(&buf, STR("abc")), -EFBIG);
}

static void writes_documents(void **state)
{
    AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    char name[] = "lamina";
    assert_true(json_add_str(doc, root, "name", str_of(name)));
    name[0] = 'x'; // copied
    assert_true(json_add_str(doc, root, "none", str_of(NULL)));
    AUTO_BUF struct buf buf = BUF_INIT(1000);
    assert_int_equal(json_append_doc(&buf, doc), 0);
    assert_string_equal(buf.data, "{\"name\":\"lamina\",\"none\":\"\"}");
    assert_true(json_add_str(doc, root, "bad", STR("\xff")));
    assert_int_equal(json_append_doc(&buf, doc), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(refuses_what_is_not_rfc8259),
        cmocka_unit_test(limits_size_and_depth),
        cmocka_unit_test(reads_members_by_type),
        cmocka_unit_test(writes_strings_that_parse_back),
        cmocka_unit_test(writes_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
