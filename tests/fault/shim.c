// SPDX-License-Identifier: MIT

#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool is_held, is_released;
static enum fault_action action;
static int fault_nth, fault_error, count;
static char calls[64 * 1024];
static size_t calls_size;
static char arm_path[1024];           // preloaded: this file arms
static char arm_spec[64];             // preloaded: what it said last
static char only[32];                 // preloaded: count calls of this name only; "": all
static _Thread_local bool dies_after; // FAULT_KILL_AFTER: the call that is being done is the last
static int log_fd = -1;               // preloaded

void fault_arm(enum fault_action what, int nth, int error)
{
    pthread_mutex_lock(&lock);
    action = what;
    fault_nth = nth;
    fault_error = error;
    count = 0;
    calls_size = 0;
    calls[0] = 0;
    pthread_mutex_unlock(&lock);
}

int fault_disarm(void)
{
    pthread_mutex_lock(&lock);
    action = FAULT_NONE;
    int counted = count;
    pthread_mutex_unlock(&lock);
    return counted;
}

void fault_wait_held(void)
{
    pthread_mutex_lock(&lock);
    while (!is_held)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

void fault_release(void)
{
    pthread_mutex_lock(&lock);
    is_released = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

// Under the lock.
static void hold(void)
{
    is_held = true;
    pthread_cond_broadcast(&changed);
    while (!is_released)
        pthread_cond_wait(&changed, &lock);
    is_held = is_released = false;
}

const char *fault_calls(void)
{
    return calls;
}

static void note(const char *name)
{
    size_t size = strlen(name);
    if (arm_path[0]) {
        char line[64];
        int n = snprintf(line, sizeof(line), "%s\n", name);
        syscall(SYS_write, log_fd, line, (size_t) n);
    } else if (calls_size + size + 2 < sizeof(calls)) {
        memcpy(calls + calls_size, name, size);
        memcpy(calls + calls_size + size, " ", 2);
        calls_size += size + 1;
    }
}

static void take_spec(const char *spec);

// Under the lock.
static bool is_armed(void)
{
    char spec[sizeof(arm_spec)] = "";
    if (!arm_path[0])
        return action != FAULT_NONE;
    int fd = (int) syscall(SYS_openat, AT_FDCWD, arm_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (syscall(SYS_read, fd, spec, sizeof(spec) - 1) > 0 && strcmp(spec, arm_spec) != 0) {
        memcpy(arm_spec, spec, sizeof(spec));
        take_spec(spec);
    }
    syscall(SYS_close, fd);
    return action != FAULT_NONE;
}

// The store's collection runs by itself, some seconds after each start, and is no part of what a test does.
static bool is_collector(void)
{
    char name[16] = "";
    syscall(SYS_prctl, PR_GET_NAME, name, 0, 0, 0);
    return strncmp(name, "collect", 7) == 0;
}

// True: the call must fail, errno is set.
static bool fault_at(const char *name)
{
    int saved = errno, error = 0;
    if ((action != FAULT_NONE || arm_path[0]) && is_collector())
        return false;
    pthread_mutex_lock(&lock);
    if (is_armed()) {
        bool is_counted = !only[0] || strcmp(only, name) == 0;
        count += is_counted;
        note(name);
        bool is_here = is_counted && count == fault_nth;
        if (is_here && (action == FAULT_KILL || action == FAULT_STOP))
            syscall(SYS_kill, syscall(SYS_getpid), action == FAULT_KILL ? SIGKILL : SIGSTOP);
        dies_after = is_here && action == FAULT_KILL_AFTER;
        if (is_here && action == FAULT_HOLD)
            hold();
        if ((is_here && action == FAULT_ERROR) || (count >= fault_nth && action == FAULT_ERROR_ON))
            error = fault_error;
    }
    pthread_mutex_unlock(&lock);
    errno = error ? error : saved;
    return error != 0;
}

// The log, which may be a file, does not count.
static bool is_regular(int fd)
{
    if (fd <= STDERR_FILENO)
        return false;
    struct stat stat;
    int saved = errno;
    bool is = fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode);
    errno = saved;
    return is && fd != log_fd;
}

// ---- The calls. What they do is done by the bare system call.

// O_TMPFILE has O_DIRECTORY's bit too.
static bool makes_file(int flags)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
    if (makes_file(flags) && fault_at("openat"))
        return -1;
    return (int) syscall(SYS_openat, dir, path, flags, mode);
}

// Under names of our own in C, since headers may rename libc's (openat to openat64 and so on).
#define OPEN(name)                                                                                 \
    int shim_##name(int dir, const char *path, int flags, ...) __asm__(#name);                     \
    int shim_##name(int dir, const char *path, int flags, ...)                                     \
    {                                                                                              \
        va_list list;                                                                              \
        va_start(list, flags);                                                                     \
        mode_t mode = makes_file(flags) ? va_arg(list, mode_t) : 0;                                \
        va_end(list);                                                                              \
        return open_at(dir, path, flags, mode);                                                    \
    }

OPEN(openat)
OPEN(openat64)

// The result of a call that was done.
static long done(long result)
{
    if (dies_after)
        syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    return result;
}

#define CALL(type, name, parameters, number, ...)                                                  \
    type shim_##name parameters __asm__(#name);                                                    \
    type shim_##name parameters                                                                    \
    {                                                                                              \
        return fault_at(#name) ? -1 : (type) done(syscall(number, __VA_ARGS__));                   \
    }

CALL(int, mkdirat, (int dir, const char *path, mode_t mode), SYS_mkdirat, dir, path, mode)
CALL(int, linkat, (int from, const char *old, int to, const char *new, int flags), SYS_linkat, from,
     old, to, new, flags)
CALL(int, symlinkat, (const char *target, int dir, const char *path), SYS_symlinkat, target, dir,
     path)
CALL(int, unlinkat, (int dir, const char *path, int flags), SYS_unlinkat, dir, path, flags)
CALL(int, renameat, (int from, const char *old, int to, const char *new), SYS_renameat2, from, old,
     to, new, 0u)
CALL(int, renameat2, (int from, const char *old, int to, const char *new, unsigned flags),
     SYS_renameat2, from, old, to, new, flags)
CALL(int, fchmod, (int fd, mode_t mode), SYS_fchmod, fd, mode)
CALL(int, fchmodat, (int dir, const char *path, mode_t mode, int flags), SYS_fchmodat, dir, path,
     mode, flags)
CALL(int, futimens, (int fd, const struct timespec both[2]), SYS_utimensat, fd, NULL, both, 0)
CALL(int, fsync, (int fd), SYS_fsync, fd)
CALL(int, fdatasync, (int fd), SYS_fdatasync, fd)
CALL(int, syncfs, (int fd), SYS_syncfs, fd)
CALL(int, ftruncate, (int fd, off_t size), SYS_ftruncate, fd, size)
CALL(int, ftruncate64, (int fd, off_t size), SYS_ftruncate, fd, size)
CALL(ssize_t, copy_file_range,
     (int from, off_t *from_at, int to, off_t *to_at, size_t size, unsigned flags),
     SYS_copy_file_range, from, from_at, to, to_at, size, flags)

#define WRITE(name, parameters, number, ...)                                                       \
    ssize_t shim_##name parameters __asm__(#name);                                                 \
    ssize_t shim_##name parameters                                                                 \
    {                                                                                              \
        return is_regular(fd) && fault_at(#name) ? -1 : syscall(number, __VA_ARGS__);              \
    }

WRITE(write, (int fd, const void *data, size_t size), SYS_write, fd, data, size)
WRITE(pwrite, (int fd, const void *data, size_t size, off_t at), SYS_pwrite64, fd, data, size, at)
WRITE(pwrite64, (int fd, const void *data, size_t size, off_t at), SYS_pwrite64, fd, data, size, at)

// Reads, which change nothing, are no points: only a test that names them meets them.
static bool read_fails(int fd, const char *name)
{
    if (!arm_path[0] || !is_regular(fd))
        return false;
    pthread_mutex_lock(&lock);
    bool is_named = is_armed() && strcmp(only, name) == 0;
    pthread_mutex_unlock(&lock);
    return is_named && fault_at(name);
}

#define READ(name, parameters, number, ...)                                                        \
    ssize_t shim_##name parameters __asm__(#name);                                                 \
    ssize_t shim_##name parameters                                                                 \
    {                                                                                              \
        return read_fails(fd, #name) ? -1 : syscall(number, __VA_ARGS__);                          \
    }

READ(read, (int fd, void *data, size_t size), SYS_read, fd, data, size)
READ(pread, (int fd, void *data, size_t size, off_t at), SYS_pread64, fd, data, size, at)
READ(pread64, (int fd, void *data, size_t size, off_t at), SYS_pread64, fd, data, size, at)

// ---- Preloaded

static enum fault_action action_of(const char *word)
{
    static const struct {
        const char *word;
        enum fault_action action;
    } words[] = {{"kill", FAULT_KILL},
                 {"after", FAULT_KILL_AFTER},
                 {"stop", FAULT_STOP},
                 {"count", FAULT_COUNT},
                 {"fail", FAULT_ERROR_ON}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(word, words[i].word) == 0)
            return words[i].action;
    }
    return FAULT_ERROR;
}

// "action,nth" or "action,nth,name"; under the lock, or before there are threads.
static void take_spec(const char *spec)
{
    char word[16] = "";
    only[0] = 0;
    if (sscanf(spec, "%15[^,],%d,%31s", word, &fault_nth, only) < 2)
        return;
    action = action_of(word);
    fault_error = action == FAULT_ERROR ? (int) strtol(word, NULL, 10) : ENOSPC;
    count = 0;
}

__attribute__((constructor)) static void preload(void)
{
    const char *spec = getenv("LAMINA_TEST_FAULT");
    char process[32], path[1000], what[64], log_path[1100];
    if (!spec || sscanf(spec, "%31[^,],%999[^,],%63s", process, path, what) < 3 ||
        strcmp(process, program_invocation_short_name) != 0)
        return;
    snprintf(log_path, sizeof(log_path), "%s.log", path);
    log_fd = (int) syscall(SYS_openat, AT_FDCWD, log_path,
                           O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    snprintf(arm_path, sizeof(arm_path), "%s", path);
    take_spec(what);
}
