// SPDX-License-Identifier: MIT

#include "unit.h"

#include "sdk/beginning.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct beginning beginning; // too large for a stack that is checked
static char reason[BEGINNING_TEXT_BYTES];

// What a fork leaves behind.
static struct told {
    long numbers[4];
    uintptr_t guard;
    char text[2][64];
    off_t position;
} * told;

static uintptr_t guard_now(void)
{
    uintptr_t guard = 0;
#if defined(__x86_64__)
    __asm__("movq %%fs:0x28, %0" : "=r"(guard));
#endif
    return guard;
}

static int record(void)
{
    reason[0] = '\0';
    return beginning_record(&beginning, reason);
}

// The exit status of a fork that begins again and then runs `run`.
static int in_fork(char *environment, size_t size, int (*run)(void *), void *arg)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (beginning_apply(&beginning) < 0 || beginning_environment(environment, size) < 0)
            _exit(99);
        beginning_enter(run, arg);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int setup(void **state)
{
    told = mmap(NULL, 2 * sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return told == MAP_FAILED;
}

static int note_random(void *arg)
{
    struct told *mine = arg;
    mine->numbers[0] = rand();
    mine->numbers[1] = random();
    mine->numbers[2] = lrand48();
    mine->guard = guard_now();
    return 7;
}

static void siblings_have_random_state_and_stack_guards_of_their_own(void **state)
{
    srandom(1);
    srand48(1);
    assert_int_equal(record(), 0);
    for (int i = 0; i < 2; i++) {
        int status = in_fork(NULL, 0, note_random, &told[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 7); // what it returned
    }
    srandom(1);
    srand48(1);
    assert_int_not_equal(told[0].numbers[0], rand());
    for (int i = 0; i < 3; i++)
        assert_int_not_equal(told[0].numbers[i], told[1].numbers[i]);
    assert_int_not_equal(told[0].numbers[2], lrand48());
#if defined(__x86_64__)
    assert_true(told[0].guard != told[1].guard && told[0].guard != guard_now());
    assert_int_equal(told[0].guard & 0xFF, 0);
#endif
}

static int note_file(void *arg)
{
    int fd = *(int *) arg;
    ssize_t n = read(fd, told->text[0], 10);
    told->position = lseek(fd, 0, SEEK_CUR);
    told->numbers[0] = fcntl(fd, F_GETFD);
    return n == 10 ? 0 : 1;
}

static void open_files_keep_their_place_and_share_none(void **state)
{
    char byte[5];
    int fd = open(TEST_SOURCE_ROOT "/LICENSE", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, byte, sizeof byte), sizeof byte);
    assert_int_equal(record(), 0);
    assert_int_equal(beginning.file_count, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(in_fork(NULL, 0, note_file, &fd), 0);
        assert_int_equal(told->position, 15);
        assert_int_equal(told->numbers[0], FD_CLOEXEC);
    }
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 5);
    close(fd);
}

static void what_cannot_be_opened_again_is_refused_by_name(void **state)
{
    char path[] = "/tmp/lamina-beginning.XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(record(), -EBUSY);
    assert_non_null(strstr(reason, path));
    assert_non_null(strstr(reason, "is open for writing"));
    close(fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(record(), 0);
    unlink(path);
    assert_int_equal(record(), -EBUSY);
    assert_non_null(strstr(reason, "has no name"));
    close(fd);
    fd = memfd_create("state", MFD_CLOEXEC);
    assert_int_equal(record(), -EBUSY);
    close(fd);
    int many[BEGINNING_FILES_MAX + 1];
    for (int i = 0; i <= BEGINNING_FILES_MAX; i++)
        many[i] = open(TEST_SOURCE_ROOT "/LICENSE", O_RDONLY | O_CLOEXEC);
    assert_int_equal(record(), -EBUSY);
    assert_non_null(strstr(reason, "too many"));
    for (int i = 0; i <= BEGINNING_FILES_MAX; i++)
        close(many[i]);
}

static int note_environment(void *arg)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID", "OWN", "AWS_SESSION_TOKEN", "GIVEN"};
    for (int i = 0; i < 4; i++) {
        const char *value = getenv(names[i]);
        told->numbers[i] = value == NULL ? -1 : value[0];
    }
    return 0;
}

static void the_environment_is_the_forks(void **state)
{
    static char environment[] = "AWS_ACCESS_KEY_ID=new\0GIVEN=yes\0=odd\0odd";
    setenv("AWS_ACCESS_KEY_ID", "old", 1);
    setenv("AWS_SESSION_TOKEN", "old", 1); // the fork has none
    setenv("OWN", "kept", 1);              // set by the function as it initialised
    assert_int_equal(record(), 0);
    assert_int_equal(in_fork(environment, sizeof environment, note_environment, NULL), 0);
    assert_int_equal(told->numbers[0], 'n');
    assert_int_equal(told->numbers[1], 'k');
    assert_int_equal(told->numbers[2], -1);
    assert_int_equal(told->numbers[3], 'y');
    assert_string_equal(getenv("AWS_ACCESS_KEY_ID"), "old");
}

static void credentials_are_wiped_where_they_were(void **state)
{
    setenv("AWS_SECRET_ACCESS_KEY", "a secret", 1);
    setenv("AWS_REGION", "here", 1);
    const char *place = getenv("AWS_SECRET_ACCESS_KEY"); // libc never frees it
    beginning_forget_keys();
    assert_null(getenv("AWS_SECRET_ACCESS_KEY"));
    assert_string_equal(getenv("AWS_REGION"), "here");
    for (size_t i = 0; i < sizeof "a secret"; i++)
        assert_int_equal(place[i], 0);
    beginning_forget_keys(); // there are none
}

static int note_mask(void *arg)
{
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    told->numbers[0] = sigismember(&mask, SIGUSR1);
    told->numbers[1] = sigismember(&mask, SIGTERM);
    return 0;
}

static void the_signal_mask_is_what_it_was(void **state)
{
    sigset_t usr1, all, none;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &usr1, NULL);
    assert_int_equal(record(), 0);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL); // as while it waits
    assert_int_equal(in_fork(NULL, 0, note_mask, NULL), 0);
    assert_int_equal(told->numbers[0], 1);
    assert_int_equal(told->numbers[1], 0);
    sigprocmask(SIG_SETMASK, &none, NULL);
    assert_int_equal(record(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siblings_have_random_state_and_stack_guards_of_their_own),
        cmocka_unit_test(open_files_keep_their_place_and_share_none),
        cmocka_unit_test(what_cannot_be_opened_again_is_refused_by_name),
        cmocka_unit_test(the_environment_is_the_forks),
        cmocka_unit_test(credentials_are_wiped_where_they_were),
        cmocka_unit_test(the_signal_mask_is_what_it_was),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
