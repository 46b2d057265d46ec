// SPDX-License-Identifier: MIT

#include "spawn/stats.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int read_text(int proc_fd, int pid, const char *name, char *text, size_t size)
{
    char path[48];
    (void) snprintf(path, sizeof(path), "%d/%s", pid, name);
    AUTO_FD int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t got = fd_read_all(fd, text, size - 1);
    if (got < 0)
        return (int) got;
    text[got] = '\0';
    return 0;
}

// The value in bytes of a "Name:   123 kB" line; 0 when there is none.
static uint64_t kilobytes(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

static uint64_t cpu_micros(int proc_fd, int pid)
{
    char text[1024];
    if (read_text(proc_fd, pid, "stat", text, sizeof(text)) < 0)
        return 0;
    const char *at = strrchr(text, ')'); // the name before it may hold anything
    unsigned long long user, system, children_user, children_system;
    if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu",
                      &user, &system, &children_user, &children_system) != 4)
        return 0;
    const unsigned long long ticks = user + system + children_user + children_system;
    return ticks * 1000000 / (unsigned long long) sysconf(_SC_CLK_TCK);
}

static void add_process(int proc_fd, int pid, struct spawn_stats *stats)
{
    char text[4096];
    if (read_text(proc_fd, pid, "smaps_rollup", text, sizeof(text)) == 0) {
        stats->pss_bytes += kilobytes(text, "\nPss:");
        stats->anonymous_bytes += kilobytes(text, "\nPss_Anon:");
        stats->private_bytes +=
            kilobytes(text, "\nPrivate_Clean:") + kilobytes(text, "\nPrivate_Dirty:");
    }
    if (read_text(proc_fd, pid, "status", text, sizeof(text)) == 0)
        stats->page_table_bytes += kilobytes(text, "\nVmPTE:");
    stats->cpu_us += cpu_micros(proc_fd, pid);
    stats->processes++;
}

void stats_read(const struct sandbox_tools *tools, uint32_t slot, struct spawn_stats *ret_stats)
{
    struct spawn_stats stats = {0};
    struct cgroup_usage usage = {0};
    int r = cgroup_usage(&tools->groups, slot, &usage);
    int fd = r < 0 ? r : cgroup_open_procs(&tools->groups, slot);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    if (!file) {
        stats.error = (uint32_t) (fd < 0 ? -fd : ENOMEM);
    } else {
        for (int pid; fscanf(file, "%d", &pid) == 1;)
            if (pid > 0)
                add_process(tools->proc_fd, pid, &stats);
        fclose(file);
    }
    stats.memory_bytes = usage.memory_bytes;
    stats.memory_peak_bytes = usage.memory_peak_bytes;
    *ret_stats = stats;
}
