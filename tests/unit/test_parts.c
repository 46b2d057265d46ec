// SPDX-License-Identifier: MIT
//
// Uploads in parts: whatever order, sizes and repetitions, the whole is what was sent; and it is
// not copied where it need not be.

#include "unit.h"

#include "base/fd.h"
#include "loop/loop.h"
#include "s3/parts.h"
#include "scratch.h"
#include "store/layout.h"
#include "store/store.h"

#define FULL ((size_t) PARTS_SHARED_MIN)

static struct loop *loop;
static struct store *store;
static struct s3 *s3;
static struct error err;
static struct objects_bucket bucket;
static struct objects_upload upload;
static struct objects_part parts[8];
static char etags[8][33];
static char files[8][OBJECTS_UPLOAD_SIZE];

static void open_all(void)
{
    struct s3_config config = {.data_dir = scratch_path};
    loop = loop_new();
    if (store_open(scratch_path, &store, &err) < 0)
        fail_msg("%s", err.text);
    config.loop = loop;
    config.store = store;
    if (s3_new(&config, &s3, &err) < 0)
        fail_msg("%s", err.text);
}

static void close_all(void)
{
    s3_free(s3);
    store_close(store);
    loop_free(loop);
}

static void restart(void)
{
    objects_upload_done(&upload);
    close_all();
    open_all();
    assert_int_equal(objects_upload_get(s3_objects(s3), STR("u1"), &upload, &err), 0);
}

static int set_up(void **state)
{
    error_clear(&err);
    scratch_make();
    open_all();
    assert_int_equal(objects_bucket_create(s3_objects(s3), STR("models"), 1, &err), 0);
    assert_int_equal(objects_bucket_get(s3_objects(s3), STR("models"), &bucket, &err), 0);
    struct objects_upload made = {.id = "u1", .bucket = bucket.id, .key = STR("k")};
    assert_int_equal(objects_upload_create(s3_objects(s3), &made, &err), 0);
    assert_int_equal(objects_upload_get(s3_objects(s3), STR("u1"), &upload, &err), 0);
    memset(parts, 0, sizeof(parts));
    return 0;
}

static int tear_down(void **state)
{
    objects_upload_done(&upload);
    close_all();
    scratch_remove();
    return 0;
}

// ---- Sending: each part is filled with a letter

static void write_letters(const struct part_place *place, char letter, size_t size)
{
    char *data = malloc(size);
    assert_non_null(data);
    memset(data, letter, size);
    assert_int_equal(pwrite(place->fd, data, size, (off_t) place->offset), (ssize_t) size);
    free(data);
}

static struct part_place begin(unsigned number, int64_t size)
{
    struct part_place place;
    assert_int_equal(part_open(s3, &upload, number, size, &place, &err), 0);
    return place;
}

// Its row goes to parts[at].
static void end(unsigned number, char letter, size_t size, struct part_place *place, size_t at)
{
    write_letters(place, letter, size);
    (void) snprintf(etags[at], sizeof(etags[at]), "%c", letter);
    parts[at] = (struct objects_part){
        .number = number, .size = size, .etag = str_of(etags[at]), .checksum = STR("")};
    if (part_keep(s3, &upload, &parts[at], place, place->fd, &err) < 0)
        fail_msg("%s", err.text);
    (void) snprintf(files[at], sizeof(files[at]), "%s", place->is_shared ? "" : place->file);
    parts[at].file = str_of(files[at]);
    place->fd = fd_close(place->fd);
}

static bool send_part(unsigned number, char letter, size_t size, size_t at)
{
    struct part_place place = begin(number, (int64_t) size);
    end(number, letter, size, &place, at);
    return place.is_shared;
}

// ---- The whole

static uint64_t inode_of(const char *folder, const char *name)
{
    char path[600];
    struct stat stat_of;
    (void) snprintf(path, sizeof(path), "%s/%s/%s", scratch_path, folder, name);
    assert_int_equal(stat(path, &stat_of), 0);
    return stat_of.st_ino;
}

