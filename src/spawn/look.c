// SPDX-License-Identifier: MIT

#include "spawn/look.h"

#include "base/clock.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

struct looking {
    const struct sandbox_tools *tools;
    uint32_t slot;
    pid_t pid, holder;
    struct look *look;
};

static void find(struct looking *looking, uint32_t reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Its words come from a stranger and end on somebody's terminal.
static void find(struct looking *looking, uint32_t reason, const char *format, ...)
{
    struct look *look = looking->look;
    va_list arguments;
    va_start(arguments, format);
    (void) vsnprintf(look->text, sizeof(look->text), format, arguments);
    va_end(arguments);
    for (char *at = look->text; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    look->reason = reason;
}

static int look_failed(struct looking *looking, int error)
{
    looking->look->error = (uint32_t) -error;
    find(looking, SPAWN_REASON_LOOK, "it could not be looked at");
    return -EPERM;
}

static int open_of(const struct sandbox_tools *tools, pid_t pid, const char *name, int flags)
{
    char path[64];
    (void) snprintf(path, sizeof(path), "%d/%s", pid, name);
    int fd = openat(tools->proc_fd, path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int read_text(const struct sandbox_tools *tools, pid_t pid, const char *name, char *text,
                     size_t size)
{
    AUTO_FD int fd = open_of(tools, pid, name, O_RDONLY);
    if (fd < 0)
        return fd;
    ssize_t got = fd_read_all(fd, text, size - 1);
    if (got < 0)
        return (int) got;
    text[got] = '\0';
    return 0;
}

static void read_name(struct looking *looking, pid_t pid, char name[32])
{
    name[0] = '\0';
    (void) !read_text(looking->tools, pid, "comm", name, 32);
    name[strcspn(name, "\n")] = '\0';
}

static bool begins_with(const char *text, const char *what)
{
    return strncmp(text, what, strlen(what)) == 0;
}

// Of a directory entry; -1 when it is none.
static int number_of(const char *name)
{
    char *end;
    const long number = strtol(name, &end, 10);
    return end == name || *end || number < 0 || number > INT32_MAX ? -1 : (int) number;
}

static DIR *list_of(struct looking *looking, const char *name)
{
    int fd = open_of(looking->tools, looking->pid, name, O_RDONLY | O_DIRECTORY);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    if (!listing)
        (void) look_failed(looking, fd < 0 ? fd : -ENOMEM);
    return listing;
}

static int look_at_threads(struct looking *looking)
{
    DIR *listing = list_of(looking, "task");
    if (!listing)
        return -EPERM;
    for (struct dirent *entry; (entry = readdir(listing));) {
        const pid_t thread = number_of(entry->d_name);
        char name[32];
        if (thread <= 0 || thread == looking->pid)
            continue;
        read_name(looking, thread, name);
        find(looking, SPAWN_REASON_THREADS, "it has a second thread: '%s'", name);
        break;
    }
    closedir(listing);
    return looking->look->reason ? -EPERM : 0;
}

// One that has ended and was not reaped yet is nobody's child.
static bool has_ended(struct looking *looking, pid_t pid)
{
    char text[512];
    if (read_text(looking->tools, pid, "stat", text, sizeof(text)) < 0)
        return true;
    const char *state = strrchr(text, ')'); // the name before it may hold anything
    return state && (begins_with(state, ") Z") || begins_with(state, ") X"));
}

static int look_at_processes(struct looking *looking)
{
    int fd = cgroup_open_procs(&looking->tools->groups, looking->slot);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    if (!file)
        return look_failed(looking, fd < 0 ? fd : -ENOMEM);
    char name[32];
    for (int pid; !looking->look->reason && fscanf(file, "%d", &pid) == 1;)
        if (pid != looking->pid && pid != looking->holder && !has_ended(looking, pid)) {
            read_name(looking, pid, name);
            find(looking, SPAWN_REASON_PROCESSES, "it has a child process: '%s'", name);
        }
    fclose(file);
    return looking->look->reason ? -EPERM : 0;
}

// A file of memory: harmless when nobody can write it any more.
static bool is_sealed(struct looking *looking, const char *path)
{
    // Without waiting: it may have a lease, or have become a pipe since we saw it.
    AUTO_FD int fd = open_of(looking->tools, looking->pid, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    const int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_WRITE);
}

// Whether forks may have descriptor `number`, which leads to `target`.
static bool is_shareable(struct looking *looking, int number, const char *target)
{
    char path[32], whole[64];
    struct stat stat;
    (void) snprintf(path, sizeof(path), "fd/%d", number);
    (void) snprintf(whole, sizeof(whole), "%d/%s", looking->pid, path);
    if (number == 3) // TEMPLATE_FD_CONTROL
        return begins_with(target, "socket:");
    if (number <= STDERR_FILENO && begins_with(target, "pipe:"))
        return true;
    if (target[0] != '/' || fstatat(looking->tools->proc_fd, whole, &stat, 0) < 0)
        return false;
    if (S_ISCHR(stat.st_mode))
        return major(stat.st_rdev) == 1;
    if (!S_ISREG(stat.st_mode))
        return false;
    looking->look->files++;
    // The one place that can be written, which no fork has in common with another.
    if (begins_with(target, "/tmp/"))
        return false;
    return begins_with(target, "/memfd:") ? is_sealed(looking, path) : true;
}

static int look_at_descriptors(struct looking *looking)
{
    DIR *listing = list_of(looking, "fd");
    if (!listing)
        return -EPERM;
    for (struct dirent *entry; !looking->look->reason && (entry = readdir(listing));) {
        const int number = number_of(entry->d_name);
        char target[96];
        if (number < 0)
            continue;
        ssize_t size = readlinkat(dirfd(listing), entry->d_name, target, sizeof(target) - 1);
        if (size < 0)
            continue; // closed meanwhile
        target[size] = '\0';
        if (!is_shareable(looking, number, target))
            find(looking, SPAWN_REASON_DESCRIPTOR, "descriptor %d cannot be shared by forks: '%s'",
                 number, target);
    }
    closedir(listing);
    return looking->look->reason ? -EPERM : 0;
}

// 55d0a000-55d0b000 rw-s 00000000 00:01 1024   /name
static int look_at_mappings(struct looking *looking)
{
    int fd = open_of(looking->tools, looking->pid, "maps", O_RDONLY);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    if (!file)
        return look_failed(looking, fd < 0 ? fd : -ENOMEM);
    char line[512];
    while (!looking->look->reason && fgets(line, sizeof(line), file)) {
        const char *rights = strchr(line, ' ');
        if (!rights || strlen(rights) < 5 || rights[2] != 'w' || rights[4] != 's')
            continue;
        const char *name = strchr(line, '/');
        line[strcspn(line, "\n")] = '\0';
        find(looking, SPAWN_REASON_MAPPING, "it shares memory that can be written: '%.80s'",
             name ? name : "anonymous");
    }
    fclose(file);
    return looking->look->reason ? -EPERM : 0;
}

// They are not inherited, and would be missed. A kernel that does not list them is believed.
static int look_at_timers(struct looking *looking)
{
    char text[64] = "";
    (void) !read_text(looking->tools, looking->pid, "timers", text, sizeof(text));
    if (text[0])
        find(looking, SPAWN_REASON_TIMER, "it has a timer that forks would not have");
    return looking->look->reason ? -EPERM : 0;
}

void look_at_template(const struct sandbox_tools *tools, uint32_t slot, pid_t pid, pid_t holder,
                      struct look *ret_look)
{
    const int64_t begin_ns = clock_monotonic_ns();
    *ret_look = (struct look){0};
    struct looking looking = {tools, slot, pid, holder, ret_look};
    int (*const steps[])(struct looking *) = {
        look_at_threads, look_at_processes, look_at_descriptors, look_at_mappings, look_at_timers};
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++)
        r = steps[i](&looking);
    ret_look->took_us = (uint32_t) ((clock_monotonic_ns() - begin_ns) / CLOCK_NS_PER_US);
}

// ---- a fork -------------------------------------------------------------------------------------

// All namespaces are of one file system, and no two that live have the same inode.
int look_at_seat(const struct sandbox_tools *tools, pid_t holder, uint64_t ret_names[SANDBOX_NAMES])
{
    static const char *const kinds[SANDBOX_NAMES] = {"pid", "user", "mnt", "net", "ipc"};
    for (size_t i = 0; i < SANDBOX_NAMES; i++) {
        char path[48];
        struct stat stat;
        (void) snprintf(path, sizeof(path), "%d/ns/%s", holder, kinds[i]);
        if (fstatat(tools->proc_fd, path, &stat, 0) < 0)
            return -errno;
        ret_names[i] = stat.st_ino;
    }
    return 0;
}

// A line of /proc/PID/status.
static bool has_line(const char *status, const char *line)
{
    const char *at = strstr(status, line);
    return at && at > status && at[-1] == '\n' && at[strlen(line)] == '\n';
}

static bool is_powerless(const struct sandbox_tools *tools, pid_t pid, uid_t uid)
{
    char status[4096], line[96];
    if (read_text(tools, pid, "status", status, sizeof(status)) < 0)
        return false;
    static const char *const names[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        (void) snprintf(line, sizeof(line), "%s:\t0000000000000000", names[i]);
        if (!has_line(status, line))
            return false;
    }
    (void) snprintf(line, sizeof(line), "Uid:\t%u\t%u\t%u\t%u", uid, uid, uid, uid);
    if (!has_line(status, line))
        return false;
    (void) snprintf(line, sizeof(line), "Gid:\t%u\t%u\t%u\t%u", uid, uid, uid, uid);
    // Each of the filters was seen: the template's and the fork's own.
    return has_line(status, line) && has_line(status, "NoNewPrivs:\t1") &&
           has_line(status, "Seccomp:\t2") && !has_line(status, "Seccomp_filters:\t1");
}

// Wherever this service has groups, it is in those of the slot.
static bool is_in_groups(const struct sandbox_tools *tools, uint32_t slot, pid_t pid)
{
    char text[4096], key[64], own[80];
    if (read_text(tools, pid, "cgroup", text, sizeof(text)) < 0)
        return false;
    (void) snprintf(key, sizeof(key), "/lamina-%s/", tools->groups.key);
    (void) snprintf(own, sizeof(own), "%s%u\n", key, slot);
    bool is_seen = false;
    for (const char *at = text; (at = strstr(at, key)); at += strlen(key)) {
        if (!begins_with(at, own))
            return false;
        is_seen = true;
    }
    return is_seen;
}

int look_at_fork(const struct sandbox_tools *tools, const struct sandbox *seat, pid_t pid)
{
    // Ours, and not reaped yet: the number cannot become somebody else's while we look.
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0)
        return -errno;
    if (info.si_pid != 0)
        return -ESRCH;
    uint64_t names[SANDBOX_NAMES];
    if (look_at_seat(tools, pid, names) < 0 || memcmp(names, seat->names, sizeof(names)) != 0)
        return -EPERM;
    return is_powerless(tools, pid, tools->uid_first + seat->slot) &&
                   is_in_groups(tools, seat->slot, pid)
               ? 0
               : -EPERM;
}
