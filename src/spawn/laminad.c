// SPDX-License-Identifier: MIT

#include "spawn/laminad.h"

#include "base/fd.h"
#include "base/log.h"
#include "spawn/sandbox.h"
#include "wire/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LAMINAD_FD_PROGRAM = 5, LAMINAD_FD_SCRATCH = 64, LAMINAD_FILES_MAX = 65536 };

int laminad_open_beside(const char *name, int flags)
{
    char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (size < 0)
        return -errno;
    path[size] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return -ENOENT;
    *slash = '\0';
    AUTO_FD int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    int fd = openat(dir, name ? name : ".", flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int laminad_place_open(struct laminad_place *place, struct error *err)
{
    place->mounts_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (place->mounts_fd < 0)
        return error_set_errno(err, -errno, "open the mount namespace");
    place->cwd_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (place->cwd_fd < 0)
        return error_set_errno(err, -errno, "open the working directory");
    // By descriptor: the user need not be able to walk to it (a clone of the repository in /root).
    place->program_fd = laminad_open_beside("laminad", O_PATH);
    if (place->program_fd < 0)
        return error_set_errno(err, place->program_fd, "open laminad beside lamina-spawn");
    return 0;
}

static void raise_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    if (files.rlim_max < LAMINAD_FILES_MAX) {
        const struct rlimit more = {LAMINAD_FILES_MAX, LAMINAD_FILES_MAX};
        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            return;
    }
    files.rlim_cur = files.rlim_max < LAMINAD_FILES_MAX ? files.rlim_max : LAMINAD_FILES_MAX;
    (void) setrlimit(RLIMIT_NOFILE, &files);
}

static int drop(const struct options *options)
{
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
            return -errno;
    if (setgroups(0, NULL) < 0 || setresgid(options->gid, options->gid, options->gid) < 0 ||
        setresuid(options->uid, options->uid, options->uid) < 0)
        return -errno;
    // Without lamina-spawn it can do nothing, and a new service needs its port and its files.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

static int descriptors(int program_fd, int channel_fd, int work_fd)
{
    const int sources[] = {channel_fd, work_fd, program_fd};
    int copies[ARRAY_SIZE(sources)];
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
        if ((copies[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, LAMINAD_FD_SCRATCH)) < 0)
            return -errno;
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        const int goal = SPAWN_FD_INSTANCES + (int) i;
        if (dup3(copies[i], goal, goal == LAMINAD_FD_PROGRAM ? O_CLOEXEC : 0) < 0)
            return -errno;
    }
    return syscall(SYS_close_range, LAMINAD_FD_PROGRAM + 1, ~0U, 0) < 0 ? -errno : 0;
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

static int become(const struct laminad_place *place, const struct options *options, int channel_fd,
                  int work_fd)
{
    sigset_t none;
    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL);
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || setns(place->mounts_fd, CLONE_NEWNS) < 0 ||
        fchdir(place->cwd_fd) < 0 || setenv(SPAWN_ENV_FDS, "3,4", 1) < 0)
        return -errno;
    raise_files();
    int r = data_mount(options);
    if (r < 0)
        return r;
    size_t count = 0;
    while (options->laminad_arguments[count])
        count++;
    char **arguments = calloc(count + 2, sizeof(*arguments));
    if (!arguments)
        return -ENOMEM;
    static char name[] = "laminad";
    arguments[0] = name;
    memcpy(arguments + 1, options->laminad_arguments, count * sizeof(*arguments));
    r = descriptors(place->program_fd, channel_fd, work_fd);
    if (r == 0)
        r = drop(options);
    if (r < 0)
        return r;
    syscall(SYS_execveat, LAMINAD_FD_PROGRAM, "", arguments, environ, AT_EMPTY_PATH);
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
