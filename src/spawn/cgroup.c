// SPDX-License-Identifier: MIT

#include "spawn/cgroup.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- the service's subtree ----------------------------------------------------------------------

int cgroups_open(struct cgroups *groups, const char *key, struct error *err)
{
    for (size_t i = 0; i < CGROUP_DIRS; i++)
        groups->dirs[i] = -1;
    (void) snprintf(groups->key, sizeof(groups->key), "%s", key);
    // A hybrid machine mounts both: whichever has the memory controller is the one that counts.
    struct cgroup_mount mount;
    groups->manager = cgroup_find_mount("memory", &mount) == 0 ? &cgroup_v1 : &cgroup_v2;
    return groups->manager->open(groups, err);
}

// True if any slot's directory is left with that controller; kills and removes as it goes.
static bool sweep_once(const struct cgroups *groups, int controller)
{
    bool is_left = false;
    int copy = openat(groups->dirs[controller], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy < 0 ? NULL : fdopendir(copy);
    if (!listing)
        return false;
    for (struct dirent *entry; (entry = readdir(listing));) {
        char *end;
        unsigned long slot = strtoul(entry->d_name, &end, 10);
        if (end == entry->d_name || *end || slot > UINT32_MAX)
            continue;
        cgroup_kill_listed(groups, controller, (uint32_t) slot);
        cgroup_kill(groups, (uint32_t) slot);
        if (unlinkat(groups->dirs[controller], entry->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
            is_left = true;
    }
    closedir(listing);
    return is_left;
}

int cgroups_sweep(const struct cgroups *groups, int deadline_ms, struct error *err)
{
    const int64_t deadline = clock_monotonic_ms() + deadline_ms;
    for (;;) {
        bool is_left = false;
        for (int i = 0; i < CGROUP_DIRS; i++)
            is_left |= sweep_once(groups, i);
        if (!is_left)
            return 0;
        if (clock_monotonic_ms() >= deadline)
            return error_set(err, -EBUSY, "processes of an earlier service do not end, see %s",
                             groups->memory_path);
        (void) poll(NULL, 0, 2);
    }
}

void cgroups_close(struct cgroups *groups)
{
    char name[80];
    (void) snprintf(name, sizeof(name), "../lamina-%s", groups->key);
    for (size_t i = 0; i < CGROUP_DIRS; i++) {
        (void) unlinkat(groups->dirs[i], name, AT_REMOVEDIR);
        if (i == 0 || groups->dirs[i] != groups->dirs[0])
            fd_close(groups->dirs[i]);
    }
}

// By the open directories of our own subtree: with v2 the other one is looked for only beside it.
static int sweep_other(const struct cgroups *groups, const char *key, int deadline_ms)
{
    struct error err = {0};
    struct cgroups other = {.manager = groups->manager};
    char path[80];
    (void) snprintf(other.key, sizeof(other.key), "%s", key);
    (void) snprintf(path, sizeof(path), "../lamina-%s", key);
    (void) snprintf(other.memory_path, sizeof(other.memory_path), "lamina-%s", key);
    for (size_t i = 0; i < CGROUP_DIRS; i++)
        other.dirs[i] = groups->manager->version == 2 && i > 0
                            ? other.dirs[0]
                            : openat(groups->dirs[i], path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = cgroups_sweep(&other, deadline_ms, &err);
    if (r < 0)
        log_warn("spawn.sweep", "error=%s", LOG_TEXT(err.text));
    cgroups_close(&other);
    return r;
}

int cgroups_sweep_dead(const struct cgroups *groups, int (*lock)(const char *key), int deadline_ms)
{
    static const char prefix[] = "lamina-";
    const int64_t deadline = clock_monotonic_ms() + deadline_ms;
    int gone = 0;
    int parent = openat(groups->dirs[CGROUP_FREEZER], "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = parent < 0 ? NULL : fdopendir(parent);
    if (!listing)
        return 0;
    for (struct dirent *entry; (entry = readdir(listing));) {
        const char *key = entry->d_name + sizeof(prefix) - 1;
        const int64_t left_ms = deadline - clock_monotonic_ms();
        // A key is two hexadecimal numbers and fits; `lamina-main-...` is none.
        if (strncmp(entry->d_name, prefix, sizeof(prefix) - 1) != 0 || left_ms <= 0 ||
            strlen(key) >= sizeof(groups->key) || key[strspn(key, "0123456789abcdef-")] != '\0' ||
            strcmp(key, groups->key) == 0)
            continue;
        AUTO_FD int held = lock(key);
        if (held >= 0)
            gone += sweep_other(groups, key, (int) left_ms) == 0;
    }
    closedir(listing);
    return gone;
}

// One line of /proc/self/mountinfo: is it the hierarchy looked for? The fields after " - " are the
// type, the source and the options.
static bool mount_matches(char *line, const char *controller, const char **ret_path)
{
    char type[32], options[256];
    char *tail = strstr(line, " - ");
    if (!tail || sscanf(tail + 3, "%31s %*s %255s", type, options) != 2)
        return false;
    char *path = line;
    for (int skipped = 0; skipped < 4; skipped++)
        path = strchr(path, ' ') ? strchr(path, ' ') + 1 : path;
    path[strcspn(path, " ")] = '\0';
    *ret_path = path;
    if (!controller)
        return strcmp(type, "cgroup2") == 0;
    const size_t length = strlen(controller);
    for (const char *at = options; (at = strstr(at, controller)); at += length)
        if ((at == options || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
            return strcmp(type, "cgroup") == 0;
    return false;
}

int cgroup_find_mount(const char *controller, struct cgroup_mount *ret_mount)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return -errno;
    char line[4096];
    const char *path = NULL;
    int r = -ENOENT;
    while (r < 0 && fgets(line, sizeof(line), file))
        if (mount_matches(line, controller, &path) &&
            snprintf(ret_mount->path, sizeof(ret_mount->path), "%s", path) <
                (int) sizeof(ret_mount->path))
            r = 0;
    fclose(file);
    return r;
}

// ---- files of one group -------------------------------------------------------------------------

static int open_file(const struct cgroups *groups, int controller, uint32_t slot, const char *name,
                     int flags)
{
    char path[96];
    (void) snprintf(path, sizeof(path), "%" PRIu32 "/%s", slot, name);
    int fd = openat(groups->dirs[controller], path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int cgroup_write(const struct cgroups *groups, int controller, uint32_t slot, const char *name,
                 const char *text)
{
    AUTO_FD int fd = open_file(groups, controller, slot, name, O_WRONLY);
    if (fd < 0)
        return fd;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int write_number(const struct cgroups *groups, int controller, uint32_t slot,
                        const char *name, uint64_t number)
{
    char text[24];
    (void) snprintf(text, sizeof(text), "%" PRIu64, number);
    return cgroup_write(groups, controller, slot, name, text);
}

int cgroup_read(const struct cgroups *groups, int controller, uint32_t slot, const char *name,
                char *text, size_t size)
{
    AUTO_FD int fd = open_file(groups, controller, slot, name, O_RDONLY);
    if (fd < 0)
        return fd;
    ssize_t got = read(fd, text, size - 1);
    if (got < 0)
        return -errno;
    text[got] = '\0';
    return 0;
}

int cgroup_read_number(const struct cgroups *groups, int controller, uint32_t slot,
                       const char *name, const char *key, uint64_t *ret_number)
{
    char text[1024];
    int r = cgroup_read(groups, controller, slot, name, text, sizeof(text));
    if (r < 0)
        return r;
    const size_t length = key ? strlen(key) : 0;
    const char *at = text;
    while (key && at && !(strncmp(at, key, length) == 0 && at[length] == ' ')) {
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    if (!at)
        return -ENODATA;
    *ret_number = strtoull(at + length, NULL, 10);
    return 0;
}

void cgroup_kill_listed(const struct cgroups *groups, int controller, uint32_t slot)
{
    int fd = open_file(groups, controller, slot, "cgroup.procs", O_RDONLY);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    if (!file)
        return;
    for (int pid; fscanf(file, "%d", &pid) == 1;)
        if (pid > 1)
            (void) kill(pid, SIGKILL);
    fclose(file);
}

// ---- one group ----------------------------------------------------------------------------------

int cgroup_make(const struct cgroups *groups, uint32_t slot)
{
    char path[16];
    (void) snprintf(path, sizeof(path), "%" PRIu32, slot);
    for (int i = 0; i < CGROUP_DIRS; i++)
        if (mkdirat(groups->dirs[i], path, 0755) < 0 && errno != EEXIST) // mounted together
            return -errno;
    return groups->manager->set_up(groups, slot);
}

int cgroup_limit(const struct cgroups *groups, uint32_t slot, const struct cgroup_limits *limits)
{
    const struct cgroup_manager *manager = groups->manager;
    int r = 0;
    if (limits->memory_bytes > 0) {
        r = write_number(groups, CGROUP_MEMORY, slot, manager->memory_max, limits->memory_bytes);
        const int swap = r < 0 ? r : manager->limit_swap(groups, slot, limits->memory_bytes);
        if (swap != -ENOENT) // it is accounted here
            r = swap;
    }
    if (r == 0 && limits->pids_max > 0)
        r = write_number(groups, CGROUP_PIDS, slot, manager->pids_max, limits->pids_max);
    if (r == 0 && limits->is_background)
        r = cgroup_write(groups, CGROUP_CPU, slot, manager->cpu_share,
                         manager->cpu_share_background);
    return r;
}

int cgroup_limit_cpu(const struct cgroups *groups, uint32_t slot, uint32_t cpu_millis)
{
    const uint64_t quota_us = (uint64_t) cpu_millis * CGROUP_CPU_PERIOD_US / 1000;
    const uint64_t least_us = cpu_millis > 0 ? 1000 : 0; // the kernel takes no less
    return groups->manager->limit_cpu(groups, slot,
                                      (uint32_t) (quota_us < least_us ? least_us : quota_us));
}

int cgroup_enter(const struct cgroups *groups, uint32_t slot)
{
    return groups->manager->enter(groups, slot);
}

int cgroup_freeze(const struct cgroups *groups, uint32_t slot, bool is_frozen)
{
    const struct cgroup_manager *manager = groups->manager;
    return cgroup_write(groups, CGROUP_FREEZER, slot, manager->frozen,
                        is_frozen ? manager->frozen_yes : manager->frozen_no);
}

int cgroup_is_frozen(const struct cgroups *groups, uint32_t slot)
{
    return groups->manager->is_frozen(groups, slot);
}

int cgroup_usage(const struct cgroups *groups, uint32_t slot, struct cgroup_usage *ret_usage)
{
    const struct cgroup_manager *manager = groups->manager;
    struct cgroup_usage usage = {0};
    uint64_t kills = 0;
    int r = cgroup_read_number(groups, CGROUP_MEMORY, slot, manager->memory_now, NULL,
                               &usage.memory_bytes);
    if (r < 0)
        return r;
    // Files that came with Linux 5.19 (v2) and 4.13 (v1).
    (void) !cgroup_read_number(groups, CGROUP_MEMORY, slot, manager->memory_peak, NULL,
                               &usage.memory_peak_bytes);
    (void) !cgroup_read_number(groups, CGROUP_MEMORY, slot, manager->memory_events, "oom_kill",
                               &kills);
    usage.has_oom = kills > 0;
    *ret_usage = usage;
    return 0;
}

void cgroup_kill(const struct cgroups *groups, uint32_t slot)
{
    groups->manager->kill(groups, slot);
}

int cgroup_remove(const struct cgroups *groups, uint32_t slot)
{
    char path[16];
    int r = 0;
    (void) snprintf(path, sizeof(path), "%" PRIu32, slot);
    for (int i = 0; i < CGROUP_DIRS; i++)
        if (unlinkat(groups->dirs[i], path, AT_REMOVEDIR) < 0 && errno != ENOENT)
            r = -errno;
    return r;
}

int cgroup_open_peak(const struct cgroups *groups, uint32_t slot)
{
    int fd = open_file(groups, CGROUP_MEMORY, slot, groups->manager->memory_peak, O_RDONLY);
    return fd == -ENOENT
               ? open_file(groups, CGROUP_MEMORY, slot, groups->manager->memory_now, O_RDONLY)
               : fd;
}

int cgroup_open_procs(const struct cgroups *groups, uint32_t slot)
{
    return open_file(groups, CGROUP_PIDS, slot, "cgroup.procs", O_RDONLY);
}

int cgroup_open_entrances(const struct cgroups *groups, uint32_t slot, int ret_fds[CGROUP_DIRS])
{
    const int count = groups->manager->version == 1 ? CGROUP_DIRS : 1;
    for (int i = 0; i < count; i++) {
        ret_fds[i] = open_file(groups, i, slot, groups->manager->entrance, O_WRONLY);
        if (ret_fds[i] >= 0)
            continue;
        const int r = ret_fds[i];
        while (--i >= 0)
            fd_close(ret_fds[i]);
        return r;
    }
    return count;
}

int cgroup_open_dir(const struct cgroups *groups, uint32_t slot)
{
    return open_file(groups, 0, slot, "", O_RDONLY | O_DIRECTORY);
}
