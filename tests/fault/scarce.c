// SPDX-License-Identifier: MIT
//
// The shim of scarcity: lets the nth allocation, or the nth new descriptor, of a running program fail. Preloaded:
//
//     LD_PRELOAD=.../libscarce_shim.so LAMINA_TEST_SCARCE=laminad,/path/control
//
// Only in a process of that name. The control file holds five numbers of eight bytes that a test and
// the program share in memory, so that one run of the program serves a whole series:
//
//     kind    0: nothing happens; 1: allocations (ENOMEM); 2: new descriptors (EMFILE)
//     nth     the first that fails, from 1
//     span    how many fail from there on
//     count   how many there were since the test wrote 0
//     failed  how many of them failed

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NOTHING, MEMORY, DESCRIPTORS };

struct control {
    _Atomic int64_t kind, nth, span, count, failed;
};

static struct control *control; // NULL: not this process

static bool strikes(int64_t kind, int error)
{
    if (!control || atomic_load(&control->kind) != kind)
        return false;
    int64_t at = atomic_fetch_add(&control->count, 1) + 1, nth = atomic_load(&control->nth);
    if (at < nth || at >= nth + atomic_load(&control->span))
        return false;
    atomic_fetch_add(&control->failed, 1);
    errno = error;
    return true;
}

// ---- memory

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
    return strikes(MEMORY, ENOMEM) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return strikes(MEMORY, ENOMEM) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return strikes(MEMORY, ENOMEM) ? NULL : __libc_realloc(old, size);
}

// ---- descriptors

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
    return strikes(DESCRIPTORS, EMFILE) ? -1 : (int) syscall(SYS_openat, dir, path, flags, mode);
}

static mode_t mode_of(int flags, va_list list)
{
    bool makes = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
    return makes ? va_arg(list, mode_t) : 0;
}

// Under names of our own in C, since headers may rename libc's (openat to openat64 and so on).
#define OPEN_AT(name)                                                                              \
    int scarce_##name(int dir, const char *path, int flags, ...) __asm__(#name);                   \
    int scarce_##name(int dir, const char *path, int flags, ...)                                   \
    {                                                                                              \
        va_list list;                                                                              \
        va_start(list, flags);                                                                     \
        mode_t mode = mode_of(flags, list);                                                        \
        va_end(list);                                                                              \
        return open_at(dir, path, flags, mode);                                                    \
    }

#define OPEN(name)                                                                                 \
    int scarce_##name(const char *path, int flags, ...) __asm__(#name);                            \
    int scarce_##name(const char *path, int flags, ...)                                            \
    {                                                                                              \
        va_list list;                                                                              \
        va_start(list, flags);                                                                     \
        mode_t mode = mode_of(flags, list);                                                        \
        va_end(list);                                                                              \
        return open_at(AT_FDCWD, path, flags, mode);                                               \
    }

OPEN_AT(openat)
OPEN_AT(openat64)
OPEN(open)
OPEN(open64)

int scarce_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags) __asm__("accept4");
int scarce_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    return strikes(DESCRIPTORS, EMFILE) ? -1 : (int) syscall(SYS_accept4, fd, address, size, flags);
}

int scarce_memfd(const char *name, unsigned flags) __asm__("memfd_create");
int scarce_memfd(const char *name, unsigned flags)
{
    return strikes(DESCRIPTORS, EMFILE) ? -1 : (int) syscall(SYS_memfd_create, name, flags);
}

int scarce_pipe2(int fds[2], int flags) __asm__("pipe2");
int scarce_pipe2(int fds[2], int flags)
{
    return strikes(DESCRIPTORS, EMFILE) ? -1 : (int) syscall(SYS_pipe2, fds, flags);
}

__attribute__((constructor)) static void preload(void)
{
    const char *spec = getenv("LAMINA_TEST_SCARCE");
    char process[32], path[1000];
    if (!spec || sscanf(spec, "%31[^,],%999s", process, path) != 2 ||
        strcmp(process, program_invocation_short_name) != 0)
        return;
    int fd = (int) syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    void *shared =
        fd < 0 ? MAP_FAILED
               : mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (shared != MAP_FAILED)
        control = shared;
}
