// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/fs.h"
#include "filesystem/filesystems.h"
#include "loop/loop.h"
#include "meta/registry.h"
#include "role/roles.h"

#include <unistd.h>

#define ACCOUNT "000000000000"
#define FS "fs-0123456789abcdef0"
#define POINT "fsap-0123456789abcdef0"
#define EFS "arn:aws:elasticfilesystem:us-east-1:" ACCOUNT ":"
#define ROLE "arn:aws:iam::" ACCOUNT ":role/r"

// ---- names

static void ids(void **state)
{
    char id[FILESYSTEM_ID_SIZE];
    (void) state;
    filesystem_make_id("fs-", id);
    assert_true(filesystem_is_id(str_of(id)) && !access_point_is_id(str_of(id)));
    filesystem_make_id("fsap-", id);
    assert_true(access_point_is_id(str_of(id)));
    static const char *const bad[] = {"",
                                      "fs-",
                                      "fs-0123456789abcdef",
                                      "fs-0123456789abcdef01",
                                      "fs-0123456789abcdeF0",
                                      "fsap-0123456789abcdef0 "};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(filesystem_is_id(str_of(bad[i])) || access_point_is_id(str_of(bad[i])));
}

static void roots(void **state)
{
    static const char *const good[] = {"/", "/a", "/a/b/c/d", "/a b", "/...", "/\xc3\xbc"};
    static const char *const bad[] = {"",     "a",     "//",         "/a/",  "/a//b", "/.",   "/..",
                                      "/a/.", "/../a", "/a/b/c/d/e", "/a\n", "/a$b",  "/a\\b"};
    char longest[ACCESS_POINT_ROOT_MAX + 2] = "/";
    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(access_point_check_root(str_of(good[i]), NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(access_point_check_root(str_of(bad[i]), NULL), -EINVAL);
    memset(longest + 1, 'a', ACCESS_POINT_ROOT_MAX);
    assert_int_equal(access_point_check_root(str_of(longest), NULL), -EINVAL);
    assert_int_equal(
        access_point_check_root(str_part(str_of(longest), 0, ACCESS_POINT_ROOT_MAX), NULL), 0);
}

static void arns(void **state)
{
    struct filesystem_arn arn;
    (void) state;
    assert_int_equal(filesystem_arn_parse(STR(EFS "access-point/" POINT), &arn), 0);
    assert_true(str_equal(arn.access_point, STR(POINT)) && !arn.is_s3_files);
    struct str files =
        STR("arn:aws:s3files:us-east-1:" ACCOUNT ":file-system/" FS "/access-point/" POINT);
    assert_int_equal(filesystem_arn_parse(files, &arn), 0);
    assert_true(arn.is_s3_files && str_equal(arn.filesystem, STR(FS)));
    // No prefix of them is another one.
    for (size_t size = 0; size < files.size; size++)
        assert_int_equal(filesystem_arn_parse(str_part(files, 0, size), &arn), -EINVAL);
    static const char *const bad[] = {
        EFS "access-point/" FS,
        EFS "file-system/" FS,
        EFS "access-point/" POINT "/",
        EFS "access-point/" POINT "/x",
        "arn:aws:elasticfilesystem::" ACCOUNT ":access-point/" POINT,
        "arn:aws:elasticfilesystem:us-east-1:1:access-point/" POINT,
        "arn:aws:s3:us-east-1:" ACCOUNT ":access-point/" POINT,
        "arn:aws:s3files:us-east-1:" ACCOUNT ":access-point/" POINT,
        "arn:x:elasticfilesystem:us-east-1:" ACCOUNT ":access-point/" POINT,
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(filesystem_arn_parse(str_of(bad[i]), &arn), -EINVAL);
}

// ---- rows

static struct access_point *example(void)
{
    struct access_point *point = access_point_new();
    assert_non_null(point);
    *point = (struct access_point){.filesystem_id = FS,
                                   .root = "/a/b",
                                   .is_read_only = true,
                                   .has_user = true,
                                   .uid = 1000,
                                   .gid = UINT32_MAX,
                                   .has_creation = true,
                                   .owner_uid = 1,
                                   .owner_gid = 2,
                                   .mode = 0750,
                                   .token = "t\"",
                                   .created_ms = 12345};
    point->tags_json = strdup("{\"Name\":\"x\"}");
    return point;
}

static void a_row_comes_back(void **state)
{
    AUTO_BUF struct buf row = BUF_INIT(1 << 16);
    AUTO_BUF struct buf again = BUF_INIT(1 << 16);
    struct access_point *point = example();
    struct access_point *back = access_point_new();
    (void) state;
    assert_int_equal(access_point_write(point, &row), 0);
    assert_int_equal(access_point_read(buf_str(&row), back, NULL), 0);
    assert_int_equal(access_point_write(back, &again), 0);
    assert_true(str_equal(buf_str(&row), buf_str(&again)));
    access_point_free(back);
    for (size_t size = 0; size < row.size; size++) {
        struct access_point *part = access_point_new();
        assert_int_equal(access_point_read(str_part(buf_str(&row), 0, size), part, NULL), -EBADMSG);
        access_point_free(part);
    }
    access_point_free(point);
}

static void damaged_rows_are_named(void **state)
{
    static const struct {
        const char *row, *member;
    } cases[] = {
        {"{\"Schema\":2}", "Schema"},
        {"{\"Schema\":1}", "FileSystemId"},
        {"{\"Schema\":1,\"FileSystemId\":\"fs-1\"}", "FileSystemId"},
        {"{\"Schema\":1,\"FileSystemId\":\"" FS "\",\"Root\":\"/..\"}", "Root"},
        {"{\"Schema\":1,\"FileSystemId\":\"" FS "\",\"Root\":\"/\"}", "Token"},
        {"{\"Schema\":1,\"FileSystemId\":\"" FS "\",\"Root\":\"/\",\"Token\":\"\"}", "CreatedMs"},
        {"{\"Schema\":1,\"FileSystemId\":\"" FS
         "\",\"Root\":\"/\",\"Token\":\"\",\"CreatedMs\":1,\"User\":{\"Uid\":-1}}",
         "Uid"},
        {"{\"Schema\":1,\"FileSystemId\":\"" FS "\",\"Root\":\"/\",\"Token\":\"\",\"CreatedMs\":1,"
         "\"Creation\":{\"Uid\":1,\"Gid\":1,\"Mode\":9999}}",
         "Mode"},
        {"{\"Schema\":1,\"FileSystemId\":\"" FS
         "\",\"Root\":\"/\",\"Token\":\"\",\"CreatedMs\":1,\"User\":5}",
         "User"},
    };
    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct access_point *point = access_point_new();
        struct error err = {0};
        assert_int_equal(access_point_read(str_of(cases[i].row), point, &err), -EBADMSG);
        assert_non_null(strstr(err.text, cases[i].member));
        access_point_free(point);
    }
}

// ---- the table

struct fixture {
    char directory[64];
    struct loop *loop;
    struct registry *registry;
    struct roles *roles;
    struct filesystems *filesystems;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    (void) snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/test-filesystem-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    fixture->loop = loop_new();
    assert_non_null(fixture->loop);
    assert_int_equal(registry_open(fixture->directory, fixture->loop, &fixture->registry, NULL), 0);
    assert_int_equal(roles_open(fixture->registry, "us-east-1", ACCOUNT, &fixture->roles, NULL), 0);
    assert_int_equal(filesystems_new(fixture->registry, fixture->roles, "us-east-1", ACCOUNT,
                                     &fixture->filesystems, NULL),
                     0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    registry_close(fixture->registry);
    filesystems_free(fixture->filesystems);
    roles_close(fixture->roles);
    loop_free(fixture->loop);
    (void) !fs_remove_tree(AT_FDCWD, fixture->directory);
    free(fixture);
    return 0;
}

static void fill(struct filesystems *filesystems, bool is_read_only)
{
    struct filesystem one = {.id = FS,
                             .is_read_only = is_read_only,
                             .uid = 1000,
                             .gid = 1001,
                             .uid_first = 2000,
                             .uid_last = 2009,
                             .gid_first = 1,
                             .gid_last = 0};
    struct access_point point = {.id = POINT, .filesystem_id = FS, .root = "/"};
    filesystems_begin(filesystems);
    filesystems_add(filesystems, &one);
    filesystems_add(filesystems, &one); // twice: left out
    filesystems_add_point(filesystems, &point);
    filesystems_end(filesystems);
}

static void who_may_be_whom(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture->filesystems, false);
    const struct filesystem *one = filesystems_find(fixture->filesystems, STR(FS));
    assert_non_null(one);
    assert_true(filesystem_may_have_user(one, 1000, 1001));
    assert_true(filesystem_may_have_user(one, 2000, 1001) &&
                filesystem_may_have_user(one, 2009, 1001));
    assert_false(filesystem_may_have_user(one, 2010, 1001) ||
                 filesystem_may_have_user(one, 1000, 1));
    assert_false(filesystem_may_have_user(one, 0, 1001) || filesystem_may_have_user(one, 1000, 0));
    struct filesystem own = *one;
    own.has_own_identity = true;
    assert_false(filesystem_may_have_user(&own, 1000, 1001));
}

static void resolving(void **state)
{
    struct fixture *fixture = *state;
    struct filesystems *filesystems = fixture->filesystems;
    struct filesystem_use use;
    struct spawn_filesystem_use wire;
    struct str arn = STR(EFS "access-point/" POINT);
    assert_false(filesystems_are_known(filesystems));
    assert_int_equal(filesystems_resolve(filesystems, ROLE, arn, &use, NULL), -ENOENT);
    fill(filesystems, true);
    assert_true(filesystems_are_known(filesystems));
    assert_int_equal(filesystems_resolve(filesystems, ROLE, arn, &use, NULL), 0);
    filesystem_use_to_wire(&use, "x", &wire);
    assert_string_equal(wire.filesystem_id, FS);
    assert_string_equal(wire.name, "x");
    assert_string_equal(wire.root, "");
    assert_int_equal(wire.flags, SPAWN_FILESYSTEM_RO);
    assert_int_equal(wire.uid, SPAWN_FILESYSTEM_NO_USER);
    struct str elsewhere =
        STR("arn:aws:elasticfilesystem:eu-west-1:" ACCOUNT ":access-point/" POINT);
    assert_int_equal(filesystems_resolve(filesystems, ROLE, elsewhere, &use, NULL), -ENOENT);
    filesystems_begin(filesystems); // the administrator took all away
    filesystems_end(filesystems);
    assert_int_equal(filesystems_resolve(filesystems, ROLE, arn, &use, NULL), -ENOENT);
}

static void end_loop(void *arg, const struct access_point *point, const struct error *err)
{
    assert_null(err);
    assert_non_null(point);
    loop_stop(arg);
}

static void the_api_s_points_stay_when_the_file_is_read_again(void **state)
{
    struct fixture *fixture = *state;
    struct filesystems *filesystems = fixture->filesystems;
    struct filesystem_use use;
    char arn[FILESYSTEM_ARN_SIZE];
    char id[FILESYSTEM_ID_SIZE];
    fill(filesystems, false);
    struct access_point *point = example();
    point->uid = 2005;
    point->gid = 1001;
    point->has_creation = false;
    assert_int_equal(filesystems_create(filesystems, point, end_loop, fixture->loop), 0);
    memcpy(id, point->id, sizeof(id));
    assert_null(filesystems_find_point(filesystems, str_of(id))); // not before it is on the disk
    loop_run(fixture->loop);
    assert_non_null(filesystems_find_point(filesystems, str_of(id)));
    fill(filesystems, false);
    filesystems_point_arn(filesystems, id, arn);
    assert_int_equal(filesystems_resolve(filesystems, ROLE, str_of(arn), &use, NULL), 0);
    assert_true(use.has_user && use.uid == 2005 && use.is_read_only);
    struct filesystem narrower = {.id = FS, .uid = 7, .gid = 7, .uid_first = 1, .gid_first = 1};
    filesystems_begin(filesystems);
    filesystems_add(filesystems, &narrower);
    filesystems_end(filesystems);
    assert_int_equal(filesystems_resolve(filesystems, ROLE, str_of(arn), &use, NULL), -EPERM);
    assert_int_equal(filesystems_delete(filesystems, STR(POINT), end_loop, NULL), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids),
        cmocka_unit_test(roots),
        cmocka_unit_test(arns),
        cmocka_unit_test(a_row_comes_back),
        cmocka_unit_test(damaged_rows_are_named),
        cmocka_unit_test_setup_teardown(who_may_be_whom, set_up, tear_down),
        cmocka_unit_test_setup_teardown(resolving, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_api_s_points_stay_when_the_file_is_read_again, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
