// SPDX-License-Identifier: MIT

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "spawn/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char env[] = "A=b\0PATH=/usr/bin\0EMPTY=";

static size_t make_start(union request *request)
{
    memset(request, 0, sizeof(*request));
    const size_t size = offsetof(struct spawn_start, env) + sizeof(env);
    request->start = (struct spawn_start){
        .head = {SPAWN_VERSION, SPAWN_START, (uint32_t) size, 7},
        .memory_bytes = 128 << 20,
        .tmp_bytes = 512 << 20,
        .cpu_millis = 72,
        .pids_max = 1024,
        .flags = SPAWN_START_HOT,
        .env_size = sizeof(env),
    };
    memcpy(request->start.env, env, sizeof(env));
    return size;
}

static int check(const union request *request, size_t size)
{
    return request_check(request, size, 0, REQUEST_INSTANCES);
}

static void test_a_good_start_is_accepted(void **state)
{
    (void) state;
    union request request;
    size_t size = make_start(&request);
    assert_int_equal(check(&request, size), 0);
    request.start.env_size = 0;
    request.head.size = offsetof(struct spawn_start, env);
    assert_int_equal(check(&request, request.head.size), 0); // no environment at all
}

// Each prefix lies at the end of a page that nothing can be read behind.
static void test_every_prefix_is_refused_and_read_no_further(void **state)
{
    (void) state;
    union request request;
    const size_t size = make_start(&request);
    const size_t page = (size_t) sysconf(_SC_PAGESIZE), room = 4 * page;
    char *map = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + room, page, PROT_NONE), 0);
    for (size_t length = 0; length < size; length++) {
        if (length % 8 != 0) // the struct's alignment is kept
            continue;
        char *at = map + room - length;
        memcpy(at, &request, length);
        assert_int_equal(check((const union request *) (void *) at, length), -EPROTO);
        if (length >= sizeof(struct spawn_head)) { // also when it says that it is whole
            struct spawn_head *head = (struct spawn_head *) (void *) at;
            head->size = (uint32_t) length;
            assert_int_equal(check((const union request *) (void *) at, length), -EPROTO);
        }
    }
    munmap(map, room + page);
}

static void test_values_past_their_limits_are_refused(void **state)
{
    (void) state;
    static const struct {
        size_t at, width;
        uint64_t value;
    } bad[] = {
        {offsetof(struct spawn_head, version), 2, SPAWN_VERSION + 1},
        {offsetof(struct spawn_head, type), 2, 0},
        {offsetof(struct spawn_head, type), 2, SPAWN_STARTED},
        {offsetof(struct spawn_head, type), 2, SPAWN_WORK},
        {offsetof(struct spawn_head, id), 8, 0},
        {offsetof(struct spawn_head, size), 4, 0},
        {offsetof(struct spawn_head, size), 4, UINT32_MAX},
        {offsetof(struct spawn_start, memory_bytes), 8, 0},
        {offsetof(struct spawn_start, memory_bytes), 8, (16 << 20) - 1},
        {offsetof(struct spawn_start, memory_bytes), 8, UINT64_MAX},
        {offsetof(struct spawn_start, tmp_bytes), 8, 0},
        {offsetof(struct spawn_start, tmp_bytes), 8, UINT64_MAX},
        {offsetof(struct spawn_start, cpu_millis), 4, UINT32_MAX},
        {offsetof(struct spawn_start, pids_max), 4, UINT32_MAX},
        {offsetof(struct spawn_start, flags), 4, 64},
        {offsetof(struct spawn_start, flags), 4, SPAWN_START_MODEL_FD}, // none has come
        {offsetof(struct spawn_start, bootstrap), 4, SPAWN_BOOTSTRAP_COUNT},
        {offsetof(struct spawn_start, reserved), 4, 1},
        {offsetof(struct spawn_start, env_size), 4, sizeof(env) - 1},
        {offsetof(struct spawn_start, env_size), 4, sizeof(env) + 1},
        {offsetof(struct spawn_start, env_size), 4, UINT32_MAX},
        {offsetof(struct spawn_start, env), 1, '='},                   // no name
        {offsetof(struct spawn_start, env) + 1, 1, 'x'},               // no equals sign
        {offsetof(struct spawn_start, env) + sizeof(env) - 1, 1, 'x'}, // no NUL at the end
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        union request request;
        size_t size = make_start(&request);
        memcpy(request.bytes + bad[i].at, &bad[i].value, bad[i].width);
        assert_int_equal(check(&request, size), -EPROTO);
    }
}

