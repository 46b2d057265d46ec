// SPDX-License-Identifier: MIT
//
// Templates: their life, the seats that are made ahead for their forks, and the forks (wire/template.h).
//
// A template and its forks are the main process's children. What they say is believed as far as it harms nobody but
// themselves: which process has spoken comes from the kernel, and it is looked at before it gets its environment.

#include "spawn/monitor.h"

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

// A template that was asked for forks and has made none for this long is stuck.
#define FORK_DEADLINE_NS (5 * CLOCK_NS_PER_S)

// A seat's process makes its mounts meanwhile.
#define SEAT_DEADLINE_NS (20 * CLOCK_NS_PER_S)

// Whatever the number of templates: slots that no instance has are for what is made ahead, removed, and worked on, too.
#define SEATS_AHEAD_MAX (SANDBOX_SLOTS_SPARE / 2)

// What is read of one socket in a turn: somebody who writes all the time must not keep the loop.
#define WORDS_A_TURN 32

// Words about forks that nobody waits for any more. A few may cross with what ended them; more are a lie.
#define STRAY_WORDS_MAX 256

// Orders that a template has not obeyed yet. More would not fit into its socket; they wait here.
#define FORKS_ORDERED_MAX 32

static uint32_t pids_limit(uint32_t pids_max)
{
    return (pids_max ? pids_max : 1024) + 1; // one more: lamina-init
}

static struct sandbox *next_seat(struct monitor *monitor, const struct sandbox *template,
                                 uint32_t *at)
{
    for (; *at < monitor->slot_count; (*at)++) {
        struct sandbox *sandbox = &monitor->sandboxes[*at];
        if (sandbox->template == template && sandbox->state != SANDBOX_FREE &&
            sandbox->state != SANDBOX_ENDING) {
            (*at)++;
            return sandbox;
        }
    }
    return NULL;
}

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

// A seat that gets no fork.
static void seat_failed(struct monitor *monitor, struct sandbox *seat, uint32_t step, int error)
{
    if (!seat->has_failed) {
        seat->has_failed = true;
        seat->failed_step = step;
        seat->failed_error = (uint32_t) -error;
    }
    monitor_kill(monitor, seat);
}

// Nothing more will come of it. Forks that run go on.
static void template_over(struct monitor *monitor, struct sandbox *template)
{
    template->phase = TEMPLATE_OVER;
    struct sandbox *seat;
    for (uint32_t at = 0; (seat = next_seat(monitor, template, &at));)
        if (seat->state != SANDBOX_RUNNING) {
            seat->is_killed = seat->id == 0; // it is not to be wondered at
            seat_failed(monitor, seat, SPAWN_STEP_TEMPLATE, -ESRCH);
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
            seat_failed(monitor, seat, SPAWN_STEP_TEMPLATE, -(int) (word->error & 0xfff));
        else if (++template->occupant.stray_words > STRAY_WORDS_MAX)
            refuse(monitor, template, SPAWN_REASON_PROTOCOL, 0, "it says what no template says");
    } else if (word->type == INIT_EXIT && template->phase == TEMPLATE_STARTING) {
        template->exec_errno = early->error;
    } else if (template->phase != TEMPLATE_OVER) {
        refuse(monitor, template, SPAWN_REASON_PROTOCOL, 0, "it says what no template says");
    }
}

// ---- seats --------------------------------------------------------------------------------------

static struct sandbox *seat_order(struct monitor *monitor, struct sandbox *template,
                                  const struct sandbox_shape *shape)
{
    struct sandbox *seat = monitor_take_slot(monitor);
    if (!seat)
        return NULL;
    const struct keeper_order order = {.type = KEEPER_SEAT,
                                       .slot = seat->slot,
                                       .memory_bytes = shape->memory_bytes,
                                       .pids_max = pids_limit(shape->pids_max),
                                       .template_uid = monitor->tools.uid_first + template->slot};
    if (fd_send_packet(monitor->keeper_fd, &order, sizeof(order), &template->parts.pid_fd, 1) < 0)
        return NULL; // the keeper is gone: the loop sees it
    seat->kind = CHILD_SEAT;
    seat->state = SANDBOX_ORDERED;
    seat->template = template;
    seat->shape = *shape;
    return seat;
}

