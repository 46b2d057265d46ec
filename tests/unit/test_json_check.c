/* SPDX-License-Identifier: MIT */

#include "unit.h"

#include "api/json_check.h"
#include "base/json.h"

static bool is_json(const char *text, size_t size)
{
    size_t position = 0;
    const char *why = NULL;
    struct unit_guard guard = unit_guard_new(text, size);
    int r = json_check(str_of_data(guard.data, size), &position, &why);
    assert_true(r == 0 || r == -EINVAL);
    if (r < 0) {
        assert_non_null(why);
        assert_true(position <= size);
    }
    unit_guard_free(&guard);
    return r == 0;
}

static const char *const good[] = {
    "{}",
    "[]",
    "0",
    "-0",
    "-1.5e+10",
    "1E5",
    "10",
    "\"\"",
    "true",
    "false",
    "null",
    " \t\r\n{ } \n",
    "[1,2,[3,{\"a\":[]}]]",
    "{\"a\":{\"b\":[true,null]},\"c\":\"d\"}",
    "\"\\u00e9\\n\\\"\\\\\\/\\b\\f\\r\\t\"",
    "\"\\ud83d\\ude00\"",
    "\"\xc3\xa9\"",
    "\"\xe0\xa0\x80\xed\x9f\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
    "{\"a\":1,\"a\":2}",
    "[ 1 , 2 ]",
    "{ \"a\" : 1 , \"b\" : [ ] }",
};

static const char *const bad[] = {
    "",
    " ",
    "{",
    "}",
    "[",
    "]",
    "{]",
    "[}",
    "[1,]",
    "[,1]",
    "{\"a\":1,}",
    "{,}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\" 1}",
    "{a:1}",
    "{1:2}",
    "[1 2]",
    "01",
    "-",
    "+1",
    ".5",
    "1.",
    "1e",
    "1e+",
    "0x10",
    "NaN",
    "Infinity",
    "tru",
    "nul",
    "True",
    "'a'",
    "\"a",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\\ud800\"",
    "\"\\ud800x\"",
    "\"\\ud800\\u0041\"",
    "\"\\udc00\"",
    "\"\n\"",
    "\"\x01\"",
    "\"\xff\"",
    "\"\xc0\xaf\"",
    "\"\xed\xa0\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xe0\x80\x80\"",
    "\"\xc3\"",
    "{} {}",
    "1 2",
    "{}x",
    "/* */1",
    "[1]//",
    "\xef\xbb\xbf{}",
    "nullx",
    "[[]",
    "{\"a\":[}",
    "]1",
};

static void texts_are_judged_as_the_rfc_says(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (!is_json(good[i], strlen(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (is_json(bad[i], strlen(bad[i])))
            fail_msg("accepted: %s", bad[i]);
    assert_false(is_json("1\0", 2));
    assert_false(is_json("\"\0\"", 3));
}

/* The parser of the rest of the API must not read more or less than this. */
static void every_prefix_and_changed_byte_agrees_with_the_parser(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        size_t size = strlen(good[i]);
        for (size_t cut = 0; cut <= size; cut++) {
            for (int c = -1; c < 256; c += c < 0 ? 1 : 7) {
                char text[128];
                yyjson_doc *doc = NULL;
                memcpy(text, good[i], cut);
                if (c >= 0 && cut > 0)
                    text[cut - 1] = (char) c;
                int r = json_parse(str_of_data(text, cut), 1 << 20, &doc, NULL);
                yyjson_doc_free(doc);
                if (is_json(text, cut) != (r == 0))
                    fail_msg("'%.*s': the parser says %d", (int) cut, text, r);
            }
        }
    }
}

static bool is_nested(char open, char close, size_t depth)
{
    char *text = malloc(2 * depth + 1);
    memset(text, open, depth);
    memset(text + depth, close, depth);
    bool is = is_json(text, 2 * depth);
    free(text);
    return is;
}

static void depth_has_its_limit(void **state)
{
    assert_true(is_nested('[', ']', JSON_CHECK_DEPTH_MAX));
    assert_false(is_nested('[', ']', JSON_CHECK_DEPTH_MAX + 1));
    assert_false(is_nested('[', ']', 100000));
}

static void the_position_is_where_it_went_wrong(void **state)
{
    size_t position = 0;
    const char *why = NULL;
    assert_int_equal(json_check(STR("{\"a\": x}"), &position, &why), -EINVAL);
    assert_int_equal(position, 6);
    assert_string_equal(why, "not a value");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_judged_as_the_rfc_says),
        cmocka_unit_test(every_prefix_and_changed_byte_agrees_with_the_parser),
        cmocka_unit_test(depth_has_its_limit),
        cmocka_unit_test(the_position_is_where_it_went_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
