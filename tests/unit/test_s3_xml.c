// SPDX-License-Identifier: MIT
//
// What stores answer in XML: errors and lists, whole, cut anywhere, and wrong.

#include "unit.h"

#include "fetch/s3_xml.h"

static const char list_text[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>"
    "<Prefix>v1/</Prefix><IsTruncated>true</IsTruncated>"
    "<NextContinuationToken>a&amp;b==</NextContinuationToken>"
    "<Contents><Key>v1/a%20b+c</Key><Size>12</Size><Owner><ID>x</ID></Owner></Contents>"
    "<Contents><Size>0</Size><Key>v1/&lt;&#x3b1;&#65;</Key><ETag>&quot;1&quot;</ETag></Contents>"
    "<CommonPrefixes/></ListBucketResult>";

static size_t seen;
static struct s3_xml_entry entries[4];

static int each(void *arg, const struct s3_xml_entry *entry)
{
    (void) arg;
    if (seen < ARRAY_SIZE(entries))
        entries[seen] = *entry;
    seen++;
    return 0;
}

static int stop(void *arg, const struct s3_xml_entry *entry)
{
    (void) arg;
    (void) entry;
    return -E2BIG;
}

static void test_a_list(void **state)
{
    struct s3_xml_page page;
    seen = 0;
    assert_int_equal(s3_xml_list(str_of(list_text), each, NULL, &page), 0);
    assert_int_equal(seen, 2);
    assert_string_equal(entries[0].key, "v1/a b c");
    assert_int_equal(entries[0].bytes, 12);
    assert_string_equal(entries[1].key, "v1/<\xce\xb1"
                                        "A");
    assert_int_equal(entries[1].bytes, 0);
    assert_true(page.is_truncated);
    assert_string_equal(page.token, "a&b==");
    assert_int_equal(s3_xml_list(str_of(list_text), stop, NULL, &page), -E2BIG);
}

static void test_every_beginning_of_a_list_is_refused(void **state)
{
    struct s3_xml_page page;
    for (size_t size = 0; size < sizeof(list_text) - 1; size++)
        assert_int_equal(s3_xml_list(str_of_data(list_text, size), each, NULL, &page), -EBADMSG);
}

static void test_bad_lists(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "<ListBucketResult>",
        "<a></b>",
        "</a>",
        "<Error><Code>x</Code></Error>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]><ListBucketResult></ListBucketResult>",
        "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>&nope;</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>&#0;</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a%00</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a%0</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>1e3</Size></Contents></ListBucketResult>",
        "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>",
    };
    struct s3_xml_page page;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (s3_xml_list(str_of(bad[i]), each, NULL, &page) != -EBADMSG)
            fail_msg("'%s' was taken", bad[i]);
}

static void test_errors(void **state)
{
    struct s3_xml_error error;
    s3_xml_error(STR("<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>a &amp; b\x1b[0m\n"
                     "</Message></Error>"),
                 &error);
    assert_string_equal(error.code, "NoSuchKey");
    assert_string_equal(error.message, "a & b [0m ");
    s3_xml_error(STR("<html>no</html>"), &error);
    assert_string_equal(error.code, "");
    s3_xml_error(STR("<Error><Code>Cut</Code><Mess"), &error);
    assert_string_equal(error.code, "Cut");
    char text[2000] = "<Error><Code>";
    memset(text + 13, 'x', 1500);
    memcpy(text + 1513, "</Code></Error>", 16);
    s3_xml_error(str_of(text), &error);
    assert_int_equal(strlen(error.code), S3_ERROR_CODE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_list),
        cmocka_unit_test(test_every_beginning_of_a_list_is_refused),
        cmocka_unit_test(test_bad_lists),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
