// SPDX-License-Identifier: MIT

#include "spawn/program.h"

#include "base/fd.h"
#include "spawn/hand.h"
#include "spawn/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PROGRAM_PATH_SIZE = FILESYSTEM_TYPE_SIZE + 16 };

// systemd's resolver has its configuration in /run.
#define RESOLVER "/run/systemd/resolve"

static bool program_find(const struct filesystem_line *line, char path[PROGRAM_PATH_SIZE])
{
    static const char *const directories[] = {"/usr/bin", "/usr/sbin", "/usr/local/bin"};
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
        (void) snprintf(path, PROGRAM_PATH_SIZE, "%s/%s", directories[i], line->type);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

bool program_is_there(const struct filesystem_line *line)
{
    char path[PROGRAM_PATH_SIZE];
    return program_find(line, path);
}

static bool has_option(const char *options, const char *name)
{
    const size_t size = strlen(name);
    for (const char *at = options; *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == size && memcmp(at, name, size) == 0)
            return true;
    return false;
}

static int fuse_mount(const struct filesystem_line *line)
{
    char type[FILESYSTEM_TYPE_SIZE + 8], options[128];
    AUTO_FD int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENXIO ? -ENOPKG : -errno;
    (void) snprintf(type, sizeof(type), "fuse.%s", line->type);
    (void) snprintf(options, sizeof(options),
                    "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other%s", fd,
                    has_option(line->options, "default_permissions") ? ",default_permissions" : "");
    if (mount(line->type, HAND_MOUNT, type, MS_NOSUID | MS_NODEV, options) < 0)
        return errno == ENODEV ? -ENOPKG : -errno;
    return TAKE_FD(fd);
}

// The devices that a program needs. A mount that is read only keeps nobody from writing to a disk's node.
static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"};

static int devices_take(int ret_fds[ARRAY_SIZE(devices)])
{
    for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
        ret_fds[i] =
            (int) syscall(SYS_open_tree, AT_FDCWD, devices[i], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (ret_fds[i] < 0)
            return -errno;
    }
    return 0;
}

static int devices_make_places(void)
{
    if (mount("lamina", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k") < 0 ||
        symlink("/proc/self/fd", "/dev/fd") < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
        AUTO_FD int fd = open(devices[i], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
            return -errno;
    }
    return 0;
}

static int devices_put(const int fds[ARRAY_SIZE(devices)])
{
    for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
        if (syscall(SYS_move_mount, fds[i], "", AT_FDCWD, devices[i], MOVE_MOUNT_F_EMPTY_PATH) < 0)
            return -errno;
    return 0;
}

// No socket of the machine is found in /run, but the resolver's.
static int run_make(void)
{
    AUTO_FD int resolver =
        (int) syscall(SYS_open_tree, AT_FDCWD, RESOLVER, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (mount("lamina", "/run", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=64k") <
        0)
        return -errno;
    if (resolver >= 0 &&
        (mkdir("/run/systemd", 0755) < 0 || mkdir(RESOLVER, 0755) < 0 ||
         syscall(SYS_move_mount, resolver, "", AT_FDCWD, RESOLVER, MOVE_MOUNT_F_EMPTY_PATH) < 0))
        return -errno;
    return 0;
}

// Nothing of the machine can be written, neither its files nor its devices: a root without capabilities would still be the
// owner of root's files, nodes and sockets. What is left open here ends with the process's next exec.
static int place_enter(void)
{
    struct mount_attr attributes = {.attr_set =
                                        MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    int fds[ARRAY_SIZE(devices)];
    if (unshare(CLONE_NEWNS | CLONE_NEWIPC) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    int r = devices_take(fds);
    if (r == 0)
        r = run_make();
    if (r == 0)
        r = devices_make_places();
    if (r == 0 && syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attributes,
                          sizeof(attributes)) < 0)
        r = -errno;
    return r < 0 ? r : devices_put(fds);
}

// sshfs forgets what it saw after a second, so that a renamed file is noticed, asks nobody for a password, and gives up on
// a server that is silent. What the administrator writes comes between: FUSE takes the last word of an option, ssh the
// first.
static void program_exec(const struct filesystem_line *line)
{
    static char environment_path[] = "PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin";
    static char place[] = "/dev/fd/3", foreground[] = "-f", option[] = "-o";
    static char before[] = "dir_cache=no,attr_timeout=1,entry_timeout=1";
    static char after[] =
        "BatchMode=yes,ConnectTimeout=7,ServerAliveInterval=5,ServerAliveCountMax=3";
    static char name[FILESYSTEM_TYPE_SIZE], source[FILESYSTEM_SOURCE_SIZE];
    static char options[FILESYSTEM_OPTIONS_SIZE];
    const bool is_sshfs = strcmp(line->type, "sshfs") == 0;
    char *arguments[16], *environment[] = {environment_path, NULL}, path[PROGRAM_PATH_SIZE];
    int count = 0;
    (void) snprintf(name, sizeof(name), "%s", line->type);
    (void) snprintf(source, sizeof(source), "%s", line->source);
    (void) snprintf(options, sizeof(options), "%s", line->options);
    char *const all[] = {is_sshfs ? before : NULL, options[0] ? options : NULL,
                         is_sshfs ? after : NULL};
    arguments[count++] = name;
    arguments[count++] = source;
    arguments[count++] = place;
    arguments[count++] = foreground;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (all[i]) {
            arguments[count++] = option;
            arguments[count++] = all[i];
        }
    arguments[count] = NULL;
    if (program_find(line, path))
        execve(path, arguments, environment);
}

static _Noreturn void program_run(const struct filesystem_line *line, int fuse_fd, int null_fd)
{
    const int sources[] = {null_fd, null_fd, STDERR_FILENO, fuse_fd};
    const bool is_root = line->as_uid == SPAWN_FILESYSTEM_NO_USER;
    int r = place_enter();
    if (r == 0)
        r = privilege_keep_fds(sources, ARRAY_SIZE(sources), ARRAY_SIZE(sources));
    setsid();
    if (r == 0 && chdir("/") < 0)
        r = -errno;
    if (r == 0)
        r = privilege_drop(is_root ? 0 : line->as_uid, is_root ? 0 : line->as_gid);
    if (r == 0)
        program_exec(line);
    _exit(126);
}

int program_start(const struct filesystem_line *line, pid_t *ret_pid)
{
    if (!program_is_there(line))
        return -ENOPKG;
    AUTO_FD int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    AUTO_FD int fuse_fd = null_fd < 0 ? -errno : fuse_mount(line);
    if (fuse_fd < 0)
        return fuse_fd;
    const pid_t pid = fork();
    if (pid == 0)
        program_run(line, fuse_fd, null_fd);
    if (pid > 0) {
        *ret_pid = pid;
        return 0;
    }
    const int r = -errno;
    program_abort(-1);
    return r;
}

void program_abort(pid_t pid)
{
    if (pid > 0)
        (void) kill(pid, SIGKILL);
    (void) umount2(HAND_MOUNT, MNT_FORCE | MNT_DETACH);
}
