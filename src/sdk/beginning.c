// SPDX-License-Identifier: MIT
#include "sdk/beginning.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

// ---- in the template

static int refuse(char reason[BEGINNING_TEXT_BYTES], int fd, const char *path, const char *why)
{
    (void) snprintf(reason, BEGINNING_TEXT_BYTES, "descriptor %d (%.80s) %s", fd, path, why);
    return -EBUSY;
}

// Only what lies where every fork sees the same, and cannot be written, is the same when it is opened
// again.
static int record_file(struct beginning *beginning, int fd, char reason[BEGINNING_TEXT_BYTES])
{
    char link[32], path[BEGINNING_PATH_BYTES];
    (void) snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0; // closed meanwhile: the one that was read from
    path[size] = '\0';
    int flags = fcntl(fd, F_GETFL), descriptor_flags = fcntl(fd, F_GETFD);
    if (flags < 0 || descriptor_flags < 0)
        return -errno;
    if ((flags & O_ACCMODE) != O_RDONLY)
        return refuse(reason, fd, path, "is open for writing");
    if (path[0] != '/' || (size_t) size == sizeof path - 1 || access(path, R_OK) < 0)
        return refuse(reason, fd, path, "has no name to open it again by");
    if (beginning->file_count == BEGINNING_FILES_MAX)
        return refuse(reason, fd, path, "is one open file too many");
    struct beginning_file *file = &beginning->files[beginning->file_count++];
    *file = (struct beginning_file){.fd = fd,
                                    .flags = flags & ~(O_CREAT | O_EXCL | O_TRUNC),
                                    .descriptor_flags = descriptor_flags,
                                    .position = lseek(fd, 0, SEEK_CUR)};
    memcpy(file->path, path, (size_t) size + 1);
    return 0;
}

// What else a descriptor may be (a socket, a pipe) is looked at from outside, where no lie is possible.
static bool is_regular(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

int beginning_record(struct beginning *beginning, char ret_reason[BEGINNING_TEXT_BYTES])
{
    *beginning = (struct beginning){0};
    (void) sigprocmask(SIG_SETMASK, NULL, &beginning->mask); // cannot fail
    if (getcwd(beginning->directory, sizeof beginning->directory) == NULL)
        beginning->directory[0] = '\0';
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL)
        return -errno;
    int r = 0;
    for (const struct dirent *entry; r == 0 && (entry = readdir(folder)) != NULL;) {
        int fd = (int) strtol(entry->d_name, NULL, 10);
        if (fd > STDERR_FILENO && fd != dirfd(folder) && is_regular(fd))
            r = record_file(beginning, fd, ret_reason);
    }
    (void) closedir(folder);
    return r;
}

// ---- in the fork

// Weak: there if the function is linked with OpenSSL's libcrypto. It tells forks by their pid, which
// is the same in all of them.
extern int RAND_poll(void) __attribute__((weak));

static int renew_random(void)
{
    struct {
        unsigned short seed48[3];
        unsigned seed;
    } fresh;
    if (getrandom(&fresh, sizeof fresh, 0) != (ssize_t) sizeof fresh)
        return -EIO;
    srandom(fresh.seed); // rand() is the same generator
    (void) seed48(fresh.seed48);
    if (RAND_poll != NULL)
        (void) RAND_poll(); // 0 only without a source, and then its own seeding fails aloud
    explicit_bzero(&fresh, sizeof fresh);
    return 0;
}

static int renew_file(const struct beginning_file *file)
{
    int fd = open(file->path, file->flags | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (file->position > 0 && lseek(fd, file->position, SEEK_SET) < 0) {
        (void) close(fd);
        return -EIO;
    }
    if (fd == file->fd)
        return 0;
    int r = dup3(fd, file->fd, (file->descriptor_flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0);
    int error = errno;
    (void) close(fd);
    return r < 0 ? -error : 0;
}

int beginning_apply(const struct beginning *beginning)
{
    int r = 0;
    if (beginning->directory[0] != '\0' && chdir(beginning->directory) < 0)
        r = -errno;
    for (int i = 0; r == 0 && i < beginning->file_count; i++)
        r = renew_file(&beginning->files[i]);
    if (r == 0)
        r = renew_random();
    (void) sigprocmask(SIG_SETMASK, &beginning->mask, NULL); // cannot fail
    return r;
}

static bool is_platforms(const char *variable)
{
    static const char *const prefixes[] = {"AWS_", "LAMBDA_", "LAMINA_", "_HANDLER=", "_LAMBDA_"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static bool holds(const char *environment, size_t size, const char *name, size_t name_size)
{
    for (size_t at = 0; at < size; at += strlen(environment + at) + 1)
        if (strncmp(environment + at, name, name_size) == 0 && environment[at + name_size] == '=')
            return true;
    return false;
}

int beginning_environment(char *environment, size_t size)
{
    static char *variables[BEGINNING_VARIABLES_MAX + 1];
    size_t count = 0;
    for (size_t at = 0; at < size; at += strlen(environment + at) + 1) {
        const char *equals = strchr(environment + at, '=');
        if (equals == NULL || equals == environment + at)
            continue;
        if (count == BEGINNING_VARIABLES_MAX)
            return -E2BIG;
        variables[count++] = environment + at;
    }
    // The platform's that this fork was not given are the template's: its log stream, and so on.
    for (char **at = environ; *at != NULL; at++) {
        const char *equals = strchr(*at, '=');
        if (equals == NULL || is_platforms(*at) ||
            holds(environment, size, *at, (size_t) (equals - *at)))
            continue;
        if (count == BEGINNING_VARIABLES_MAX)
            return -E2BIG;
        variables[count++] = *at;
    }
    variables[count] = NULL;
    environ = variables;
    return 0;
}

void beginning_forget_keys(void)
{
    static const char *const keys[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                                       "AWS_SESSION_TOKEN"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char *value = getenv(keys[i]);
        if (value == NULL)
            continue;
        explicit_bzero(value, strlen(value));
        (void) unsetenv(keys[i]); // cannot fail: it is a name
    }
}

// ---- the stack guard

#if defined(__has_attribute)
#if __has_attribute(no_stack_protector)
#define NO_STACK_PROTECTOR __attribute__((no_stack_protector))
#endif
#endif
#ifndef NO_STACK_PROTECTOR
#define NO_STACK_PROTECTOR __attribute__((optimize("no-stack-protector")))
#endif

// Where the compiler's code finds it: in the thread's control block on x86-64; elsewhere in libc's
// read-only data, where it must stay.
static inline void set_stack_guard(uintptr_t guard)
{
#if defined(__x86_64__)
    __asm__ volatile("movq %0, %%fs:0x28" : : "r"(guard) : "memory");
#else
    (void) guard;
#endif
}

static __attribute__((noinline)) uintptr_t fresh_guard(void)
{
    uintptr_t guard;
    if (getrandom(&guard, sizeof guard, 0) != (ssize_t) sizeof guard)
        _exit(128);                   // a guard that siblings know is none
    return guard & ~(uintptr_t) 0xFF; // as libc has it: strings end at its first byte
}

NO_STACK_PROTECTOR __attribute__((noinline)) void beginning_enter(int (*run)(void *), void *arg)
{
    set_stack_guard(fresh_guard());
    exit(run(arg));
}
