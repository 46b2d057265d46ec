// SPDX-License-Identifier: MIT
//
// The scanner: the same outcome whatever the pieces, and never another member than the one on the path.

#include "unit.h"

#include "base/buf.h"
#include "fetch/scanner.h"

struct scan {
    struct scanner scanner;
    struct buf rest, zip;
    int write_code;
};

static int on_write(void *arg, const void *data, size_t size)
{
    struct scan *scan = arg;
    (void) buf_append(&scan->zip, data, size);
    return scan->write_code;
}

static void scan_init(struct scan *scan, const char *path, size_t rest_max)
{
    buf_init(&scan->rest, rest_max);
    buf_init(&scan->zip, 1 << 24);
    scan->write_code = 0;
    scanner_init(&scan->scanner, path, &scan->rest, on_write, scan);
}

static void scan_done(struct scan *scan)
{
    buf_done(&scan->rest);
    buf_done(&scan->zip);
}

// In pieces of `piece` bytes; each piece is a guarded copy.
static int scan_in(struct scan *scan, const char *path, const char *text, size_t piece)
{
    size_t size = strlen(text);
    scan_init(scan, path, 1 << 16);
    for (size_t i = 0; i < size; i += piece) {
        size_t now = piece < size - i ? piece : size - i;
        struct unit_guard guard = unit_guard_new(text + i, now);
        int error = scanner_feed(&scan->scanner, guard.data, now);
        unit_guard_free(&guard);
        if (error)
            return error;
    }
    return scanner_finish(&scan->scanner);
}

// `zip` NULL: the member is not there.
static void expect(const char *path, const char *text, const char *rest, const char *zip)
{
    for (size_t piece = 1; piece < 40; piece++) {
        struct scan scan;
        int error = scan_in(&scan, path, text, piece);
        if (error)
            fail_msg("%s in pieces of %zu: error %d", text, piece, error);
        assert_str_equal(buf_str(&scan.rest), rest);
        assert_int_equal(scan.scanner.has_target, zip != NULL);
        assert_str_equal(buf_str(&scan.zip), zip ? zip : "");
        scan_done(&scan);
    }
}

static void expect_error(const char *path, const char *text, int expected)
{
    for (size_t piece = 1; piece < 40; piece++) {
        struct scan scan;
        int error = scan_in(&scan, path, text, piece);
        if (error != expected)
            fail_msg("%s in pieces of %zu: error %d, not %d", text, piece, error, expected);
        scan_done(&scan);
    }
}

static void test_the_member_is_taken_out(void **state)
{
    expect("Code.ZipFile",
           "{\"FunctionName\":\"f\",\"Code\":{\"ZipFile\":\"aGVsbG8=\"},\"Role\":\"r\"}",
           "{\"FunctionName\":\"f\",\"Code\":{\"ZipFile\":\"\"},\"Role\":\"r\"}", "hello");
    expect("ZipFile", "{ \"Publish\" : true , \"ZipFile\" : \"aGVsbG8h\" }\n",
           "{ \"Publish\" : true , \"ZipFile\" : \"\" }", "hello!");
    expect("ZipFile", "{\"ZipFile\":\"\"}", "{\"ZipFile\":\"\"}", "");
}

static void test_without_the_member_all_is_kept(void **state)
{
    expect("Code.ZipFile", "{}", "{}", NULL);
    expect("Code.ZipFile", "{\"Code\":{\"S3Bucket\":\"b\",\"S3Key\":\"k\"}}",
           "{\"Code\":{\"S3Bucket\":\"b\",\"S3Key\":\"k\"}}", NULL);
    expect("Code.ZipFile", "{\"Code\":{\"ZipFile\":null}}", "{\"Code\":{\"ZipFile\":null}}", NULL);
    expect("Code.ZipFile", "{\"Code\":{\"ZipFile\":7}}", "{\"Code\":{\"ZipFile\":7}}", NULL);
    expect("Code.ZipFile", "{\"Code\":null}", "{\"Code\":null}", NULL);
    expect("ZipFile", "", "", NULL); // whether that is JSON, the parser says
    expect("ZipFile", "7", "7", NULL);
}

