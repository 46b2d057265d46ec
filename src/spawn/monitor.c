// SPDX-License-Identifier: MIT

#include "spawn/monitor.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "spawn/keeper.h"
#include "wire/init.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MONITOR_EVENTS_MAX = 64, MONITOR_WORDS_A_TURN = 32, MONITOR_END_DEADLINE_MS = 30000 };

// A SIGCHLD names one child; those that ended while it was pending are looked for that much later. The kernel finds "any
// child" by going through all of them, which with a thousand instances is too much for each of their helpers.
#define REAP_ALL_AFTER_NS (10 * CLOCK_NS_PER_MS)

// ---- the table ----------------------------------------------------------------------------------

struct sandbox *monitor_take_slot(struct monitor *monitor)
{
    for (uint32_t i = 0; i < monitor->slot_count; i++) {
        // Round robin: a uid rests before it is used again.
        const uint32_t slot = (monitor->slot_next + i) % monitor->slot_count;
        struct sandbox *sandbox = &monitor->sandboxes[slot];
        if (sandbox->state != SANDBOX_FREE)
            continue;
        monitor->slot_next = slot + 1;
        *sandbox = (struct sandbox){
            .slot = slot,
            .parts = SANDBOX_NO_PARTS,
            .listeners = {-1, -1},
            .status_fd = -1,
            .occupant = {.pid_fd = -1, .control_fd = -1, .fork_fd = -1},
        };
        return sandbox;
    }
    return NULL;
}

struct sandbox *monitor_find(struct monitor *monitor, uint64_t id)
{
    for (uint32_t i = 0; i < monitor->slot_count; i++)
        if (monitor->sandboxes[i].id == id && monitor->sandboxes[i].kind != CHILD_WORK &&
            monitor->sandboxes[i].state != SANDBOX_FREE)
            return &monitor->sandboxes[i];
    return NULL;
}

// Whose first process, or whose occupant, that is.
static struct sandbox *find_pid(struct monitor *monitor, pid_t pid)
{
    for (uint32_t i = 0; i < monitor->slot_count; i++) {
        struct sandbox *sandbox = &monitor->sandboxes[i];
        if ((sandbox->parts.pid == pid || sandbox->occupant.pid == pid) &&
            sandbox->state != SANDBOX_FREE && sandbox->state != SANDBOX_ENDING)
            return sandbox;
    }
    return NULL;
}

