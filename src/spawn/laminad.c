// SPDX-License-Identifier: MIT

#include "spawn/laminad.h"

#include "base/fd.h"
#include "base/log.h"
#include "spawn/privilege.h"
#include "spawn/sandbox.h"
#include "wire/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Where our own binary lies. Found before the mount namespace is left: after that the kernel gives
// its path from another root.
static char beside[4096];

static int find_beside(void)
{
    ssize_t size = readlink("/proc/self/exe", beside, sizeof(beside) - 1);
    if (size < 0)
        return -errno;
    beside[size] = '\0';
    char *slash = strrchr(beside, '/');
    if (!slash)
        return -ENOENT;
    *slash = '\0';
    return 0;
}

int laminad_open_beside(const char *name, int flags)
{
    AUTO_FD int dir = open(beside, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    int fd = openat(dir, name, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int laminad_place_open(struct laminad_place *place, struct error *err)
{
    int r = find_beside();
    if (r < 0)
        return error_set_errno(err, r, "read /proc/self/exe");
    place->mounts_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (place->mounts_fd < 0)
        return error_set_errno(err, -errno, "open the mount namespace");
    place->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    place->cwd_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (place->root_fd < 0 || place->cwd_fd < 0)
        return error_set_errno(err, -errno, "open the working directory");
    // By descriptor: the user need not be able to walk to it (a clone of the repository in /root).
    place->program_fd = laminad_open_beside("laminad", O_PATH);
    if (place->program_fd < 0)
        return error_set_errno(err, place->program_fd, "open laminad beside lamina-spawn");
    return 0;
}

// The data directory at a place that the user can walk to, whatever directories are above it. The
// namespace follows the host's mounts (slave) but not the other way round.
static int data_mount(const struct options *options)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return -errno;
    AUTO_FD int data = open(options->data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char from[32];
    (void) snprintf(from, sizeof(from), "/proc/self/fd/%d", data);
    if (data < 0 ||
        mount("lamina", "/run/lamina", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64k") < 0 ||
        mkdir(SPAWN_DATA_MOUNT, 0755) < 0 ||
        mount(from, SPAWN_DATA_MOUNT, NULL, MS_BIND, NULL) < 0 ||
        setenv(SPAWN_ENV_DATA, SPAWN_DATA_MOUNT, 1) < 0)
        return -errno;
    return 0;
}

// What sandboxes run is what laminad prepares models for: it looks at the same files. It may be missing.
static int runtime_mount(const struct options *options)
{
    AUTO_FD int runtime = options->runtime_dir
                              ? open(options->runtime_dir, O_PATH | O_DIRECTORY | O_CLOEXEC)
                              : laminad_open_beside("runtime", O_PATH | O_DIRECTORY);
    char from[32];
    (void) snprintf(from, sizeof(from), "/proc/self/fd/%d", runtime);
    if (mkdir(SPAWN_RUNTIME_MOUNT, 0755) < 0)
        return -errno;
    if (runtime < 0)
        return 0;
    if (mount(from, SPAWN_RUNTIME_MOUNT, NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, SPAWN_RUNTIME_MOUNT, NULL,
              MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
        return -errno;
    return 0;
}

static char **arguments_make(const struct options *options)
{
    static char name[] = "laminad";
    size_t count = 0;
    while (options->laminad_arguments[count])
        count++;
    char **arguments = calloc(count + 2, sizeof(*arguments));
    if (arguments) {
        arguments[0] = name;
        memcpy(arguments + 1, options->laminad_arguments, count * sizeof(*arguments));
    }
    return arguments;
}

static int become(const struct laminad_place *place, const struct options *options, int channel_fd,
                  int work_fd)
{
    if (setns(place->mounts_fd, CLONE_NEWNS) < 0 || fchdir(place->root_fd) < 0 || chroot(".") < 0 ||
        fchdir(place->cwd_fd) < 0 || setenv(SPAWN_ENV_FDS, "3,4", 1) < 0)
        return -errno;
    int r = data_mount(options);
    if (r == 0)
        r = runtime_mount(options);
    if (r < 0)
        return r;
    char **arguments = arguments_make(options);
    if (!arguments)
        return -ENOMEM;
    enum { PROGRAM = SPAWN_FD_WORK + 1 };
    const int sources[] = {0, 1, 2, channel_fd, work_fd, place->program_fd};
    r = privilege_keep_fds(sources, ARRAY_SIZE(sources), PROGRAM);
    // It dies with lamina-spawn: it could do nothing without, and a new one needs its port and files.
    if (r == 0)
        r = privilege_drop(options->uid, options->gid);
    if (r < 0)
        return r;
    syscall(SYS_execveat, PROGRAM, "", arguments, environ, AT_EMPTY_PATH);
    return -errno;
}

int laminad_start(const struct laminad_place *place, const struct options *options,
                  int *ret_channel_fd, int *ret_work_fd, pid_t *ret_pid, struct error *err)
{
    int channel[2] = {-1, -1}, work[2] = {-1, -1};
    int r = sandbox_channel_open(channel);
    if (r == 0)
        r = sandbox_channel_open(work);
    if (r < 0)
        return error_set_errno(err, r, "make laminad's channels");
    pid_t pid = fork();
    if (pid == 0) {
        r = become(place, options, channel[1], work[1]);
        log_error("spawn.laminad", "error=%s", LOG_TEXT(error_name(r)));
        _exit(126);
    }
    r = -errno;
    fd_close(channel[1]);
    fd_close(work[1]);
    if (pid < 0)
        return error_set_errno(err, r, "start laminad");
    *ret_channel_fd = channel[0];
    *ret_work_fd = work[0];
    *ret_pid = pid;
    return 0;
}
