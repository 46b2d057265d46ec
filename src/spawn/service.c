// SPDX-License-Identifier: MIT

#include "spawn/service.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/fs.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_DIR "/run/lamina"
#define LOCK_WAIT_MS 10000
#define LOCK_WAIT_ALIVE_MS 1000 // its owner may be a process that ended but was not reaped yet
#define LOCK_POLL_US 10000

static int is_empty(int dir_fd)
{
    int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy < 0 ? NULL : fdopendir(copy);
    if (!listing)
        return -errno;
    int count = 0;
    for (struct dirent *entry; (entry = readdir(listing));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(listing);
    return count == 0;
}

// One's own, or empty and then taken over. Never somebody else's files.
static int own(int dir_fd, const char *path, const struct options *options, struct error *err)
{
    struct stat stat;
    if (fstat(dir_fd, &stat) < 0)
        return error_set_errno(err, -errno, "look at '%s'", path);
    if (stat.st_uid == options->uid)
        return 0;
    int r = is_empty(dir_fd);
    if (r == 0)
        return error_set(err, -EPERM,
                         "data directory '%s' is not empty and belongs to uid %u, not %u", path,
                         stat.st_uid, options->uid);
    if (r < 0 || fchown(dir_fd, options->uid, options->gid) < 0 || fchmod(dir_fd, 0750) < 0)
        return error_set_errno(err, r < 0 ? r : -errno, "take over '%s'", path);
    return 0;
}

static int data_dir_open(const struct options *options, struct error *err)
{
    const char *path = options->data_dir;
    int r = fs_make_dirs(AT_FDCWD, path, 0755);
    if (r < 0)
        return error_set_errno(err, r, "make data directory '%s'", path);
    AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, -errno, "open data directory '%s'", path);
    if ((r = own(fd, path, options, err)) < 0)
        return r;
    return TAKE_FD(fd);
}

// Beneath a directory that the unprivileged user owns: made and opened without following links.
static int store_open(int data_fd, const char *name, const struct options *options,
                      struct error *err)
{
    if (mkdirat(data_fd, name, 0755) < 0 && errno != EEXIST)
        return error_set_errno(err, -errno, "make '%s' in the data directory", name);
    AUTO_FD int fd = fs_open_beneath(data_fd, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return error_set_errno(err, fd, "open '%s' in the data directory", name);
    int r = own(fd, name, options, err);
    // A seat's process is not root and walks through. Nobody else gets so far: the data directory is closed.
    if (r == 0 && fchmod(fd, 0755) < 0)
        r = error_set_errno(err, -errno, "open '%s' in the data directory to sandboxes", name);
    return r < 0 ? r : TAKE_FD(fd);
}

// The lock's file holds its owner's pid, for the message to whoever comes second.
static int lock_file(const char *name)
{
    char path[96], pid[16];
    (void) snprintf(path, sizeof(path), LOCK_DIR "/%s", name);
    AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return -errno;
    const int size = snprintf(pid, sizeof(pid), "%d\n", getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t) size, 0) < 0)
        return -errno;
    return TAKE_FD(fd);
}

// 0 if it is not known.
static pid_t lock_owner(const char *name)
{
    char path[96], text[16] = "";
    uint64_t pid = 0;
    (void) snprintf(path, sizeof(path), LOCK_DIR "/%s", name);
    AUTO_FD int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || pread(fd, text, sizeof(text) - 1, 0) <= 0)
        return 0;
    return str_to_u64(str_trim(str_of(text)), INT32_MAX, &pid) < 0 ? 0 : (pid_t) pid;
}

// A service that was killed a moment ago may have children that still end and hold its lock: they are
// waited for.
static int lock_file_patiently(const char *name)
{
    const int64_t begin_ms = clock_monotonic_ms();
    for (;;) {
        const int fd = lock_file(name);
        if (fd != -EWOULDBLOCK)
            return fd;
        const pid_t owner = lock_owner(name);
        const bool is_alive = owner > 0 && kill(owner, 0) == 0;
        if (clock_monotonic_ms() - begin_ms >= (is_alive ? LOCK_WAIT_ALIVE_MS : LOCK_WAIT_MS))
            return fd;
        usleep(LOCK_POLL_US);
    }
}

// The uids are cut into slices. A service begins to look at the one that its key points to, so it
// mostly gets the same again.
static int slice_take(struct service *service, const struct options *options, uint32_t wanted,
                      struct error *err)
{
    const uint32_t total = options->sandbox_uid_last - options->sandbox_uid_first + 1;
    const uint32_t size = total < wanted ? total : wanted;
    const uint32_t count = total / size;
    uint32_t hash = 2166136261u;
    for (const char *at = service->key; *at; at++)
        hash = (hash ^ (unsigned char) *at) * 16777619u;
    for (uint32_t i = 0; i < count; i++) {
        const uid_t first = options->sandbox_uid_first + (hash + i) % count * size;
        char name[32];
        (void) snprintf(name, sizeof(name), "uids-%u", first);
        service->uid_lock_fd = lock_file(name);
        if (service->uid_lock_fd >= 0) {
            service->uid_first = first;
            service->uid_count = size;
            return 0;
        }
    }
    return error_set(err, -EBUSY, "all %u slices of the sandbox uids are in use by other services",
                     count);
}

int service_open(struct service *service, const struct options *options, uint32_t uids_wanted,
                 struct error *err)
{
    *service = (struct service){.trees_fd = -1, .models_fd = -1, .lock_fd = -1, .uid_lock_fd = -1};
    AUTO_FD int data_fd = data_dir_open(options, err);
    if (data_fd < 0)
        return data_fd;
    struct stat stat;
    if (fstat(data_fd, &stat) < 0)
        return error_set_errno(err, -errno, "look at '%s'", options->data_dir);
    (void) snprintf(service->key, sizeof(service->key), "%lx-%lx", (unsigned long) stat.st_dev,
                    (unsigned long) stat.st_ino);
    if (mkdir(LOCK_DIR, 0755) < 0 && errno != EEXIST)
        return error_set_errno(err, -errno, "make " LOCK_DIR);
    char name[64];
    (void) snprintf(name, sizeof(name), "%s.lock", service->key);
    service->lock_fd = lock_file_patiently(name);
    if (service->lock_fd == -EWOULDBLOCK)
        return error_set(err, -EBUSY,
                         "another Lamina service runs on data directory '%s': process %d",
                         options->data_dir, lock_owner(name));
    if (service->lock_fd < 0)
        return error_set_errno(err, service->lock_fd, "lock " LOCK_DIR "/%s", name);
    service->trees_fd = store_open(data_fd, "trees", options, err);
    if (service->trees_fd < 0)
        return service->trees_fd;
    service->models_fd = store_open(data_fd, "models", options, err);
    if (service->models_fd < 0)
        return service->models_fd;
    return slice_take(service, options, uids_wanted, err);
}

int service_lock_dead(const char *key)
{
    char path[96];
    (void) snprintf(path, sizeof(path), LOCK_DIR "/%s.lock", key);
    AUTO_FD int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return -errno;
    return TAKE_FD(fd);
}
