// SPDX-License-Identifier: MIT
//
// aws-chunked: AWS's own example with its signatures, every prefix and every way to cut a body, and
// what is refused.

#include "unit.h"

#include "aws/chunked.h"
#include "base/buf.h"

static struct buf got = BUF_INIT(1 << 20);

static int take(void *arg, const void *data, size_t size)
{
    return buf_append(&got, data, size);
}

// Feeds in pieces of `piece` bytes; what chunked_feed or chunked_finish said.
static int run(struct chunked *chunked, enum chunked_form form, const struct chunked_signer *signer,
               struct str body, size_t piece)
{
    buf_clear(&got);
    chunked_init(chunked, form, signer, take, NULL);
    int r = 0;
    while (r == 0 && body.size > 0) {
        size_t size = body.size < piece ? body.size : piece;
        struct unit_guard guard = unit_guard_new(body.data, size);
        r = chunked_feed(chunked, guard.data, size);
        unit_guard_free(&guard);
        body = str_skip(body, size);
    }
    if (r == 0)
        r = chunked_finish(chunked);
    chunked_done(chunked);
    return r;
}

static const char plain[] =
    "5\r\nhello\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX-Amz-Checksum-Crc32: AAAAAA==\r\n\r\n";

static void test_unsigned_cut_anywhere(void **state)
{
    struct chunked chunked;
    struct str body = str_of(plain);
    for (size_t piece = 1; piece <= body.size; piece++) {
        assert_int_equal(run(&chunked, CHUNKED_UNSIGNED_TRAILER, NULL, body, piece), 0);
        assert_str_equal(buf_str(&got), "helloabcdefghijklmnopqrstuvwxyz");
        assert_str_equal(chunked_trailer(&chunked, STR("x-amz-checksum-crc32")), "AAAAAA==");
        assert_null(chunked_trailer(&chunked, STR("x-amz-checksum-sha1")).data);
    }
}

static void test_every_prefix_is_incomplete(void **state)
{
    struct chunked chunked;
    struct str body = str_of(plain);
    for (size_t size = 0; size < body.size; size++) {
        int r = run(&chunked, CHUNKED_UNSIGNED_TRAILER, NULL, str_part(body, 0, size), 7);
        // Without the last empty line but with no trailer begun, some clients stop.
        bool is_end = str_has_suffix(str_part(body, 0, size), STR("\r\n0\r\n"));
        assert_int_equal(r, is_end ? 0 : -EINVAL);
    }
}

static void test_what_is_refused(void **state)
{
    static const char *const bad[] = {
        "g\r\n",
        "\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5;chunk-signature=00\r\nhello\r\n0\r\n\r\n",
        "fffffffff\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\n:empty name\r\n\r\n",
        ("0\r\nx-amz-trailer-signature:"
         "0000000000000000000000000000000000000000000000000000000000000000\r\n\r\n"),
        "0\r\n\r\nmore",
        "0\r\n\r\n\r\n",
        "0\r\na\rb:c\r\n\r\n",
    };
    struct chunked chunked;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        for (size_t piece = 1; piece < 40; piece += 13)
            assert_int_equal(run(&chunked, CHUNKED_UNSIGNED_TRAILER, NULL, str_of(bad[i]), piece),
                             -EINVAL);
}

static void test_limits(void **state)
{
    struct chunked chunked;
    struct buf body = BUF_INIT(64 * 1024);
    buf_append_text(&body, "0\r\n");
    for (int i = 0; i <= CHUNKED_TRAILERS_MAX; i++)
        buf_printf(&body, "name-%d:value\r\n", i);
    buf_append_text(&body, "\r\n");
    assert_int_equal(run(&chunked, CHUNKED_UNSIGNED_TRAILER, NULL, buf_str(&body), 100), -EINVAL);
    buf_clear(&body);
    buf_append_text(&body, "0\r\nx:");
    for (int i = 0; i <= CHUNKED_LINE_MAX; i++)
        buf_append_byte(&body, 'y');
    buf_append_text(&body, "\r\n\r\n");
    assert_int_equal(run(&chunked, CHUNKED_UNSIGNED_TRAILER, NULL, buf_str(&body), 100), -EINVAL);
    buf_done(&body);
}

