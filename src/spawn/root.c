// SPDX-License-Identifier: MIT

#include "spawn/root.h"

#include "base/fd.h"
#include "wire/spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

// Where the small namespace is put together. The directory belongs to root, as /run does.
#define STAGE "/run/lamina/root"
#define BASE STAGE "/base"

static const char *const directories[] = {"usr",
                                          "etc",
                                          "etc/ssl",
                                          "etc/ssl/certs",
                                          "etc/alternatives",
                                          "opt",
                                          "opt/lamina",
                                          "opt/lamina/models",
                                          "var",
                                          "var/task",
                                          "var/tmp",
                                          "tmp",
                                          "mnt",
                                          "proc",
                                          "dev",
                                          "run",
                                          "sys",
                                          "sys/devices",
                                          "sys/devices/system",
                                          "sys/devices/system/cpu"};

static const struct {
    const char *path, *target;
} links[] = {
    {"bin", "usr/bin"},
    {"sbin", "usr/sbin"},
    {"lib", "usr/lib"},
    {"lib32", "usr/lib32"},
    {"lib64", "usr/lib64"},
    {"libx32", "usr/libx32"},
    {"etc/os-release", "../usr/lib/os-release"},
    {"etc/localtime", "../usr/share/zoneinfo/Etc/UTC"},
    {"etc/mtab", "../proc/self/mounts"},
};

static const struct {
    const char *path, *text;
} texts[] = {
    {"etc/hosts", "127.0.0.1 localhost sandbox.localdomain sandbox.local sandbox\n::1 localhost\n"},
    {"etc/hostname", "lamina\n"},
    {"etc/resolv.conf", "# no name server: the sandbox has no network\n"},
    {"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n"
                          "protocols: files\n"},
    {"etc/ssl/openssl.cnf", "# the defaults\n"},
};

// Public files of the host that programs in /usr expect. None of them is a secret or tells more
// about the machine than /usr itself.
static const char *const copies[] = {
    "etc/ld.so.cache", "etc/services", "etc/protocols", "etc/mime.types",
    "etc/ssl/certs/ca-certificates.crt",
    // Libraries size their thread pools by these; sched_getaffinity tells the same.
    "sys/devices/system/cpu/online", "sys/devices/system/cpu/possible",
    "sys/devices/system/cpu/present"};

static const struct {
    const char *name;
    unsigned minor;
} devices[] = {{"null", 3}, {"zero", 5}, {"full", 7}, {"random", 8}, {"urandom", 9}};

