// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/digest.h"

#include <pthread.h>

static void assert_digest(struct digest digest, const char *hex)
{
    char text[DIGEST_HEX_SIZE];
    assert_string_equal(digest_hex(&digest, text), hex);
}

// FIPS 180-4's examples, and the empty message.
static void knows_sha256(void **state)
{
    assert_digest(digest_of("", 0),
                  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_digest(digest_of("abc", 3),
                  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    struct digest digest = digest_of("abc", 3);
    char text[DIGEST_BASE64_SIZE];
    assert_string_equal(digest_base64(&digest, text),
                        "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
}

static void streams_give_the_same(void **state)
{
    static char data[1000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char) i;
    struct digest whole = digest_of(data, sizeof data);
    AUTO_DIGEST struct digest_stream stream;
    digest_stream_init(&stream);
    for (size_t piece = 1; piece < 200; piece += 13) {
        for (size_t at = 0; at < sizeof data; at += piece)
            digest_update(&stream, data + at, piece < sizeof data - at ? piece : sizeof data - at);
        struct digest digest = digest_finish(&stream); // and it is ready for the next
        assert_true(digest_equal(&digest, &whole));
    }
}

// RFC 4231, test cases 1, 2, 6 (a key longer than a block).
static void knows_hmac(void **state)
{
    char key[131];
    memset(key, 0x0b, 20);
    assert_digest(digest_hmac(key, 20, "Hi There", 8),
                  "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_digest(digest_hmac("Jefe", 4, "what do ya want for nothing?", 28),
                  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    const char *text = "Test Using Larger Than Block-Size Key - Hash Key First";
    assert_digest(digest_hmac(key, sizeof key, text, strlen(text)),
                  "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void reads_hex_strictly(void **state)
{
    const char *good = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    struct digest digest;
    assert_int_equal(digest_parse_hex(str_of(good), &digest), 0);
    assert_digest(digest, good);
    for (size_t size = 0; size < 64; size++) {
        struct unit_guard guard = unit_guard_new(good, size);
        assert_int_equal(digest_parse_hex(str_of_data(guard.data, size), &digest), -EINVAL);
        unit_guard_free(&guard);
    }
    for (size_t i = 0; i < 64; i++) {
        char bad[65];
        memcpy(bad, good, 65);
        bad[i] = "gA/ :`"[i % 6];
        assert_int_equal(digest_parse_hex(str_of(bad), &digest), -EINVAL);
    }
    assert_digest(digest, good);
}

static void reads_descriptors(void **state)
{
    int fd = memfd_create("digest", MFD_CLOEXEC);
    char piece[1000];
    memset(piece, 'x', sizeof piece);
    for (int i = 0; i < 200; i++)
        assert_int_equal(write(fd, piece, sizeof piece), (ssize_t) sizeof piece);
    assert_int_equal(lseek(fd, 199999, SEEK_SET), 199999);
    struct digest digest, one = digest_of("x", 1);
    uint64_t size;
    assert_int_equal(digest_of_fd(fd, &digest, &size), 0);
    assert_int_equal(size, 1);
    assert_true(digest_equal(&digest, &one));
    close(fd);
    assert_int_equal(digest_of_fd(-1, &digest, &size), -EBADF);
}

static void *hash_often(void *argument)
{
    struct digest *digest = argument;
    for (int i = 0; i < 1000; i++)
        *digest = digest_hmac("k", 1, digest->bytes, DIGEST_BYTES);
    return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
    pthread_t threads[4];
    struct digest digests[4] = {0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hash_often, &digests[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 1; i < 4; i++)
        assert_true(digest_equal(&digests[0], &digests[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_sha256),      cmocka_unit_test(streams_give_the_same),
        cmocka_unit_test(knows_hmac),        cmocka_unit_test(reads_hex_strictly),
        cmocka_unit_test(reads_descriptors), cmocka_unit_test(threads_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