// Whether it is the upload's own file.
static bool join_and_check(size_t count)
{
    struct parts_joined joined;
    struct buf whole = BUF_INIT(64 << 20);
    struct objects_upload fresh;
    assert_int_equal(objects_upload_get(s3_objects(s3), STR("u1"), &fresh, &err), 0);
    if (parts_join(s3, &fresh, parts, count, &joined, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(buf_reserve(&whole, parts[i].size), 0);
        memset(whole.data + whole.size, etags[i][0], parts[i].size);
        buf_advance(&whole, parts[i].size);
    }
    struct digest wanted = digest_of(whole.data, whole.size);
    assert_int_equal(joined.size, whole.size);
    assert_true(digest_equal(&wanted, &joined.sha256));
    bool is_same = fresh.part_size > 0 && inode_of("tmp", joined.name) == inode_of("uploads", "u1");
    assert_int_equal(store_stage_remove(store, STORE_TMP, joined.name), 0);
    parts_join_end(s3, &fresh, &joined);
    buf_done(&whole);
    objects_upload_done(&fresh);
    return is_same;
}

static void test_parts_of_one_size_are_not_copied(void **state)
{
    assert_true(send_part(3, 'c', 1000, 2) == false); // the last one first: the size is not known
    assert_true(send_part(2, 'b', FULL, 1));
    assert_true(send_part(1, 'a', FULL, 0));
    assert_true(join_and_check(3));
}

static void test_one_part(void **state)
{
    assert_false(send_part(1, 'a', 1000, 0));
    assert_false(join_and_check(1));
}

static void test_a_part_that_is_sent_again(void **state)
{
    assert_true(send_part(1, 'x', FULL, 0));
    assert_true(send_part(2, 'b', FULL, 1));
    assert_false(send_part(1, 'a', FULL, 0)); // what its row names is never written again
    assert_true(join_and_check(2));           // into its place
}

static void test_a_part_that_is_sent_again_and_again(void **state)
{
    assert_true(send_part(1, 'a', FULL, 0));
    assert_false(send_part(1, 'b', FULL, 0));
    assert_false(send_part(1, 'c', FULL, 0));
    assert_true(join_and_check(1));
}

static void test_parts_of_different_sizes(void **state)
{
    assert_true(send_part(1, 'a', FULL, 0));
    assert_false(send_part(2, 'b', FULL + 1, 1));
    assert_true(send_part(3, 'c', 5, 2));
    assert_false(join_and_check(3));
}

static void test_numbers_with_gaps(void **state)
{
    assert_true(send_part(2, 'a', FULL, 0));
    assert_true(send_part(5, 'b', FULL, 1));
    assert_true(send_part(10000, 'c', 10, 2));
    assert_false(join_and_check(3));
}

static void test_some_of_the_parts(void **state)
{
    assert_true(send_part(1, 'a', FULL, 0));
    assert_true(send_part(2, 'b', FULL, 1));
    assert_true(send_part(3, 'c', FULL, 2));
    assert_true(join_and_check(2)); // cut behind the second
}

static void test_a_size_that_is_not_known(void **state)
{
    struct part_place place = begin(1, -1);
    assert_false(place.is_shared);
    end(1, 'a', FULL, &place, 0);
    assert_false(join_and_check(1));
}

static void test_a_part_that_is_given_up_gives_its_place_back(void **state)
{
    struct part_place place = begin(1, (int64_t) FULL);
    assert_true(place.is_shared);
    write_letters(&place, 'x', FULL / 2);
    part_drop(s3, &upload, 1, &place);
    fd_close(place.fd);
    assert_true(send_part(1, 'a', FULL, 0));
    assert_true(join_and_check(1));
}

static void test_a_part_that_is_being_written_while_the_whole_is_made(void **state)
{
    assert_true(send_part(1, 'a', FULL, 0));
    struct part_place late = begin(2, (int64_t) FULL);
    assert_true(late.is_shared);
    assert_false(join_and_check(1)); // what it still writes must not be the object's
    write_letters(&late, 'x', FULL);
    part_drop(s3, &upload, 2, &late);
    fd_close(late.fd);
    assert_false(
        send_part(2, 'b', FULL, 1)); // nothing more goes into a file that is made an object
    assert_true(join_and_check(2));
}

static void test_another_process_goes_on(void **state)
{
    assert_true(send_part(1, 'a', FULL, 0));
    struct part_place cut = begin(2, (int64_t) FULL);
    write_letters(&cut, 'x', 10);
    fd_close(cut.fd); // killed
    restart();
    assert_false(send_part(1, 'A', FULL, 0));
    assert_true(send_part(2, 'b', FULL, 1)); // no row has that place
    assert_true(send_part(3, 'c', 7, 2));
    assert_true(join_and_check(3));
}

static void test_a_start_removes_what_no_row_names(void **state)
{
    char path[600];
    assert_false(send_part(1, 'a', 10, 0));
    struct part_place cut = begin(2, 10);
    fd_close(cut.fd); // killed
    restart();
    (void) snprintf(path, sizeof(path), "%s/uploads/%s", scratch_path, cut.file);
    assert_int_equal(access(path, F_OK), -1);
    (void) snprintf(path, sizeof(path), "%s/uploads/%s", scratch_path, files[0]);
    assert_int_equal(access(path, F_OK), 0);
}

// A row that was refused after the content had become an object: the upload can be completed again.
static void test_the_whole_twice(void **state)
{
    struct parts_joined joined;
    struct store_pin *pin;
    assert_true(send_part(1, 'a', FULL, 0));
    assert_true(send_part(2, 'b', 100, 1));
    objects_upload_done(&upload);
    assert_int_equal(objects_upload_get(s3_objects(s3), STR("u1"), &upload, &err), 0);
    assert_int_equal(parts_join(s3, &upload, parts, 2, &joined, &err), 0);
    assert_int_equal(
        store_stage_publish(store, STORE_TMP, joined.name, &joined.sha256, joined.size, &pin, &err),
        0);
    store_unpin(pin);
    parts_join_end(s3, &upload, &joined);
    assert_true(join_and_check(2));
    assert_false(join_and_check(1)); // the object is not cut for it
    assert_true(store_blob_verify(store, &joined.sha256, &err) == 0);
    assert_false(send_part(2, 'c', 100, 1));
    assert_false(join_and_check(2));
    assert_true(store_blob_verify(store, &joined.sha256, &err) == 0);
}

// A client that waited too long asks again, perhaps with another list, while the first call is still
// at it: what that one makes an object of is not written to.
static void test_one_joins_at_a_time(void **state)
{
    struct parts_joined joined, other;
    assert_true(send_part(1, 'a', FULL, 0));
    assert_true(send_part(2, 'b', 100, 1));
    objects_upload_done(&upload);
    assert_int_equal(objects_upload_get(s3_objects(s3), STR("u1"), &upload, &err), 0);
    assert_int_equal(parts_join(s3, &upload, parts, 2, &joined, &err), 0);
    assert_false(send_part(2, 'c', 100, 1));
    assert_int_equal(parts_join(s3, &upload, parts, 2, &other, &err), -EAGAIN);
    assert_int_equal(object_verify_at(store->tmp, joined.name, joined.size, &joined.sha256), 0);
    assert_int_equal(store_stage_remove(store, STORE_TMP, joined.name), 0);
    parts_join_end(s3, &upload, &joined);
    assert_true(join_and_check(2));
}

static void test_a_file_that_is_missing(void **state)
{
    struct parts_joined joined;
    assert_true(send_part(1, 'a', FULL, 0));
    assert_int_equal(store_stage_remove(store, STORE_UPLOADS, "u1"), 0);
    objects_upload_done(&upload);
    assert_int_equal(objects_upload_get(s3_objects(s3), STR("u1"), &upload, &err), 0);
    assert_int_equal(parts_join(s3, &upload, parts, 1, &joined, &err), -EUCLEAN);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_parts_of_one_size_are_not_copied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_part, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_part_that_is_sent_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_part_that_is_sent_again_and_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_parts_of_different_sizes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_numbers_with_gaps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_some_of_the_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_size_that_is_not_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_part_that_is_given_up_gives_its_place_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_part_that_is_being_written_while_the_whole_is_made,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_process_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_start_removes_what_no_row_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_whole_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_joins_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_file_that_is_missing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
