// SPDX-License-Identifier: MIT
//
// Compiles the three system call filters at build time: `make_filter > filter.h`.
//
// libseccomp needs 2 ms to compile one and lamina-spawn installs one per sandbox, so what it installs
// is the finished BPF. The programs are tree-shaped (a binary search over the call number).
//
// The policy is a list of what is allowed. All else fails:
//   EPERM   calls that exist and that a sandbox has no business with (`refused`)
//   ENOSYS  every other number, also those of kernels to come: programs then use their fallback.
//           So do clone3 (its flags are behind a pointer), io_uring and the whole x32 and i386 ABIs.

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/template.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

// For a function: ordinary programs, language runtimes, inference libraries.
static const char *const function_allowed[] = {
    // files; ioctl wholly, since no terminal can be had: no /dev/tty, no ptmx, no inherited one
    "ioctl", "read", "write", "open", "close", "stat", "fstat", "lstat", "poll", "lseek", "pread64",
    "pwrite64", "readv", "writev", "access", "pipe", "select", "dup", "dup2", "dup3", "pipe2",
    "sendfile", "fcntl", "flock", "fsync", "fdatasync", "truncate", "ftruncate", "getdents",
    "getdents64", "getcwd", "chdir", "fchdir", "rename", "renameat", "renameat2", "mkdir",
    "mkdirat", "rmdir", "creat", "link", "linkat", "unlink", "unlinkat", "symlink", "symlinkat",
    "readlink", "readlinkat", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown",
    "lchown", "fchownat", "umask", "utime", "utimes", "utimensat", "futimesat", "openat", "openat2",
    "newfstatat", "statx", "faccessat", "faccessat2", "statfs", "fstatfs", "preadv", "pwritev",
    "preadv2", "pwritev2", "fallocate", "copy_file_range", "splice", "tee", "vmsplice",
    "sync_file_range", "fadvise64", "readahead", "mknod", "mknodat", "close_range", "getxattr",
    "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr", "setxattr", "lsetxattr",
    "fsetxattr", "removexattr", "lremovexattr", "fremovexattr", "inotify_init", "inotify_init1",
    "inotify_add_watch", "inotify_rm_watch", "cachestat",
    // memory
    "mmap", "mprotect", "munmap", "brk", "mremap", "msync", "mincore", "madvise", "mlock", "mlock2",
    "munlock", "mlockall", "munlockall", "memfd_create", "membarrier", "pkey_alloc", "pkey_free",
    "pkey_mprotect", "get_mempolicy", "set_mempolicy", "mbind", "map_shadow_stack", "mseal",
    // processes and threads
    "prctl", "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "kill",
    "tkill", "tgkill", "getpid", "getppid", "gettid", "getpgid", "setpgid", "getpgrp", "setsid",
    "getsid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups",
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid",
    "capget", "capset", "getrlimit", "setrlimit", "prlimit64", "getrusage", "times", "uname",
    "sysinfo", "getcpu", "getpriority", "setpriority", "sched_yield", "sched_getaffinity",
    "sched_setaffinity", "sched_getparam", "sched_setparam", "sched_getscheduler",
    "sched_setscheduler", "sched_get_priority_max", "sched_get_priority_min",
    "sched_rr_get_interval", "sched_getattr", "sched_setattr", "ioprio_get", "ioprio_set",
    "set_tid_address", "set_robust_list", "get_robust_list", "arch_prctl", "futex", "futex_waitv",
    "futex_wake", "futex_wait", "futex_requeue", "rseq", "restart_syscall", "pidfd_open",
    "pidfd_send_signal", "getrandom",
    // signals and time
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait",
    "rt_sigqueueinfo", "rt_tgsigqueueinfo", "rt_sigsuspend", "sigaltstack", "signalfd", "signalfd4",
    "pause", "alarm", "getitimer", "setitimer", "nanosleep", "clock_nanosleep", "clock_gettime",
    "clock_getres", "gettimeofday", "time", "timer_create", "timer_settime", "timer_gettime",
    "timer_getoverrun", "timer_delete", "timerfd_create", "timerfd_settime", "timerfd_gettime",
    // waiting and sockets
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2",
    "pselect6", "ppoll", "eventfd", "eventfd2", "connect", "accept", "accept4", "bind", "listen",
    "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "shutdown", "getsockname",
    "getpeername", "socketpair", "setsockopt", "getsockopt",
    // System V and POSIX IPC: the namespace is the sandbox's own
    "shmget", "shmat", "shmctl", "shmdt", "semget", "semop", "semctl", "semtimedop", "msgget",
    "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive",
    "mq_notify", "mq_getsetattr"};

