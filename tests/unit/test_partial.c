// SPDX-License-Identifier: MIT
//
// Partial files: what a crash, a power cut or another object under the same key leaves of them.

#include "unit.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "store/partial.h"
#include "store_bench.h"

#include <fcntl.h>
#include <sys/stat.h>

#define RANGE 8

static const char content[] = "aaaaaaaabbbbbbbbccc"; // 19 bytes: three ranges

static struct digest key(void)
{
    return digest_of("key", 3);
}

static const char *path(void)
{
    static char text[5000];
    struct digest digest = key();
    char hex[DIGEST_HEX_SIZE];
    snprintf(text, sizeof(text), "%s/partial/%s", scratch_path, digest_hex(&digest, hex));
    return text;
}

static struct store_partial *opened(uint64_t bytes)
{
    struct store_partial *partial;
    struct digest digest = key();
    OK(store_partial_open(store, &digest, bytes, RANGE, &partial, &err));
    return partial;
}

static void fill(struct store_partial *partial, size_t range)
{
    size_t at = range * RANGE, size = sizeof(content) - 1 - at;
    size = size < RANGE ? size : RANGE;
    OK(store_partial_write(partial, at, content + at, size, &err));
    uint32_t crc = crc32c(0, content + at, size);
    OK(store_partial_mark(partial, range, crc, &err));
}

static void test_what_is_there_is_gone_on_with(void **state)
{
    struct store_partial *partial = opened(19);
    assert_int_equal(store_partial_ranges(partial), 3);
    fill(partial, 2);
    fill(partial, 0);
    store_partial_free(partial);
    partial = opened(19);
    assert_true(store_partial_has(partial, 0));
    assert_false(store_partial_has(partial, 1));
    assert_true(store_partial_has(partial, 2));
    store_partial_drop(partial);
    assert_int_equal(access(path(), F_OK), -1);
}

static void test_bytes_that_never_reached_the_disk_are_asked_for_again(void **state)
{
    struct store_partial *partial = opened(19);
    fill(partial, 0);
    fill(partial, 1);
    store_partial_free(partial);
    int fd = open(path(), O_WRONLY);
    assert_int_equal(pwrite(fd, "\0\0\0", 3, 4), 3); // as after a power cut
    close(fd);
    partial = opened(19);
    assert_false(store_partial_has(partial, 0));
    assert_true(store_partial_has(partial, 1));
    store_partial_free(partial);
}

static void test_another_size_begins_anew(void **state)
{
    struct store_partial *partial = opened(19);
    fill(partial, 0);
    store_partial_free(partial);
    partial = opened(18);
    assert_false(store_partial_has(partial, 0));
    store_partial_free(partial);
}

static void test_a_map_that_is_cut_or_wrong_is_not_believed(void **state)
{
    char map[5100];
    for (off_t size = 0; size < 32 + 8; size++) {
        struct store_partial *partial = opened(19);
        fill(partial, 0);
        store_partial_free(partial);
        snprintf(map, sizeof(map), "%s.map", path());
        assert_int_equal(truncate(map, size), 0);
        partial = opened(19);
        assert_false(store_partial_has(partial, 0));
        store_partial_drop(partial);
    }
}

static void test_nothing_is_written_beyond_its_end(void **state)
{
    struct store_partial *partial = opened(19);
    assert_int_equal(store_partial_write(partial, 16, "1234", 4, &err), -EINVAL);
    assert_int_equal(store_partial_write(partial, UINT64_MAX, "1", 1, &err), -EINVAL);
    store_partial_drop(partial);
}

static void test_more_than_the_disk_holds_is_refused_before_a_byte(void **state)
{
    struct store_partial *partial;
    struct digest digest = key();
    assert_int_equal(
        store_partial_open(store, &digest, UINT64_C(1) << 50, UINT64_C(1) << 40, &partial, &err),
        -ENOSPC);
    assert_int_equal(access(path(), F_OK), -1);
}

static void test_a_finished_one_becomes_an_object_and_is_never_written_again(void **state)
{
    struct store_partial *partial = opened(19);
    struct digest digest = digest_of(content, 19), tree;
    struct store_file *file;
    struct store_pin *pin;
    assert_int_equal(store_partial_finish(partial, &digest, &file, &err), -EINVAL); // holes
    for (size_t i = 0; i < 3; i++)
        fill(partial, i);
    OK(store_partial_finish(partial, &digest, &file, &err));
    struct store_batch *batch = store_batch_new(store);
    OK(store_batch_file(batch, STR("m"), file, false, 0, &err));
    OK(store_batch_commit(batch, &tree, &pin, &err));
    store_batch_free(batch);
    store_partial_free(partial); // killed before it was dropped
    partial = opened(19);
    assert_false(store_partial_has(partial, 0)); // another inode
    OK(store_partial_write(partial, 0, "xxxxxxxx", 8, &err));
    OK(store_tree_verify(store, &tree, &err));
    store_partial_drop(partial);
    store_unpin(pin);
}

static void test_one_writes_at_a_time(void **state)
{
    struct store_partial *partial = opened(19), *other = NULL;
    struct digest digest = digest_of(content, 19), name = key();
    struct store_file *file;
    for (size_t i = 0; i < 3; i++)
        fill(partial, i);
    // neither as it is nor, with another size, from the beginning
    assert_int_equal(store_partial_open(store, &name, 19, RANGE, &other, &err), -EBUSY);
    assert_int_equal(store_partial_open(store, &name, 18, RANGE, &other, &err), -EBUSY);
    assert_null(other);
    OK(store_partial_finish(partial, &digest, &file, &err));
    assert_int_equal(store_partial_open(store, &name, 18, RANGE, &other, &err), -EBUSY);
    assert_int_equal(access(path(), F_OK), 0);
    store_file_free(file);
    store_partial_drop(partial);
    other = opened(18);
    assert_false(store_partial_has(other, 0));
    store_partial_drop(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_there_is_gone_on_with, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bytes_that_never_reached_the_disk_are_asked_for_again,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_size_begins_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_map_that_is_cut_or_wrong_is_not_believed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_is_written_beyond_its_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_more_than_the_disk_holds_is_refused_before_a_byte,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_finished_one_becomes_an_object_and_is_never_written_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_writes_at_a_time, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
