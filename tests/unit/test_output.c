// SPDX-License-Identifier: MIT
//
// Text of others on the way to a terminal: nothing that a terminal obeys gets through.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/output.h"

#include "base/compiler.h"

#include <stdlib.h>
#include <string.h>

static void expect(const char *text, size_t size, bool keeps_lines, const char *visible)
{
    AUTO_BUF struct buf out = BUF_INIT(4096);

    text_visible(&out, str_of_data(text, size), keeps_lines);
    assert_int_equal(buf_status(&out), 0);
    if (strcmp(out.data != NULL ? out.data : "", visible) != 0)
        fail_msg("'%s' instead of '%s'", out.data, visible);
}

#define EXPECT(literal, keeps_lines, visible)                                                      \
    expect(literal, sizeof(literal) - 1, keeps_lines, visible)

static void shows_what_terminals_obey(void **state)
{
    EXPECT("", true, "");
    EXPECT("plain text, \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", true,
           "plain text, \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    EXPECT("a\tb\nc", true, "a\tb\nc");
    EXPECT("a\tb\nc", false, "a^Ib^Jc");
    EXPECT("\x1b[31mred\x1b[0m", true, "^[[31mred^[[0m");
    EXPECT("\x1b]0;title\x07", true, "^[]0;title^G");
    EXPECT("over\rwritten", true, "over^Mwritten");
    EXPECT("back\b\x7f", true, "back^H^?");
    EXPECT("nul\0byte", true, "nul^@byte");
    EXPECT("c1 \xc2\x9b"
           "31m",
           true, "c1 \\u{9b}31m");
    EXPECT("bidi \xe2\x80\xae"
           "gpj.exe",
           true, "bidi \\u{202e}gpj.exe");
    EXPECT("isolate \xe2\x81\xa6x", true, "isolate \\u{2066}x");
    EXPECT("line\xe2\x80\xa8"
           "separator",
           true, "line\\u{2028}separator");
    EXPECT("zero\xe2\x80\x8b"
           "width\xef\xbb\xbf",
           true, "zero\\u{200b}width\\u{feff}");
}

static void shows_bytes_that_are_no_text(void **state)
{
    EXPECT("\xff\xfe", true, "\\xff\\xfe");
    EXPECT("\xc3", true, "\\xc3");
    EXPECT("\xc3(", true, "\\xc3(");
    EXPECT("\x9b"
           "31m",
           true, "\\x9b31m"); // C1 as one byte
    EXPECT("\xe2\x82", true, "\\xe2\\x82");
    EXPECT("\xc0\xaf", true, "\\xc0\\xaf");          // overlong
    EXPECT("\xed\xa0\x80", true, "\\xed\\xa0\\x80"); // surrogate
    EXPECT("\xf5\x80\x80\x80", true, "\\xf5\\x80\\x80\\x80");
}

static bool is_safe(const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char) *text;
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

// All pairs of bytes, in memory of their exact size for the sanitizer.
static void every_pair_of_bytes_is_safe(void **state)
{
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            AUTO_BUF struct buf out = BUF_INIT(64);
            char *pair = malloc(2);
            assert_non_null(pair);
            pair[0] = (char) first;
            pair[1] = (char) second;
            text_visible(&out, str_of_data(pair, 2), true);
            assert_int_equal(buf_status(&out), 0);
            assert_true(is_safe(out.data));
            assert_true(str_is_utf8(buf_str(&out)));
            free(pair);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_what_terminals_obey),
        cmocka_unit_test(shows_bytes_that_are_no_text),
        cmocka_unit_test(every_pair_of_bytes_is_safe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
