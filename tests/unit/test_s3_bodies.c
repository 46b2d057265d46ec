// SPDX-License-Identifier: MIT
//
// What clients send as XML: as boto3, the CLI and the JavaScript SDK write it, every prefix, and
// what is refused.

#include "unit.h"

#include "api/s3_bodies.h"
#include "base/buf.h"

#define MAX 3

static struct arena arena;
static struct s3_named_part parts[MAX];
static struct objects_deletion items[MAX];
static size_t count;
static bool is_quiet;

static int complete(struct str body)
{
    arena_reset(&arena);
    return s3_body_complete(body, &arena, parts, MAX, &count);
}

static int delete_many(struct str body)
{
    arena_reset(&arena);
    return s3_body_delete(body, &arena, items, MAX, &count, &is_quiet);
}

#define COMPLETE                                                                                   \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"                                                 \
    "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"                  \
    "<Part><ETag>&quot;aa&quot;</ETag><PartNumber>1</PartNumber></Part>\n"                         \
    "<Part><ETag>bb</ETag><ChecksumCRC32>AAAAAA==</ChecksumCRC32><PartNumber>7</PartNumber>"       \
    "<Unknown><x/></Unknown></Part></CompleteMultipartUpload>"

static void test_complete(void **state)
{
    assert_int_equal(complete(STR(COMPLETE)), 0);
    assert_int_equal(count, 2);
    assert_str_equal(parts[0].etag, "aa");
    assert_int_equal(parts[0].number, 1);
    assert_null(parts[0].checksum.data);
    assert_str_equal(parts[1].etag, "bb");
    assert_int_equal(parts[1].number, 7);
    assert_str_equal(parts[1].checksum, "AAAAAA==");
    assert_int_equal(parts[1].kind, CHECKSUM_CRC32);
}

static void test_complete_refused(void **state)
{
    static const char *const bad[] = {
        "<CompleteMultipartUpload/>",
        "<Other><Part><ETag>a</ETag><PartNumber>1</PartNumber></Part></Other>",
        "<CompleteMultipartUpload><Part><ETag>a</ETag></Part></CompleteMultipartUpload>",
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></"
        "CompleteMultipartUpload>",
        ("<CompleteMultipartUpload><Part><ETag>a</ETag><PartNumber>-1</PartNumber></Part>"
         "</CompleteMultipartUpload>"),
        ("<CompleteMultipartUpload><Part><ETag>a</ETag><PartNumber>1x</PartNumber></Part>"
         "</CompleteMultipartUpload>"),
        "<CompleteMultipartUpload><Odd/></CompleteMultipartUpload>",
        ("<CompleteMultipartUpload><Part><ETag><b/></ETag><PartNumber>1</PartNumber></Part>"
         "</CompleteMultipartUpload>"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(complete(str_of(bad[i])), -EINVAL);
    struct buf many = BUF_INIT(4096);
    buf_append_text(&many, "<CompleteMultipartUpload>");
    for (int i = 0; i <= MAX; i++)
        buf_append_text(&many, "<Part><ETag>a</ETag><PartNumber>1</PartNumber></Part>");
    buf_append_text(&many, "</CompleteMultipartUpload>");
    assert_int_equal(complete(buf_str(&many)), -EINVAL);
    buf_done(&many);
}

#define DELETE                                                                                     \
    "<Delete "                                                                                     \
    "xmlns=\"x\"><Object><Key>a&amp;b/&#x9;</Key></Object><Object><VersionId>v</VersionId>"        \
    "<Key>k</Key><ETag>\"e\"</ETag></Object><Quiet>true</Quiet></Delete>"

static void test_delete(void **state)
{
    assert_int_equal(delete_many(STR(DELETE)), 0);
    assert_int_equal(count, 2);
    assert_true(is_quiet);
    assert_str_equal(items[0].key, "a&b/\t");
    assert_null(items[0].name.data);
    assert_str_equal(items[1].key, "k");
    assert_str_equal(items[1].name, "v");
    assert_str_equal(items[1].has_etag, "e");
}

static void test_every_prefix_is_refused(void **state)
{
    static const char *const bodies[] = {COMPLETE, DELETE};
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++)
        for (size_t size = 0; size < strlen(bodies[i]); size++) {
            struct unit_guard guard = unit_guard_new(bodies[i], size);
            struct str body = str_of_data(guard.data, size);
            assert_int_equal(i ? delete_many(body) : complete(body), -EINVAL);
            unit_guard_free(&guard);
        }
}

static void test_keys_have_limits(void **state)
{
    struct buf body = BUF_INIT(4096);
    for (size_t size = OBJECTS_KEY_MAX; size <= OBJECTS_KEY_MAX + 1; size++) {
        buf_clear(&body);
        buf_append_text(&body, "<Delete><Object><Key>");
        for (size_t i = 0; i < size; i++)
            buf_append_byte(&body, 'k');
        buf_append_text(&body, "</Key></Object></Delete>");
        assert_int_equal(delete_many(buf_str(&body)), size == OBJECTS_KEY_MAX ? 0 : -EINVAL);
    }
    buf_done(&body);
    assert_int_equal(delete_many(STR("<Delete><Object><Key></Key></Object></Delete>")), -EINVAL);
    assert_int_equal(delete_many(STR("<Delete><Quiet>true</Quiet></Delete>")), -EINVAL);
}

static void test_one_element(void **state)
{
    struct str text;
    assert_int_equal(s3_body_single(STR("<C><L>eu</L><Other/></C>"), &arena, "C", "L", &text), 0);
    assert_str_equal(text, "eu");
    assert_int_equal(s3_body_single(STR("<C><Other/></C>"), &arena, "C", "L", &text), 0);
    assert_null(text.data);
    assert_int_equal(s3_body_single(STR("<D><L>eu</L></D>"), &arena, "C", "L", &text), -EINVAL);
    assert_int_equal(s3_body_single(STR("<C><L>eu</C>"), &arena, "C", "L", &text), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete),         cmocka_unit_test(test_complete_refused),
        cmocka_unit_test(test_delete),           cmocka_unit_test(test_every_prefix_is_refused),
        cmocka_unit_test(test_keys_have_limits), cmocka_unit_test(test_one_element),
    };
    arena_init(&arena, 1 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_done(&arena);
    return failed;
}
