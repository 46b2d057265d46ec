// SPDX-License-Identifier: MIT

#include "spawn/cgroup.h"

#include "base/clock.h"
#include "base/fd.h"

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

int cgroups_open(struct cgroups *groups, const char *key, struct error *err)
{
    for (size_t i = 0; i < CGROUP_DIRS; i++)
        groups->dirs[i] = -1;
    (void) snprintf(groups->key, sizeof(groups->key), "%s", key);
    // A hybrid machine mounts both: whichever has the memory controller is the one that counts.
    struct cgroup_mount mount;
    groups->manager = cgroup_find_mount("memory", &mount) == 0 ? &cgroup_v1 : &cgroup_v2;
    return groups->manager->open(groups, key, err);
}

// True if any slot directory is left in `dir`; kills and removes as it goes.
static bool sweep_once(const struct cgroups *groups, int dir)
{
    bool is_left = false;
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy < 0 ? NULL : fdopendir(copy);
    if (!listing)
        return false;
    for (struct dirent *entry; (entry = readdir(listing));) {
        char *end;
        unsigned long slot = strtoul(entry->d_name, &end, 10);
        if (end == entry->d_name || *end || slot > UINT32_MAX)
            continue;
        (void) !cgroup_kill_listed(dir, (uint32_t) slot); // the removal tells
        (void) groups->manager->kill(groups, (uint32_t) slot);
        if (cgroup_remove_dir(dir, (uint32_t) slot) < 0)
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
        for (size_t i = 0; i < CGROUP_DIRS; i++)
            if (groups->dirs[i] >= 0 && sweep_once(groups, groups->dirs[i]))
                is_left = true;
        if (!is_left)
            return 0;
        if (clock_monotonic_ms() >= deadline)
            return error_set(err, -EBUSY, "processes of an earlier service do not end, see %s",
                             groups->memory_path);
        (void) poll(NULL, 0, 2);
    }
}

void cgroups_remove(struct cgroups *groups)
{
    char name[80];
    (void) snprintf(name, sizeof(name), "../lamina-%s", groups->key);
    for (size_t i = 0; i < CGROUP_DIRS; i++) {
        if (groups->dirs[i] < 0)
            continue;
        (void) unlinkat(groups->dirs[i], name, AT_REMOVEDIR); // twice where mounted together
        groups->dirs[i] = fd_close(groups->dirs[i]);
    }
}

// One line of /proc/self/mountinfo: is it the hierarchy looked for? `fields` after " - " are the
// type, the source and the options.
static bool mount_matches(char *line, const char *controller, const char **ret_path)
{
    char *tail = strstr(line, " - ");
    if (!tail)
        return false;
    char type[32], options[256];
    if (sscanf(tail + 3, "%31s %*s %255s", type, options) != 2)
        return false;
    char *path = line;
    for (int skipped = 0; skipped < 4; skipped++)
        path = strchr(path, ' ') ? strchr(path, ' ') + 1 : path;
    char *end = strchr(path, ' ');
    if (!end)
        return false;
    *end = '\0';
    *ret_path = path;
    if (!controller)
        return strcmp(type, "cgroup2") == 0;
    if (strcmp(type, "cgroup") != 0)
        return false;
    const size_t length = strlen(controller);
    for (const char *at = options; (at = strstr(at, controller)); at += length)
        if ((at == options || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
            return true;
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

int cgroup_find_own(char *path, size_t size)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file)
        return -errno;
    char line[4096];
    int r = -ENOENT;
    while (r < 0 && fgets(line, sizeof(line), file))
        if (strncmp(line, "0::", 3) == 0) {
            line[strcspn(line, "\n")] = '\0';
            r = snprintf(path, size, "%s", line + 3) < (int) size ? 0 : -ENAMETOOLONG;
        }
    fclose(file);
    return r;
}

int cgroup_open_file(int dir, uint32_t slot, const char *name, int flags)
{
    char path[96];
    if (name)
        (void) snprintf(path, sizeof(path), "%" PRIu32 "/%s", slot, name);
    else
        (void) snprintf(path, sizeof(path), "%" PRIu32, slot);
    int fd = openat(dir, path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int cgroup_write(int dir, uint32_t slot, const char *name, const char *text)
{
    AUTO_FD int fd = cgroup_open_file(dir, slot, name, O_WRONLY);
    if (fd < 0)
        return fd;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int cgroup_write_number(int dir, uint32_t slot, const char *name, uint64_t number)
{
    char text[24];
    (void) snprintf(text, sizeof(text), "%" PRIu64, number);
    return cgroup_write(dir, slot, name, text);
}

int cgroup_read(int dir, uint32_t slot, const char *name, char *text, size_t size)
{
    AUTO_FD int fd = cgroup_open_file(dir, slot, name, O_RDONLY);
    if (fd < 0)
        return fd;
    ssize_t got = read(fd, text, size - 1);
    if (got < 0)
        return -errno;
    text[got] = '\0';
    return 0;
}

int cgroup_read_number(int dir, uint32_t slot, const char *name, const char *key,
                       uint64_t *ret_number)
{
    char text[1024];
    int r = cgroup_read(dir, slot, name, text, sizeof(text));
    if (r < 0)
        return r;
    const char *at = text;
    if (key) {
        const size_t length = strlen(key);
        while (at && !(strncmp(at, key, length) == 0 && at[length] == ' ')) {
            at = strchr(at, '\n');
            at = at ? at + 1 : NULL;
        }
        if (!at)
            return -ENODATA;
        at += length + 1;
    }
    *ret_number = strtoull(at, NULL, 10);
    return 0;
}

int cgroup_make_dir(int dir, uint32_t slot)
{
    char path[16];
    (void) snprintf(path, sizeof(path), "%" PRIu32, slot);
    return mkdirat(dir, path, 0755) < 0 ? -errno : 0;
}

int cgroup_remove_dir(int dir, uint32_t slot)
{
    char path[16];
    (void) snprintf(path, sizeof(path), "%" PRIu32, slot);
    return unlinkat(dir, path, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int cgroup_kill_listed(int dir, uint32_t slot)
{
    AUTO_FD int fd = cgroup_open_file(dir, slot, "cgroup.procs", O_RDONLY);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    if (!file)
        return 0;
    fd = -1; // the stream's now
    int count = 0;
    for (int pid; fscanf(file, "%d", &pid) == 1; count++)
        if (pid > 1)
            (void) kill(pid, SIGKILL);
    fclose(file);
    return count;
}