// What a parser of strangers' archives needs: it is handed its input and its output.
static const char *const work_allowed[] = {
    "read", "write", "readv", "writev", "pread64", "lseek", "close", "fstat", "newfstatat", "mmap",
    "munmap", "mremap", "mprotect", "madvise", "brk", "exit", "exit_group", "rt_sigreturn",
    "rt_sigaction", "rt_sigprocmask", "sigaltstack", "futex", "sched_yield", "getrandom", "getpid",
    "gettid", "tgkill", "clock_gettime", "gettimeofday", "poll", "restart_syscall", "getrusage",
    // of the dynamic loader and libc's start
    "execveat", "openat", "access", "readlink", "arch_prctl", "set_tid_address", "set_robust_list",
    "rseq", "prlimit64", "uname", "getuid", "geteuid", "getgid", "getegid", "fcntl", "fadvise64",
    "sysinfo", "sched_getaffinity",
    // to confine itself further (src/work/confine.c)
    "prctl", "seccomp"};

// What an inference library needs beside that, with one thread and a model whose prepared form it
// writes into memory: it looks at the processor in /sys, and at files of libc.
static const char *const engine_allowed[] = {
    "memfd_create", "ftruncate", "stat",           "lstat",         "statx",
    "readlinkat",   "faccessat", "faccessat2",     "getdents64",    "getcwd",
    "getcpu",       "pwrite64",  "sched_getparam", "get_mempolicy", "clock_getres"};

// lamina-cache: takes descriptors of files, gives descriptors of memory.
static const char *const cache_allowed[] = {"memfd_create", "ftruncate", "recvmsg", "sendmsg"};

// lamina-init where it runs nothing: the first process of a fork's sandbox.
static const char *const holder_allowed[] = {
    "execveat", "prctl",   "fcntl",           "rt_sigprocmask", "signalfd4",
    "write",    "recvmsg", "close",           "recvfrom",       "read",
    "ppoll",    "wait4",   "restart_syscall", "exit_group"};

static const char *const refused[] = {
    // other file systems and namespaces
    "mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "open_tree", "move_mount",
    "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "open_tree_attr", "statmount",
    "listmount", "name_to_handle_at", "open_by_handle_at", "fanotify_init", "fanotify_mark",
    "quotactl", "quotactl_fd", "swapon", "swapoff", "nfsservctl", "lookup_dcookie",
    // other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease",
    "pidfd_getfd", "kcmp", "migrate_pages", "move_pages", "setgroups",
    // the kernel's attack surface
    "bpf", "perf_event_open", "keyctl", "add_key", "request_key", "seccomp", "userfaultfd",
    "memfd_secret", "modify_ldt", "vhangup", "uselib", "personality", "remap_file_pages",
    // the machine: sync and syncfs would write out all of the host's file systems
    "sync", "syncfs", "acct", "reboot", "kexec_load", "kexec_file_load", "init_module",
    "finit_module", "delete_module", "create_module", "query_module", "get_kernel_syms", "iopl",
    "ioperm", "syslog", "settimeofday", "clock_settime", "adjtimex", "clock_adjtime", "stime",
    "sethostname", "setdomainname", "_sysctl", "ustat", "sysfs"};

static void must(int result, const char *what)
{
    if (result == 0)
        return;
    fprintf(stderr, "make_filter: %s: %s\n", what, strerror(-result));
    exit(1);
}

// Names that this libseccomp does not know yet are skipped: the call is ENOSYS then.
static void add_names(scmp_filter_ctx filter, uint32_t action, const char *const names[],
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        if (number >= 0)
            must(seccomp_rule_add(filter, action, number, 0), names[i]);
    }
}

