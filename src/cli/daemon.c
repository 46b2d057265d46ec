// SPDX-License-Identifier: MIT
#include "cli/daemon.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/fs.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COMMAND_LINE_BYTES_MAX ((size_t) 1 << 20)
#define PROGRAM "lamina-spawn"

static int read_pid(const char *data_dir, pid_t *ret, struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT(PATH_MAX);
    AUTO_BUF struct buf text = BUF_INIT(64);
    uint64_t pid = 0;

    buf_printf(&path, "%s/laminad.pid", data_dir);
    int r = buf_status(&path);
    if (r == 0)
        r = fs_read_file(AT_FDCWD, path.data, &text);
    if (r == -ENOENT || r == -ENOTDIR)
        return error_set(err, -ENOENT, "no service runs on '%s'", data_dir);
    if (r < 0)
        return error_set_errno(err, r, "read '%s/laminad.pid'", data_dir);
    if (str_to_u64(str_trim(buf_str(&text)), INT_MAX, &pid) < 0 || pid < 2)
        return error_set(err, -ENOENT, "'%s' does not hold a pid", path.data);
    *ret = (pid_t) pid;
    return 0;
}

// /proc/PID/exe needs rights that /proc/PID/comm does not; a program that was replaced while it ran shows
// as "... (deleted)" there. The name is enough, with the data directory checked besides.
static bool is_program(pid_t pid)
{
    AUTO_BUF struct buf name = BUF_INIT(64);
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/comm", (int) pid);
    return fs_read_file(AT_FDCWD, path, &name) == 0 &&
           str_equal_text(str_trim(buf_str(&name)), PROGRAM);
}

static bool is_same_directory(const char *left, const char *right)
{
    struct stat one, other;

    return stat(left, &one) == 0 && stat(right, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

// The words of a command line are separated by NULs.
static int read_argument(pid_t pid, const char *option, char *ret, size_t size)
{
    AUTO_BUF struct buf line = BUF_INIT(COMMAND_LINE_BYTES_MAX);
    char path[64];
    struct str rest, word;
    bool is_next = false;

    snprintf(path, sizeof path, "/proc/%d/cmdline", (int) pid);
    if (fs_read_file(AT_FDCWD, path, &line) < 0)
        return -ENOENT;
    for (rest = buf_str(&line); rest.size > 0;) {
        (void) str_cut(rest, '\0', &word, &rest);
        if (is_next)
            return str_copy(word, ret, size);
        is_next = str_equal_text(word, option);
    }
    return -ENOENT;
}

// Relative paths are as seen from the process's own directory, which need not be ours.
static bool has_data_dir(pid_t pid, const char *data_dir)
{
    char word[PATH_MAX];
    char path[PATH_MAX + 64];

    if (read_argument(pid, "--data-dir", word, sizeof word) < 0)
        return false;
    snprintf(path, sizeof path, "/proc/%d/cwd/%s", (int) pid, word);
    return is_same_directory(word[0] == '/' ? word : path, data_dir);
}

int daemon_find(const char *data_dir, int *ret_pidfd, pid_t *ret_pid, struct error *err)
{
    pid_t pid = 0;

    int r = read_pid(data_dir, &pid, err);
    if (r < 0)
        return r;
    // Held first, looked at then: from here on the pid cannot become somebody else's unnoticed.
    AUTO_FD int pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0 || !is_program(pid) || !has_data_dir(pid, data_dir))
        return error_set(err, -ENOENT, "no service runs on '%s' (its pid file is a leftover)",
                         data_dir);
    *ret_pidfd = TAKE_FD(pidfd);
    *ret_pid = pid;
    return 0;
}

// Its pid file is in a directory that is not root's, and any program can be called anything: what a process of somebody
// else says is not done for it. A set-uid program has its caller's arguments, so each of the ids counts.
static bool is_ours(pid_t pid)
{
    AUTO_BUF struct buf status = BUF_INIT(COMMAND_LINE_BYTES_MAX);
    char path[64];
    char ids[96];
    unsigned own = (unsigned) geteuid();

    snprintf(path, sizeof path, "/proc/%d/status", (int) pid);
    snprintf(ids, sizeof ids, "\nUid:\t%u\t%u\t%u\t%u\n", own, own, own, own);
    return fs_read_file(AT_FDCWD, path, &status) == 0 &&
           memmem(status.data, status.size, ids, strlen(ids)) != NULL;
}

int daemon_argument(const char *data_dir, const char *option, char *ret, size_t size)
{
    AUTO_FD int pidfd = -1;
    pid_t pid = 0;
    int r = daemon_find(data_dir, &pidfd, &pid, NULL);

    if (r == 0 && !is_ours(pid))
        r = -ENOENT;
    return r < 0 ? r : read_argument(pid, option, ret, size);
}

bool daemon_wait_end(int pidfd, unsigned timeout_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};

    for (;;) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        int n = poll(&poll_fd, 1, left_ms > 0 ? (int) left_ms : 0);
        if (n > 0)
            return true;
        if (n == 0 || errno != EINTR)
            return false;
    }
}

int daemon_signal(int pidfd, int number, struct error *err)
{
    const char *what = number == SIGTERM ? "end the service" : "tell the service";

    if (syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0) < 0) {
        int r = -errno;
        return r == -EPERM ? error_set(err, r, "only root may %s", what)
                           : error_set_errno(err, r, "%s", what);
    }
    return 0;
}

int daemon_terminate(int pidfd, struct error *err)
{
    return daemon_signal(pidfd, SIGTERM, err);
}
