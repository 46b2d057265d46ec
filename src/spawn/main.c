// SPDX-License-Identifier: MIT
//
// lamina-spawn: the privileged process, parent of all others. It reads no file that strangers made,
// parses nothing but its own flags, the list of file systems and fixed structs, has no thread and speaks no network protocol.
//
// This file is the order of its start (docs/wire-spawn.md); then monitor_run takes over.

#include "base/fd.h"
#include "base/log.h"
#include "spawn/keeper.h"
#include "spawn/laminad.h"
#include "spawn/monitor.h"
#include "spawn/options.h"
#include "spawn/probe.h"
#include "spawn/root.h"
#include "spawn/service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAIN_FILES_MAX 65536

static struct sandbox sandboxes[SANDBOX_SLOTS_MAX];

// 0, 1 and 2 must be something: else a channel would get one of these numbers.
static void open_standard(void)
{
    int fd;
    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= 2)
        continue;
    fd_close(fd);
}

// Two descriptors for each instance here, six in laminad, which gets the same limit, and as many as
// it has callers. As far as it goes: the limit itself says when it is reached.
static void raise_files(void)
{
    struct rlimit files = {MAIN_FILES_MAX, MAIN_FILES_MAX};
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) < 0)
        return;
    if (now.rlim_max >= MAIN_FILES_MAX)
        files.rlim_max = now.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
        now.rlim_cur = now.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &now);
    }
}

static int tools_open(struct sandbox_tools *tools, struct error *err)
{
    tools->proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tools->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (tools->proc_fd < 0 || tools->null_fd < 0)
        return error_set_errno(err, -errno, "open /proc and /dev/null");
    tools->init_fd = laminad_open_beside("lamina-init", O_PATH);
    if (tools->init_fd < 0)
        return error_set_errno(err, tools->init_fd, "open lamina-init beside lamina-spawn");
    tools->work_fd = laminad_open_beside("lamina-work", O_PATH);
    if (tools->work_fd < 0)
        return error_set_errno(err, tools->work_fd, "open lamina-work beside lamina-spawn");
    tools->cache_fd =
        laminad_open_beside("lamina-cache", O_PATH); // without it models are only files
    return 0;
}

// Blocks the signals that the loop reads; opens what it waits with.
static int loop_open(struct monitor *monitor, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
        return error_set_errno(err, -errno, "block signals");
    monitor->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    monitor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (monitor->signal_fd < 0 || monitor->epoll_fd < 0)
        return error_set_errno(err, -errno, "open epoll");
    return 0;
}

static int loop_watch(struct monitor *monitor, struct error *err)
{
    const struct {
        int fd;
        enum source_kind kind;
    } sources[] = {{monitor->channel_fd, SOURCE_CHANNEL},
                   {monitor->work_fd, SOURCE_WORK_CHANNEL},
                   {monitor->signal_fd, SOURCE_SIGNALS},
                   {monitor->keeper_fd, SOURCE_KEEPER}};
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        int r = monitor_watch(monitor, sources[i].fd, EPOLLIN, sources[i].kind, 0);
        if (r < 0)
            return error_set_errno(err, r, "watch a descriptor");
    }
    return 0;
}

// /opt/lamina: what was asked for, else `runtime` beside the binary, else nothing.
static int runtime_dir_open(const struct options *options)
{
    if (options->runtime_dir)
        return open(options->runtime_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return laminad_open_beside("runtime", O_PATH | O_DIRECTORY);
}

static int root_make(const struct options *options, const struct service *service,
                     struct error *err)
{
    AUTO_FD int runtime = runtime_dir_open(options);
    if (runtime < 0 && options->runtime_dir)
        return error_set_errno(err, -errno, "open '%s'", options->runtime_dir);
    char path[32];
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", runtime);
    return root_prepare(service->trees_fd, service->models_fd, runtime < 0 ? NULL : path,
                        service->uid_first, service->uid_count, err);
}

static int set_up(struct monitor *monitor, const struct options *options, struct error *err)
{
    static struct service service; // its locks are held for life
    static struct laminad_place place;
    int swept;
    int r = probe_require(err);
    if (r == 0)
        r = loop_open(monitor, err);
    if (r == 0)
        r = laminad_place_open(&place, err);
    if (r == 0)
        r = filesystems_open(&monitor->filesystems, options->filesystems_file, place.mounts_fd,
                             place.root_fd, err);
    if (r == 0)
        r = root_begin(err);
    if (r == 0)
        r = service_open(&service, options, SANDBOX_SLOTS_MAX, err);
    if (r == 0)
        r = cgroups_open(&monitor->tools.groups, service.key, err);
    if (r == 0)
        r = cgroups_sweep(&monitor->tools.groups, 30000, err);
    if (r == 0 && (swept = cgroups_sweep_dead(&monitor->tools.groups, service_lock_dead, 2000)) > 0)
        log_info("spawn.swept", "services=%d", swept);
    if (r == 0)
        r = tools_open(&monitor->tools, err);
    if (r == 0)
        r = root_make(options, &service, err);
    if (r < 0)
        return r;
    monitor->tools.uid_first = service.uid_first;
    r = probe_can_template();
    monitor->tools.can_template = r == 0;
    if (r < 0)
        log_warn("spawn.templates", "error=%s: instances are started one by one, none is forked",
                 LOG_TEXT(error_name(r)));
    monitor->sandboxes = sandboxes;
    monitor->slot_count =
        service.uid_count < SANDBOX_SLOTS_MAX ? service.uid_count : SANDBOX_SLOTS_MAX;
    r = keeper_start(&monitor->tools, &monitor->keeper_fd, &monitor->keeper_pid, err);
    if (r == 0)
        r = laminad_start(&place, options, &monitor->channel_fd, &monitor->work_fd,
                          &monitor->laminad_pid, err);
    fd_close(place.cwd_fd);
    fd_close(place.program_fd);
    return r == 0 ? loop_watch(monitor, err) : r;
}

int main(int count, char **arguments)
{
    struct error err = {0};
    struct options options;
    open_standard();
    raise_files();
    umask(022);
    if (options_parse(&options, count, arguments, &err) < 0) {
        (void) fprintf(stderr, "lamina-spawn: %s\n", err.text);
        return 2;
    }
    if (options.is_probe)
        return probe_print();
    if (geteuid() != 0) {
        (void) fprintf(stderr, "lamina-spawn: must be started as root\n");
        return 1;
    }
    static struct monitor monitor;
    if (set_up(&monitor, &options, &err) < 0) {
        log_error("spawn.start", "error=%s", LOG_TEXT(err.text));
        return 1;
    }
    return monitor_run(&monitor);
}
