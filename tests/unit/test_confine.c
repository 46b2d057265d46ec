// SPDX-License-Identifier: MIT
//
// lamina-work's confinement, attacked from inside: what a worker that was taken over would try. Each
// attempt is a process of its own, and the kernel must kill it.

#include "unit.h"

#include "work/confine.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

static void open_file(void)
{
    syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}

static void write_file(void)
{
    syscall(SYS_openat, AT_FDCWD, "/tmp/lamina-confine", O_WRONLY | O_CREAT, 0600);
}

static void make_socket(void)
{
    syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static void execute(void)
{
    char name[] = "true";
    char *const arguments[] = {name, NULL};
    syscall(SYS_execve, "/bin/true", arguments, NULL);
}

static void start_process(void)
{
    syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static void signal_parent(void)
{
    syscall(SYS_kill, syscall(SYS_getppid), 0);
}

static void trace(void)
{
    syscall(SYS_ptrace, PTRACE_TRACEME, 0, NULL, NULL);
}

static void raise_limit(void)
{
    struct rlimit limit = {1000, 1000};
    syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL);
}

static void protect(void)
{
    syscall(SYS_mprotect, NULL, 4096, PROT_EXEC);
}

static void control(void)
{
    syscall(SYS_prctl, PR_SET_NAME, "x", 0, 0, 0);
}

static void x32_call(void)
{
    syscall(0x40000000 + 39); // getpid of the x32 numbers
}

// How the process that is confined and then does `attempt` ends.
static int end_of(void (*attempt)(void))
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (confine_self() < 0)
            _exit(3);
        attempt();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_each_attempt_is_the_last(void **state)
{
    static const struct {
        const char *name;
        void (*attempt)(void);
    } attempts[] = {
        {"open", open_file}, {"create", write_file},   {"socket", make_socket},
        {"exec", execute},   {"clone", start_process}, {"kill", signal_parent},
        {"ptrace", trace},   {"prlimit", raise_limit}, {"mprotect", protect},
        {"prctl", control},  {"x32", x32_call},
    };
#ifdef HAS_SANITIZER
    skip(); // built with a sanitizer there is no filter
#endif
    for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
        int status = end_of(attempts[i].attempt);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("%s: ended with status %x", attempts[i].name, (unsigned) status);
    }
}

static void use_what_is_allowed(void)
{
    char byte;
    void *memory = malloc(1 << 20);
    void *more = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!memory || more == MAP_FAILED || munmap(more, 1 << 20) < 0)
        _exit(4);
    free(memory);
    (void) !pread(0, &byte, 1, 0);
    (void) !write(1, "", 0);
}

static void take_much_memory(void)
{
    for (int i = 0; i < 64; i++) {
        if (mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
            MAP_FAILED)
            _exit(7);
    }
}

static void test_what_the_job_needs_works(void **state)
{
    int status = end_of(use_what_is_allowed);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_memory_ends(void **state)
{
#ifdef HAS_SANITIZER
    skip(); // its shadow alone is larger than the limit
#endif
    int status = end_of(take_much_memory);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_attempt_is_the_last),
        cmocka_unit_test(test_what_the_job_needs_works),
        cmocka_unit_test(test_memory_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
