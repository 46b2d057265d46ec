// SPDX-License-Identifier: MIT
//
// Templates: their life, and what they say (wire/template.h).
//
// A template and its forks are the main process's children. What they say is believed as far as it harms nobody but
// themselves: which process has spoken comes from the kernel, and it is looked at before it gets its environment.

#include "spawn/fork.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "spawn/keeper.h"
#include "spawn/occupant.h"
#include "spawn/seat.h"
#include "wire/init.h"
#include "wire/template.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// What is read of one socket in a turn: somebody who writes all the time must not keep the loop.
#define WORDS_A_TURN 32

// Words about forks that nobody waits for any more. A few may cross with what ended them; more are a lie.
#define STRAY_WORDS_MAX 256

// ---- the template -------------------------------------------------------------------------------

int template_prepare(struct monitor *monitor, struct sandbox *sandbox,
                     const struct spawn_start *start, int model_fd)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    sandbox->phase = TEMPLATE_STARTING;
    monitor->template_count++;
    sandbox->occupant.control_fd = pair[0];
    sandbox->status_fd = pair[1]; // until its process takes it
    const struct sandbox_parts way = {.control_fd = pair[0]};
    int r = sandbox_send_run(&way, start, model_fd);
    return r < 0 ? r : fd_set_nonblocking(pair[0], true);
}

void template_launch(struct monitor *monitor, struct sandbox *sandbox)
{
    AUTO_FD int theirs = sandbox->status_fd;
    sandbox->status_fd = -1;
    // v2 (v1 has no such file): memory that the template lacks must not end the process that holds its forks' sandboxes.
    (void) !cgroup_write(&monitor->tools.groups, CGROUP_MEMORY, sandbox->slot, "memory.oom.group",
                         "0");
    pid_t pid = occupant_start(&monitor->tools, sandbox, theirs, &sandbox->occupant.pid_fd);
    int r = pid < 0 ? pid
                    : monitor_watch(monitor, sandbox->occupant.control_fd, EPOLLIN, SOURCE_OCCUPANT,
                                    sandbox->slot);
    if (pid > 0)
        sandbox->occupant.pid = pid;
    if (r == 0)
        r = sandbox_send_word(&sandbox->parts, INIT_HOLD);
    if (r == 0) {
        sandbox->timings.mount_us =
            (uint32_t) ((clock_monotonic_ns() - sandbox->arrived_ns) / CLOCK_NS_PER_US);
        instance_started(monitor, sandbox);
        return;
    }
    sandbox->has_failed = true;
    sandbox->failed_step = SPAWN_STEP_TEMPLATE;
    sandbox->failed_error = (uint32_t) -r;
    monitor_kill(monitor, sandbox);
}

static void refuse(struct monitor *monitor, struct sandbox *template, uint32_t reason,
                   uint32_t error, const char *text)
{
    struct spawn_template_refused refused = {.reason = reason, .error = error};
    memcpy(refused.text, text, strnlen(text, sizeof(refused.text) - 1));
    template->phase = TEMPLATE_OVER;
    template->occupant.control_fd = fd_close(template->occupant.control_fd);
    monitor_send(monitor, &refused.head, SPAWN_TEMPLATE_REFUSED, template->id, sizeof(refused),
                 NULL, 0);
    monitor_kill(monitor, template);
}

void template_looked(struct monitor *monitor, struct sandbox *sandbox, const struct look *look)
{
    if (sandbox->phase != TEMPLATE_LOOKING)
        return; // it has ended meanwhile
    if (look->reason) {
        refuse(monitor, sandbox, look->reason, look->error, look->text);
        return;
    }
    const struct spawn_template_ready blank = {.check_us = look->took_us, .files = look->files};
    struct spawn_template_ready ready = blank;
    sandbox->phase = TEMPLATE_LIVE;
    // It has one thread, and needs no more to fork. What a stranger's code does beyond that gets no more either.
    (void) !cgroup_limit_cpu(&monitor->tools.groups, sandbox->slot, 1000);
    monitor_send(monitor, &ready.head, SPAWN_TEMPLATE_READY, sandbox->id, sizeof(ready), NULL, 0);
    pool_touch(monitor, 0);
}

// Nothing more will come of it. Forks that run go on.
static void template_over(struct monitor *monitor, struct sandbox *template)
{
    template->phase = TEMPLATE_OVER;
    struct sandbox *seat;
    for (uint32_t at = 0; (seat = fork_next(monitor, template, &at));)
        if (seat->state != SANDBOX_RUNNING) {
            seat->is_killed = seat->id == 0; // it is not to be wondered at
            fork_fail(monitor, seat, SPAWN_STEP_TEMPLATE, -ESRCH);
        }
}

static void template_word(struct monitor *monitor, struct sandbox *template,
                          const struct template_word *word)
{
    const struct init_word *early = (const struct init_word *) word; // before its exec
    if (word->type == TEMPLATE_READY && template->phase == TEMPLATE_STARTING) {
        const struct keeper_order order = {.type = KEEPER_LOOK,
                                           .slot = template->slot,
                                           .pid = template->occupant.pid,
                                           .holder = template->parts.pid};
        template->phase = TEMPLATE_LOOKING;
        if (fd_send_packet(monitor->keeper_fd, &order, sizeof(order), NULL, 0) < 0)
            monitor->is_over = true;
    } else if (word->type == TEMPLATE_FAILED && template->phase == TEMPLATE_LIVE &&
               word->number < monitor->slot_count) {
        struct sandbox *seat = &monitor->sandboxes[word->number];
        if (seat->template == template && seat->state == SANDBOX_FORKING)
            fork_fail(monitor, seat, SPAWN_STEP_TEMPLATE, -(int) (word->error & 0xfff));
        else if (++template->occupant.stray_words > STRAY_WORDS_MAX)
            refuse(monitor, template, SPAWN_REASON_PROTOCOL, 0, "it says what no template says");
    } else if (word->type == INIT_EXIT && template->phase == TEMPLATE_STARTING) {
        template->exec_errno = early->error;
    } else if (template->phase != TEMPLATE_OVER) {
        refuse(monitor, template, SPAWN_REASON_PROTOCOL, 0, "it says what no template says");
    }
}