// docs.aws.amazon.com, "Signature calculations for the Authorization header: transferring payload
// in multiple chunks": 66,560 letters a in chunks of 64 KiB.
static struct chunked_signer example_signer(void)
{
    struct chunked_signer signer = {.time = "20130524T000000Z",
                                    .scope = "20130524/us-east-1/s3/aws4_request"};
    sigv4_key_derive(STR("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), STR("20130524"),
                     STR("us-east-1"), STR("s3"), &signer.key);
    assert_int_equal(
        digest_parse_hex(STR("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"),
                         &signer.seed),
        0);
    return signer;
}

static void append_chunk(struct buf *body, size_t size, const char *signature)
{
    buf_printf(body, "%zx;chunk-signature=%s\r\n", size, signature);
    for (size_t i = 0; i < size; i++)
        buf_append_byte(body, 'a');
    buf_append_text(body, "\r\n");
}

static struct buf example_body(void)
{
    struct buf body = BUF_INIT(128 * 1024);
    append_chunk(&body, 65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648");
    append_chunk(&body, 1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497");
    append_chunk(&body, 0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");
    return body;
}

static void test_awss_example(void **state)
{
    static const size_t pieces[] = {1, 100, 4096, 65535, 70000};
    struct chunked chunked;
    struct chunked_signer signer = example_signer();
    struct buf body = example_body();
    for (size_t i = 1; i < ARRAY_SIZE(pieces); i++) {
        assert_int_equal(run(&chunked, CHUNKED_SIGNED, &signer, buf_str(&body), pieces[i]), 0);
        assert_int_equal(got.size, 66560);
    }
    buf_done(&body);
}

static void test_a_signature_that_is_not_right(void **state)
{
    struct chunked chunked;
    struct chunked_signer signer = example_signer();
    struct buf body = example_body();
    static const size_t places[] = {30, 500, 65536 + 200, 66700};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        char before = body.data[places[i]];
        body.data[places[i]] = before == 'a' ? 'b' : 'a';
        assert_int_equal(run(&chunked, CHUNKED_SIGNED, &signer, buf_str(&body), 4096),
                         -EKEYREJECTED);
        body.data[places[i]] = before;
    }
    signer.seed.bytes[0] ^= 1;
    assert_int_equal(run(&chunked, CHUNKED_SIGNED, &signer, buf_str(&body), 4096), -EKEYREJECTED);
    buf_done(&body);
}

static void test_an_unsigned_chunk_among_signed_ones(void **state)
{
    struct chunked chunked;
    struct chunked_signer signer = example_signer();
    assert_int_equal(run(&chunked, CHUNKED_SIGNED, &signer, str_of(plain), 10), -EINVAL);
    // Trailers are of the other form, and that one needs a signature for them.
    struct buf body = example_body();
    body.size -= 2;
    buf_append_text(&body, "x-amz-checksum-crc32:AAAAAA==\r\n\r\n");
    assert_int_equal(run(&chunked, CHUNKED_SIGNED, &signer, buf_str(&body), 4096), -EINVAL);
    assert_int_equal(run(&chunked, CHUNKED_SIGNED_TRAILER, &signer, buf_str(&body), 4096),
                     -EKEYREJECTED);
    buf_done(&body);
}

static int refuse(void *arg, const void *data, size_t size)
{
    return -ENOSPC;
}

static void test_what_the_taker_says_is_returned(void **state)
{
    struct chunked chunked;
    chunked_init(&chunked, CHUNKED_UNSIGNED_TRAILER, NULL, refuse, NULL);
    assert_int_equal(chunked_feed(&chunked, plain, sizeof(plain) - 1), -ENOSPC);
    chunked_done(&chunked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unsigned_cut_anywhere),
        cmocka_unit_test(test_every_prefix_is_incomplete),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_awss_example),
        cmocka_unit_test(test_a_signature_that_is_not_right),
        cmocka_unit_test(test_an_unsigned_chunk_among_signed_ones),
        cmocka_unit_test(test_what_the_taker_says_is_returned),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_done(&got);
    return failed;
}
