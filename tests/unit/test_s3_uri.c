// SPDX-License-Identifier: MIT
//
// s3:// URIs, and which addresses a redirect may lead to.

#include "unit.h"

#include "fetch/fetch_plan.h"
#include "fetch/s3_client.h"
#include "fetch/s3_uri.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct error err;

static struct s3_uri parsed(const char *text)
{
    struct s3_uri uri;
    if (s3_uri_parse(str_of(text), &uri, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return uri;
}

static void is(struct str view, const char *text)
{
    if (!str_equal_text(view, text))
        fail_msg("'" STR_FORMAT "' is not '%s'", STR_ARGUMENTS(view), text);
}

static void test_the_parts(void **state)
{
    struct s3_uri uri = parsed("s3://models/a/b c?d#e");
    is(uri.bucket, "models");
    is(uri.key, "a/b c?d#e");
    assert_false(uri.is_prefix);
    uri = parsed("s3://models/m?versionId=a%2F?b"); // the last '?' does not begin a version
    is(uri.key, "m?versionId=a%2F?b");
    uri = parsed("s3://models/m?x?versionId=null");
    is(uri.key, "m?x");
    is(uri.version_id, "null");
    assert_true(parsed("s3://models/v1/").is_prefix);
    assert_true(parsed("s3://models").is_prefix);
    assert_true(parsed("s3://models/").is_prefix);
    is(parsed("s3://models//x").key, "/x");
}

static void test_bad_ones(void **state)
{
    static const char *const bad[] = {
        "",
        "s3:/b/k",
        "http://bucket/key",
        "S3://bucket/key",
        "s3://",
        "s3:///key",
        "s3://ab/key",
        "s3://Bucket/key",
        "s3://bu_cket/key",
        "s3://-bucket/key",
        "s3://bucket-/key",
        "s3://bucket./key",
        "s3://bu..cket/key",
        "s3://10.0.0.1/key",
        "s3://user@host/key",
        "s3://bucket:80/key",
        "s3://models/v1/?versionId=1",
        "s3://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/key",
    };
    struct s3_uri uri;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (s3_uri_parse(str_of(bad[i]), &uri, &err) != -EINVAL)
            fail_msg("'%s' was taken", bad[i]);
    char text[S3_URI_MAX + 8];
    memcpy(text, "s3://models/", 12);
    memset(text + 12, 'k', S3_KEY_MAX + 1);
    assert_int_equal(s3_uri_parse(str_of_data(text, 12 + S3_KEY_MAX), &uri, &err), 0);
    assert_int_equal(s3_uri_parse(str_of_data(text, 13 + S3_KEY_MAX), &uri, &err), -EINVAL);
    assert_int_equal(s3_uri_parse(STR("s3://models/a\0b"), &uri, &err), -EINVAL);
}

static void test_arns(void **state)
{
    char arn[S3_ARN_SIZE];
    struct s3_uri uri = parsed("s3://models/a/b");
    s3_uri_arn(&uri, arn);
    assert_string_equal(arn, "arn:aws:s3:::models/a/b");
    uri = parsed("s3://models");
    s3_uri_arn(&uri, arn);
    assert_string_equal(arn, "arn:aws:s3:::models");
}

static void test_names_of_keys(void **state)
{
    static const char *const pairs[][2] = {
        {"a/m.onnx", "m.onnx"},
        {"m", "m"},
        {"a/..", "model"},
        {".", "model"},
        {"a/x\n.onnx", "model.onnx"},
        {"a/\xff\xfe.ort", "model.ort"},
        {"\x7f", "model"},
        {"a/b.tflite", "b.tflite"},
    };
    char name[256];
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        fetch_name_of_key(str_of(pairs[i][0]), name);
        assert_string_equal(name, pairs[i][1]);
    }
    char longest[400];
    memset(longest, 'x', sizeof(longest));
    fetch_name_of_key(str_of_data(longest, 256), name);
    assert_string_equal(name, "model");
    fetch_name_of_key(str_of_data(longest, 255), name);
    assert_int_equal(strlen(name), 255);
}

static bool is_public(const char *text)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        memcpy(&storage, &v4, sizeof(v4));
    else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
        memcpy(&storage, &v6, sizeof(v6));
    else
        fail_msg("%s is no address", text);
    return s3_address_is_public((struct sockaddr *) &storage);
}

static void test_where_a_redirect_may_lead(void **state)
{
    static const char *const open[] = {"8.8.8.8",        "52.216.1.1",       "172.32.0.1",
                                       "192.169.0.1",    "100.128.0.1",      "2600:1f18::1",
                                       "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"};
    static const char *const closed[] = {
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.0.192",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "::127.0.0.1",
        "198.18.0.1",
    };
    for (size_t i = 0; i < ARRAY_SIZE(open); i++)
        if (!is_public(open[i]))
            fail_msg("%s is refused", open[i]);
    for (size_t i = 0; i < ARRAY_SIZE(closed); i++)
        if (is_public(closed[i]))
            fail_msg("%s is let through", closed[i]);
    assert_false(s3_address_is_public(&(struct sockaddr){.sa_family = AF_UNIX}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_parts),
        cmocka_unit_test(test_bad_ones),
        cmocka_unit_test(test_arns),
        cmocka_unit_test(test_names_of_keys),
        cmocka_unit_test(test_where_a_redirect_may_lead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