void template_seat_made(struct monitor *monitor, struct sandbox *seat, bool has_worked)
{
    int r = has_worked ? sandbox_send_root(&seat->parts, &seat->shape, NULL, -1) : -EIO;
    if (has_worked)
        seat->state = SANDBOX_ROOTING;
    seat->forking_ns = clock_monotonic_ns();
    if (has_worked &&
        (r < 0 || seat->is_killed || !seat->template || seat->template->phase != TEMPLATE_LIVE))
        seat_failed(monitor, seat, SPAWN_STEP_TEMPLATE, r < 0 ? r : -ESRCH);
    if (!has_worked && seat->id != 0) { // it is discarded without an end
        instance_failed(monitor, seat->id, SPAWN_STEP_TEMPLATE, EIO);
        monitor->instance_count--;
    }
    if (!has_worked)
        template_sandbox_ended(monitor, seat);
}

static void fork_order(struct monitor *monitor, struct sandbox *seat, bool is_spare)
{
    int r = occupant_order_fork(&monitor->tools, seat->template, seat, is_spare);
    seat->state = SANDBOX_FORKING;
    seat->forking_ns = clock_monotonic_ns();
    if (r < 0)
        seat_failed(monitor, seat, SPAWN_STEP_TEMPLATE, r);
}

// Orders forks for those that are waited for, as many as the template may have before it.
static void orders_send(struct monitor *monitor, struct sandbox *template)
{
    struct sandbox *seat;
    uint32_t count = 0;
    if (template->phase != TEMPLATE_LIVE)
        return;
    for (uint32_t at = 0; (seat = next_seat(monitor, template, &at));)
        count += seat->state == SANDBOX_FORKING;
    for (uint32_t at = 0; count < FORKS_ORDERED_MAX && (seat = next_seat(monitor, template, &at));)
        if (seat->state == SANDBOX_SEAT && seat->id != 0 && !seat->has_failed) {
            fork_order(monitor, seat, false);
            count++;
        }
}

void template_seat_user(struct monitor *monitor, struct sandbox *seat)
{
    int r = seat_map_inner(monitor->tools.proc_fd, seat->parts.pid,
                           monitor->tools.uid_first + seat->slot);
    if (r == 0)
        r = sandbox_send_word(&seat->parts, INIT_USER);
    if (r == 0)
        r = sandbox_send_word(&seat->parts, INIT_HOLD);
    if (r < 0)
        seat_failed(monitor, seat, SPAWN_STEP_USER, r);
}

void template_seat_ready(struct monitor *monitor, struct sandbox *seat)
{
    if (seat->listeners[0] < 0)
        return;
    int r = look_at_seat(&monitor->tools, seat->parts.pid, seat->names);
    if (r == 0)
        r = occupant_prepare_fork(seat);
    if (r == 0)
        r = monitor_watch(monitor, seat->occupant.control_fd, EPOLLIN, SOURCE_OCCUPANT, seat->slot);
    if (r == 0 && (!seat->template || seat->template->phase != TEMPLATE_LIVE))
        r = -ESRCH;
    seat->state = SANDBOX_SEAT;
    if (r < 0)
        seat_failed(monitor, seat, SPAWN_STEP_TEMPLATE, r);
    else if (seat->id != 0)
        orders_send(monitor, seat->template);
    else
        pool_touch(monitor, 0);
}

// ---- forks --------------------------------------------------------------------------------------

static int run_send(struct sandbox *fork, const struct template_run *run)
{
    int r = fd_send_packet(fork->occupant.control_fd, run,
                           offsetof(struct template_run, env) + run->env_size, NULL, 0);
    fork->occupant.control_fd = fd_close(fork->occupant.control_fd);
    return r;
}

static struct template_run *run_make(const struct spawn_start *start)
{
    struct template_run *run = malloc(offsetof(struct template_run, env) + start->env_size);
    if (!run)
        return NULL;
    run->type = TEMPLATE_RUN;
    run->reserved = run->flags = 0;
    run->env_size = start->env_size;
    memcpy(run->env, start->env, start->env_size);
    return run;
}

