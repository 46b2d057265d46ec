// SPDX-License-Identifier: MIT

#include "spawn/keeper.h"

#include "base/fd.h"
#include "spawn/stats.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

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

// The last process may still be on its way out, though its parent has seen it end. What stays for
// longer than ten seconds is left to the sweep at the end.
static void remove_groups(const struct sandbox_tools *tools, uint32_t slot)
{
    for (int tries = 0; tries < 5000; tries++) {
        if (tools->groups.manager->remove(&tools->groups, slot) != -EBUSY)
            return;
        (void) tools->groups.manager->kill(&tools->groups, slot);
        (void) poll(NULL, 0, tries < 100 ? 1 : 2);
    }
}

static int answer_order(const struct sandbox_tools *tools, int fd, const struct keeper_order *order)
{
    struct keeper_answer answer = {.type = order->type, .slot = order->slot};
    struct sandbox_parts parts = {
        .pid = -1, .pid_fd = -1, .control_fd = -1, .log_fd = -1, .peak_fd = -1};
    switch (order->type) {
    case KEEPER_MAKE:
        make(tools, &answer, &parts);
        break;
    case KEEPER_REMOVE:
        remove_groups(tools, order->slot);
        break;
    case KEEPER_STATS:
        stats_read(tools, order->slot, &answer.stats);
        answer.stats.head.id = order->id;
        break;
    default:
        return -EPROTO;
    }
    const int fds[] = {parts.pid_fd, parts.control_fd, parts.log_fd, parts.peak_fd};
    int r = fd_send_packet(fd, &answer, sizeof(answer), fds, parts.pid_fd >= 0 ? 4 : 0);
    sandbox_parts_close(&parts);
    return r;
}

static _Noreturn void keeper_run(const struct sandbox_tools *tools, int fd)
{
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void) prctl(PR_SET_NAME, "lamina-keeper", 0, 0, 0);
    for (;;) {
        struct keeper_order order;
        size_t count;
        ssize_t size = fd_receive_packet(fd, &order, sizeof(order), NULL, 0, &count);
        if (size != sizeof(order) || answer_order(tools, fd, &order) < 0)
            _exit(0);
    }
}

int keeper_start(const struct sandbox_tools *tools, int *ret_fd, pid_t *ret_pid, struct error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set_errno(err, -errno, "make the keeper's socket");
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        keeper_run(tools, pair[1]);
    }
    int r = -errno;
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return error_set_errno(err, r, "start the keeper");
    }
    *ret_fd = pair[0];
    *ret_pid = pid;
    return 0;
}