static void test_only_the_path_counts(void **state)
{
    static const char *const elsewhere[] = {
        "{\"ZipFile\":\"aGk=\"}",
        "{\"Environment\":{\"Variables\":{\"ZipFile\":\"aGk=\"}}}",
        "{\"Tags\":{\"Code\":{\"ZipFile\":\"aGk=\"}}}",
        "{\"Code\":[{\"ZipFile\":\"aGk=\"}]}",
        "{\"Code\":{\"x\":{\"ZipFile\":\"aGk=\"}}}",
        "{\"Code\":{\"x\":[\"ZipFile\",\"aGk=\"]}}",
        "[{\"Code\":{\"ZipFile\":\"aGk=\"}}]",
        "{\"x\":\"Code\",\"y\":{\"ZipFile\":\"aGk=\"}}",
        "{\"Code\":\"x\",\"y\":{\"ZipFile\":\"aGk=\"}}",
        "{\"Code\":{\"ZipFileX\":\"aGk=\",\"ZipFil\":\"aGk=\"}}",
        "{\"code\":{\"zipfile\":\"aGk=\"}}",
        "{\"Code\":{\"a\":\"ZipFile\",\"b\":\"aGk=\"}}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++)
        expect("Code.ZipFile", elsewhere[i], elsewhere[i], NULL);
    expect("Code.ZipFile",
           "{\"a\":{\"b\":[1,{\"c\":{}}]},\"Code\":{\"q\":[[]],\"ZipFile\":\"aGk=\"}}",
           "{\"a\":{\"b\":[1,{\"c\":{}}]},\"Code\":{\"q\":[[]],\"ZipFile\":\"\"}}", "hi");
}

static void test_escapes_are_understood(void **state)
{
    // PHP escapes '/', Gson '='; a name may be escaped whole.
    expect("ZipFile", "{\"ZipFile\":\"\\/\\/\\/\\u002f\"}", "{\"ZipFile\":\"\"}", "\xff\xff\xff");
    expect("ZipFile", "{\"ZipFile\":\"aGk\\u003D\"}", "{\"ZipFile\":\"\"}", "hi");
    expect("ZipFile", "{\"\\u005aip\\u0046ile\":\"aGk=\"}", "{\"\\u005aip\\u0046ile\":\"\"}", "hi");
    expect("ZipFile", "{\"a\\\"ZipFile\":\"x\\\\\",\"ZipFile\":\"aGk=\"}",
           "{\"a\\\"ZipFile\":\"x\\\\\",\"ZipFile\":\"\"}", "hi");
    expect_error("ZipFile", "{\"ZipFile\":\"aGk\\n=\"}", SCANNER_BAD_BASE64);
    expect_error("ZipFile", "{\"ZipFile\":\"aGk\\u00e9\"}", SCANNER_BAD_BASE64);
    expect_error("ZipFile", "{\"ZipFile\":\"aGk\\x\"}", SCANNER_BAD_JSON);
    expect_error("ZipFile", "{\"ZipFile\":\"aGk\\u00z0\"}", SCANNER_BAD_JSON);
}

static void test_what_is_not_base64(void **state)
{
    expect_error("ZipFile", "{\"ZipFile\":\"aGk\"}", SCANNER_BAD_BASE64);
    expect_error("ZipFile", "{\"ZipFile\":\"aGk=aGk=\"}", SCANNER_BAD_BASE64);
    expect_error("ZipFile", "{\"ZipFile\":\"aG k=\"}", SCANNER_BAD_BASE64);
    expect_error("ZipFile", "{\"ZipFile\":\"aG-_\"}", SCANNER_BAD_BASE64);
    expect_error("ZipFile", "{\"ZipFile\":\"aGl=\"}", SCANNER_BAD_BASE64); // unused bits set
    expect_error("ZipFile", "{\"ZipFile\":\"====\"}", SCANNER_BAD_BASE64);
}

static void test_what_is_not_json(void **state)
{
    static const char *const table[] = {
        "{",
        "{\"ZipFile\":\"aGk=",
        "{\"ZipFile\":\"aGk=\"",
        "}",
        "]",
        "{]",
        "[}",
        "{\"a\":\"x\ny\"}",
        "{} {}",
        "{}x",
        "{\"a\":\"\\q\"}",
        "{\"a\":\"\\u12\"}",
        "\"",
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        expect_error("ZipFile", table[i], SCANNER_BAD_JSON);
    char deep[200];
    memset(deep, '[', 100);
    deep[100] = 0;
    expect_error("ZipFile", deep, SCANNER_BAD_JSON);
}

static void test_a_name_on_the_path_twice_is_refused(void **state)
{
    expect_error("ZipFile", "{\"ZipFile\":\"aGk=\",\"ZipFile\":\"aGk=\"}", SCANNER_TWICE);
    expect_error("ZipFile", "{\"ZipFile\":null,\"ZipFile\":\"aGk=\"}", SCANNER_TWICE);
    expect_error("Code.ZipFile", "{\"Code\":{},\"Code\":{\"ZipFile\":\"aGk=\"}}", SCANNER_TWICE);
    expect_error("Code.ZipFile", "{\"Code\":1,\"\\u0043ode\":{\"ZipFile\":\"aGk=\"}}",
                 SCANNER_TWICE);
}

static void test_every_prefix_is_incomplete(void **state)
{
    static const char text[] = "{\"a\":[1,\"\\u0041\"],\"Code\":{\"ZipFile\":\"aGVs\\/G8=\"}}";
    for (size_t size = 1; size < sizeof(text) - 1; size++) {
        struct scan scan;
        struct unit_guard guard = unit_guard_new(text, size);
        scan_init(&scan, "Code.ZipFile", 1 << 16);
        int error = scanner_feed(&scan.scanner, guard.data, size);
        assert_int_not_equal(error ? error : scanner_finish(&scan.scanner), 0);
        unit_guard_free(&guard);
        scan_done(&scan);
    }
}

static void test_the_rest_has_a_limit(void **state)
{
    struct scan scan;
    scan_init(&scan, "ZipFile", 100);
    assert_int_equal(scanner_feed(&scan.scanner, "{\"ZipFile\":\"", 12), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(scanner_feed(&scan.scanner, "AAAA", 4), 0); // does not count
    assert_int_equal(scan.zip.size, 3000);
    assert_int_equal(scanner_feed(&scan.scanner, "\",\"x\":\"", 7), 0);
    int error = 0;
    for (int i = 0; error == 0 && i < 1000; i++)
        error = scanner_feed(&scan.scanner, "AAAA", 4);
    assert_int_equal(error, SCANNER_REST_TOO_LARGE);
    scan_done(&scan);
}

static void test_a_failing_writer_ends_the_scan(void **state)
{
    struct scan scan;
    scan_init(&scan, "ZipFile", 1 << 16);
    scan.write_code = -ENOSPC;
    assert_int_equal(scanner_feed(&scan.scanner, "{\"ZipFile\":\"AAAA\"}", 18), SCANNER_WRITE);
    scan_done(&scan);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_member_is_taken_out),
        cmocka_unit_test(test_without_the_member_all_is_kept),
        cmocka_unit_test(test_only_the_path_counts),
        cmocka_unit_test(test_escapes_are_understood),
        cmocka_unit_test(test_what_is_not_base64),
        cmocka_unit_test(test_what_is_not_json),
        cmocka_unit_test(test_a_name_on_the_path_twice_is_refused),
        cmocka_unit_test(test_every_prefix_is_incomplete),
        cmocka_unit_test(test_the_rest_has_a_limit),
        cmocka_unit_test(test_a_failing_writer_ends_the_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