// A fork that waits for nothing but its environment, or a seat without one.
static struct sandbox *find_seat(struct monitor *monitor, struct sandbox *template,
                                 const struct sandbox_shape *shape, enum sandbox_state state)
{
    struct sandbox *seat;
    for (uint32_t at = 0; (seat = next_seat(monitor, template, &at));)
        if (seat->state == state && seat->id == 0 && !seat->has_failed &&
            memcmp(&seat->shape, shape, sizeof(*shape)) == 0)
            return seat;
    return NULL;
}

// One that can be had, in the order of what is left to do.
static struct sandbox *seat_choose(struct monitor *monitor, struct sandbox *template,
                                   const struct spawn_start *start,
                                   const struct sandbox_shape *shape)
{
    struct sandbox *seat = NULL;
    const bool may_be_made = !(start->flags & SPAWN_START_FROM_NOTHING);
    if (may_be_made && !(start->flags & SPAWN_START_NO_WAITER) &&
        (seat = find_seat(monitor, template, shape, SANDBOX_SPARE)))
        seat->path = SPAWN_PATH_SPARE;
    else if (may_be_made && (seat = find_seat(monitor, template, shape, SANDBOX_SEAT)))
        seat->path = SPAWN_PATH_FORK;
    else if ((seat = seat_order(monitor, template, shape)))
        seat->path = SPAWN_PATH_SEAT;
    return seat;
}

void template_fork(struct monitor *monitor, const struct spawn_start *start,
                   const struct sandbox_shape *shape, int64_t arrived_ns)
{
    struct sandbox *template = monitor_find(monitor, start->template_id);
    struct sandbox *seat = NULL;
    int error = 0;
    if (!template || template->phase != TEMPLATE_LIVE)
        error = ESRCH;
    else if (memcmp(template->shape.tree_id, shape->tree_id, sizeof(shape->tree_id)) != 0 ||
             memcmp(template->shape.opt_tree_id, shape->opt_tree_id, sizeof(shape->tree_id)) != 0)
        error = EINVAL;
    else if (!(seat = seat_choose(monitor, template, start, shape)))
        error = EAGAIN;
    if (error) {
        instance_failed(monitor, start->head.id, SPAWN_STEP_TEMPLATE, (uint32_t) error);
        return;
    }
    seat->id = start->head.id;
    seat->arrived_ns = arrived_ns;
    seat->timings = (struct spawn_timings){0};
    monitor->instance_count++;
    seat->run = run_make(start);
    if (!seat->run) {
        seat_failed(monitor, seat, SPAWN_STEP_TEMPLATE, -ENOMEM);
    } else if (seat->path == SPAWN_PATH_SPARE) {
        if (run_send(seat, seat->run) < 0) // it has ended just now
            monitor_kill(monitor, seat);
        instance_started(monitor, seat);
    } else if (seat->path == SPAWN_PATH_FORK && start->flags & SPAWN_START_SPARE) {
        fork_order(monitor, seat, true);
    } else if (seat->path == SPAWN_PATH_FORK) {
        orders_send(monitor, template);
    }
    pool_touch(monitor, 5);
}

// It is in its sandbox and was looked at.
static void fork_stands(struct monitor *monitor, struct sandbox *fork)
{
    if (fork->template)
        fork->template->forking_ns = clock_monotonic_ns(); // it does something
    fork->timings.mount_us =
        (uint32_t) ((clock_monotonic_ns() - fork->forking_ns) / CLOCK_NS_PER_US);
    if (fork->id == 0) {
        fork->state = SANDBOX_SPARE;
        return;
    }
    if (run_send(fork, fork->run) < 0)
        monitor_kill(monitor, fork);
    instance_started(monitor, fork);
}

