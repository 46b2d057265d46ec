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

static void make(const struct sandbox_tools *tools, struct keeper_answer *answer,
                 struct sandbox_parts *ret_parts)
{
    const struct sandbox_order order = {
        .kind = CHILD_FUNCTION, .slot = answer->slot, .is_for_parent = true};
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

static int obey(struct keeper *keeper, const struct keeper_order *order)
{
    struct keeper_answer answer = {.type = order->type, .slot = order->slot};
    struct sandbox_parts parts = {
        .pid = -1, .pid_fd = -1, .control_fd = -1, .log_fd = -1, .peak_fd = -1};
    if (order->slot >= ARRAY_SIZE(keeper->is_pending))
        return -EPROTO;
    if (order->type == KEEPER_REMOVE) {
        keeper->is_pending[order->slot] = true; // answered when it is done
        return 0;
    }
    if (order->type == KEEPER_MAKE) {
        make(keeper->tools, &answer, &parts);
    } else {
        stats_read(keeper->tools, order->slot, &answer.stats);
        answer.stats.head.id = order->id;
    }
    const int fds[] = {parts.pid_fd, parts.control_fd, parts.log_fd, parts.peak_fd};
    int r = fd_send_packet(keeper->fd, &answer, sizeof(answer), fds, parts.pid_fd >= 0 ? 4 : 0);
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
        ssize_t size = fd_receive_packet(keeper->fd, &order, sizeof(order), NULL, 0, &count);
        if (size != sizeof(order) || obey(keeper, &order) < 0)
            _exit(0);
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