int monitor_watch(struct monitor *monitor, int fd, uint32_t events, enum source_kind kind,
                  uint32_t slot)
{
    struct epoll_event event = {.events = events, .data.u64 = ((uint64_t) kind << 32) | slot};
    return epoll_ctl(monitor->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void monitor_send(struct monitor *monitor, struct spawn_head *head, uint16_t type, uint64_t id,
                  size_t size, const int *fds, size_t fd_count)
{
    *head = (struct spawn_head){
        .version = SPAWN_VERSION, .type = type, .size = (uint32_t) size, .id = id};
    if (monitor->channel_fd < 0) // the end has begun: there is nobody to tell
        return;
    int r = fd_send_packet(monitor->channel_fd, head, size, fds, fd_count);
    if (r < 0 && r != -EPIPE && r != -ECONNRESET) {
        log_error("spawn.channel", "type=%u error=%s", type, LOG_TEXT(error_name(r)));
        monitor->is_over = true; // a message that laminad must not miss is lost
    }
}

void monitor_kill(struct monitor *monitor, struct sandbox *sandbox)
{
    // A template's own sandbox holds those of its forks: it goes when they have gone.
    const bool is_template = sandbox->phase != TEMPLATE_NONE && sandbox->occupant.pid_fd >= 0;
    const int pid_fd = is_template ? sandbox->occupant.pid_fd : sandbox->parts.pid_fd;
    if (pid_fd >= 0)
        (void) syscall(SYS_pidfd_send_signal, pid_fd, SIGKILL, NULL, 0);
    // Processes that are frozen take the signal when thawed, and its pid 1 waits for all of them.
    if (monitor->tools.groups.manager->version == 1)
        (void) !cgroup_freeze(&monitor->tools.groups, sandbox->slot, false);
}

void monitor_discard(struct monitor *monitor, struct sandbox *sandbox)
{
    sandbox_parts_close(&sandbox->parts);
    sandbox->parts.pid = -1;
    for (int i = 0; i < 2; i++)
        sandbox->listeners[i] = fd_close(sandbox->listeners[i]);
    sandbox->status_fd = fd_close(sandbox->status_fd);
    sandbox->occupant.pid_fd = fd_close(sandbox->occupant.pid_fd);
    sandbox->occupant.control_fd = fd_close(sandbox->occupant.control_fd);
    sandbox->occupant.fork_fd = fd_close(sandbox->occupant.fork_fd);
    sandbox->occupant.pid = 0;
    free(sandbox->run);
    sandbox->run = NULL;
    parked_start_free(sandbox->parked);
    sandbox->parked = NULL;
    sandbox->mount_ticket = 0;
    sandbox->mounter = 0;
    if (sandbox->freezing_ns)
        monitor->freezing_count--;
    sandbox->freezing_ns = 0;
    sandbox->id = 0;
    sandbox->state = SANDBOX_ENDING;
    const struct keeper_order order = {.type = KEEPER_REMOVE, .slot = sandbox->slot};
    if (fd_send_packet(monitor->keeper_fd, &order, sizeof(order), NULL, 0) < 0)
        monitor->is_over = true; // the keeper is gone
}

// ---- what arrives -------------------------------------------------------------------------------

// Everything that a sandbox's process has said. It may lie after READY: nothing that it says is
// more than its own status.
static void read_words(struct monitor *monitor, struct sandbox *sandbox)
{
    // Not for ever: the loop has others, and comes back as long as there is more.
    for (int words = 0; words < MONITOR_WORDS_A_TURN && sandbox->parts.control_fd >= 0; words++) {
        struct init_word word;
        int fds[2];
        size_t count;
        ssize_t size =
            fd_receive_packet(sandbox->parts.control_fd, &word, sizeof(word), fds, 2, &count);
        if (size == -EAGAIN)
            return;
        // It ended with orders unread. The kernel says this once, before what it had said itself.
        if (size == -ECONNRESET)
            continue;
        if (size != sizeof(word)) { // end of file, or nonsense: its end will tell
            sandbox->parts.control_fd = fd_close(sandbox->parts.control_fd);
            return;
        }
        if (word.type == INIT_NET && count == 2 && sandbox->listeners[0] < 0) {
            memcpy(sandbox->listeners, fds, sizeof(fds));
            sandbox->timings.net_us = word.step;
            sandbox->timings.attach_us = (uint32_t) word.status;
            continue;
        }
        for (size_t i = 0; i < count; i++)
            fd_close(fds[i]);
        if (word.type == INIT_READY && sandbox->state == SANDBOX_ROOTING) {
            if (sandbox->kind == CHILD_SEAT)
                fork_seat_ready(monitor, sandbox);
            else
                instance_ready(monitor, sandbox);
        } else if (word.type == INIT_USER && sandbox->kind == CHILD_SEAT &&
                   sandbox->state == SANDBOX_ROOTING) {
            fork_seat_user(monitor, sandbox);
        } else if (word.type == INIT_FAILED && !sandbox->has_failed) {
            sandbox->has_failed = true;
            sandbox->failed_step = word.step < SPAWN_STEP_COUNT ? word.step : SPAWN_STEP_DIED;
            sandbox->failed_error = word.error;
        } else if (word.type == INIT_EXIT && !sandbox->has_exit) {
            sandbox->has_exit = true;
            sandbox->exit_status = word.status & 0xffff;
            sandbox->exec_errno = word.error;
        }
    }
}

static void sandbox_ended(struct monitor *monitor, struct sandbox *sandbox, int wait_status,
                          const struct rusage *usage)
{
    read_words(monitor, sandbox); // its last words may be still unread
    if (sandbox->kind == CHILD_WORK)
        work_ended(monitor, sandbox, wait_status);
    else
        instance_ended(monitor, sandbox, wait_status, usage);
    monitor_discard(monitor, sandbox);
}

// A child that has ended; -1: any.
static bool reap(struct monitor *monitor, pid_t which)
{
    int status;
    struct rusage usage;
    const pid_t pid = wait4(which, &status, WNOHANG | __WALL, &usage);
    if (pid <= 0)
        return false;
    struct sandbox *sandbox = find_pid(monitor, pid);
    if (sandbox && sandbox->occupant.pid == pid) {
        template_occupant_ended(monitor, sandbox, status, &usage);
    } else if (sandbox) {
        sandbox_ended(monitor, sandbox, status, &usage);
    } else if (pid == monitor->laminad_pid) {
        monitor->is_laminad_gone = monitor->is_over = true;
        monitor->laminad_status = status;
    } else if (pid == monitor->keeper_pid) {
        log_error("spawn.keeper", "status=%d", status);
        monitor->keeper_pid = -1;
        monitor->is_over = true;
    }
    // Else a sandbox of which the keeper has not told yet (its pidfd will say that it is gone), a helper
    // that has made a seat or a fork, or what a template made unasked.
    return true;
}

static void reap_all(struct monitor *monitor)
{
    monitor->reap_ns = 0;
    while (reap(monitor, -1))
        continue;
}

static void read_signals(struct monitor *monitor)
{
    struct signalfd_siginfo info;
    while (read(monitor->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        // From a terminal laminad has had its own copy, and takes a second one for impatience.
        if (info.ssi_signo == SIGCHLD) {
            (void) reap(monitor, (pid_t) info.ssi_pid);
            if (monitor->reap_ns == 0)
                monitor->reap_ns = clock_monotonic_ns() + REAP_ALL_AFTER_NS;
        }
        if (info.ssi_signo == SIGCHLD || info.ssi_code == SI_KERNEL)
            continue;
        log_info("spawn.signal", "signal=%u", info.ssi_signo);
        if (info.ssi_signo == SIGHUP)
            filesystems_reload(monitor);
        // "Read your files again" is SIGUSR1 between us: to laminad SIGHUP means that its terminal went.
        int passed_on = info.ssi_signo == SIGHUP ? SIGUSR1 : (int) info.ssi_signo;
        if (!monitor->is_laminad_gone)
            (void) kill(monitor->laminad_pid, passed_on);
    }
}

// How long nothing needs to be looked at; -1: no end.
static int timeout_ms(const struct monitor *monitor, int64_t now_ns)
{
    if (monitor->freezing_count > 0)
        return 1;
    const int pool_ms = pool_timeout_ms(monitor, now_ns);
    if (monitor->reap_ns == 0)
        return pool_ms;
    const int64_t left_ns = monitor->reap_ns - now_ns;
    const int reap_ms = left_ns <= 0 ? 0 : (int) (left_ns / CLOCK_NS_PER_MS) + 1;
    return pool_ms < 0 || reap_ms < pool_ms ? reap_ms : pool_ms;
}

static void keeper_made(struct monitor *monitor, struct sandbox *sandbox,
                        const struct keeper_answer *answer, const int fds[KEEPER_FDS])
{
    sandbox->parts = (struct sandbox_parts){.pid = answer->pid,
                                            .pid_fd = fds[0],
                                            .control_fd = fds[1],
                                            .log_fd = fds[2],
                                            .peak_fd = fds[3],
                                            .occupant_log_fd = fds[4]};
    memcpy(sandbox->parts.entrances, fds + KEEPER_FDS_SEAT, sizeof(sandbox->parts.entrances));
    bool has_worked = answer->error == 0 && sandbox->parts.control_fd >= 0 &&
                      fd_set_nonblocking(sandbox->parts.control_fd, true) == 0 &&
                      // It may have ended, and been reaped, before we knew whose it was.
                      syscall(SYS_pidfd_send_signal, sandbox->parts.pid_fd, 0, NULL, 0) == 0 &&
                      monitor_watch(monitor, sandbox->parts.control_fd, EPOLLIN, SOURCE_CONTROL,
                                    sandbox->slot) == 0;
    if (!has_worked) {
        log_warn("spawn.pool", "step=%s error=%s", spawn_step_name(answer->step),
                 LOG_TEXT(error_name((int) answer->error)));
        monitor_kill(monitor, sandbox);
    }
    if (sandbox->kind == CHILD_SEAT)
        fork_seat_made(monitor, sandbox, has_worked);
    else
        pool_made(monitor, sandbox, has_worked);
    if (!has_worked)
        monitor_discard(monitor, sandbox);
}

static void read_keeper(struct monitor *monitor)
{
    struct keeper_answer answer;
    int fds[KEEPER_FDS];
    size_t count;
    ssize_t size =
        fd_receive_packet(monitor->keeper_fd, &answer, sizeof(answer), fds, KEEPER_FDS, &count);
    if (size == -EAGAIN)
        return;
    if (size != sizeof(answer) || answer.slot >= monitor->slot_count) {
        monitor->is_over = true;
        return;
    }
    struct sandbox *sandbox = &monitor->sandboxes[answer.slot];
    if (answer.type == KEEPER_MAKE || answer.type == KEEPER_SEAT)
        keeper_made(monitor, sandbox, &answer, fds);
    else if (answer.type == KEEPER_REMOVE)
        sandbox->state = SANDBOX_FREE;
    else if (answer.type == KEEPER_STATS)
        instance_stats(monitor, &answer.stats);
    else if (answer.type == KEEPER_LOOK)
        template_looked(monitor, sandbox, &answer.look);
}

static void read_request(struct monitor *monitor, int fd, enum request_channel channel)
{
    static union request request; // 8 KiB, and zeroed once: reused
    int fds[SPAWN_FDS_MAX];
    size_t count;
    ssize_t size = fd_receive_packet(fd, &request, sizeof(request), fds, SPAWN_FDS_MAX, &count);
    if (size == -EAGAIN)
        return;
    if (size == 0 || size == -ECONNRESET) {
        monitor->is_over = true;
        return;
    }
    int r = size < 0 ? (int) size : request_check(&request, (size_t) size, count, channel);
    if (r < 0) {
        log_error("spawn.protocol", "type=%u size=%zd error=%s",
                  size >= (ssize_t) sizeof(request.head) ? request.head.type : 0U, size,
                  LOG_TEXT(error_name(r)));
        for (size_t i = 0; i < count; i++)
            fd_close(fds[i]);
        monitor->is_over = true;
        return;
    }
    if (request.head.type == SPAWN_START) {
        instance_start(monitor, &request.start, fds[0], clock_monotonic_ns());
        fd_close(fds[0]);
    } else if (request.head.type == SPAWN_TREE_FORGET) {
        pool_forget(monitor, request.forget.tree_id);
    } else if (request.head.type == SPAWN_WORK) {
        work_start(monitor, &request.work, fds);
    } else if (request.head.type == SPAWN_FILE) {
        filesystems_order_file(monitor, &request.file, fds);
    } else {
        instance_request(monitor, &request.head);
    }
}

static void handle(struct monitor *monitor, const struct epoll_event *event)
{
    const uint32_t slot = (uint32_t) event->data.u64;
    struct sandbox *sandbox = &monitor->sandboxes[slot];
    switch ((enum source_kind)(event->data.u64 >> 32)) {
    case SOURCE_CHANNEL:
        read_request(monitor, monitor->channel_fd, REQUEST_INSTANCES);
        break;
    case SOURCE_WORK_CHANNEL:
        read_request(monitor, monitor->work_fd, REQUEST_WORK);
        break;
    case SOURCE_SIGNALS:
        read_signals(monitor);
        break;
    case SOURCE_KEEPER:
        read_keeper(monitor);
        break;
    case SOURCE_CONTROL:
        read_words(monitor, sandbox);
        break;
    case SOURCE_STATUS: // the job's reader has closed it
        if (sandbox->kind == CHILD_WORK && sandbox->state == SANDBOX_RUNNING) {
            sandbox->status_fd = fd_close(sandbox->status_fd);
            monitor_kill(monitor, sandbox);
        }
        break;
    case SOURCE_OCCUPANT:
        template_read(monitor, sandbox);
        break;
    case SOURCE_MOUNTER:
        filesystems_read(monitor, slot);
        break;
    }
}

// ---- the end ------------------------------------------------------------------------------------

// laminad has closed its channel: it has ended or is about to. It gets a moment, then SIGKILL.
static void wait_for_laminad(struct monitor *monitor)
{
    const int64_t deadline = clock_monotonic_ms() + MONITOR_END_DEADLINE_MS;
    while (!monitor->is_laminad_gone) {
        if (clock_monotonic_ms() >= deadline)
            (void) kill(monitor->laminad_pid, SIGKILL);
        struct pollfd polled = {.fd = monitor->signal_fd, .events = POLLIN};
        (void) poll(&polled, 1, 1000);
        read_signals(monitor);
        reap_all(monitor);
    }
}

static int monitor_end(struct monitor *monitor)
{
    for (uint32_t i = 0; i < monitor->slot_count; i++)
        if (monitor->sandboxes[i].state != SANDBOX_FREE) {
            monitor_kill(monitor, &monitor->sandboxes[i]);
            if (monitor->sandboxes[i].parts.pid_fd >= 0) // a template's holder too
                (void) syscall(SYS_pidfd_send_signal, monitor->sandboxes[i].parts.pid_fd, SIGKILL,
                               NULL, 0);
        }
    filesystems_end(monitor);
    monitor->channel_fd = fd_close(monitor->channel_fd);
    monitor->work_fd = fd_close(monitor->work_fd);
    wait_for_laminad(monitor);
    if (monitor->keeper_pid > 0) { // it must not make or remove while we sweep
        (void) kill(monitor->keeper_pid, SIGKILL);
        (void) waitpid(monitor->keeper_pid, NULL, 0);
    }
    struct error err = {0};
    if (cgroups_sweep(&monitor->tools.groups, MONITOR_END_DEADLINE_MS, &err) < 0)
        log_error("spawn.sweep", "error=%s", LOG_TEXT(err.text));
    while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
        continue;
    cgroups_close(&monitor->tools.groups);
    return WIFEXITED(monitor->laminad_status) ? WEXITSTATUS(monitor->laminad_status)
                                              : 128 + WTERMSIG(monitor->laminad_status);
}

int monitor_run(struct monitor *monitor)
{
    struct spawn_hello hello = {
        .cgroup_version = (uint32_t) monitor->tools.groups.manager->version,
        .instances_max = SPAWN_INSTANCES_MAX,
        .uid_first = monitor->tools.uid_first,
        .uid_count = monitor->slot_count,
        .flags = monitor->tools.can_template ? (uint32_t) SPAWN_HELLO_CAN_TEMPLATE : 0,
    };
    monitor_send(monitor, &hello.head, SPAWN_HELLO, 0, sizeof(hello), NULL, 0);
    filesystems_tell(monitor);
    pool_touch(monitor, 0);
    while (!monitor->is_over) {
        const int64_t now_ns = clock_monotonic_ns();
        pool_refill(monitor, now_ns); // and fork_refill
        instance_check_freezing(monitor);
        struct epoll_event events[MONITOR_EVENTS_MAX];
        if (monitor->reap_ns && now_ns >= monitor->reap_ns)
            reap_all(monitor);
        int count =
            epoll_wait(monitor->epoll_fd, events, MONITOR_EVENTS_MAX, timeout_ms(monitor, now_ns));
        for (int i = 0; i < count && !monitor->is_over; i++)
            handle(monitor, &events[i]);
    }
    return monitor_end(monitor);
}
