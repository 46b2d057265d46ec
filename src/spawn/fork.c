// SPDX-License-Identifier: MIT
//
// The forks of templates: the seats that are made ahead for them, their orders, and what they say (wire/template.h).

#include "spawn/fork.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "spawn/keeper.h"
#include "spawn/occupant.h"
#include "spawn/seat.h"
#include "wire/init.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

// A template that was asked for forks and has made none for this long is stuck.
#define FORK_DEADLINE_NS (5 * CLOCK_NS_PER_S)

// A seat's process makes its mounts meanwhile.
#define SEAT_DEADLINE_NS (20 * CLOCK_NS_PER_S)

// Whatever the number of templates: slots that no instance has are for what is made ahead, removed, and worked on, too.
#define SEATS_AHEAD_MAX (SANDBOX_SLOTS_SPARE / 2)

// Orders that a template has not obeyed yet. More would not fit into its socket; they wait here.
#define FORKS_ORDERED_MAX 32

static uint32_t pids_limit(uint32_t pids_max)
{
    return (pids_max ? pids_max : 1024) + 1; // one more: lamina-init
}

struct sandbox *fork_next(struct monitor *monitor, const struct sandbox *template, uint32_t *at)
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

// A seat that gets no fork.
void fork_fail(struct monitor *monitor, struct sandbox *seat, uint32_t step, int error)
{
    if (!seat->has_failed) {
        seat->has_failed = true;
        seat->failed_step = step;
        seat->failed_error = (uint32_t) -error;
    }
    monitor_kill(monitor, seat);
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

void fork_seat_made(struct monitor *monitor, struct sandbox *seat, bool has_worked)
{
    int r = has_worked ? sandbox_send_root(&seat->parts, &seat->shape, -1) : -EIO;
    if (has_worked)
        seat->state = SANDBOX_ROOTING;
    seat->forking_ns = clock_monotonic_ns();
    if (has_worked &&
        (r < 0 || seat->is_killed || !seat->template || seat->template->phase != TEMPLATE_LIVE))
        fork_fail(monitor, seat, SPAWN_STEP_TEMPLATE, r < 0 ? r : -ESRCH);
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
        fork_fail(monitor, seat, SPAWN_STEP_TEMPLATE, r);
}

// Orders forks for those that are waited for, as many as the template may have before it.
void fork_orders_send(struct monitor *monitor, struct sandbox *template)
{
    struct sandbox *seat;
    uint32_t count = 0;
    if (template->phase != TEMPLATE_LIVE)
        return;
    for (uint32_t at = 0; (seat = fork_next(monitor, template, &at));)
        count += seat->state == SANDBOX_FORKING;
    for (uint32_t at = 0; count < FORKS_ORDERED_MAX && (seat = fork_next(monitor, template, &at));)
        if (seat->state == SANDBOX_SEAT && seat->id != 0 && !seat->has_failed) {
            fork_order(monitor, seat, false);
            count++;
        }
}

void fork_seat_user(struct monitor *monitor, struct sandbox *seat)
{
    int r = seat_map_inner(monitor->tools.proc_fd, seat->parts.pid,
                           monitor->tools.uid_first + seat->slot);
    if (r == 0)
        r = sandbox_send_word(&seat->parts, INIT_USER);
    if (r == 0)
        r = sandbox_send_word(&seat->parts, INIT_HOLD);
    if (r < 0)
        fork_fail(monitor, seat, SPAWN_STEP_USER, r);
}

void fork_seat_ready(struct monitor *monitor, struct sandbox *seat)
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
        fork_fail(monitor, seat, SPAWN_STEP_TEMPLATE, r);
    else if (seat->id != 0)
        fork_orders_send(monitor, seat->template);
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
    for (uint32_t at = 0; (seat = fork_next(monitor, template, &at));)
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

void fork_start(struct monitor *monitor, const struct spawn_start *start,
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
        fork_fail(monitor, seat, SPAWN_STEP_TEMPLATE, -ENOMEM);
    } else if (seat->path == SPAWN_PATH_SPARE) {
        if (run_send(seat, seat->run) < 0) // it has ended just now
            monitor_kill(monitor, seat);
        instance_started(monitor, seat);
    } else if (seat->path == SPAWN_PATH_FORK && start->flags & SPAWN_START_SPARE) {
        fork_order(monitor, seat, true);
    } else if (seat->path == SPAWN_PATH_FORK) {
        fork_orders_send(monitor, template);
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
void fork_word(struct monitor *monitor, struct sandbox *fork, const struct template_word *word,
               const struct ucred *sender)
{
    if (word->type == TEMPLATE_FAILED) {
        fork_fail(monitor, fork, SPAWN_STEP_TEMPLATE, -(int) (word->error & 0xfff));
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
    fork_fail(monitor, fork, SPAWN_STEP_TEMPLATE, r);
}

// ---- what is made ahead ----

// It has been asked for forks, and has made none for long: a new one may be better.
static bool is_stuck(struct monitor *monitor, const struct sandbox *template, int64_t now_ns)
{
    struct sandbox *seat;
    for (uint32_t at = 0; (seat = fork_next(monitor, template, &at));)
        if (seat->state == SANDBOX_FORKING && now_ns - seat->forking_ns > FORK_DEADLINE_NS &&
            now_ns - template->forking_ns > FORK_DEADLINE_NS)
            return true;
    return false;
}

static void check_deadlines(struct monitor *monitor, struct sandbox *template, int64_t now_ns)
{
    const bool is_over = is_stuck(monitor, template, now_ns);
    struct sandbox *seat;
    for (uint32_t at = 0; (seat = fork_next(monitor, template, &at));)
        if (seat->state == SANDBOX_FORKING
                ? is_over
                : seat->state == SANDBOX_ROOTING && now_ns - seat->forking_ns > SEAT_DEADLINE_NS)
            fork_fail(monitor, seat, SPAWN_STEP_TEMPLATE, -ETIMEDOUT);
    if (is_over)
        monitor_kill(monitor, template);
}

static void refill_one(struct monitor *monitor, struct sandbox *template, uint32_t *ahead)
{
    uint32_t spares = 0, seats = 0;
    struct sandbox *seat;
    for (uint32_t at = 0; (seat = fork_next(monitor, template, &at));) {
        if (seat->id != 0 || seat->has_failed)
            continue;
        spares += seat->state == SANDBOX_SPARE || seat->state == SANDBOX_FORKING;
        seats += seat->state == SANDBOX_ORDERED || seat->state == SANDBOX_ROOTING;
        if (seat->state == SANDBOX_SEAT && spares < FORK_SPARES) {
            fork_order(monitor, seat, true);
            spares++;
        } else {
            seats += seat->state == SANDBOX_SEAT;
        }
    }
    for (; seats + spares < FORK_SEATS + FORK_SPARES && *ahead < SEATS_AHEAD_MAX &&
           seat_order(monitor, template, &template->shape);
         (*ahead)++)
        seats++;
}

void fork_refill(struct monitor *monitor, int64_t now_ns)
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