// socket: local ones, TCP and UDP, and netlink's ROUTE, which getifaddrs needs. VSOCK has no
// namespace and would reach the hypervisor; PACKET and ALG are attack surface.
static void add_socket(scmp_filter_ctx filter)
{
    const int call = SCMP_SYS(socket);
    const uint32_t no_family = SCMP_ACT_ERRNO(EAFNOSUPPORT);
    must(seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX)), "unix");
    const int families[] = {AF_INET, AF_INET6};
    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        const scmp_datum_t family = (scmp_datum_t) families[i];
        // The types that are not allowed get the errno the kernel itself gives the unprivileged.
        for (scmp_datum_t type = 0; type < 16; type++) {
            const int is_plain = type == SOCK_STREAM || type == SOCK_DGRAM;
            must(seccomp_rule_add(filter, is_plain ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM), call,
                                  2, SCMP_A0(SCMP_CMP_EQ, family),
                                  SCMP_A1(SCMP_CMP_MASKED_EQ, 15, type)),
                 "inet");
        }
    }
    must(seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 2, SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
                          SCMP_A2(SCMP_CMP_EQ, 0)),
         "netlink route");
    must(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPROTONOSUPPORT), call, 2,
                          SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_GT, 0)),
         "netlink other");
    for (scmp_datum_t family = 0; family < AF_NETLINK; family++)
        if (family != AF_UNIX && family != AF_INET && family != AF_INET6)
            must(seccomp_rule_add(filter, no_family, call, 1, SCMP_A0(SCMP_CMP_EQ, family)),
                 "family");
    must(seccomp_rule_add(filter, no_family, call, 1, SCMP_A0(SCMP_CMP_GT, AF_NETLINK)),
         "families");
}

// clone: threads and processes, no namespace. One rule: none of these bits may be set.
static void add_clone(scmp_filter_ctx filter)
{
    const scmp_datum_t namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                    CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
    must(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                          SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces, 0)),
         "clone");
    for (int bit = 0; bit < 32; bit++) {
        const scmp_datum_t flag = (scmp_datum_t) 1 << bit;
        if (namespaces & flag)
            must(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag)),
                 "clone with namespaces");
    }
}

static scmp_filter_ctx filter_new(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    if (!filter)
        must(-ENOMEM, "init");
    must(seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)), "bad arch");
    must(seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2), "tree");
    return filter;
}

// setns: into a prepared sandbox as a whole, by a process descriptor; never into one namespace alone, which
// is how the owner of a user namespace would get capabilities over what it owns (wire/template.h).
static void add_setns(scmp_filter_ctx filter)
{
    must(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setns), 1,
                          SCMP_A1(SCMP_CMP_EQ, TEMPLATE_NAMESPACES)),
         "setns");
    must(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setns), 1,
                          SCMP_A1(SCMP_CMP_NE, TEMPLATE_NAMESPACES)),
         "other setns");
}

// What a function may, and with `is_template` what making a fork needs beyond.
static scmp_filter_ctx function_filter(int is_template)
{
    scmp_filter_ctx filter = filter_new();
    add_names(filter, SCMP_ACT_ALLOW, function_allowed, ARRAY_SIZE(function_allowed));
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        if (!is_template || strcmp(refused[i], "setns") != 0)
            add_names(filter, SCMP_ACT_ERRNO(EPERM), &refused[i], 1);
    if (is_template)
        add_setns(filter);
    add_socket(filter);
    add_clone(filter);
    return filter;
}

static void filter_print(scmp_filter_ctx filter, const char *name)
{
    FILE *file = tmpfile();
    if (!file)
        must(-errno, "tmpfile");
    must(seccomp_export_bpf(filter, fileno(file)), "export");
    rewind(file);
    printf("static struct sock_filter filter_%s[] = {\n", name);
    struct sock_filter one;
    while (fread(&one, sizeof(one), 1, file) == 1)
        printf("    {0x%02x, %u, %u, 0x%08x},\n", one.code, one.jt, one.jf, one.k);
    printf("};\n");
    fclose(file);
}

int main(void)
{
    printf("// Made by tools/make_filter.c: not to be edited.\n#include <linux/filter.h>\n");
    scmp_filter_ctx function = function_filter(0), template = function_filter(1);
    filter_print(function, "function");
    filter_print(template, "template");
    seccomp_release(function);
    seccomp_release(template);

    scmp_filter_ctx work = filter_new();
    add_names(work, SCMP_ACT_ALLOW, work_allowed, ARRAY_SIZE(work_allowed));
    filter_print(work, "work");
    add_names(work, SCMP_ACT_ALLOW, engine_allowed, ARRAY_SIZE(engine_allowed));
    filter_print(work, "engine");
    seccomp_release(work);

    scmp_filter_ctx holder = filter_new();
    add_names(holder, SCMP_ACT_ALLOW, holder_allowed, ARRAY_SIZE(holder_allowed));
    filter_print(holder, "holder");
    seccomp_release(holder);

    scmp_filter_ctx cache = filter_new();
    add_names(cache, SCMP_ACT_ALLOW, work_allowed, ARRAY_SIZE(work_allowed));
    add_names(cache, SCMP_ACT_ALLOW, cache_allowed, ARRAY_SIZE(cache_allowed));
    filter_print(cache, "cache");
    seccomp_release(cache);
    return 0;
}
