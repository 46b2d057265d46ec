// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/base64.h"

static ptrdiff_t decode(const char *text, char data[64])
{
    struct unit_guard guard = unit_guard_new(text, strlen(text));
    ptrdiff_t size = base64_decode(str_of_data(guard.data, strlen(text)), data);
    unit_guard_free(&guard);
    return size;
}

// RFC 4648, section 10.
static void knows_the_rfc_examples(void **state)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff\xfe", "+//+"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[64], data[64];
        base64_encode(rows[i][0], strlen(rows[i][0]), text);
        assert_string_equal(text, rows[i][1]);
        assert_int_equal(decode(rows[i][1], data), strlen(rows[i][0]));
        assert_memory_equal(data, rows[i][0], strlen(rows[i][0]));
    }
}

static void refuses_what_is_not_strict(void **state)
{
    static const char *const bad[] = {
        "Z",
        "Zg",
        "Zg=",
        "Zm8",
        "=",
        "====",
        "Z===",
        "Zg==Zg==",
        "Zg==Z",
        "Zg=g",
        "Zh==",
        "Zm9=",
        "Zm9v\n",
        "Zm 9v",
        "Zm9-",
        "Zm9_",
        "Zm9v=",
        "Zm9v====",
        "\xff\xff\xff\xff",
        "Zg===",
        "Zm8==",
    };
    char data[64];
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(decode(bad[i], data), -EINVAL);
    assert_int_equal(base64_decode(STR("Zm\0v"), data), -EINVAL);
}

static void pieces_give_the_same(void **state)
{
    uint8_t bytes[101];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t) (i * 37);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        char text[BASE64_ENCODED_SIZE(sizeof bytes) + 1];
        base64_encode(bytes, size, text);
        for (size_t piece = 1; piece < 12; piece++) {
            struct base64_decoder decoder = BASE64_DECODER_INIT;
            uint8_t back[sizeof bytes + 3];
            ptrdiff_t total = 0;
            for (struct str left = str_of(text); left.size; left = str_skip(left, piece)) {
                ptrdiff_t got =
                    base64_decoder_feed(&decoder, str_part(left, 0, piece), back + total);
                assert_true(got >= 0);
                total += got;
            }
            assert_int_equal(base64_decoder_finish(&decoder), 0);
            assert_int_equal(total, size);
            assert_memory_equal(back, bytes, size);
        }
    }
}

static void every_prefix_is_refused_or_whole(void **state)
{
    const char *text = "Zm9vYmFyZm9vYg==";
    for (size_t size = 0; size <= strlen(text); size++) {
        struct unit_guard guard = unit_guard_new(text, size);
        char data[64];
        ptrdiff_t got = base64_decode(str_of_data(guard.data, size), data);
        assert_int_equal(got, size % 4 ? -EINVAL : size == 16 ? 10 : (ptrdiff_t) (size / 4 * 3));
        unit_guard_free(&guard);
    }
}

static void decodes_in_place(void **state)
{
    char text[] = "Zm9vYmFy";
    assert_int_equal(base64_decode(str_of(text), text), 6);
    assert_memory_equal(text, "foobar", 6);
}

static void appends(void **state)
{
    AUTO_BUF struct buf buf = BUF_INIT(8);
    assert_int_equal(base64_append(&buf, "foob", 4), 0);
    assert_string_equal(buf.data, "Zm9vYg==");
    assert_int_equal(base64_append(&buf, "f", 1), -EFBIG);
    assert_int_equal(base64_append(&buf, "f", SIZE_MAX), -EFBIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_the_rfc_examples),
        cmocka_unit_test(refuses_what_is_not_strict),
        cmocka_unit_test(pieces_give_the_same),
        cmocka_unit_test(every_prefix_is_refused_or_whole),
        cmocka_unit_test(decodes_in_place),
        cmocka_unit_test(appends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
