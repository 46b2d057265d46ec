// SPDX-License-Identifier: MIT

#include "spawn/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// lamina-spawn blocks signals and ignores SIGPIPE; both would outlive exec.
static int default_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL);
    return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

int privilege_keep_fds(const int *sources, int count, int kept)
{
    // First to numbers above all goals: placing one must not overwrite the next.
    int copies[PRIVILEGE_FDS_MAX];
    for (int i = 0; i < count; i++)
        if ((copies[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, PRIVILEGE_FDS_MAX)) < 0)
            return -errno;
    for (int i = 0; i < count; i++)
        if (dup3(copies[i], i, i < kept ? 0 : O_CLOEXEC) < 0)
            return -errno;
    if (syscall(SYS_close_range, count, ~0U, 0) < 0)
        return -errno;
    return default_signals();
}

int privilege_drop(uid_t uid, gid_t gid)
{
    return setgroups(0, NULL) < 0 ? -errno : privilege_give_up(uid, gid);
}

int privilege_keep(const int *capabilities, size_t count)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {0};
    for (size_t i = 0; i < count; i++) {
        const uint32_t bit = UINT32_C(1) << (capabilities[i] % 32);
        data[capabilities[i] / 32].permitted |= bit;
        data[capabilities[i] / 32].effective |= bit;
    }
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (!(data[cap / 32].permitted & UINT32_C(1) << (cap % 32)) &&
            prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
            return -errno;
    return syscall(SYS_capset, &head, data) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
               ? -errno
               : 0;
}

int privilege_act_as(uid_t uid)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    const uid_t same = (uid_t) -1;
    if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, same, uid, same) < 0 ||
        syscall(SYS_setresuid, same, uid, same) < 0 || syscall(SYS_capget, &head, data) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) // the change of user has taken them out of effect
        data[i].effective = data[i].permitted;
    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

int privilege_give_up(uid_t uid, gid_t gid)
{
    (void) syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL); // ENOSYS is fine
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
            return -errno;
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0 || setresgid(gid, gid, gid) < 0 ||
        setresuid(uid, uid, uid) < 0 ||
        // After setresuid, which clears it (docs/kernel/pdeathsig.md).
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return 0;
}