// One packet with the sender's credentials; whatever descriptors came are closed.
static ssize_t receive(int fd, struct template_word *ret_word, struct ucred *ret_sender,
                       bool *ret_has_sender)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(FD_PACKET_MAX * sizeof(int))];
    } control;
    struct iovec part = {ret_word, sizeof(*ret_word)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    const ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *ret_has_sender = false;
    if (size < 0)
        return -errno;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
        if (head->cmsg_level != SOL_SOCKET)
            continue;
        if (head->cmsg_type == SCM_CREDENTIALS) {
            memcpy(ret_sender, CMSG_DATA(head), sizeof(*ret_sender));
            *ret_has_sender = true;
        } else if (head->cmsg_type == SCM_RIGHTS) {
            const size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t i = 0; i < count; i++)
                fd_close(((const int *) (const void *) CMSG_DATA(head))[i]);
        }
    }
    return message.msg_flags & MSG_TRUNC ? -EMSGSIZE : size;
}

void template_read(struct monitor *monitor, struct sandbox *sandbox)
{
    const bool is_template = sandbox->phase != TEMPLATE_NONE;
    for (int i = 0; i < WORDS_A_TURN && sandbox->occupant.control_fd >= 0; i++) {
        struct template_word word;
        struct ucred sender;
        bool has_sender;
        const ssize_t size = receive(sandbox->occupant.control_fd, &word, &sender, &has_sender);
        if (size == -EAGAIN)
            return;
        if (size == -ECONNRESET)
            continue;
        if (size == sizeof(word) && is_template) {
            template_word(monitor, sandbox, &word);
        } else if (size == sizeof(word)) {
            fork_word(monitor, sandbox, &word, has_sender ? &sender : NULL);
            if (sandbox->template)
                fork_orders_send(monitor, sandbox->template);
        } else {
            sandbox->occupant.control_fd = fd_close(sandbox->occupant.control_fd);
            if (!is_template)
                fork_fail(monitor, sandbox, SPAWN_STEP_TEMPLATE, size == 0 ? -EPIPE : -EPROTO);
            else if (size != 0 && sandbox->phase != TEMPLATE_OVER)
                refuse(monitor, sandbox, SPAWN_REASON_PROTOCOL, 0, "it says what no template says");
            else if (sandbox->phase !=
                     TEMPLATE_OVER) // a bootstrap that knows no templates closes it
                refuse(monitor, sandbox, SPAWN_REASON_PROTOCOL, 0, "it cannot be a template");
        }
    }
}

// ---- ends ---------------------------------------------------------------------------------------

static bool has_seats(struct monitor *monitor, const struct sandbox *template)
{
    uint32_t at = 0;
    return fork_next(monitor, template, &at) != NULL;
}

static void holder_kill(struct sandbox *sandbox)
{
    if (sandbox->parts.pid_fd >= 0)
        (void) syscall(SYS_pidfd_send_signal, sandbox->parts.pid_fd, SIGKILL, NULL, 0);
}

void template_occupant_ended(struct monitor *monitor, struct sandbox *sandbox, int status,
                             const struct rusage *usage)
{
    struct occupant *occupant = &sandbox->occupant;
    if (sandbox->phase != TEMPLATE_NONE)
        template_read(monitor, sandbox); // its last words: why there was no bootstrap
    occupant->has_ended = true;
    occupant->status = sandbox->exec_errno ? 127 << 8 : status;
    occupant->usage = *usage;
    occupant->pid = 0;
    occupant->pid_fd = fd_close(occupant->pid_fd);
    if (sandbox->phase == TEMPLATE_NONE) { // a fork: what it left in its sandbox ends with that
        holder_kill(sandbox);
        if (monitor->tools.groups.manager->version == 1)
            (void) !cgroup_freeze(&monitor->tools.groups, sandbox->slot, false);
        return;
    }
    template_over(monitor, sandbox);
    if (sandbox->state == SANDBOX_RUNNING)
        instance_exited(monitor, sandbox, occupant->status, &occupant->usage);
    else // STARTED was not said
        instance_failed(monitor, sandbox->id, SPAWN_STEP_TEMPLATE, ECHILD);
    monitor->instance_count--;
    sandbox->id = 0;
    if (!has_seats(monitor, sandbox))
        holder_kill(sandbox);
}

void template_sandbox_ended(struct monitor *monitor, struct sandbox *sandbox)
{
    struct sandbox *template = sandbox->template;
    if (sandbox->phase != TEMPLATE_NONE) {
        template_over(monitor, sandbox);
        monitor->template_count--;
        struct sandbox *seat; // none, unless its first process was killed from outside
        for (uint32_t at = 0; (seat = fork_next(monitor, sandbox, &at));)
            seat->template = NULL;
        return;
    }
    sandbox->template = NULL;
    if (template) // one less that it has before it
        fork_orders_send(monitor, template);
    if (template && template->phase == TEMPLATE_OVER && template->occupant.has_ended &&
        !has_seats(monitor, template))
        holder_kill(template);
}