static void test_work_brings_three_descriptors(void **state)
{
    (void) state;
    union request request = {
        .work = {.head = {SPAWN_VERSION, SPAWN_WORK, sizeof(struct spawn_work), 0},
                 .cpu_seconds = 60,
                 .memory_bytes = 64 << 20}};
    const size_t size = sizeof(request.work);
    for (size_t fds = 0; fds <= SPAWN_FDS_MAX; fds++)
        assert_int_equal(request_check(&request, size, fds, REQUEST_WORK),
                         fds == SPAWN_WORK_FDS ? 0 : -EPROTO);
    assert_int_equal(request_check(&request, size, 3, REQUEST_INSTANCES), -EPROTO);
    request.work.cpu_seconds = 0;
    assert_int_equal(request_check(&request, size, 3, REQUEST_WORK), -EPROTO);
    const size_t start_size = make_start(&request);
    assert_int_equal(request_check(&request, start_size, 1, REQUEST_INSTANCES), -EPROTO);
    assert_int_equal(request_check(&request, start_size, 0, REQUEST_WORK), -EPROTO);
}

static void test_a_model_is_one_descriptor(void **state)
{
    (void) state;
    union request request;
    const size_t size = make_start(&request);
    request.start.flags = SPAWN_START_MODEL_FD;
    for (size_t fds = 0; fds <= SPAWN_FDS_MAX; fds++)
        assert_int_equal(request_check(&request, size, fds, REQUEST_INSTANCES),
                         fds == 1 ? 0 : -EPROTO);
}

static void test_a_fork_is_no_template_and_brings_no_model(void **state)
{
    (void) state;
    union request request;
    const size_t size = make_start(&request);
    request.start.template_id = 3;
    assert_int_equal(check(&request, size), 0);
    request.start.flags = SPAWN_START_TEMPLATE;
    assert_int_equal(check(&request, size), -EPROTO);
    request.start.flags = SPAWN_START_MODEL_FD;
    assert_int_equal(request_check(&request, size, 1, REQUEST_INSTANCES), -EPROTO);
    request.start.template_id = 0;
    request.start.flags = SPAWN_START_TEMPLATE | SPAWN_START_MODEL_FD;
    assert_int_equal(request_check(&request, size, 1, REQUEST_INSTANCES), 0);
}

static struct spawn_filesystem_use a_use(void)
{
    return (struct spawn_filesystem_use){.filesystem_id = "fs-0123456789abcdef0",
                                         .root = "a/b",
                                         .name = "models",
                                         .flags = SPAWN_FILESYSTEM_RO,
                                         .uid = SPAWN_FILESYSTEM_NO_USER,
                                         .gid = SPAWN_FILESYSTEM_NO_USER};
}

static void check_use(const struct spawn_filesystem_use *use, int expected)
{
    union request request;
    const size_t size = make_start(&request);
    request.start.filesystem = *use;
    assert_int_equal(check(&request, size), expected);
}

static void test_a_file_system_is_named_and_its_path_is_bounded(void **state)
{
    (void) state;
    struct spawn_filesystem_use use = a_use();
    check_use(&use, 0);
    static const char *const bad_roots[] = {"/a", "..", "a/..", "a/", "a//b", "a/b/c/d/e", "a\nb"};
    for (size_t i = 0; i < sizeof(bad_roots) / sizeof(bad_roots[0]); i++) {
        use = a_use();
        (void) snprintf(use.root, sizeof(use.root), "%s", bad_roots[i]);
        check_use(&use, -EPROTO);
    }
    static const char *const bad_names[] = {"", ".", "..", "a/b", "a b"};
    for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++) {
        use = a_use();
        memset(use.name, 0, sizeof(use.name));
        (void) snprintf(use.name, sizeof(use.name), "%s", bad_names[i]);
        check_use(&use, -EPROTO);
    }
    use = a_use();
    memset(use.root, 'a', sizeof(use.root)); // without an end
    check_use(&use, -EPROTO);
    use = a_use();
    use.root[sizeof(use.root) - 1] = 'x'; // behind its end
    check_use(&use, -EPROTO);
    use = a_use();
    use.filesystem_id[3] = 'X';
    check_use(&use, -EPROTO);
    use = a_use();
    memset(use.filesystem_id, 0, sizeof(use.filesystem_id)); // none, and yet something
    check_use(&use, -EPROTO);
}

