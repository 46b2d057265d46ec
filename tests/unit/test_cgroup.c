// SPDX-License-Identifier: MIT
//
// What the managers write, against a directory of ordinary files. That the kernel takes it is shown
// by tests/hostile, on the version that the machine has.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "spawn/cgroup.h"

#include "base/fd.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fake {
    struct cgroups groups;
    char path[64];
};

static const char *const files[] = {"memory.limit_in_bytes",
                                    "memory.memsw.limit_in_bytes",
                                    "memory.usage_in_bytes",
                                    "memory.max_usage_in_bytes",
                                    "memory.oom_control",
                                    "pids.max",
                                    "cpu.cfs_quota_us",
                                    "cpu.shares",
                                    "cpu.weight",
                                    "cpu.cfs_period_us",
                                    "freezer.state",
                                    "tasks",
                                    "memory.max",
                                    "memory.current",
                                    "memory.peak",
                                    "memory.events",
                                    "memory.swap.max",
                                    "memory.oom.group",
                                    "cpu.max",
                                    "cgroup.freeze",
                                    "cgroup.events",
                                    "cgroup.kill",
                                    "cgroup.procs"};

static int make_fake(void **state)
{
    struct fake *fake = calloc(1, sizeof(*fake));
    (void) snprintf(fake->path, sizeof(fake->path), "/tmp/lamina-cgroup-XXXXXX");
    assert_non_null(mkdtemp(fake->path));
    const int dir = open(fake->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    assert_int_equal(mkdirat(dir, "7", 0700), 0);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        char path[64];
        (void) snprintf(path, sizeof(path), "7/%s", files[i]);
        const int fd = openat(dir, path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    for (int i = 0; i < CGROUP_DIRS; i++)
        fake->groups.dirs[i] = dir;
    *state = fake;
    return 0;
}

static int remove_fake(void **state)
{
    struct fake *fake = *state;
    close(fake->groups.dirs[0]);
    assert_int_equal(fs_remove_tree(AT_FDCWD, fake->path), 0);
    free(fake);
    return 0;
}

static void put(struct fake *fake, const char *name, const char *text)
{
    char path[64];
    (void) snprintf(path, sizeof(path), "7/%s", name);
    AUTO_FD int fd = openat(fake->groups.dirs[0], path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

// What is there now; the file is emptied, as a kernel file takes each write anew.
static void expect(struct fake *fake, const char *name, const char *text)
{
    char got[128];
    assert_int_equal(cgroup_read(&fake->groups, 0, 7, name, got, sizeof(got)), 0);
    assert_string_equal(got, text);
    put(fake, name, "");
}

static const struct cgroup_limits limits = {.memory_bytes = 134217728, .pids_max = 1025};
static const struct cgroup_limits background = {.is_background = true};

static void test_v1_limits(void **state)
{
    struct fake *fake = *state;
    fake->groups.manager = &cgroup_v1;
    assert_int_equal(cgroup_make(&fake->groups, 7), 0);
    expect(fake, "cpu.cfs_period_us", "20000");
    assert_int_equal(cgroup_limit(&fake->groups, 7, &limits), 0);
    expect(fake, "memory.limit_in_bytes", "134217728");
    expect(fake, "memory.memsw.limit_in_bytes", "134217728");
    expect(fake, "pids.max", "1025");
    expect(fake, "cpu.shares", "");
    assert_int_equal(cgroup_limit(&fake->groups, 7, &background), 0);
    expect(fake, "cpu.shares", "102");
    assert_int_equal(cgroup_limit_cpu(&fake->groups, 7, 72), 0);
    expect(fake, "cpu.cfs_quota_us", "1440");
    assert_int_equal(cgroup_limit_cpu(&fake->groups, 7, 1), 0);
    expect(fake, "cpu.cfs_quota_us", "1000"); // the least that the kernel takes
    assert_int_equal(cgroup_limit_cpu(&fake->groups, 7, 0), 0);
    expect(fake, "cpu.cfs_quota_us", "-1");
    assert_int_equal(cgroup_enter(&fake->groups, 7), 0);
    expect(fake, "tasks", "0");
}

static void test_v2_limits(void **state)
{
    struct fake *fake = *state;
    fake->groups.manager = &cgroup_v2;
    assert_int_equal(cgroup_make(&fake->groups, 7), 0);
    expect(fake, "memory.oom.group", "1");
    assert_int_equal(cgroup_limit(&fake->groups, 7, &limits), 0);
    expect(fake, "memory.max", "134217728");
    expect(fake, "memory.swap.max", "0");
    expect(fake, "pids.max", "1025");
    expect(fake, "cpu.weight", "");
    assert_int_equal(cgroup_limit(&fake->groups, 7, &background), 0);
    expect(fake, "cpu.weight", "10");
    assert_int_equal(cgroup_limit_cpu(&fake->groups, 7, 2500), 0);
    expect(fake, "cpu.max", "50000 20000");
    assert_int_equal(cgroup_limit_cpu(&fake->groups, 7, 0), 0);
    expect(fake, "cpu.max", "max");
    assert_int_equal(cgroup_enter(&fake->groups, 7), 0);
}

static void test_swap_that_is_not_accounted_is_no_error(void **state)
{
    struct fake *fake = *state;
    assert_int_equal(unlinkat(fake->groups.dirs[0], "7/memory.memsw.limit_in_bytes", 0), 0);
    assert_int_equal(unlinkat(fake->groups.dirs[0], "7/memory.swap.max", 0), 0);
    fake->groups.manager = &cgroup_v1;
    assert_int_equal(cgroup_limit(&fake->groups, 7, &limits), 0);
    fake->groups.manager = &cgroup_v2;
    assert_int_equal(cgroup_limit(&fake->groups, 7, &limits), 0);
    assert_int_equal(unlinkat(fake->groups.dirs[0], "7/memory.max", 0), 0);
    assert_int_equal(cgroup_limit(&fake->groups, 7, &limits), -ENOENT); // no limit is one
}

static void test_freezing(void **state)
{
    struct fake *fake = *state;
    fake->groups.manager = &cgroup_v1;
    assert_int_equal(cgroup_freeze(&fake->groups, 7, true), 0);
    put(fake, "freezer.state", "FREEZING\n");
    assert_int_equal(cgroup_is_frozen(&fake->groups, 7), 0);
    put(fake, "freezer.state", "FROZEN\n");
    assert_int_equal(cgroup_is_frozen(&fake->groups, 7), 1);
    put(fake, "freezer.state", "");
    assert_int_equal(cgroup_freeze(&fake->groups, 7, false), 0);
    expect(fake, "freezer.state", "THAWED");
    fake->groups.manager = &cgroup_v2;
    assert_int_equal(cgroup_freeze(&fake->groups, 7, true), 0);
    expect(fake, "cgroup.freeze", "1");
    put(fake, "cgroup.events", "populated 1\nfrozen 0\n");
    assert_int_equal(cgroup_is_frozen(&fake->groups, 7), 0);
    put(fake, "cgroup.events", "populated 1\nfrozen 1\n");
    assert_int_equal(cgroup_is_frozen(&fake->groups, 7), 1);
    put(fake, "cgroup.events", "populated 1\n");
    assert_int_equal(cgroup_is_frozen(&fake->groups, 7), -ENODATA);
}

static void test_usage(void **state)
{
    struct fake *fake = *state;
    struct cgroup_usage usage;
    fake->groups.manager = &cgroup_v1;
    put(fake, "memory.usage_in_bytes", "4096\n");
    put(fake, "memory.max_usage_in_bytes", "8192\n");
    put(fake, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
    assert_int_equal(cgroup_usage(&fake->groups, 7, &usage), 0);
    assert_int_equal(usage.memory_bytes, 4096);
    assert_int_equal(usage.memory_peak_bytes, 8192);
    assert_true(usage.has_oom);
    fake->groups.manager = &cgroup_v2;
    put(fake, "memory.current", "100\n");
    put(fake, "memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 0\noom_group_kill 0\n");
    assert_int_equal(unlinkat(fake->groups.dirs[0], "7/memory.peak", 0), 0);
    assert_int_equal(cgroup_usage(&fake->groups, 7, &usage), 0);
    assert_int_equal(usage.memory_bytes, 100);
    assert_int_equal(usage.memory_peak_bytes, 0);
    assert_false(usage.has_oom);
    AUTO_FD int fd = cgroup_open_peak(&fake->groups, 7); // what there is instead
    assert_true(fd >= 0);
    assert_int_equal(cgroup_usage(&fake->groups, 8, &usage), -ENOENT);
}

static void test_v2_kills_by_one_write(void **state)
{
    struct fake *fake = *state;
    fake->groups.manager = &cgroup_v2;
    put(fake, "cgroup.procs", "1\n0\n"); // never signalled: not somebody's sandbox
    cgroup_kill(&fake->groups, 7);
    expect(fake, "cgroup.kill", "1");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fake, remove_fake)
    const struct CMUnitTest tests[] = {
        TEST(test_v1_limits),
        TEST(test_v2_limits),
        TEST(test_swap_that_is_not_accounted_is_no_error),
        TEST(test_freezing),
        TEST(test_usage),
        TEST(test_v2_kills_by_one_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
