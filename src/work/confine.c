// SPDX-License-Identifier: MIT

#include "work/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER 0
#endif

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#error "name the audit architecture of this processor"
#endif

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define ALLOW(number)                                                                              \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (__NR_##number), 0, 1),                                    \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

// pread64: the package. write: the stream. The rest is malloc, zlib and the way out. x32 calls have
// numbers of their own, which are not in the list.
static struct sock_filter filter[] = {
    LOAD(arch),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    LOAD(nr),
    ALLOW(pread64),
    ALLOW(write),
    ALLOW(brk),
    ALLOW(mmap),
    ALLOW(munmap),
    ALLOW(mremap),
    ALLOW(madvise),
    ALLOW(getrandom), // the heap's cookie
    ALLOW(rt_sigreturn),
    ALLOW(restart_syscall),
    ALLOW(exit_group),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

static int limit(int resource, rlim_t value)
{
    struct rlimit both = {value, value};
    return setrlimit((__rlimit_resource_t) resource, &both) < 0 ? -errno : 0;
}

// Lowers only: lamina-spawn may have set less.
static int limit_at_most(int resource, rlim_t value)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t) resource, &now) < 0)
        return -errno;
    return limit(resource, now.rlim_max < value ? now.rlim_max : value);
}

int confine_engine(void)
{
    int r = limit(RLIMIT_CORE, 0);
    if (r == 0)
        r = limit(RLIMIT_NPROC, 0);
    if (r == 0)
        r = limit_at_most(RLIMIT_NOFILE, CONFINE_ENGINE_FILES);
    if (r == 0)
        r = limit_at_most(RLIMIT_CPU, CONFINE_CPU_SECONDS);
    if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        r = -errno;
    return r;
}

int confine_self(void)
{
    int r = limit(RLIMIT_CORE, 0);
    if (r == 0)
        r = limit(RLIMIT_FSIZE, 0);
    if (r == 0)
        r = limit(RLIMIT_NPROC, 0);
    if (r == 0)
        r = limit_at_most(RLIMIT_CPU, CONFINE_CPU_SECONDS);
    if (r < 0)
        return r;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return -errno;
    if (HAS_SANITIZER)
        return 0;
    r = limit(RLIMIT_NOFILE, 3);
    if (r == 0)
        r = limit_at_most(RLIMIT_AS, CONFINE_MEMORY_BYTES);
    if (r < 0)
        return r;
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 ? -errno : 0;
}
