// SPDX-License-Identifier: MIT

#include "spawn/hand_open.h"

#include "base/fd.h"
#include "spawn/hand.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

// A rename beneath makes the kernel give up with EAGAIN; it means to be asked again.
#define TRIES_MAX 16

static int open_beneath(int dir_fd, const char *path, uint64_t flags, uint64_t resolve)
{
    const struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
    int fd = -1;
    for (int i = 0; i < TRIES_MAX; i++) {
        fd = (int) syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    return fd < 0 ? -errno : fd;
}

int hand_open_filesystem(const struct filesystem_line *line)
{
    const bool is_ours = line->flags & SPAWN_FILESYSTEM_FOREIGN;
    AUTO_FD int fd = open_beneath(AT_FDCWD, is_ours ? HAND_MOUNT : line->path, O_PATH | O_DIRECTORY,
                                  RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
    struct statx at;
    if (fd >= 0 && statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_TYPE, &at) < 0)
        return -errno;
    return TAKE_FD(fd);
}

// Made by us, and not moved here: root's, and closed to all others until it is handed over.
static int directory_hand_over(int fd, const struct spawn_filesystem_use *use)
{
    char path[32];
    struct stat stat;
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (fstat(fd, &stat) < 0)
        return -errno;
    if (stat.st_uid != 0 || (stat.st_mode & 07777) != 0700)
        return -EXDEV;
    if (chmod(path, use->create_mode) < 0 ||
        fchownat(fd, "", use->create_uid, use->create_gid, AT_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}

static int directory_make(int dir_fd, const char *name, const struct spawn_filesystem_use *use)
{
    if (mkdirat(dir_fd, name, 0700) < 0)
        return errno == EEXIST ? 0 : -errno; // somebody else was faster
    AUTO_FD int fd = open_beneath(dir_fd, name, O_PATH | O_DIRECTORY,
                                  RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
                                      RESOLVE_NO_XDEV);
    return fd < 0 ? fd : directory_hand_over(fd, use);
}

int hand_open_root(int filesystem_fd, const struct spawn_filesystem_use *use)
{
    static const uint64_t resolve =
        RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
    int fd =
        open_beneath(filesystem_fd, use->root[0] ? use->root : ".", O_PATH | O_DIRECTORY, resolve);
    if (fd != -ENOENT || !(use->flags & SPAWN_FILESYSTEM_CREATE))
        return fd;
    char path[SPAWN_FILESYSTEM_ROOT_SIZE], *rest = path;
    (void) snprintf(path, sizeof(path), "%s", use->root);
    AUTO_FD int at = fcntl(filesystem_fd, F_DUPFD_CLOEXEC, 3);
    for (char *name; (name = strsep(&rest, "/"));) {
        int next = open_beneath(at, name, O_PATH | O_DIRECTORY, resolve);
        if (next == -ENOENT) {
            int r = directory_make(at, name, use);
            if (r < 0)
                return r;
            next = open_beneath(at, name, O_PATH | O_DIRECTORY, resolve);
        }
        if (next < 0)
            return next;
        fd_close(at);
        at = next;
    }
    return TAKE_FD(at);
}

// ---- the mount ----------------------------------------------------------------------------------

static int map_write(pid_t pid, const char *name, uint32_t inside, uint32_t outside)
{
    char path[48], line[48];
    (void) snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    const int size = snprintf(line, sizeof(line), "%u %u 1\n", inside, outside);
    AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, line, (size_t) size) == size ? 0 : -errno;
}

// A user namespace is how the kernel wants to be told a mount's map. Nobody lives in it.
static int map_open(uint32_t uid, uint32_t gid, uint32_t sandbox_uid)
{
    char path[48];
    const pid_t pid = (pid_t) syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        for (;;)
            pause();
    if (pid < 0)
        return -errno;
    int r = map_write(pid, "uid_map", uid, sandbox_uid);
    if (r == 0)
        r = map_write(pid, "gid_map", gid, sandbox_uid);
    (void) snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
    if (r == 0 && (r = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        r = -errno;
    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, __WALL);
    return r;
}

static int mount_clone(int fd)
{
    const int tree =
        (int) syscall(SYS_open_tree, fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    return tree < 0 ? -errno : tree;
}

// -EINVAL is the kernel's word for a file system that cannot.
static int mount_map(int tree, int map_fd)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t) map_fd};
    return syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0
               ? -errno
               : 0;
}

// Files that instances make would belong to whatever user of the sandbox range they happen to be.
static int mount_check_unmapped(int root_fd, uint32_t sandbox_uid)
{
    AUTO_FD int tree = mount_clone(root_fd);
    AUTO_FD int map = tree < 0 ? tree : map_open(NOBODY, NOBODY, sandbox_uid);
    if (map < 0)
        return map;
    const int r = mount_map(tree, map);
    return r == 0 ? -EINVAL : r == -EINVAL ? 0 : r;
}

int hand_mount(const struct filesystem_line *line, const struct spawn_filesystem_use *use,
               int root_fd, uint32_t sandbox_uid)
{
    const bool is_read_only = (line->flags | use->flags) & SPAWN_FILESYSTEM_RO;
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                                (is_read_only ? MOUNT_ATTR_RDONLY : 0),
                                    .propagation = MS_PRIVATE};
    AUTO_FD int tree = mount_clone(root_fd);
    if (tree < 0)
        return tree;
    int r = 0;
    if (line->flags & SPAWN_FILESYSTEM_OWN_IDENTITY) {
        if (use->uid != SPAWN_FILESYSTEM_NO_USER || use->flags & SPAWN_FILESYSTEM_CREATE)
            return -EOPNOTSUPP;
        r = mount_check_unmapped(root_fd, sandbox_uid);
    } else {
        const bool is_own = use->uid == SPAWN_FILESYSTEM_NO_USER;
        AUTO_FD int map =
            map_open(is_own ? line->uid : use->uid, is_own ? line->gid : use->gid, sandbox_uid);
        if (map < 0)
            return map;
        r = mount_map(tree, map);
        if (r == -EINVAL)
            r = -EOPNOTSUPP;
    }
    if (r == 0 &&
        syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
        r = -errno;
    return r < 0 ? r : TAKE_FD(tree);
}

// ---- files --------------------------------------------------------------------------------------

int hand_act_as_user(const struct filesystem_line *line, const struct spawn_filesystem_use *use)
{
    const bool is_unmapped = line->flags & SPAWN_FILESYSTEM_OWN_IDENTITY;
    if (is_unmapped && use->uid != SPAWN_FILESYSTEM_NO_USER)
        return -EOPNOTSUPP;
    const bool is_own = use->uid == SPAWN_FILESYSTEM_NO_USER;
    const uint32_t uid = is_unmapped ? NOBODY : is_own ? line->uid : use->uid;
    const uint32_t gid = is_unmapped ? NOBODY : is_own ? line->gid : use->gid;
    if (setgroups(0, NULL) < 0)
        return -errno;
    (void) setfsgid(gid);
    (void) setfsuid(uid); // and no right over files that its user has not
    return setfsuid((uid_t) -1) == (int) uid && setfsgid((gid_t) -1) == (int) gid ? 0 : -EPERM;
}

void hand_act_as_root(void)
{
    (void) setfsuid(0);
    (void) setfsgid(0);
    // A change of the fsuid makes a process undumpable, and its children: then nobody without CAP_SYS_PTRACE opens their
    // namespaces, and no mount could be mapped any more after the first file.
    (void) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

int hand_open_file(int root_fd, const char *path)
{
    char name[32];
    struct statx at;
    AUTO_FD int place = open_beneath(root_fd, path, O_PATH,
                                     RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
    if (place < 0)
        return place;
    if (statx(place, "", AT_EMPTY_PATH, STATX_TYPE, &at) < 0)
        return -errno;
    if (!S_ISREG(at.stx_mode))
        return S_ISDIR(at.stx_mode) ? -EISDIR : -EINVAL;
    // That very file: a FIFO or a device that takes its name meanwhile is not opened.
    (void) snprintf(name, sizeof(name), "/proc/self/fd/%d", place);
    const int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}