static const struct {
    const char *path, *target;
} device_links[] = {
    {"fd", "/proc/self/fd"},
    {"stdin", "/proc/self/fd/0"},
    {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"},
    // For sem_open and shm_open: /tmp is the one place that can be written.
    {"shm", "/tmp"},
};

static int put_text(int base, const char *path, const void *text, size_t size)
{
    AUTO_FD int fd = openat(base, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (fd < 0)
        return -errno;
    return fd_write_all(fd, text, size);
}

// A file of the host that is missing stays missing.
static int put_copy(int base, const char *path)
{
    char from[128];
    (void) snprintf(from, sizeof(from), "/%s", path);
    AUTO_FD int source = open(from, O_RDONLY | O_CLOEXEC);
    if (source < 0)
        return 0;
    AUTO_FD int fd = openat(base, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (fd < 0)
        return -errno;
    char data[16384];
    ssize_t size;
    while ((size = fd_read_all(source, data, sizeof(data))) > 0) {
        int r = fd_write_all(fd, data, (size_t) size);
        if (r < 0)
            return r;
    }
    return size < 0 ? (int) size : 0;
}

// Debian's alternatives: libblas.so.3 and others are links from /usr through here.
static int put_alternatives(int base)
{
    DIR *listing = opendir("/etc/alternatives");
    if (!listing)
        return 0;
    int r = 0;
    for (struct dirent *entry; r == 0 && (entry = readdir(listing));) {
        char target[512], path[300];
        ssize_t size = readlinkat(dirfd(listing), entry->d_name, target, sizeof(target) - 1);
        if (size <= 0)
            continue;
        target[size] = '\0';
        (void) snprintf(path, sizeof(path), "etc/alternatives/%s", entry->d_name);
        if (symlinkat(target, base, path) < 0)
            r = -errno;
    }
    closedir(listing);
    return r;
}

// One name for all of the sandboxes' uids, Lambda's own: programs ask for the user's name and home.
static int put_users(int base, uid_t uid_first, uint32_t uid_count)
{
    AUTO_FD int passwd = openat(base, "etc/passwd", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    AUTO_FD int group = openat(base, "etc/group", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (passwd < 0 || group < 0)
        return -errno;
    FILE *users = fdopen(TAKE_FD(passwd), "w"), *groups = fdopen(TAKE_FD(group), "w");
    if (!users || !groups)
        return -ENOMEM;
    fprintf(users, "root:x:0:0:root:/:/usr/sbin/nologin\n");
    fprintf(groups, "root:x:0:\n");
    for (uint32_t i = 0; i < uid_count; i++) {
        fprintf(users, "sbx_user1051:x:%u:%u::/tmp:/usr/sbin/nologin\n", uid_first + i,
                uid_first + i);
        fprintf(groups, "sbx_user1051:x:%u:\n", uid_first + i);
    }
    return fclose(users) == 0 && fclose(groups) == 0 ? 0 : -errno;
}

static int put_skeleton(int base)
{
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
        if (mkdirat(base, directories[i], 0755) < 0)
            return -errno;
    for (size_t i = 0; i < ARRAY_SIZE(links); i++)
        if (symlinkat(links[i].target, base, links[i].path) < 0)
            return -errno;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++)
        r = put_text(base, texts[i].path, texts[i].text, strlen(texts[i].text));
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(copies); i++)
        r = put_copy(base, copies[i]);
    return r < 0 ? r : put_alternatives(base);
}

// Device nodes are made; where the machine forbids that (an outer container), the host's own are
// bound in.
static int put_devices(void)
{
    char path[64], host[32];
    for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
        (void) snprintf(path, sizeof(path), BASE "/dev/%s", devices[i].name);
        (void) snprintf(host, sizeof(host), "/dev/%s", devices[i].name);
        if (mknod(path, S_IFCHR | 0666, makedev(1, devices[i].minor)) == 0) {
            if (chmod(path, 0666) < 0) // the umask
                return -errno;
            continue;
        }
        AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0 || mount(host, path, NULL, MS_BIND, NULL) < 0)
            return -errno;
    }
    for (size_t i = 0; i < ARRAY_SIZE(device_links); i++) {
        (void) snprintf(path, sizeof(path), BASE "/dev/%s", device_links[i].path);
        if (symlink(device_links[i].target, path) < 0)
            return -errno;
    }
    return 0;
}

// Binds without what is mounted below it, then changes the flags: the kernel takes them only on a
// second call.
static int bind_read_only(const char *from, const char *to)
{
    if (mount(from, to, NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, to, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
        return -errno;
    return 0;
}

static int seal(const char *path, unsigned long flags)
{
    return mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | flags, NULL) < 0
               ? -errno
               : 0;
}

static int make_base(const char *runtime_dir, uid_t uid_first, uint32_t uid_count,
                     struct error *err)
{
    if (mkdir(BASE, 0755) < 0 ||
        mount("lamina", BASE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=4m") < 0)
        return error_set_errno(err, -errno, "make the sandbox root");
    AUTO_FD int base = open(BASE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = base < 0 ? -errno : put_skeleton(base);
    if (r == 0)
        r = put_users(base, uid_first, uid_count);
    if (r < 0)
        return error_set_errno(err, r, "fill the sandbox root");
    if ((r = bind_read_only("/usr", BASE "/usr")) < 0)
        return error_set_errno(err, r, "bind /usr into the sandbox root");
    if (runtime_dir && (r = bind_read_only(runtime_dir, BASE "/opt/lamina")) < 0)
        return error_set_errno(err, r, "bind '%s' into the sandbox root", runtime_dir);
    if (mount("lamina-dev", BASE "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k") < 0)
        return error_set_errno(err, -errno, "mount the sandbox's /dev");
    if ((r = put_devices()) < 0 || (r = seal(BASE "/dev", MS_NOEXEC)) < 0 ||
        (r = seal(BASE, MS_NODEV)) < 0)
        return error_set_errno(err, r, "fill the sandbox's /dev");
    return 0;
}

int root_begin(struct error *err)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return error_set_errno(err, -errno, "make a mount namespace");
    return 0;
}

// A directory of the store, beside /base.
static int place(int fd, const char *path)
{
    char from[32];
    (void) snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
    return mkdir(path, 0755) < 0 ? -errno : bind_read_only(from, path);
}

int root_prepare(int trees_fd, int models_fd, const char *runtime_dir, uid_t uid_first,
                 uint32_t uid_count, struct error *err)
{
    if (mkdir(STAGE, 0755) < 0 && errno != EEXIST)
        return error_set_errno(err, -errno, "make " STAGE);
    if (mount("lamina", STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64k") < 0)
        return error_set_errno(err, -errno, "mount on " STAGE);
    int r = make_base(runtime_dir, uid_first, uid_count, err);
    if (r < 0)
        return r;
    if ((r = place(trees_fd, STAGE "/trees")) < 0 || (r = place(models_fd, STAGE "/models")) < 0)
        return error_set_errno(err, r, "bind the store's trees and models");
    if (mkdir(STAGE "/proc", 0755) < 0 ||
        mount("proc", STAGE "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "subset=pid,hidepid=invisible") < 0)
        return error_set_errno(err, -errno, "mount /proc in " STAGE);
    if (mkdir(STAGE "/old", 0755) < 0 || syscall(SYS_pivot_root, STAGE, STAGE "/old") < 0 ||
        chdir("/") < 0 || umount2("/old", MNT_DETACH) < 0 || rmdir("/old") < 0)
        return error_set_errno(err, -errno, "leave the host's mounts");
    return 0;
}

// ---- in the sandbox's first process -------------------------------------------------------------

static void hex_write(char *to, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        *to++ = digits[bytes[i] >> 4];
        *to++ = digits[bytes[i] & 15];
    }
    *to = '\0';
}

static bool is_named(const uint8_t id[32])
{
    for (int i = 0; i < 32; i++)
        if (id[i] != 0)
            return true;
    return false;
}

// Below a directory that is not ours: nothing is followed.
static int open_inside(const char *directory, const char *name)
{
    int outer = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (outer < 0)
        return -errno;
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
                                      RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
    int fd = (int) syscall(SYS_openat2, outer, name, &how, sizeof(how));
    int error = errno;
    close(outer);
    return fd < 0 ? -error : fd;
}

// A mount that is nowhere yet, of what `fd` is. What is mounted read-only, nosuid and nodev stays so.
static int mount_clone(int fd)
{
    int clone =
        (int) syscall(SYS_open_tree, fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    return clone < 0 ? -errno : clone;
}

// Takes the mount. The target is a directory of `outer` that nobody can have replaced by a link.
static int mount_put(int mount, const char *outer, const char *name)
{
    int target = open_inside(outer, name);
    int r = target < 0 ? target : 0;
    if (r == 0 && syscall(SYS_move_mount, mount, "", target, "",
                          MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        r = -errno;
    if (target >= 0)
        close(target);
    close(mount);
    return r;
}

// Directory `id` of `store` (/trees, /models), which belongs to the unprivileged user.
static int store_mount(const char *store, const uint8_t id[32], const char *outer, const char *name)
{
    char hex[65];
    hex_write(hex, id, 32);
    int directory = open_inside(store, hex);
    if (directory < 0)
        return directory;
    int mount = mount_clone(directory);
    close(directory);
    return mount < 0 ? mount : mount_put(mount, outer, name);
}

// The layers, and our own runtime on top of what they cannot replace.
static int opt_mount(const uint8_t tree_id[32])
{
    int lamina = open("opt/lamina", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (lamina < 0)
        return -errno;
    int runtime = mount_clone(lamina);
    close(lamina);
    if (runtime < 0)
        return runtime;
    int r = store_mount("/trees", tree_id, ".", "opt");
    if (r == 0)
        return mount_put(runtime, "opt", "lamina");
    close(runtime);
    return r;
}

static int trees_mount(const struct init_root *order)
{
    int r = 0;
    if (is_named(order->tree_id))
        r = store_mount("/trees", order->tree_id, "var", "task");
    if (r == 0 && is_named(order->opt_tree_id))
        r = opt_mount(order->opt_tree_id);
    if (r == 0 && is_named(order->models_id))
        r = store_mount("/models", order->models_id, "opt/lamina", "models");
    return r;
}

static int tmp_mount(uint64_t bytes)
{
    // nr_inodes: an inode costs a kilobyte of kernel memory that no size limits.
    char options[96];
    (void) snprintf(options, sizeof(options), "mode=1777,size=%llu,nr_inodes=%llu",
                    (unsigned long long) bytes, (unsigned long long) (1024 + bytes / 16384));
    return mount("tmp", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, options) < 0 ? -errno : 0;
}

// Mounts that came along into a less privileged namespace are locked: the root must be a new one.
static int base_unlock(void)
{
    int clone = (int) syscall(SYS_open_tree, AT_FDCWD, "/base",
                              OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (clone < 0)
        return -errno;
    int r = syscall(SYS_move_mount, clone, "", AT_FDCWD, "/base", MOVE_MOUNT_F_EMPTY_PATH) < 0
                ? -errno
                : 0;
    close(clone);
    return r;
}

// A place of its own for the one name, then nothing can be made beside it.
static int filesystem_mount(const char *name, int tree_fd)
{
    if (mount("mnt", "mnt", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "mode=0755,size=4k,nr_inodes=2") < 0 ||
        chdir("mnt") < 0 || mkdir(name, 0755) < 0 || chdir("..") < 0)
        return -errno;
    int r = mount_put(tree_fd, "mnt", name);
    if (r == 0 &&
        mount(NULL, "mnt", NULL,
              MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        r = -errno;
    return r;
}

int root_enter(const struct init_root *order, int tree_fd, bool is_own, uint32_t *ret_step)
{
    *ret_step = SPAWN_STEP_MOUNT;
    int r = is_own ? base_unlock() : 0;
    if (r < 0)
        return r;
    if (chdir("/base") < 0)
        return -errno;
    *ret_step = SPAWN_STEP_TREE;
    if ((r = trees_mount(order)) < 0)
        return r;
    *ret_step = SPAWN_STEP_MOUNT;
    if (order->tmp_bytes > 0 && (r = tmp_mount(order->tmp_bytes)) < 0)
        return r;
    *ret_step = SPAWN_STEP_FILESYSTEM;
    if (tree_fd >= 0 && (r = filesystem_mount(order->mount_name, tree_fd)) < 0)
        return r;
    *ret_step = SPAWN_STEP_MOUNT;
    // Only processes, and only one's own: no /proc/sys, meminfo, kallsyms, keys, sched_debug.
    if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "subset=pid,hidepid=invisible") < 0)
        return -errno;
    *ret_step = SPAWN_STEP_ROOT;
    // The old root is stacked on the new one and taken away: nothing of it stays reachable.
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}
