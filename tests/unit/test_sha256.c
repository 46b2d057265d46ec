// SPDX-License-Identifier: MIT

#include "unit.h"

#include "base/digest.h"
#include "model_runtime/sha256.h"

static void to_hex(const unsigned char digest[SHA256_BYTES], char hex[SHA256_HEX_BYTES])
{
    for (int i = 0; i < SHA256_BYTES; i++)
        (void) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static void assert_sha256(const void *data, size_t size, const char *expected)
{
    struct sha256 sha256;
    unsigned char digest[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    sha256_init(&sha256);
    sha256_update(&sha256, data, size);
    sha256_final(&sha256, digest);
    to_hex(digest, hex);
    assert_string_equal(hex, expected);
}

// FIPS 180-4's examples.
static void known_answers(void **state)
{
    for (int is_allowed = 0; is_allowed <= 1; is_allowed++) {
        sha256_use_instructions(is_allowed);
        assert_sha256("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_sha256("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    }
}

// Every length around the padding's edges, in one piece and in two, by both ways.
static void equals_the_library(void **state)
{
    unsigned char data[300];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char) (i * 7 + 3);
    for (size_t size = 0; size <= sizeof data; size++) {
        struct digest theirs = digest_of(data, size);
        for (int is_allowed = 0; is_allowed <= 1; is_allowed++) {
            struct sha256 sha256;
            unsigned char ours[SHA256_BYTES];
            sha256_use_instructions(is_allowed);
            sha256_init(&sha256);
            sha256_update(&sha256, data, size / 3);
            sha256_update(&sha256, data + size / 3, size - size / 3);
            sha256_final(&sha256, ours);
            assert_memory_equal(ours, theirs.bytes, SHA256_BYTES);
        }
    }
}

static void of_a_file(void **state)
{
    char path[64], file[80], hex[SHA256_HEX_BYTES];
    int fd = unit_dir_make(path);
    (void) snprintf(file, sizeof file, "%s/x", path);
    int out = open(file, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(out, "abc", 3), 3);
    close(out);
    assert_int_equal(sha256_file(file, hex), 0);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(sha256_file(path, hex), -EISDIR);
    (void) snprintf(file, sizeof file, "%s/none", path);
    assert_int_equal(sha256_file(file, hex), -ENOENT);
    unit_dir_remove(fd, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(equals_the_library),
        cmocka_unit_test(of_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
