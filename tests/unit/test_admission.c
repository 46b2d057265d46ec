/* SPDX-License-Identifier: MIT
 *
 * Admission by the memory that is available. */
#include "function/admission.h"

#include "loop/loop.h"

#include "unit.h"

#define MIB (UINT64_C(1) << 20)

static char path[64];

static void meminfo(const char *text)
{
    int fd = -1;
    snprintf(path, sizeof(path), "/tmp/lamina-meminfo.XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void what_is_pending_counts(void **state)
{
    struct loop *loop = loop_new();
    struct admission admission;
    meminfo("MemTotal: 1 kB\nMemAvailable:     102400 kB\n"); /* 100 MiB */
    admission_init(&admission, loop, 20 * MIB);
    admission.path = path;
    assert_true(admission_take(&admission, 50 * MIB));
    assert_false(admission_take(&admission, 31 * MIB));
    assert_true(admission_take(&admission, 30 * MIB));
    assert_false(admission_take(&admission, 1));
    admission_settle(&admission, 30 * MIB);
    assert_true(admission_take(&admission, 30 * MIB));
    unlink(path);
    loop_free(loop);
}

static void ample_memory_is_looked_at_seldom(void **state)
{
    struct loop *loop = loop_new();
    struct admission admission;
    meminfo("MemAvailable: 102400 kB\n"); /* 100 MiB */
    admission_init(&admission, loop, 10 * MIB);
    admission.path = path;
    assert_true(admission_take(&admission, 10 * MIB));
    unlink(path); /* looked at again, it would not be known */
    admission_settle(&admission, 10 * MIB);
    admission.read_ms -= 100;
    assert_true(admission_take(&admission, 10 * MIB));
    assert_true(admission.is_known);
    assert_true(
        admission_take(&admission, 30 * MIB)); /* with what was taken before: more than half */
    assert_false(admission.is_known);
    loop_free(loop);
}

static void without_the_file_everything_is_admitted(void **state)
{
    static const char *const texts[] = {"", "MemFree: 1 kB\n", "MemAvailable: many kB\n"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct loop *loop = loop_new();
        struct admission admission;
        meminfo(texts[i]);
        admission_init(&admission, loop, 0);
        admission.path = path;
        assert_true(admission_take(&admission, UINT64_MAX / 2));
        unlink(path);
        loop_free(loop);
    }
}

static void the_need_is_the_peak_or_a_guess_within_the_limit(void **state)
{
    assert_int_equal(admission_need(0, 128 * MIB), ADMISSION_GUESS_BYTES);
    assert_int_equal(admission_need(5 * MIB, 128 * MIB), 5 * MIB);
    assert_int_equal(admission_need(500 * MIB, 128 * MIB), 128 * MIB);
    assert_int_equal(admission_need(0, 16 * MIB), 16 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_pending_counts),
        cmocka_unit_test(ample_memory_is_looked_at_seldom),
        cmocka_unit_test(without_the_file_everything_is_admitted),
        cmocka_unit_test(the_need_is_the_peak_or_a_guess_within_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