static void test_a_file_systems_users_are_never_root(void **state)
{
    (void) state;
    static const struct {
        uint32_t flags, uid, gid, create_uid, create_gid, create_mode;
        int expected;
    } all[] = {
        {0, 1000, 1000, 0, 0, 0, 0},
        {0, 0, 1000, 0, 0, 0, -EPROTO},
        {0, 1000, 0, 0, 0, 0, -EPROTO},
        {0, 0, 0, 0, 0, 0, -EPROTO},
        {0, 1000, UINT32_MAX, 0, 0, 0, -EPROTO},
        {0, UINT32_MAX, 1000, 0, 0, 0, -EPROTO},
        {SPAWN_FILESYSTEM_CREATE, 1000, 1000, 1000, 1000, 0755, 0},
        {SPAWN_FILESYSTEM_CREATE, 1000, 1000, 0, 1000, 0755, -EPROTO},
        {SPAWN_FILESYSTEM_CREATE, 1000, 1000, 1000, 1000, 04755, -EPROTO},
        {0, 1000, 1000, 1000, 1000, 0755, -EPROTO},
        {SPAWN_FILESYSTEM_OWN_IDENTITY, 1000, 1000, 0, 0, 0, -EPROTO},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct spawn_filesystem_use use = a_use();
        use.flags = all[i].flags;
        use.uid = all[i].uid;
        use.gid = all[i].gid;
        use.create_uid = all[i].create_uid;
        use.create_gid = all[i].create_gid;
        use.create_mode = all[i].create_mode;
        check_use(&use, all[i].expected);
    }
}

static int check_file(uint32_t flags, const char *path, size_t fds)
{
    union request request;
    memset(&request, 0, sizeof(request));
    request.file = (struct spawn_file){.head = {SPAWN_VERSION, SPAWN_FILE, sizeof(request.file), 0},
                                       .use = a_use(),
                                       .flags = flags};
    memset(request.file.use.name, 0, sizeof(request.file.use.name));
    (void) snprintf(request.file.path, sizeof(request.file.path), "%s", path);
    return request_check(&request, sizeof(request.file), fds, REQUEST_WORK);
}

static void test_a_file_is_looked_at_or_read(void **state)
{
    (void) state;
    assert_int_equal(check_file(0, "m/model.onnx", 1), 0);
    assert_int_equal(check_file(0, "m/model.onnx", 2), -EPROTO);
    assert_int_equal(check_file(SPAWN_FILE_READ, "a/b/c/d/e/f/model.onnx", 2), 0);
    assert_int_equal(check_file(SPAWN_FILE_READ | SPAWN_FILE_DROP_CACHE, "model.onnx", 2), 0);
    assert_int_equal(check_file(SPAWN_FILE_READ, "model.onnx", 1), -EPROTO);
    assert_int_equal(check_file(4, "model.onnx", 1), -EPROTO);
    assert_int_equal(check_file(0, "", 1), 0);
    assert_int_equal(check_file(SPAWN_FILE_READ, "", 2), -EPROTO);
    assert_int_equal(check_file(0, "../x", 1), -EPROTO);
    assert_int_equal(check_file(0, "/etc/shadow", 1), -EPROTO);
}

static void test_a_step_has_a_name(void **state)
{
    (void) state;
    assert_string_equal(spawn_step_name(SPAWN_STEP_SECCOMP), "seccomp");
    assert_string_equal(spawn_step_name(SPAWN_STEP_DIED), "died");
    assert_string_equal(spawn_step_name(SPAWN_STEP_COUNT), "?");
    assert_string_equal(spawn_step_name(UINT32_MAX), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_start_is_accepted),
        cmocka_unit_test(test_every_prefix_is_refused_and_read_no_further),
        cmocka_unit_test(test_values_past_their_limits_are_refused),
        cmocka_unit_test(test_work_brings_three_descriptors),
        cmocka_unit_test(test_a_model_is_one_descriptor),
        cmocka_unit_test(test_a_fork_is_no_template_and_brings_no_model),
        cmocka_unit_test(test_a_file_system_is_named_and_its_path_is_bounded),
        cmocka_unit_test(test_a_file_systems_users_are_never_root),
        cmocka_unit_test(test_a_file_is_looked_at_or_read),
        cmocka_unit_test(test_a_step_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
