// SPDX-License-Identifier: MIT

#include "base/fs.h"

#include "base/digest.h"
#include "base/fd.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

int fs_open_beneath(int dir, const char *path, int flags, mode_t mode)
{
    if (dir == AT_FDCWD) {
        int fd = open(path, flags | O_CLOEXEC, mode);
        return fd < 0 ? -errno : fd;
    }
    struct open_how how = {
        .flags = (uint64_t) (flags | O_CLOEXEC),
        // The kernel refuses a mode when nothing can be created.
        .mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    for (;;) {
        long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
        if (fd >= 0)
            return (int) fd;
        // EAGAIN: a rename somewhere raced with the resolution of "..": man 2 openat2.
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
}

int fs_make_dir_open(int dir, const char *path, mode_t mode)
{
    if (mkdirat(dir, path, mode) < 0 && errno != EEXIST)
        return -errno;
    return fs_open_beneath(dir, path, O_RDONLY | O_DIRECTORY, 0);
}

int fs_make_dirs(int dir, const char *path, mode_t mode)
{
    char partial[PATH_MAX];
    int r = str_copy(str_of(path), partial, sizeof partial);
    if (r < 0)
        return r;
    // Each prefix that ends before a slash (not the leading one), and then the whole.
    for (char *at = partial + 1; partial[0] && *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdirat(dir, partial, mode) < 0 && errno != EEXIST)
            return -errno;
        *at = '/';
    }
    if (mkdirat(dir, partial, mode) < 0 && errno != EEXIST)
        return -errno;
    return 0;
}

int fs_read_file(int dir, const char *path, struct buf *buf)
{
    AUTO_FD int fd = fs_open_beneath(dir, path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    for (;;) {
        size_t left = buf->maximum - buf->size;
        size_t piece = left < 64 * 1024 ? left : (size_t) 64 * 1024;
        char extra;
        if (piece == 0) { // full: fine only if the file ends here
            ssize_t more = fd_read_all(fd, &extra, 1);
            return more > 0 ? -EFBIG : (int) more;
        }
        int r = buf_reserve(buf, piece);
        if (r < 0)
            return r;
        ssize_t got = fd_read_all(fd, buf->data + buf->size, piece);
        if (got < 0)
            return (int) got;
        buf_advance(buf, (size_t) got);
        if ((size_t) got < piece)
            return 0;
    }
}

// A name beside `path` that nobody else uses.
static int temporary_name(const char *path, char name[PATH_MAX])
{
    uint64_t random;
    mem_random(&random, sizeof random);
    const char *slash = strrchr(path, '/');
    int parent = slash ? (int) (slash + 1 - path) : 0;
    int size =
        snprintf(name, PATH_MAX, "%.*s.tmp.%016llx", parent, path, (unsigned long long) random);
    return size < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int write_temporary(int dir, const char *name, const void *data, size_t size, mode_t mode)
{
    AUTO_FD int fd = fs_open_beneath(dir, name, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (fd < 0)
        return fd;
    int r = fd_write_all(fd, data, size);
    if (r < 0)
        return r;
    // The mode as asked for, whatever the umask.
    if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
        return -errno;
    return 0;
}

static int sync_parent(int dir, const char *path)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash)
        return fs_sync_dir(dir, ".");
    size_t size = slash == path ? 1 : (size_t) (slash - path);
    int r = str_copy(str_of_data(path, size), parent, sizeof parent);
    return r < 0 ? r : fs_sync_dir(dir, parent);
}

int fs_write_atomically(int dir, const char *path, const void *data, size_t size, mode_t mode,
                        struct error *err)
{
    char temporary[PATH_MAX];
    int r = temporary_name(path, temporary);
    if (r < 0)
        return error_set_errno(err, r, "write '%s'", path);
    r = write_temporary(dir, temporary, data, size, mode);
    if (r == 0 && renameat(dir, temporary, dir, path) < 0)
        r = -errno;
    if (r < 0) {
        (void) unlinkat(dir, temporary, 0); // may not even have been made
        return error_set_errno(err, r, "write '%s'", path);
    }
    r = sync_parent(dir, path);
    return r < 0 ? error_set_errno(err, r, "sync the directory of '%s'", path) : 0;
}

int fs_sync_all(int fd)
{
    return syncfs(fd) < 0 ? -errno : 0;
}

int fs_sync_dir(int dir, const char *path)
{
    AUTO_FD int fd = fs_open_beneath(dir, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    return fsync(fd) < 0 ? -errno : 0;
}

static int remove_entry(int dir, const char *name, dev_t device, int depth);

// Removes everything in the open directory, which it takes over.
static int remove_content(int fd, dev_t device, int depth)
{
    DIR *stream = fdopendir(fd);
    if (!stream) {
        int r = -errno;
        (void) fd_close(fd);
        return r;
    }
    int r = 0;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(stream);
        if (!entry) {
            r = -errno;
            break;
        }
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        r = remove_entry(dirfd(stream), entry->d_name, device, depth);
        if (r < 0)
            break;
    }
    closedir(stream);
    return r;
}

static int remove_directory(int dir, const char *name, dev_t device, int depth)
{
    if (depth >= FS_DEPTH_MAX)
        return -ELOOP;
    AUTO_FD int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && fchmodat(dir, name, 0700, 0) == 0)
        fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (device && st.st_dev != device)
        return -EXDEV;
    // Without write permission nothing in it can be unlinked (root does not care).
    if ((st.st_mode & 0300) != 0300)
        (void) fchmod(fd, 0700); // not ours: the unlink below says so
    int r = remove_content(TAKE_FD(fd), st.st_dev, depth + 1);
    if (r < 0)
        return r;
    return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

static int remove_entry(int dir, const char *name, dev_t device, int depth)
{
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return 0;
    int r = -errno;
    // Linux says EISDIR for a directory; POSIX allows EPERM.
    return r == -EISDIR || r == -EPERM ? remove_directory(dir, name, device, depth) : r;
}

int fs_remove_tree(int dir, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash || dir == AT_FDCWD)
        return remove_entry(dir, path, 0, 0);
    char parent[PATH_MAX];
    int r = str_copy(str_of_data(path, (size_t) (slash - path)), parent, sizeof parent);
    if (r < 0)
        return r;
    AUTO_FD int fd = fs_open_beneath(dir, parent, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    return remove_entry(fd, slash + 1, 0, 0);
}

int fs_bytes_free(int fd, uint64_t *ret_bytes)
{
    struct statvfs st;
    if (fstatvfs(fd, &st) < 0)
        return -errno;
    *ret_bytes = (uint64_t) st.f_bavail * st.f_frsize;
    return 0;
}
