// SPDX-License-Identifier: MIT
//
// Sizes against AWS's limits, to the byte.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "package/strategy.h"

#include "base/compiler.h"

#include <string.h>

#define ZIP_MAX UINT64_C(52428800)
#define UNZIPPED_MAX UINT64_C(262144000)
#define IMAGE_MAX (UINT64_C(10) << 30)
#define MEMORY_MAX UINT64_C(10737418240)

static void expect(enum strategy strategy, uint64_t zip, uint64_t unzipped, uint64_t over)
{
    const struct strategy_size size = {.zip_bytes = zip, .unzipped_bytes = unzipped};
    struct strategy_verdict verdict = strategy_check(strategy, &size);

    assert_int_equal(verdict.fits, over == 0);
    assert_true(verdict.over_bytes == over);
    assert_true((verdict.limit == NULL) == (over == 0));
}

static void at_and_past_each_limit(void **state)
{
    for (enum strategy strategy = STRATEGY_PACKAGE; strategy <= STRATEGY_LAYER; strategy++) {
        expect(strategy, ZIP_MAX, UNZIPPED_MAX, 0);
        expect(strategy, ZIP_MAX + 1, UNZIPPED_MAX, 1);
        expect(strategy, ZIP_MAX, UNZIPPED_MAX + 1, 1);
        expect(strategy, ZIP_MAX + 5, UNZIPPED_MAX + 2, 2); // the limit that S3 does not lift
        expect(strategy, 0, UNZIPPED_MAX, 0);               // not zipped yet
    }
    expect(STRATEGY_IMAGE, ZIP_MAX * 9, IMAGE_MAX, 0);
    expect(STRATEGY_IMAGE, 0, IMAGE_MAX + 3, 3);
    expect(STRATEGY_S3, 0, MEMORY_MAX, 0);
    expect(STRATEGY_S3, 0, MEMORY_MAX + 4, 4);
    expect(STRATEGY_ENDPOINT, UINT64_MAX, UINT64_MAX, 0);
    expect(STRATEGY_FILESYSTEM, UINT64_MAX, UINT64_MAX, 0);
}

static void says_it_in_a_line(void **state)
{
    const struct strategy_size big = {.zip_bytes = ZIP_MAX + (41 << 20),
                                      .unzipped_bytes = 95 << 20};
    const struct strategy_size small = {.zip_bytes = 10, .unzipped_bytes = 20};
    char text[512], cut[20];

    strategy_describe(&big, text, sizeof text);
    assert_string_equal(text, "zip: 41 MB over (by 42991616 bytes; limit: 50 MB zipped); "
                              "layer: 41 MB over (by 42991616 bytes; limit: 50 MB zipped); "
                              "image, s3, endpoint, filesystem: fits");
    strategy_describe(&small, text, sizeof text);
    assert_string_equal(text, "zip, layer, image, s3, endpoint, filesystem: fits");
    strategy_describe(&big, cut, sizeof cut);
    assert_int_equal(strlen(cut), sizeof cut - 1);
}

static void sizes_for_people(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {
        {0, "0 bytes"},
        {1023, "1023 bytes"},
        {1024, "1.0 KB"},
        {1536, "1.5 KB"},
        {10240, "10 KB"},
        {52428800, "50 MB"},
        {UINT64_C(10) << 30, "10 GB"},
        {UINT64_MAX, "16777216 TB"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[32];
        bytes_describe(rows[i].bytes, text, sizeof text);
        assert_string_equal(text, rows[i].text);
    }
}

static void names_go_both_ways(void **state)
{
    for (int i = 0; i < STRATEGY_COUNT; i++)
        assert_int_equal(strategy_find(strategy_name((enum strategy) i)), i);
    assert_int_equal(strategy_find("zip"), -1);
    assert_int_equal(strategy_find(""), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_and_past_each_limit),
        cmocka_unit_test(says_it_in_a_line),
        cmocka_unit_test(sizes_for_people),
        cmocka_unit_test(names_go_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
