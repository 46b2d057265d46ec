// SPDX-License-Identifier: MIT
//
// Checksums against the check values of their catalogues, and the joining of CRCs.

#include "unit.h"

#include "aws/checksum.h"

static struct checksum_value value_of(enum checksum_kind kind, const void *data, size_t size)
{
    struct checksum_stream stream;
    checksum_init(&stream, kind);
    checksum_update(&stream, data, size);
    return checksum_finish(&stream);
}

// CRC RevEng's check values, of the nine digits; the SHAs of the same.
static void test_known_values(void **state)
{
    static const struct {
        enum checksum_kind kind;
        const char *base64;
    } rows[] = {
        {CHECKSUM_CRC32, "y/Q5Jg=="},
        {CHECKSUM_CRC32C, "4waSgw=="},
        {CHECKSUM_CRC64NVME, "rosUhgp5mIg="},
        {CHECKSUM_SHA1, "98O8HYCOBHMq32eZZczDTKeuNEE="},
        {CHECKSUM_SHA256, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="},
        {CHECKSUM_MD5, "JfnnlDI7RTiF9RgfG2JNCw=="},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[CHECKSUM_BASE64_SIZE];
        struct checksum_value value = value_of(rows[i].kind, "123456789", 9), parsed;
        assert_string_equal(checksum_base64(rows[i].kind, &value, text), rows[i].base64);
        assert_int_equal(checksum_parse(rows[i].kind, str_of(text), &parsed), 0);
        assert_true(checksum_equal(rows[i].kind, &value, &parsed));
    }
}

static void test_pieces_of_any_size_give_the_same(void **state)
{
    uint8_t data[300];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t) (i * 7 + i / 3);
    for (int kind = CHECKSUM_CRC32; kind <= CHECKSUM_MD5; kind++) {
        struct checksum_value whole = value_of((enum checksum_kind) kind, data, sizeof(data));
        for (size_t piece = 1; piece < 40; piece++) {
            struct checksum_stream stream;
            checksum_init(&stream, (enum checksum_kind) kind);
            for (size_t at = 0; at < sizeof(data); at += piece)
                checksum_update(&stream, data + at,
                                sizeof(data) - at < piece ? sizeof(data) - at : piece);
            struct checksum_value value = checksum_finish(&stream);
            assert_true(checksum_equal((enum checksum_kind) kind, &whole, &value));
        }
    }
}

static void test_a_whole_from_its_parts(void **state)
{
    static uint8_t data[70000];
    static const enum checksum_kind kinds[] = {CHECKSUM_CRC32, CHECKSUM_CRC32C, CHECKSUM_CRC64NVME};
    static const size_t cuts[] = {0, 1, 7, 8, 4095, 65536, 69999, 70000};
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t) (i ^ i >> 5);
    for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
        struct checksum_value whole = value_of(kinds[k], data, sizeof(data));
        for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
            struct checksum_value left = value_of(kinds[k], data, cuts[i]);
            struct checksum_value right =
                value_of(kinds[k], data + cuts[i], sizeof(data) - cuts[i]);
            struct checksum_value joined =
                checksum_join(kinds[k], &left, &right, sizeof(data) - cuts[i]);
            assert_true(checksum_equal(kinds[k], &whole, &joined));
        }
    }
}

static void test_names(void **state)
{
    assert_int_equal(checksum_by_name(STR("crc64nvme")), CHECKSUM_CRC64NVME);
    assert_int_equal(checksum_by_name(STR("MD5")), CHECKSUM_NONE);
    assert_int_equal(checksum_by_name(STR("")), CHECKSUM_NONE);
    assert_int_equal(checksum_by_header(STR("x-amz-checksum-sha256")), CHECKSUM_SHA256);
    assert_int_equal(checksum_by_header(STR("x-amz-checksum-mode")), CHECKSUM_NONE);
    assert_int_equal(checksum_by_header(STR("x-amz-checksum-type")), CHECKSUM_NONE);
}

static void test_texts_that_are_none(void **state)
{
    static const char *const bad[] = {
        "", "AAAA", "AAAAAA=", "AAAAAAA=", "!!!!!!==", "AAAAAAAAAAA="};
    struct checksum_value value;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(checksum_parse(CHECKSUM_CRC32, str_of(bad[i]), &value), -EINVAL);
    char longest[200];
    memset(longest, 'A', sizeof(longest));
    assert_int_equal(checksum_parse(CHECKSUM_SHA256, str_of_data(longest, sizeof(longest)), &value),
                     -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_pieces_of_any_size_give_the_same),
        cmocka_unit_test(test_a_whole_from_its_parts),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_texts_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