// Which process spoke is the kernel's word; what it is, is seen.
static void fork_word(struct monitor *monitor, struct sandbox *fork,
                      const struct template_word *word, const struct ucred *sender)
{
    if (word->type == TEMPLATE_FAILED) {
        seat_failed(monitor, fork, SPAWN_STEP_TEMPLATE, -(int) (word->error & 0xfff));
        return;
    }
    int r = word->type == TEMPLATE_FORKED && fork->state == SANDBOX_FORKING && sender ? 0 : -EPROTO;
    if (r == 0)
        r = look_at_fork(&monitor->tools, fork, sender->pid);
    if (r == 0) {
        fork->occupant.pid_fd = (int) syscall(SYS_pidfd_open, sender->pid, 0);
        r = fork->occupant.pid_fd < 0 ? -errno : 0;
    }
    if (r == 0) {
        fork->occupant.pid = sender->pid;
        fork_stands(monitor, fork);
        return;
    }
    log_warn("spawn.fork", "id=%llu error=%s", (unsigned long long) fork->id,
             LOG_TEXT(error_name(r)));
    seat_failed(monitor, fork, SPAWN_STEP_TEMPLATE, r);
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
                orders_send(monitor, sandbox->template);
        } else {
            sandbox->occupant.control_fd = fd_close(sandbox->occupant.control_fd);
            if (!is_template)
                seat_failed(monitor, sandbox, SPAWN_STEP_TEMPLATE, size == 0 ? -EPIPE : -EPROTO);
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
    return next_seat(monitor, template, &at) != NULL;
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
        for (uint32_t at = 0; (seat = next_seat(monitor, sandbox, &at));)
            seat->template = NULL;
        return;
    }
    sandbox->template = NULL;
    if (template) // one less that it has before it
        orders_send(monitor, template);
    if (template && template->phase == TEMPLATE_OVER && template->occupant.has_ended &&
        !has_seats(monitor, template))
        holder_kill(template);
}

// It has been asked for forks, and has made none for long: a new one may be better.
static bool is_stuck(struct monitor *monitor, const struct sandbox *template, int64_t now_ns)
{
    struct sandbox *seat;
    for (uint32_t at = 0; (seat = next_seat(monitor, template, &at));)
        if (seat->state == SANDBOX_FORKING && now_ns - seat->forking_ns > FORK_DEADLINE_NS &&
            now_ns - template->forking_ns > FORK_DEADLINE_NS)
            return true;
    return false;
}

static void check_deadlines(struct monitor *monitor, struct sandbox *template, int64_t now_ns)
{
    const bool is_over = is_stuck(monitor, template, now_ns);
    struct sandbox *seat;
    for (uint32_t at = 0; (seat = next_seat(monitor, template, &at));)
        if (seat->state == SANDBOX_FORKING
                ? is_over
                : seat->state == SANDBOX_ROOTING && now_ns - seat->forking_ns > SEAT_DEADLINE_NS)
            seat_failed(monitor, seat, SPAWN_STEP_TEMPLATE, -ETIMEDOUT);
    if (is_over)
        monitor_kill(monitor, template);
}

static void refill_one(struct monitor *monitor, struct sandbox *template, uint32_t *ahead)
{
    uint32_t spares = 0, seats = 0;
    struct sandbox *seat;
    for (uint32_t at = 0; (seat = next_seat(monitor, template, &at));) {
        if (seat->id != 0 || seat->has_failed)
            continue;
        spares += seat->state == SANDBOX_SPARE || seat->state == SANDBOX_FORKING;
        seats += seat->state == SANDBOX_ORDERED || seat->state == SANDBOX_ROOTING;
        if (seat->state == SANDBOX_SEAT && spares < TEMPLATE_SPARES) {
            fork_order(monitor, seat, true);
            spares++;
        } else {
            seats += seat->state == SANDBOX_SEAT;
        }
    }
    for (; seats + spares < TEMPLATE_SEATS + TEMPLATE_SPARES && *ahead < SEATS_AHEAD_MAX &&
           seat_order(monitor, template, &template->shape);
         (*ahead)++)
        seats++;
}

void template_refill(struct monitor *monitor, int64_t now_ns)
{
    if (monitor->template_count == 0)
        return;
    uint32_t ahead = 0;
    for (uint32_t i = 0; i < monitor->slot_count; i++)
        ahead += monitor->sandboxes[i].state != SANDBOX_FREE && monitor->sandboxes[i].id == 0;
    for (uint32_t i = 0; i < monitor->slot_count; i++)
        if (monitor->sandboxes[i].phase == TEMPLATE_LIVE && !monitor->sandboxes[i].is_frozen) {
            check_deadlines(monitor, &monitor->sandboxes[i], now_ns);
            refill_one(monitor, &monitor->sandboxes[i], &ahead);
        }
    pool_touch(monitor, 1000);
}
