// SPDX-License-Identifier: MIT
//
// Signatures: AWS's published examples and test suite, retyped; our signer against our verifier;
// every kind of tampering; malformed claims.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "aws/sigv4.h"

#include "base/clock.h"

#include <errno.h>

#define SUITE_SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define SUITE_TIME "20150830T123600Z"
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

#define HEADERS_MAX 12

struct message {
    struct http_header headers[HEADERS_MAX];
    struct sigv4_request request;
    char authorization[1200];
};

static void add(struct message *message, const char *name, const char *value)
{
    assert_true(message->request.header_count < HEADERS_MAX);
    message->headers[message->request.header_count++] =
        (struct http_header){str_of(name), str_of(value)};
    message->request.headers = message->headers;
}

static struct str payload_hash(const char *body, char hex[DIGEST_HEX_SIZE])
{
    struct digest digest = digest_of(body, strlen(body));
    return str_of(digest_hex(&digest, hex));
}

// ---- AWS's test suite "aws-sig-v4-test-suite": key AKIDEXAMPLE, service "service"

struct vector {
    const char *name, *method, *path, *query;
    const char *headers[12]; // name, value, ...; x-amz-date is added
    const char *body;
    const char *signed_headers;
    const char *signature;
};

#define VANILLA "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
#define HOST "host", "example.amazonaws.com"
#define HOST_DATE "host;x-amz-date"

