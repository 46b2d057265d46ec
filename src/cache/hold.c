// SPDX-License-Identifier: MIT

#include "cache/hold.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE // Linux 6.1; Debian 12's headers have it
#define MADV_COLLAPSE 25
#endif

#define HUGE_PAGE (UINT64_C(2) * 1024 * 1024)
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int source_check(int source, uint64_t bytes)
{
    struct stat status;
    if (fstat(source, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EBADF;
    return (uint64_t) status.st_size < bytes ? -ENODATA : 0;
}

static int copy(int source, char *to, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes;) {
        ssize_t n = pread(source, to + at, (size_t) (bytes - at), (off_t) at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENODATA;
        at += (uint64_t) n;
    }
    return 0;
}

// Huge pages one by one, as far as they go: the kernel may have no more of them, and then small ones
// do. What comes of it: bytes.
static uint64_t collapse(char *data, uint64_t bytes)
{
    uint64_t huge = 0;
    for (uint64_t at = 0; at + HUGE_PAGE <= bytes; at += HUGE_PAGE)
        huge += madvise(data + at, HUGE_PAGE, MADV_COLLAPSE) == 0 ? HUGE_PAGE : 0;
    return huge;
}

// Mapped at a boundary of huge pages, inside room that is larger by one.
static char *map(int fd, uint64_t bytes, void **ret_room, size_t *ret_room_size)
{
    size_t size = (size_t) (bytes + HUGE_PAGE);
    void *room = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return NULL;
    uintptr_t at = ((uintptr_t) room + HUGE_PAGE - 1) & ~(uintptr_t) (HUGE_PAGE - 1);
    void *data =
        mmap((void *) at, (size_t) bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    if (data == MAP_FAILED) {
        (void) munmap(room, size);
        return NULL;
    }
    *ret_room = room;
    *ret_room_size = size;
    return data;
}

static int fill(int memory, int source, uint64_t bytes, uint64_t *ret_huge)
{
    void *room;
    size_t room_size;
    if (ftruncate(memory, (off_t) bytes) < 0)
        return -errno;
    char *data = map(memory, bytes, &room, &room_size);
    if (!data)
        return -ENOMEM;
    int r = copy(source, data, bytes);
    if (r == 0)
        *ret_huge = collapse(data, bytes);
    (void) munmap(room, room_size); // a writable mapping would keep the seal away
    return r;
}

// The file's own pages are not needed beside these.
static void forget(int source, uint64_t bytes)
{
    (void) posix_fadvise(source, 0, (off_t) bytes, POSIX_FADV_DONTNEED);
}

int hold_file(int source, uint64_t bytes, struct held *ret_held)
{
    char path[32];
    uint64_t huge = 0;
    int r = source_check(source, bytes);
    AUTO_FD int memory = r == 0 ? memfd_create("model", MFD_CLOEXEC | MFD_ALLOW_SEALING) : -1;
    if (memory < 0)
        return r < 0 ? r : -errno;
    r = fill(memory, source, bytes, &huge);
    if (r == 0 && fcntl(memory, F_ADD_SEALS, SEALS) < 0)
        r = -errno;
    if (r < 0)
        return r;
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
    AUTO_FD int reader = open(path, O_RDONLY | O_CLOEXEC);
    if (reader < 0)
        return -errno;
    forget(source, bytes);
    *ret_held = (struct held){TAKE_FD(reader), huge};
    return 0;
}
