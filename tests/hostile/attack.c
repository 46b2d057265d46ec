// SPDX-License-Identifier: MIT
//
// A function that attacks its sandbox from inside. It runs as the bootstrap: the environment
// variable ATTACK names a group, and each attack of it prints one line, `NAME RESULT`. RESULT is the
// errno's name, or `ok`, or a value. tests/hostile/test_*.py knows what each must be.

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

// errno is read here, right after the call in the argument.
static void report(const char *name, long result)
{
    const int error = errno;
    if (result >= 0)
        printf("%s ok\n", name);
    else
        printf("%s %s\n", name, strerrorname_np(error) ? strerrorname_np(error) : "?");
    fflush(stdout);
}

static void report_number(const char *name, long number)
{
    printf("%s %ld\n", name, number);
    fflush(stdout);
}

static long variable(const char *name)
{
    const char *value = getenv(name);
    return value ? strtol(value, NULL, 10) : 0;
}

static void try_open(const char *path, int flags)
{
    int fd = open(path, flags, 0600);
    report(path, fd);
    if (fd >= 0)
        close(fd);
}

static void attack_host_files(void)
{
    static const char *const paths[] = {"/etc/shadow",
                                        "/root",
                                        "/home",
                                        "/var/lib",
                                        "/var/log",
                                        "/boot",
                                        "/srv",
                                        "/work",
                                        "/base",
                                        "/trees",
                                        "/old",
                                        "/run/lamina",
                                        "/../../etc/shadow",
                                        "/proc/self/root/etc/shadow",
                                        "/var/task/../../../root",
                                        "/sys/kernel",
                                        "/sys/fs/cgroup",
                                        "/sys/class",
                                        "/dev/mem",
                                        "/dev/kmsg",
                                        "/dev/kvm",
                                        "/dev/fuse",
                                        "/dev/net/tun",
                                        "/dev/tty",
                                        "/dev/ptmx",
                                        "/dev/console",
                                        "/dev/vda",
                                        "/dev/sda",
                                        "/dev/loop-control",
                                        "/dev/vsock",
                                        "/dev/pts"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        try_open(paths[i], O_RDONLY);
    const char *data = getenv("HOST_DATA");
    if (data)
        report("host_data", open(data, O_RDONLY));
}

static void attack_writes(void)
{
    static const char *const paths[] = {"/x",
                                        "/etc/passwd",
                                        "/etc/x",
                                        "/usr/x",
                                        "/usr/bin/env",
                                        "/var/task/x",
                                        "/var/task/bootstrap",
                                        "/opt/x",
                                        "/dev/x",
                                        "/opt/lamina/x",
                                        "/var/x",
                                        "/run/x",
                                        "/sys/x",
                                        "/home/x"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        try_open(paths[i], O_WRONLY | O_CREAT);
    report("unlink", unlink("/var/task/bootstrap"));
    report("chmod", chmod("/var/task/bootstrap", 0777));
    report("chown", chown("/var/task/bootstrap", getuid(), getuid()));
    report("truncate", truncate("/var/task/bootstrap", 0));
    report("setxattr", syscall(SYS_setxattr, "/var/task/bootstrap", "user.x", "y", 1, 0));
    report("rename", rename("/var/task/bootstrap", "/tmp/b"));
    report("hard_link_out", link("/var/task/bootstrap", "/tmp/link"));
    report("hard_link_usr", link("/usr/bin/env", "/tmp/link"));
    report("mkdir", mkdir("/var/task/d", 0700));
    int fd = open("/var/task/bootstrap", O_RDONLY);
    report("map_shared_write",
           mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
    report("fchmod", fchmod(fd, 0777));
    char path[64];
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    report("reopen_for_writing", open(path, O_WRONLY));
    report("mknod_null", mknod("/tmp/null", S_IFCHR | 0666, makedev(1, 3)));
    report("mknod_mem", mknod("/tmp/mem", S_IFCHR | 0666, makedev(1, 1)));
    report("mknod_disk", mknod("/tmp/disk", S_IFBLK | 0666, makedev(254, 0)));
    report("mkfifo", mknod("/tmp/fifo", S_IFIFO | 0600, 0));
    report("tmp", open("/tmp/file", O_RDWR | O_CREAT, 0600));
    report("dev_null", open("/dev/null", O_RDWR));
}

static void report_nosuid(const char *path)
{
    struct statvfs at;
    char name[64];
    (void) snprintf(name, sizeof(name), "nosuid:%s", path);
    report_number(name, statvfs(path, &at) < 0 ? -1 : (at.f_flag & ST_NOSUID) != 0);
    (void) snprintf(name, sizeof(name), "nodev:%s", path);
    report_number(name, statvfs(path, &at) < 0 ? -1 : (at.f_flag & ST_NODEV) != 0);
}

static void attack_privileges(void)
{
    report("setuid", setuid(0));
    report("setgid", setgid(0));
    report("setresuid", setresuid(0, 0, 0));
    report("setgroups", syscall(SYS_setgroups, 1, (gid_t[]){0}));
    report_number("groups", getgroups(0, NULL));
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct caps[2] = {{~0U, ~0U, ~0U}, {~0U, ~0U, ~0U}};
    report("capset", syscall(SYS_capset, &head, caps));
    memset(caps, 0xff, sizeof(caps));
    (void) syscall(SYS_capget, &head, caps);
    report_number("capabilities", caps[0].effective | caps[0].permitted | caps[0].inheritable |
                                      caps[1].effective | caps[1].permitted | caps[1].inheritable);
    int bounding = 0;
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        bounding += prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1;
    report_number("bounding", bounding);
    report("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0));
    report_number("no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    report_number("seccomp", prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
    report("securebits", prctl(PR_SET_SECUREBITS, 0, 0, 0, 0));
    report("nice", setpriority(PRIO_PROCESS, 0, -20));
    struct sched_param param = {.sched_priority = 1};
    report("realtime", sched_setscheduler(0, SCHED_FIFO, &param));
    report("ioprio", syscall(SYS_ioprio_set, 1, 0, (1 << 13) | 0));
    struct rlimit files = {1 << 20, 1 << 20}, core = {RLIM_INFINITY, RLIM_INFINITY};
    report("more_files", setrlimit(RLIMIT_NOFILE, &files));
    report("core", setrlimit(RLIMIT_CORE, &core));
    report_nosuid("/usr");
    report_nosuid("/var/task");
    report_nosuid("/tmp");
    report_nosuid("/");
}

static void attack_namespaces(void)
{
    static const struct {
        const char *name;
        int flag;
    } kinds[] = {{"user", CLONE_NEWUSER},    {"mnt", CLONE_NEWNS},  {"pid", CLONE_NEWPID},
                 {"net", CLONE_NEWNET},      {"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS},
                 {"cgroup", CLONE_NEWCGROUP}};
    char name[64];
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        (void) snprintf(name, sizeof(name), "unshare_%s", kinds[i].name);
        report(name, unshare(kinds[i].flag));
        (void) snprintf(name, sizeof(name), "clone_%s", kinds[i].name);
        report(name, syscall(SYS_clone, kinds[i].flag | SIGCHLD, NULL, NULL, NULL, NULL));
        (void) snprintf(name, sizeof(name), "/proc/self/ns/%s", kinds[i].name);
        int fd = open(name, O_RDONLY);
        (void) snprintf(name, sizeof(name), "setns_%s", kinds[i].name);
        report(name, setns(fd, 0));
    }
    uint64_t arguments[11] = {CLONE_NEWUSER};
    report("clone3", syscall(SYS_clone3, arguments, sizeof(arguments)));
    report("mount_tmpfs", mount("x", "/tmp", "tmpfs", 0, NULL));
    report("mount_proc", mount("x", "/tmp", "proc", 0, NULL));
    report("bind", mount("/", "/tmp", NULL, MS_BIND | MS_REC, NULL));
    report("remount", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
    report("umount", umount2("/proc", MNT_DETACH));
    report("pivot_root", syscall(SYS_pivot_root, ".", "."));
    report("chroot", chroot("/tmp"));
    report("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1));
    report("move_mount", syscall(SYS_move_mount, AT_FDCWD, "/usr", AT_FDCWD, "/tmp", 0));
    report("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    report("fsmount", syscall(SYS_fsmount, 0, 0, 0));
    report("fspick", syscall(SYS_fspick, AT_FDCWD, "/", 0));
    report("mount_setattr", syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, NULL, 0));
    report("statmount", syscall(457, NULL, NULL, 0, 0));
    report("listmount", syscall(458, NULL, NULL, 0, 0));
    char handle[128] = {0};
    report("name_to_handle", syscall(SYS_name_to_handle_at, AT_FDCWD, "/", handle, handle, 0));
    report("open_by_handle", syscall(SYS_open_by_handle_at, AT_FDCWD, handle, O_RDONLY));
    report("quotactl", syscall(SYS_quotactl, 0, "/", 0, NULL));
    report("fanotify", syscall(SYS_fanotify_init, 0, 0));
}

static int count_processes(void)
{
    DIR *listing = opendir("/proc");
    int count = 0;
    for (struct dirent *entry; listing && (entry = readdir(listing));)
        count += entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
    if (listing)
        closedir(listing);
    return count;
}

static void attack_processes(void)
{
    report("ptrace_me", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    report("ptrace_init", ptrace(PTRACE_ATTACH, 1, NULL, NULL));
    report("ptrace_seize", ptrace(PTRACE_SEIZE, 1, NULL, NULL));
    report("vm_read", syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0));
    report("vm_write", syscall(SYS_process_vm_writev, 1, NULL, 0, NULL, 0, 0));
    report("madvise_other", syscall(SYS_process_madvise, 0, NULL, 0, 0, 0));
    report("pidfd_getfd", syscall(SYS_pidfd_getfd, 0, 0, 0));
    report("kcmp", syscall(SYS_kcmp, 1, 1, 0, 0, 0));
    report("migrate_pages", syscall(SYS_migrate_pages, 1, 0, NULL, NULL));
    const pid_t host = (pid_t) variable("HOST_PID"), other = (pid_t) variable("OTHER_PID");
    report("kill_host", kill(host, SIGKILL));
    report("kill_other", kill(other, SIGKILL));
    report("pidfd_host", syscall(SYS_pidfd_open, host, 0));
    report("prlimit_host", prlimit(host, RLIMIT_CPU, NULL, NULL));
    report("affinity_host", sched_setaffinity(host, 8, (const cpu_set_t *) "\1\0\0\0\0\0\0\0"));
    report_number("getppid", getppid());
    // pid 1 of a namespace takes no signal from inside that it has no handler for, SIGKILL least.
    report("kill_init", kill(1, SIGKILL));
    report("kill_init_stop", kill(1, SIGSTOP));
    report("init_is_there", kill(1, 0));
    static const char *const paths[] = {"/proc/1",
                                        "/proc/1/environ",
                                        "/proc/1/mem",
                                        "/proc/1/root",
                                        "/proc/1/fd",
                                        "/proc/sys",
                                        "/proc/sys/kernel/core_pattern",
                                        "/proc/sysrq-trigger",
                                        "/proc/kallsyms",
                                        "/proc/kcore",
                                        "/proc/meminfo",
                                        "/proc/cpuinfo",
                                        "/proc/version",
                                        "/proc/cmdline",
                                        "/proc/mounts",
                                        "/proc/keys",
                                        "/proc/net",
                                        "/proc/modules",
                                        "/proc/interrupts",
                                        "/proc/loadavg",
                                        "/proc/uptime",
                                        "/proc/stat",
                                        "/proc/diskstats",
                                        "/proc/partitions",
                                        "/proc/sched_debug",
                                        "/proc/timer_list",
                                        "/proc/kmsg",
                                        "/proc/config.gz",
                                        "/proc/bus",
                                        "/proc/fs"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        try_open(paths[i], O_RDONLY);
    report_number("processes", count_processes());
    report("oom_score", open("/proc/self/oom_score_adj", O_WRONLY) < 0
                            ? -1
                            : write(open("/proc/self/oom_score_adj", O_WRONLY), "-1000", 5));
    char text[256] = "";
    int fd = open("/proc/self/cgroup", O_RDONLY);
    (void) !read(fd, text, sizeof(text) - 1);
    report_number("cgroup_path_shown", strstr(text, "lamina") != NULL);
}

static void attack_kernel(void)
{
    static const struct {
        const char *name;
        long number;
    } calls[] = {
        {"bpf", SYS_bpf},
        {"perf_event_open", SYS_perf_event_open},
        {"keyctl", SYS_keyctl},
        {"add_key", SYS_add_key},
        {"request_key", SYS_request_key},
        {"seccomp", SYS_seccomp},
        {"userfaultfd", SYS_userfaultfd},
        {"memfd_secret", SYS_memfd_secret},
        {"modify_ldt", SYS_modify_ldt},
        {"personality", SYS_personality},
        {"acct", SYS_acct},
        {"reboot", SYS_reboot},
        {"kexec_load", SYS_kexec_load},
        {"kexec_file_load", SYS_kexec_file_load},
        {"init_module", SYS_init_module},
        {"finit_module", SYS_finit_module},
        {"delete_module", SYS_delete_module},
        {"iopl", SYS_iopl},
        {"ioperm", SYS_ioperm},
        {"syslog", SYS_syslog},
        {"settimeofday", SYS_settimeofday},
        {"clock_settime", SYS_clock_settime},
        {"adjtimex", SYS_adjtimex},
        {"clock_adjtime", SYS_clock_adjtime},
        {"sethostname", SYS_sethostname},
        {"setdomainname", SYS_setdomainname},
        {"swapon", SYS_swapon},
        {"swapoff", SYS_swapoff},
        {"vhangup", SYS_vhangup},
        {"uselib", SYS_uselib},
        {"sysfs", SYS_sysfs},
        {"ustat", SYS_ustat},
        {"lookup_dcookie", SYS_lookup_dcookie},
        {"sync", SYS_sync},
        {"syncfs", SYS_syncfs},
        {"remap_file_pages", SYS_remap_file_pages},
        {"io_uring_setup", SYS_io_uring_setup},
        {"io_uring_enter", SYS_io_uring_enter},
        {"io_uring_register", SYS_io_uring_register},
        {"io_setup", SYS_io_setup},
        {"landlock", SYS_landlock_create_ruleset},
        {"clone3", SYS_clone3},
    };
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        report(calls[i].name, syscall(calls[i].number, 0, 0, 0, 0, 0, 0));
    report("tiocsti", ioctl(0, 0x5412, "x"));
    report("tiocsti_high_bits", syscall(SYS_ioctl, 0, 0x100005412, "x"));
    report("tioclinux", ioctl(0, 0x541C, "x"));
}

#ifdef __x86_64__
static void attack_abi(void)
{
    report("x32_getpid", syscall(0x40000000L | SYS_getpid));
    report("x32_ptrace", syscall(0x40000000L | 521, 0, 0, 0, 0));
    report("x32_execve", syscall(0x40000000L | 520, "/bin/sh", NULL, NULL));
    static const struct {
        const char *name;
        int number;
    } calls[] = {
        {"i386_getpid", 20}, {"i386_mount", 21}, {"i386_ptrace", 26}, {"i386_socket", 359}};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        long result;
        __asm__ volatile("int $0x80"
                         : "=a"(result)
                         : "a"(calls[i].number), "b"(0), "c"(0), "d"(0)
                         : "memory", "r8", "r9", "r10", "r11");
        errno = (int) -result;
        report(calls[i].name, result < 0 ? -1 : result);
    }
}
#endif

static void try_socket(const char *name, long family, long type, long protocol)
{
    long fd = syscall(SYS_socket, family, type, protocol);
    report(name, fd);
    if (fd >= 0)
        close((int) fd);
}

static void try_connect(const char *name, const char *address, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, address, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    report(name, connect(fd, (struct sockaddr *) &to, sizeof(to)));
    close(fd);
}

static void try_abstract(const char *name)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = getenv("ABSTRACT");
    if (!path)
        return;
    (void) snprintf(to.sun_path + 1, sizeof(to.sun_path) - 1, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    report(name, connect(fd, (struct sockaddr *) &to,
                         (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + strlen(path))));
    close(fd);
}

static void attack_network(void)
{
    try_socket("tcp", AF_INET, SOCK_STREAM, 0);
    try_socket("udp6", AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    try_socket("unix", AF_UNIX, SOCK_SEQPACKET, 0);
    try_socket("netlink_route", AF_NETLINK, SOCK_RAW, 0);
    try_socket("raw", AF_INET, SOCK_RAW, IPPROTO_ICMP);
    try_socket("raw6", AF_INET6, SOCK_RAW, 58);
    try_socket("raw_high_bits", AF_INET, 0x100000003, IPPROTO_ICMP);
    try_socket("packet", AF_PACKET, SOCK_RAW, 0);
    try_socket("vsock", AF_VSOCK, SOCK_STREAM, 0);
    try_socket("vsock_high_bits", 0x100000000L | AF_VSOCK, SOCK_STREAM, 0);
    try_socket("unix_high_bits", 0x100000000L | AF_UNIX, SOCK_STREAM, 0);
    try_socket("alg", AF_ALG, SOCK_SEQPACKET, 0);
    try_socket("bluetooth", AF_BLUETOOTH, SOCK_RAW, 0);
    try_socket("can", AF_CAN, SOCK_RAW, 0);
    try_socket("key", AF_KEY, SOCK_RAW, 2);
    try_socket("xdp", 44, SOCK_RAW, 0);
    try_socket("tipc", AF_TIPC, SOCK_RDM, 0);
    try_socket("rds", AF_RDS, SOCK_SEQPACKET, 0);
    try_socket("netfilter", AF_NETLINK, SOCK_RAW, 12);
    try_socket("audit", AF_NETLINK, SOCK_RAW, 9);
    try_socket("uevent", AF_NETLINK, SOCK_RAW, 15);
    try_socket("sctp", AF_INET, SOCK_SEQPACKET, 132);
    try_connect("host_port", "127.0.0.1", (uint16_t) variable("HOST_PORT"));
    try_connect("metadata", "169.254.169.254", 80);
    try_connect("lan", "10.0.0.1", 80);
    try_connect("internet", "1.1.1.1", 53);
    try_abstract("abstract");
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    report("interface_down", ioctl(fd, SIOCSIFFLAGS, &request));
    report("interface_address", ioctl(fd, SIOCSIFADDR, &request));
    struct sockaddr_in low = {.sin_family = AF_INET, .sin_port = htons(80)};
    report("low_port", bind(fd, (struct sockaddr *) &low, sizeof(low)));
    struct if_nameindex *names = if_nameindex();
    int count = 0;
    while (names && names[count].if_index)
        count++;
    report_number("interfaces", count);
    // The listeners that are laminad's: their ports cannot be taken over.
    struct sockaddr_in runtime = {
        .sin_family = AF_INET, .sin_port = htons(9001), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int takeover = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    (void) setsockopt(takeover, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    (void) setsockopt(takeover, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    report("runtime_port", bind(takeover, (struct sockaddr *) &runtime, sizeof(runtime)));
}

static void attack_descriptors(void)
{
    DIR *listing = opendir("/proc/self/fd");
    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        char target[256];
        ssize_t size = readlinkat(dirfd(listing), entry->d_name, target, sizeof(target) - 1);
        if (size < 0 || strtol(entry->d_name, NULL, 10) == dirfd(listing))
            continue;
        target[size] = '\0';
        target[strcspn(target, "[")] = '\0';
        printf("fd%s %s\n", entry->d_name, target);
    }
    report("stdin_write", write(0, "x", 1));
    report_number("stdin_read", read(0, (char[1]){0}, 1));
    char *const *environment = environ;
    int count = 0;
    while (environment[count])
        count++;
    report_number("environment", count);
    char host[64] = "";
    gethostname(host, sizeof(host) - 1);
    printf("hostname %s\n", host);
    char cwd[64] = "";
    printf("cwd %s\n", getcwd(cwd, sizeof(cwd)) ? cwd : "(null)");
}

// Waits until killed or told to go on: for tests with two sandboxes.
static _Noreturn void stay(void)
{
    printf("ready\n");
    fflush(stdout);
    for (;;)
        pause();
}

static void attack_victim(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    const char *path = getenv("ABSTRACT");
    (void) snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "%s", path);
    int local = socket(AF_UNIX, SOCK_STREAM, 0);
    report("bind_abstract",
           bind(local, (struct sockaddr *) &name,
                (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + strlen(path))));
    report("listen_abstract", listen(local, 5));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(7777)};
    int tcp = socket(AF_INET, SOCK_STREAM, 0);
    report("bind_tcp", bind(tcp, (struct sockaddr *) &address, sizeof(address)));
    report("listen_tcp", listen(tcp, 5));
    report("shm", shmget(0x1a313a, 4096, IPC_CREAT | 0666));
    report("secret", open("/tmp/secret", O_CREAT | O_WRONLY, 0666));
    stay();
}

static void attack_neighbour(void)
{
    try_abstract("abstract");
    try_connect("tcp", "127.0.0.1", 7777);
    report("shm", shmget(0x1a313a, 4096, 0666));
    report("secret", open("/tmp/secret", O_RDONLY));
    report("kill", kill((pid_t) variable("OTHER_PID"), SIGKILL));
    report_number("processes", count_processes());
}

static void attack_forks(void)
{
    int count = 0;
    pid_t pid;
    while ((pid = fork()) > 0)
        count++;
    if (pid == 0)
        for (;;)
            pause();
    report("fork", -1);
    report_number("children", count);
}

static void attack_memory(void)
{
    for (size_t megabytes = 0;; megabytes++) {
        char *data =
            mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data == MAP_FAILED) {
            report("mmap", -1);
            return;
        }
        memset(data, 1, 1 << 20);
    }
}

static void attack_tmp(void)
{
    static char data[65536];
    int fd = open("/tmp/full", O_WRONLY | O_CREAT, 0600);
    long total = 0;
    ssize_t size;
    while ((size = write(fd, data, sizeof(data))) > 0)
        total += size;
    report("write", size);
    report_number("bytes", total);
    int count = 0;
    for (;; count++) {
        char path[32];
        (void) snprintf(path, sizeof(path), "/tmp/%d", count);
        int one = open(path, O_WRONLY | O_CREAT, 0600);
        if (one < 0)
            break;
        close(one);
    }
    report("create", -1);
    report_number("is_bounded", count < 100000);
    report("unlink", unlink("/tmp/full"));
    fd = open("/tmp/0", O_WRONLY);
    report("write_again", write(fd, data, sizeof(data)));
}

static void attack_open_files(void)
{
    int count = 0;
    while (dup(0) >= 0)
        count++;
    report("dup", -1);
    report_number("files", count);
    for (int fd = 3; fd < 4096; fd++)
        close(fd);
    report("inotify", syscall(SYS_inotify_init1, 0));
    report("memfd", syscall(SYS_memfd_create, "x", 0));
}

// Every call number, with arguments that do nothing: the numbers that get past the filter are
// printed. Those that end, block or copy the process are left out: a list, not a guess.
static void attack_numbers(void)
{
    static const long left_out[] = {
        SYS_exit, SYS_exit_group, SYS_fork, SYS_vfork, SYS_clone, SYS_pause, SYS_rt_sigsuspend,
        SYS_rt_sigreturn, SYS_select, SYS_pselect6, SYS_ppoll, SYS_rt_sigtimedwait, SYS_munmap,
        SYS_close, SYS_dup2, SYS_dup3, SYS_close_range, SYS_kill, SYS_tkill, SYS_tgkill, SYS_brk,
        SYS_arch_prctl, SYS_alarm, SYS_setitimer, SYS_mmap, SYS_poll, SYS_rt_sigaction, SYS_shmdt,
        SYS_mremap, SYS_write, SYS_rseq, SYS_set_robust_list, SYS_set_tid_address,
        SYS_restart_syscall, SYS_setrlimit, SYS_prctl, SYS_munlockall, SYS_mprotect, SYS_madvise,
        SYS_pidfd_send_signal,
        // uretprobe (and uprobe, its sibling): past every filter, and SIGILL in a process that has no
        // probe (docs/kernel/uretprobe-past-seccomp.md).
        335, 336};
    for (long number = 0; number < 2048; number++) {
        int is_left_out = 0;
        for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
            is_left_out |= left_out[i] == number;
        if (is_left_out)
            continue;
        errno = 0;
        long result = syscall(number, 0, 0, 0, 0, 0, 0);
        if (result >= 0 || (errno != EPERM && errno != ENOSYS))
            printf("%ld reached\n", number);
    }
    static const long far[] = {0x3fffffff, 0x40000000, 0x40000001, 0x7fffffff, -1, -2, 0xffffffff};
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
        char name[32];
        (void) snprintf(name, sizeof(name), "far%zu", i);
        report(name, syscall(far[i], 0, 0, 0, 0, 0, 0));
    }
    printf("end ok\n");
}

// ---- a file system at /mnt/data

static void attack_filesystem_writes(void)
{
    static const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    report("write:open", open("/mnt/data/f", O_WRONLY));
    report("write:create", open("/mnt/data/new", O_WRONLY | O_CREAT, 0600));
    report("write:mkdir", mkdir("/mnt/data/d", 0700));
    report("write:unlink", unlink("/mnt/data/f"));
    report("write:rename", rename("/mnt/data/f", "/mnt/data/g"));
    report("write:chmod", chmod("/mnt/data/f", 0777));
    report("write:truncate", truncate("/mnt/data/f", 0));
    report("write:link", link("/mnt/data/f", "/mnt/data/g"));
    report("write:symlink", symlink("f", "/mnt/data/g"));
    report("write:utime", utimensat(AT_FDCWD, "/mnt/data/f", now, 0));
}

// The id that a program of root's with the setuid bit gets: 0 would be root's. Its standard output says it.
static long setuid_program(void)
{
    int ends[2];
    char text[256] = "";
    if (pipe(ends) < 0)
        return -1;
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], 1);
        execl("/mnt/data/tool", "id", "-u", (char *) NULL);
        _exit(1);
    }
    close(ends[1]);
    const ssize_t size = read(ends[0], text, sizeof(text) - 1);
    waitpid(pid, NULL, 0);
    return size <= 0 ? -1 : strtoul(text, NULL, 10) == geteuid() ? 0 : 1;
}

static void attack_filesystem_nodes(void)
{
    struct statvfs at;
    const int known = statvfs("/mnt/data", &at);
    report("nosuid", known == 0 && at.f_flag & ST_NOSUID ? 0 : -1);
    report("nodev", known == 0 && at.f_flag & ST_NODEV ? 0 : -1);
    report("device", open("/mnt/data/null", O_RDWR));
    report("block device", open("/mnt/data/disk", O_RDONLY));
    report("mknod char", mknod("/mnt/data/c", S_IFCHR | 0666, makedev(1, 3)));
    report("mknod block", mknod("/mnt/data/b", S_IFBLK | 0666, makedev(254, 0)));
    report("mkfifo", mkfifo("/mnt/data/fifo", 0666));
    const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/mnt/data/socket"};
    report("socket", bind(listener, (const struct sockaddr *) &address, sizeof(address)));
    report_number("setuid program", setuid_program());
}

static void attack_filesystem_ways_out(void)
{
    struct {
        unsigned bytes;
        int type;
        unsigned char handle[128];
    } handle = {.bytes = 128};
    int mount_id;
    struct stat parent, mnt;
    report("link out", link("/mnt/data/f", "/tmp/f"));
    report("link in", link("/usr/bin/id", "/mnt/data/id"));
    report("rename out", rename("/mnt/data/f", "/tmp/f"));
    report("name_to_handle",
           syscall(SYS_name_to_handle_at, AT_FDCWD, "/mnt/data/f", &handle, &mount_id, 0));
    report("open_by_handle",
           syscall(SYS_open_by_handle_at, open("/mnt/data", O_RDONLY), &handle, O_RDONLY));
    report("remount", mount(NULL, "/mnt/data", NULL, MS_REMOUNT | MS_BIND, NULL));
    report("umount", umount2("/mnt/data", MNT_DETACH));
    report("bind", mount("/mnt/data", "/tmp", NULL, MS_BIND, NULL));
    report("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/mnt/data", 1));
    const bool is_same = stat("/mnt/data/..", &parent) == 0 && stat("/mnt", &mnt) == 0 &&
                         parent.st_dev == mnt.st_dev && parent.st_ino == mnt.st_ino;
    report("parent is mnt", is_same ? 0 : -1);
}

static void attack_filesystem(void)
{
    if (getenv("ATTACK_WRITES")) {
        attack_filesystem_writes();
        return;
    }
    attack_filesystem_nodes();
    attack_filesystem_ways_out();
    report("chown root", chown("/mnt/data/f", 0, 0));
    report("chown other", chown("/mnt/data/f", 1000, (gid_t) -1));
    report("chgrp other", chown("/mnt/data/f", (uid_t) -1, 1001));
    report("xattr trusted", setxattr("/mnt/data/f", "trusted.x", "y", 1, 0));
    report("xattr capability", setxattr("/mnt/data/f", "security.capability",
                                        "\1\0\0\2\377\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20, 0));
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } groups[] = {
        {"host_files", attack_host_files},
        {"writes", attack_writes},
        {"privileges", attack_privileges},
        {"namespaces", attack_namespaces},
        {"processes", attack_processes},
        {"kernel", attack_kernel},
#ifdef __x86_64__
        {"abi", attack_abi},
#endif
        {"network", attack_network},
        {"descriptors", attack_descriptors},
        {"victim", attack_victim},
        {"neighbour", attack_neighbour},
        {"forks", attack_forks},
        {"memory", attack_memory},
        {"tmp", attack_tmp},
        {"open_files", attack_open_files},
        {"numbers", attack_numbers},
        {"stay", stay},
        {"filesystem", attack_filesystem},
    };
    // In lamina-work's place there is no environment: the kind of job is the group's number.
    const unsigned long number = count > 1 ? strtoul(arguments[1], NULL, 10) : ~0UL;
    const char *name =
        number < sizeof(groups) / sizeof(groups[0]) ? groups[number].name : getenv("ATTACK");
    for (size_t i = 0; name && i < sizeof(groups) / sizeof(groups[0]); i++)
        if (strcmp(groups[i].name, name) == 0) {
            groups[i].run();
            return 0;
        }
    printf("no such attack\n");
    return 2;
}
