// SPDX-License-Identifier: MIT

#include "model_runtime/mapping.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t) 2 * 1024 * 1024)
#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

static int file_size(int fd, size_t *ret_size, struct error *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return error_set_errno(err, -errno, "look at a model's file");
    if (!S_ISREG(status.st_mode) || status.st_size <= 0)
        return error_set(err, -EINVAL, "the file is empty");
    *ret_size = (size_t) status.st_size;
    return 0;
}

int mapping_of_file(const char *path, struct mapping *ret_mapping, struct error *err)
{
    size_t size;
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, -errno, "open '%s'", path);
    int r = file_size(fd, &size, err);
    if (r < 0)
        return r;
    // All of it is needed, and by faults it would come in pieces of 128 KiB. Does not wait, and costs
    // nothing for what is there.
    (void) posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
    void *data = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED)
        return error_set_errno(err, -errno, "map '%s'", path);
    *ret_mapping = (struct mapping){data, size, data, size};
    return 0;
}

// Room with a boundary in it, of which the mapping then takes its part.
static int map_aligned(int fd, size_t size, struct mapping *ret_mapping)
{
    size_t reserved_size = size + HUGE_PAGE;
    void *reserved =
        mmap(NULL, reserved_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED)
        return -errno;
    uintptr_t at = ((uintptr_t) reserved + HUGE_PAGE - 1) & ~(uintptr_t) (HUGE_PAGE - 1);
    void *data = mmap((void *) at, size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
    if (data == MAP_FAILED) {
        int r = -errno;
        (void) munmap(reserved, reserved_size);
        return r;
    }
    *ret_mapping = (struct mapping){data, size, reserved, reserved_size};
    return 0;
}

int mapping_of_sealed(int fd, struct mapping *ret_mapping, struct error *err)
{
    size_t size;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS)
        return error_set(err, -EPERM, "descriptor %d is not a sealed memfd", fd);
    int r = file_size(fd, &size, err);
    if (r == 0 && (r = map_aligned(fd, size, ret_mapping)) < 0)
        error_set_errno(err, r, "map a sealed model");
    return r;
}

void mapping_done(struct mapping *mapping)
{
    if (mapping->data != NULL)
        (void) munmap(mapping->reserved, mapping->reserved_size);
    *mapping = (struct mapping){0};
}
