// SPDX-License-Identifier: MIT

#include "spawn/keeper.h"

#include "base/fd.h"
#include "spawn/stats.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

struct keeper {
    const struct sandbox_tools *tools;
    int fd;
    bool is_pending[SANDBOX_SLOTS_MAX]; // to be removed
};

static void make(const struct sandbox_tools *tools, const struct keeper_order *what,
                 int template_fd, struct keeper_answer *answer, struct sandbox_parts *ret_parts)
{
    const struct cgroup_limits limits = {.memory_bytes = what->memory_bytes,
                                         .pids_max = what->pids_max};
    const bool is_seat = what->type == KEEPER_SEAT;
    const struct sandbox_order order = {
        .kind = is_seat ? CHILD_SEAT : CHILD_FUNCTION,
        .slot = what->slot,
        .is_for_parent = true,
        .limits = is_seat ? &limits : NULL,
        .template_fd = template_fd,
        .template_uid = what->template_uid,
    };
    struct spawn_timings timings;
    int r = sandbox_make(tools, &order, ret_parts, &timings, &answer->step);
    answer->error = r < 0 ? (uint32_t) -r : 0;
    answer->pid = r < 0 ? -1 : ret_parts->pid;
}

// Removes the groups of ended sandboxes. A last process may still be on its way out though its parent
// has seen it end (or hang in a file system that does not answer): those are tried again, and nothing
// else waits for them. Returns whether any is left.
static bool remove_pending(struct keeper *keeper)
{
    bool is_left = false;
    for (uint32_t slot = 0; slot < ARRAY_SIZE(keeper->is_pending); slot++) {
        if (!keeper->is_pending[slot])
            continue;
        const struct cgroups *groups = &keeper->tools->groups;
        if (cgroup_remove(groups, slot) == -EBUSY) {
            cgroup_kill(groups, slot);
            is_left = true;
            continue;
        }
        keeper->is_pending[slot] = false;
        const struct keeper_answer answer = {.type = KEEPER_REMOVE, .slot = slot};
        if (fd_send_packet(keeper->fd, &answer, sizeof(answer), NULL, 0) < 0)
            _exit(0);
    }
    return is_left;
}

static int obey(struct keeper *keeper, const struct keeper_order *order, int template_fd)
{
    struct keeper_answer answer = {.type = order->type, .slot = order->slot};
    struct sandbox_parts parts = SANDBOX_NO_PARTS;
    if (order->slot >= ARRAY_SIZE(keeper->is_pending))
        return -EPROTO;
    if (order->type == KEEPER_REMOVE) {
        keeper->is_pending[order->slot] = true; // answered when it is done
        return 0;
    }
    if (order->type == KEEPER_MAKE || order->type == KEEPER_SEAT) {
        make(keeper->tools, order, template_fd, &answer, &parts);
    } else if (order->type == KEEPER_LOOK) {
        look_at_template(keeper->tools, order->slot, order->pid, order->holder, &answer.look);
    } else {
        stats_read(keeper->tools, order->slot, &answer.stats);
        answer.stats.head.id = order->id;
    }
    int fds[KEEPER_FDS] = {parts.pid_fd, parts.control_fd, parts.log_fd, parts.peak_fd,
                           parts.occupant_log_fd};
    size_t fd_count = parts.pid_fd < 0             ? 0
                      : order->type == KEEPER_SEAT ? KEEPER_FDS_SEAT
                                                   : KEEPER_FDS_MADE;
    for (int i = 0; fd_count >= KEEPER_FDS_SEAT && i < CGROUP_DIRS && parts.entrances[i] >= 0; i++)
        fds[fd_count++] = parts.entrances[i];
    int r = fd_send_packet(keeper->fd, &answer, sizeof(answer), fds, fd_count);
    sandbox_parts_close(&parts);
    return r;
}

static _Noreturn void keeper_run(struct keeper *keeper)
{
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void) prctl(PR_SET_NAME, "lamina-keeper", 0, 0, 0);
    for (;;) {
        struct pollfd polled = {.fd = keeper->fd, .events = POLLIN};
        const int timeout_ms = remove_pending(keeper) ? 5 : -1;
        if (poll(&polled, 1, timeout_ms) <= 0)
            continue;
        struct keeper_order order;
        size_t count;
        int template_fd;
        ssize_t size =
            fd_receive_packet(keeper->fd, &order, sizeof(order), &template_fd, 1, &count);
        if (size != sizeof(order) || obey(keeper, &order, template_fd) < 0)
            _exit(0);
        fd_close(template_fd);
    }
}

int keeper_start(const struct sandbox_tools *tools, int *ret_fd, pid_t *ret_pid, struct error *err)
{
    static struct keeper keeper;
    int pair[2];
    // Both directions hold an order and an answer for every slot: neither side ever waits for the
    // other while the other waits for it.
    int r = sandbox_channel_open(pair);
    if (r < 0)
        return error_set_errno(err, r, "make the keeper's socket");
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        keeper.tools = tools;
        keeper.fd = pair[1];
        keeper_run(&keeper);
    }
    r = -errno;
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return error_set_errno(err, r, "start the keeper");
    }
    *ret_fd = pair[0];
    *ret_pid = pid;
    return 0;
}