static const struct vector vectors[] = {
    {"get-vanilla", "GET", "/", "", {HOST}, "", HOST_DATE, VANILLA},
    {"get-vanilla-empty-query-key",
     "GET",
     "/",
     "Param1=value1",
     {HOST},
     "",
     HOST_DATE,
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {"get-vanilla-query-order-key-case",
     "GET",
     "/",
     "Param2=value2&Param1=value1",
     {HOST},
     "",
     HOST_DATE,
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-query-unreserved",
     "GET",
     "/",
     "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz="
     "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     {HOST},
     "",
     HOST_DATE,
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get-vanilla-utf8-query",
     "GET",
     "/",
     "%E1%88%B4=bar",
     {HOST},
     "",
     HOST_DATE,
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"get-unreserved",
     "GET",
     "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     "",
     {HOST},
     "",
     HOST_DATE,
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"get-header-key-duplicate",
     "GET",
     "/",
     "",
     {HOST, "my-header1", "value2", "my-header1", "value2", "my-header1", "value1"},
     "",
     "host;my-header1;x-amz-date",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"get-header-value-order",
     "GET",
     "/",
     "",
     {HOST, "my-header1", "value4", "my-header1", "value1", "my-header1", "value3", "my-header1",
      "value2"},
     "",
     "host;my-header1;x-amz-date",
     "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {"get-header-value-trim",
     "GET",
     "/",
     "",
     {HOST, "my-header1", " value1", "my-header2", " \"a   b   c\""},
     "",
     "host;my-header1;my-header2;x-amz-date",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"get-relative", "GET", "/example/..", "", {HOST}, "", HOST_DATE, VANILLA},
    {"get-relative-relative",
     "GET",
     "/example1/example2/../..",
     "",
     {HOST},
     "",
     HOST_DATE,
     VANILLA},
    {"get-slash", "GET", "//", "", {HOST}, "", HOST_DATE, VANILLA},
    {"get-slash-dot-slash", "GET", "/./", "", {HOST}, "", HOST_DATE, VANILLA},
    {"get-slashes",
     "GET",
     "//example//",
     "",
     {HOST},
     "",
     HOST_DATE,
     "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
    {"get-slash-pointless-dot",
     "GET",
     "/./example",
     "",
     {HOST},
     "",
     HOST_DATE,
     "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
    {"post-vanilla",
     "POST",
     "/",
     "",
     {HOST},
     "",
     HOST_DATE,
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post-vanilla-query",
     "POST",
     "/",
     "Param1=value1",
     {HOST},
     "",
     HOST_DATE,
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {"post-header-key-sort",
     "POST",
     "/",
     "",
     {HOST, "my-header1", "value1"},
     "",
     "host;my-header1;x-amz-date",
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"post-header-value-case",
     "POST",
     "/",
     "",
     {HOST, "my-header1", "VALUE1"},
     "",
     "host;my-header1;x-amz-date",
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"post-x-www-form-urlencoded",
     "POST",
     "/",
     "",
     {HOST, "content-type", "application/x-www-form-urlencoded"},
     "Param1=value1",
     "content-type;host;x-amz-date",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
};

static void fill(struct message *message, const struct vector *vector)
{
    *message = (struct message){.request = {
                                    .method = str_of(vector->method),
                                    .path = str_of(vector->path),
                                    .query = str_of(vector->query),
                                }};
    for (size_t i = 0; i + 1 < ARRAY_SIZE(vector->headers) && vector->headers[i]; i += 2)
        add(message, vector->headers[i], vector->headers[i + 1]);
    add(message, "x-amz-date", SUITE_TIME);
}

static void the_published_test_suite(void **state)
{
    size_t wrong = 0;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        const struct vector *vector = &vectors[i];
        struct message message;
        struct sigv4_claim claim;
        struct sigv4_key key;
        struct error err = {0};
        char hex[DIGEST_HEX_SIZE];
        fill(&message, vector);
        snprintf(message.authorization, sizeof(message.authorization),
                 "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                 "SignedHeaders=%s, Signature=%s",
                 vector->signed_headers, vector->signature);
        add(&message, "authorization", message.authorization);
        assert_int_equal(sigv4_parse(&message.request, &claim, &err), 0);
        sigv4_key_derive(STR(SUITE_SECRET), claim.date, claim.region, claim.service, &key);
        int r = sigv4_verify(&message.request, &claim, payload_hash(vector->body, hex), &key, &err);
        if (r != 0) {
            AUTO_BUF struct buf text = BUF_INIT(65536);
            (void) !sigv4_canonical_request(&message.request, &claim, STR("-"), &text);
            print_error("%s: %s\n%s\n", vector->name, err.text, text.data);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

// docs.aws.amazon.com, "Create a signed AWS API request": IAM's ListUsers.
static void the_documented_signing_key(void **state)
{
    struct sigv4_key key;
    char hex[DIGEST_HEX_SIZE];
    sigv4_key_derive(STR(SUITE_SECRET), STR("20150830"), STR("us-east-1"), STR("iam"), &key);
    assert_string_equal(digest_hex(&key.bytes, hex),
                        "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
}

static void the_documented_list_users(void **state)
{
    struct message message = {.request = {
                                  .method = STR("GET"),
                                  .path = STR("/"),
                                  .query = STR("Action=ListUsers&Version=2010-05-08"),
                              }};
    struct sigv4_claim claim;
    struct sigv4_key key;
    struct error err = {0};
    add(&message, "host", "iam.amazonaws.com");
    add(&message, "content-type", "application/x-www-form-urlencoded; charset=utf-8");
    add(&message, "x-amz-date", SUITE_TIME);
    add(&message, "authorization",
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request,"
        "SignedHeaders=content-type;host;x-amz-date,"
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
    assert_int_equal(sigv4_parse(&message.request, &claim, &err), 0);
    sigv4_key_derive(STR(SUITE_SECRET), claim.date, claim.region, claim.service, &key);
    assert_int_equal(sigv4_verify(&message.request, &claim, STR(EMPTY_HASH), &key, &err), 0);

    AUTO_BUF struct buf canonical = BUF_INIT(4096);
    AUTO_BUF struct buf text = BUF_INIT(4096);
    assert_int_equal(sigv4_canonical_request(&message.request, &claim, STR(EMPTY_HASH), &canonical),
                     0);
    assert_string_equal(canonical.data,
                        "GET\n/\nAction=ListUsers&Version=2010-05-08\n"
                        "content-type:application/x-www-form-urlencoded; charset=utf-8\n"
                        "host:iam.amazonaws.com\nx-amz-date:20150830T123600Z\n\n"
                        "content-type;host;x-amz-date\n" EMPTY_HASH);
    assert_int_equal(sigv4_string_to_sign(&claim, buf_str(&canonical), &text), 0);
    assert_string_equal(text.data,
                        "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n"
                        "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59");
}

// docs.aws.amazon.com, "Authenticating Requests: Using Query Parameters": a presigned S3 GET.
static void the_documented_presigned_url(void **state)
{
    static const char signature[] =
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    struct message message = {.request = {.method = STR("GET"), .path = STR("/test.txt")}};
    add(&message, "host", "examplebucket.s3.amazonaws.com");
    struct sigv4_signer signer = {
        .access_key = STR("AKIAIOSFODNN7EXAMPLE"),
        .secret = STR("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        .region = STR("us-east-1"),
        .service = STR("s3"),
    };
    assert_int_equal(clock_parse_basic(STR("20130524T000000Z"), &signer.wall_s), 0);
    AUTO_BUF struct buf query = BUF_INIT(4096);
    struct error err = {0};
    assert_int_equal(sigv4_presign(&signer, &message.request, 86400, &query, &err), 0);
    assert_string_equal(query.data + query.size - 64, signature);

    struct sigv4_claim claim;
    struct sigv4_key key;
    message.request.query = buf_str(&query);
    assert_int_equal(sigv4_parse(&message.request, &claim, &err), 0);
    assert_true(claim.is_presigned);
    assert_int_equal(claim.expires_s, 86400);
    assert_true(str_equal_text(claim.access_key, "AKIAIOSFODNN7EXAMPLE"));
    sigv4_key_derive(signer.secret, claim.date, claim.region, claim.service, &key);
    assert_int_equal(sigv4_verify(&message.request, &claim, STR("UNSIGNED-PAYLOAD"), &key, &err),
                     0);

    assert_int_equal(sigv4_check_time(&claim, signer.wall_s + 86400, &err), 0);
    assert_int_equal(sigv4_check_time(&claim, signer.wall_s + 86401, &err), -ETIME);
    assert_int_equal(sigv4_check_time(&claim, signer.wall_s - 900, &err), 0);
    assert_int_equal(sigv4_check_time(&claim, signer.wall_s - 901, &err), -ETIME);
}

// ---- Canonical forms, row by row. What boto3 1.26 and the JavaScript SDK make of them.

static void canonical_forms(void **state)
{
    static const struct {
        const char *service, *path, *query, *canonical_path, *canonical_query;
    } rows[] = {
        {"lambda", "", "", "/", ""},
        {"lambda", "/a/b", "", "/a/b", ""},
        {"lambda", "/a/b/", "", "/a/b/", ""},
        {"lambda", "/functions/arn%3Aaws", "", "/functions/arn%253Aaws", ""},
        {"lambda", "/functions/arn:aws", "", "/functions/arn%3Aaws", ""},
        {"lambda", "/a//b/./c/../d/", "", "/a/b/d/", ""},
        {"lambda", "/../..", "", "/", ""},
        {"lambda", "/a/..b/.c", "", "/a/..b/.c", ""},
        {"s3", "/a//b/./c/../d%2Fe", "", "/a//b/./c/../d%2Fe", ""},
        {"lambda", "/", "b=2&a=1", "/", "a=1&b=2"},
        {"lambda", "/", "a=2&a=1&a", "/", "a=&a=1&a=2"},
        {"lambda", "/", "uploads", "/", "uploads="},
        {"lambda", "/", "a=b=c", "/", "a=b%3Dc"},
        {"lambda", "/", "a=%7e%2f%2B+", "/", "a=~%2F%2B%2B"},
        {"lambda", "/", "&&a=1&&", "/", "a=1"},
        {"lambda", "/", "a-b=1&a=2", "/", "a=2&a-b=1"}, // by name, not by the joined text
        {"lambda", "/", "X-Amz-Signature=x&B=1", "/", "B=1"},
        {"lambda", "/", "Qualifier=%24LATEST", "/", "Qualifier=%24LATEST"},
        {"lambda", "/", "Qualifier=$LATEST", "/", "Qualifier=%24LATEST"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO_BUF struct buf text = BUF_INIT(4096);
        char want[256];
        struct sigv4_request request = {
            .method = STR("GET"),
            .path = str_of(rows[i].path),
            .query = str_of(rows[i].query),
        };
        struct sigv4_claim claim = {.service = str_of(rows[i].service)};
        snprintf(want, sizeof(want), "GET\n%s\n%s\n\n\nhash", rows[i].canonical_path,
                 rows[i].canonical_query);
        assert_int_equal(sigv4_canonical_request(&request, &claim, STR("hash"), &text), 0);
        assert_string_equal(text.data, want);
    }
}

// ---- Our signer and our verifier

static const struct sigv4_signer signer = {
    .access_key = {"AKIDEXAMPLE", 11},
    .secret = {SUITE_SECRET, sizeof(SUITE_SECRET) - 1},
    .region = {"us-east-1", 9},
    .service = {"lambda", 6},
    .wall_s = 1440938160, // SUITE_TIME
};

struct signed_message {
    struct message message;
    struct sigv4_headers headers;
    struct digest body;
};

static void sign(struct signed_message *s)
{
    struct error err = {0};
    *s = (struct signed_message){.message = {.request = {
                                                 .method = STR("POST"),
                                                 .path = STR("/2015-03-31/functions/f/invocations"),
                                                 .query = STR("Qualifier=1"),
                                             }}};
    s->body = digest_of("{}", 2);
    add(&s->message, "host", "127.0.0.1:4566");
    add(&s->message, "x-amz-invocation-type", "RequestResponse");
    add(&s->message, "content-type", "application/json");
    assert_int_equal(sigv4_sign(&signer, &s->message.request, &s->body, &s->headers, &err), 0);
    add(&s->message, "x-amz-date", s->headers.date);
    add(&s->message, "x-amz-content-sha256", s->headers.payload_hash);
    add(&s->message, "authorization", s->headers.authorization);
}

static int check_with(const struct signed_message *s, struct str secret)
{
    struct sigv4_claim claim;
    struct sigv4_key key;
    struct error err = {0};
    char hex[DIGEST_HEX_SIZE];
    int r = sigv4_parse(&s->message.request, &claim, &err);
    if (r < 0)
        return r;
    sigv4_key_derive(secret, claim.date, claim.region, claim.service, &key);
    return sigv4_verify(&s->message.request, &claim, str_of(digest_hex(&s->body, hex)), &key, &err);
}

static int check(const struct signed_message *s)
{
    return check_with(s, STR(SUITE_SECRET));
}

static struct http_header *header_of(struct signed_message *s, const char *name)
{
    for (size_t i = 0; i < s->message.request.header_count; i++)
        if (str_equal_text(s->message.headers[i].name, name))
            return &s->message.headers[i];
    return NULL;
}

static void what_we_sign_we_accept(void **state)
{
    struct signed_message s;
    sign(&s);
    assert_int_equal(check(&s), 0);
    assert_string_equal(s.headers.date, SUITE_TIME);
    assert_non_null(strstr(s.headers.authorization,
                           "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;"
                           "x-amz-invocation-type, "));
}

// Every signed part, changed by one byte, is noticed.
static void every_change_is_noticed(void **state)
{
    static const char *const names[] = {"host", "x-amz-invocation-type", "content-type",
                                        "x-amz-content-sha256"};
    struct signed_message s;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char changed[128];
        sign(&s);
        struct http_header *header = header_of(&s, names[i]);
        for (size_t at = 0; at < header->value.size; at++) {
            struct str value = header->value;
            memcpy(changed, value.data, value.size);
            changed[at] ^= 1;
            header->value = (struct str){changed, value.size};
            assert_int_equal(check(&s), -EKEYREJECTED);
            header->value = value;
        }
        assert_int_equal(check(&s), 0);
    }
    sign(&s);
    s.message.request.method = STR("PUT");
    assert_int_equal(check(&s), -EKEYREJECTED);
    sign(&s);
    s.message.request.path = STR("/2015-03-31/functions/g/invocations");
    assert_int_equal(check(&s), -EKEYREJECTED);
    sign(&s);
    s.message.request.query = STR("Qualifier=2");
    assert_int_equal(check(&s), -EKEYREJECTED);
    sign(&s);
    s.message.request.query = STR("");
    assert_int_equal(check(&s), -EKEYREJECTED);
    sign(&s);
    s.body = digest_of("[]", 2);
    assert_int_equal(check(&s), -EKEYREJECTED);
    sign(&s);
    assert_int_equal(check_with(&s, STR("another secret")), -EKEYREJECTED);
    sign(&s);
    add(&s.message, "content-type", "text/plain"); // a second value joins the first
    assert_int_equal(check(&s), -EKEYREJECTED);
}

static void every_bit_of_a_signature_counts(void **state)
{
    static const char digits[] = "0123456789abcdef";
    struct signed_message s;
    sign(&s);
    char *hex = strstr(s.headers.authorization, "Signature=") + strlen("Signature=");
    for (size_t i = 0; i < 64; i++) {
        char was = hex[i];
        hex[i] = digits[(strchr(digits, was) - digits) ^ 1];
        assert_int_equal(check(&s), -EKEYREJECTED);
        hex[i] = was;
    }
    assert_int_equal(check(&s), 0);
}

static void unsigned_amz_headers_are_refused(void **state)
{
    struct signed_message s;
    sign(&s);
    add(&s.message, "x-amz-log-type", "Tail");
    assert_int_equal(check(&s), -EBADMSG);
    sign(&s);
    add(&s.message, "x-amzn-trace-id", "Root=1"); // clients do not sign this one
    assert_int_equal(check(&s), 0);
    sign(&s);
    add(&s.message, "user-agent", "x");
    assert_int_equal(check(&s), 0);
}

static void a_signed_header_must_be_there(void **state)
{
    struct signed_message s;
    sign(&s);
    header_of(&s, "content-type")->name = STR("content-typo");
    assert_int_equal(check(&s), -EBADMSG);
}

// ---- Malformed claims

static void bad_authorizations(void **state)
{
#define CREDENTIAL "Credential=K/20150830/us-east-1/lambda/aws4_request"
#define NAMES "SignedHeaders=host;x-amz-date"
#define SIGNATURE "Signature=" EMPTY_HASH
    static const struct {
        int code;
        const char *text;
    } rows[] = {
        {0, "AWS4-HMAC-SHA256 " CREDENTIAL ", " NAMES ", " SIGNATURE},
        {0, "AWS4-HMAC-SHA256 " SIGNATURE "," NAMES "," CREDENTIAL},
        {0, "AWS4-HMAC-SHA256   " SIGNATURE " ,  " NAMES ",\t" CREDENTIAL},
        {0, "AWS4-HMAC-SHA256 Credential=a/b/20150830/us-east-1/lambda/aws4_request, " NAMES
            ", " SIGNATURE},
        {-EPROTONOSUPPORT, ""},
        {-EPROTONOSUPPORT, "Basic YTpi"},
        {-EPROTONOSUPPORT, "AWS K:sig"},
        {-EPROTONOSUPPORT, "aws4-hmac-sha256 " CREDENTIAL ", " NAMES ", " SIGNATURE},
        {-EPROTONOSUPPORT, "AWS4-ECDSA-P256-SHA256 " CREDENTIAL ", " NAMES ", " SIGNATURE},
        {-EINVAL, "AWS4-HMAC-SHA256"},
        {-EINVAL, "AWS4-HMAC-SHA256 "},
        {-EINVAL, "AWS4-HMAC-SHA256 " CREDENTIAL ", " NAMES},
        {-EINVAL, "AWS4-HMAC-SHA256 " CREDENTIAL ", " SIGNATURE},
        {-EINVAL, "AWS4-HMAC-SHA256 " NAMES ", " SIGNATURE},
        {-EINVAL, "AWS4-HMAC-SHA256 " CREDENTIAL ", " CREDENTIAL ", " NAMES ", " SIGNATURE},
        {-EINVAL, "AWS4-HMAC-SHA256 " CREDENTIAL ", " NAMES ", " SIGNATURE ", Extra=1"},
        {-EINVAL, "AWS4-HMAC-SHA256 " CREDENTIAL ", " NAMES ", Signature=abc"},
        {-EINVAL, "AWS4-HMAC-SHA256 " CREDENTIAL ", " NAMES ", Signature="},
        {-EINVAL, "AWS4-HMAC-SHA256 " CREDENTIAL ", " NAMES ", Signature=" EMPTY_HASH "0"},
        {-EINVAL, "AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=, " SIGNATURE},
        {-EINVAL, "AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=x-amz-date;host, " SIGNATURE},
        {-EINVAL,
         "AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=host;host;x-amz-date, " SIGNATURE},
        {-EINVAL, "AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=Host;x-amz-date, " SIGNATURE},
        {-EINVAL, "AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=host;;x-amz-date, " SIGNATURE},
        {-EINVAL, "AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=host;x-amz-date;, " SIGNATURE},
        {-EBADMSG, "AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=x-amz-date, " SIGNATURE},
        {-EBADMSG, "AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=host, " SIGNATURE},
        {-EINVAL, "AWS4-HMAC-SHA256 Credential=K/20150830/us-east-1/lambda, " NAMES ", " SIGNATURE},
        {-EINVAL, "AWS4-HMAC-SHA256 Credential=, " NAMES ", " SIGNATURE},
        {-EINVAL, "AWS4-HMAC-SHA256 Credential=////, " NAMES ", " SIGNATURE},
        {-EINVAL, "AWS4-HMAC-SHA256 Credential=K/2015083/us-east-1/lambda/aws4_request, " NAMES
                  ", " SIGNATURE},
        {-EINVAL, "AWS4-HMAC-SHA256 Credential=K/20150831/us-east-1/lambda/aws4_request, " NAMES
                  ", " SIGNATURE},
        {-EINVAL,
         "AWS4-HMAC-SHA256 Credential=K/20150830//lambda/aws4_request, " NAMES ", " SIGNATURE},
        {-EINVAL, "AWS4-HMAC-SHA256 Credential=K/20150830/us-east-1/lambda/aws5_request, " NAMES
                  ", " SIGNATURE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct message message = {.request = {.method = STR("GET"), .path = STR("/")}};
        struct sigv4_claim claim;
        struct error err = {0};
        add(&message, "host", "h");
        add(&message, "x-amz-date", SUITE_TIME);
        add(&message, "authorization", rows[i].text);
        int r = sigv4_parse(&message.request, &claim, &err);
        if (r != rows[i].code)
            fail_msg("'%s' gave %d: %s", rows[i].text, r, err.text);
        if (r < 0)
            assert_true(err.text[0] != '\0');
    }
}

static void other_bad_claims(void **state)
{
    static const char good[] = "AWS4-HMAC-SHA256 " CREDENTIAL ", " NAMES ", " SIGNATURE;
    struct sigv4_claim claim;
    struct error err = {0};

    struct message none = {.request = {.method = STR("GET"), .path = STR("/")}};
    add(&none, "host", "h");
    assert_false(sigv4_is_signed(&none.request));
    assert_int_equal(sigv4_parse(&none.request, &claim, &err), -ENOENT);

    struct message dateless = none;
    add(&dateless, "authorization", good);
    assert_true(sigv4_is_signed(&dateless.request));
    assert_int_equal(sigv4_parse(&dateless.request, &claim, &err), -EINVAL);
    add(&dateless, "x-amz-date", "20150830T126000Z"); // a 60th minute
    assert_int_equal(sigv4_parse(&dateless.request, &claim, &err), -EINVAL);

    struct message twice = none;
    add(&twice, "x-amz-date", SUITE_TIME);
    add(&twice, "authorization", good);
    add(&twice, "authorization", good);
    assert_int_equal(sigv4_parse(&twice.request, &claim, &err), -EINVAL);

    struct message both = none;
    add(&both, "x-amz-date", SUITE_TIME);
    add(&both, "authorization", good);
    both.request.query = STR("X-Amz-Signature=" EMPTY_HASH);
    assert_int_equal(sigv4_parse(&both.request, &claim, &err), -EINVAL);
}

static void bad_presigned_queries(void **state)
{
#define QUERY(expires, tail)                                                                       \
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F20150830%2Fus-east-1%2Flambda%2F"       \
    "aws4_request&X-Amz-Date=" SUITE_TIME "&X-Amz-Expires=" expires                                \
    "&X-Amz-SignedHeaders=host" tail
    static const struct {
        int code;
        const char *query;
    } rows[] = {
        {0, QUERY("60", "&X-Amz-" SIGNATURE)},
        {0, QUERY("604800", "&X-Amz-" SIGNATURE)},
        {-EINVAL, QUERY("604801", "&X-Amz-" SIGNATURE)},
        {-EINVAL, QUERY("-1", "&X-Amz-" SIGNATURE)},
        {-EINVAL, QUERY("", "&X-Amz-" SIGNATURE)},
        {-EINVAL, QUERY("60", "")},
        {-EINVAL, QUERY("60", "&X-Amz-" SIGNATURE "&X-Amz-" SIGNATURE)},
        {-EINVAL, QUERY("60", "&X-Amz-Expires=60&X-Amz-" SIGNATURE)},
        {-EINVAL, QUERY("60", "&X-Amz-Signature=%zz")},
        {-EINVAL, QUERY("60", "%3Bx-amz-date%3B&X-Amz-" SIGNATURE)},
        {-EPROTONOSUPPORT, "X-Amz-" SIGNATURE},
        {-EPROTONOSUPPORT, "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-" SIGNATURE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct message message = {
            .request = {.method = STR("GET"), .path = STR("/"), .query = str_of(rows[i].query)}};
        struct sigv4_claim claim;
        struct error err = {0};
        add(&message, "host", "h");
        int r = sigv4_parse(&message.request, &claim, &err);
        if (r != rows[i].code)
            fail_msg("'%s' gave %d: %s", rows[i].query, r, err.text);
    }
}

// Every prefix of a valid Authorization is refused, and none is read past its end.
static void every_prefix_of_a_claim(void **state)
{
    static const char good[] = "AWS4-HMAC-SHA256 " CREDENTIAL ", " NAMES ", " SIGNATURE;
    for (size_t size = 0; size < sizeof(good) - 1; size++) {
        struct message message = {.request = {.method = STR("GET"), .path = STR("/")}};
        struct sigv4_claim claim;
        struct error err = {0};
        char *exact = size ? malloc(size) : NULL; // AddressSanitizer sees its end
        if (size)
            memcpy(exact, good, size);
        add(&message, "host", "h");
        add(&message, "x-amz-date", SUITE_TIME);
        add(&message, "authorization", "");
        message.headers[2].value = (struct str){size ? exact : "", size};
        assert_true(sigv4_parse(&message.request, &claim, &err) < 0);
        free(exact);
    }
}

static void too_many_parts(void **state)
{
    struct signed_message s;
    AUTO_BUF struct buf query = BUF_INIT(1 << 20);
    sign(&s);
    for (int i = 0; i <= SIGV4_QUERY_PAIRS_MAX; i++)
        buf_printf(&query, "&k%d=v", i);
    s.message.request.query = buf_str(&query);
    assert_int_equal(check(&s), -E2BIG);
    buf_clear(&query);
    buf_append_text(&query, "a=");
    for (size_t i = 0; i < SIGV4_CANONICAL_MAX; i++)
        buf_append_byte(&query, 'a');
    s.message.request.query = buf_str(&query);
    assert_int_equal(check(&s), -E2BIG);
    s.message.request.query = STR("a=%4");
    assert_int_equal(check(&s), -EINVAL);
}

// ---- Time, and the cache

static void clocks_may_differ_by_a_quarter_of_an_hour(void **state)
{
    struct sigv4_claim claim = {.time = STR(SUITE_TIME), .time_s = 1440938160};
    struct error err = {0};
    assert_int_equal(sigv4_check_time(&claim, claim.time_s, &err), 0);
    assert_int_equal(sigv4_check_time(&claim, claim.time_s + 900, &err), 0);
    assert_int_equal(sigv4_check_time(&claim, claim.time_s - 900, &err), 0);
    assert_int_equal(sigv4_check_time(&claim, claim.time_s + 901, &err), -ETIME);
    assert_string_equal(err.text, "Signature expired: 20150830T123600Z is now earlier than "
                                  "20150830T123601Z (20150830T125101Z - 15 min.)");
    assert_int_equal(sigv4_check_time(&claim, claim.time_s - 901, &err), -ETIME);
    assert_string_equal(err.text, "Signature not yet current: 20150830T123600Z is still later than "
                                  "20150830T123559Z (20150830T122059Z + 15 min.)");
}

static void derived_keys_are_kept_apart(void **state)
{
    struct sigv4_keys *keys;
    assert_int_equal(sigv4_keys_new(4, &keys), 0);
    for (int round = 0; round < 3; round++) {
        for (int day = 10; day < 20; day++) {
            for (int part = 0; part < 3; part++) {
                char date[9];
                snprintf(date, sizeof(date), "201508%d", day);
                struct sigv4_claim claim = {
                    .access_key = STR("K"),
                    .date = str_of(date),
                    .region = part == 0 ? STR("eu-west-1") : STR("us-east-1"),
                    .service = part == 1 ? STR("sts") : STR("lambda"),
                };
                struct sigv4_key want;
                sigv4_key_derive(STR("s"), claim.date, claim.region, claim.service, &want);
                const struct sigv4_key *got = sigv4_keys_get(keys, &claim, STR("s"));
                assert_memory_equal(got, &want, sizeof(want));
                assert_ptr_equal(sigv4_keys_get(keys, &claim, STR("not used: cached")), got);
            }
        }
    }
    sigv4_keys_forget(keys);
    sigv4_keys_free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_test_suite),
        cmocka_unit_test(the_documented_signing_key),
        cmocka_unit_test(the_documented_list_users),
        cmocka_unit_test(the_documented_presigned_url),
        cmocka_unit_test(canonical_forms),
        cmocka_unit_test(what_we_sign_we_accept),
        cmocka_unit_test(every_change_is_noticed),
        cmocka_unit_test(every_bit_of_a_signature_counts),
        cmocka_unit_test(unsigned_amz_headers_are_refused),
        cmocka_unit_test(a_signed_header_must_be_there),
        cmocka_unit_test(bad_authorizations),
        cmocka_unit_test(other_bad_claims),
        cmocka_unit_test(bad_presigned_queries),
        cmocka_unit_test(every_prefix_of_a_claim),
        cmocka_unit_test(too_many_parts),
        cmocka_unit_test(clocks_may_differ_by_a_quarter_of_an_hour),
        cmocka_unit_test(derived_keys_are_kept_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
