// SPDX-License-Identifier: MIT
//
// What file systems need, beside what every sandbox does. The service starts without: those that need it are refused.

#include "spawn/probe.h"

#include "base/fd.h"
#include "spawn/hand_open.h"
#include "spawn/program.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROBE_UID 900000

int probe_idmapped_mounts(void)
{
    const struct filesystem_line line = {.uid = 1000, .gid = 1000};
    const struct spawn_filesystem_use use = {.uid = SPAWN_FILESYSTEM_NO_USER,
                                             .gid = SPAWN_FILESYSTEM_NO_USER};
    if (unshare(CLONE_NEWNS) < 0)
        return -errno;
    AUTO_FD int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_FD int tree = root < 0 ? -errno : hand_mount(&line, &use, root, PROBE_UID);
    return tree < 0 ? tree : 0;
}

int probe_fuse(void)
{
    AUTO_FD int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    return fd < 0 ? -errno : 0;
}

int probe_sshfs(void)
{
    const struct filesystem_line line = {.type = "sshfs"};
    return program_is_there(&line) ? 0 : -ENOENT;
}

int probe_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 0
               ? -errno
               : 0;
}
