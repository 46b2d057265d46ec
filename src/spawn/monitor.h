// SPDX-License-Identifier: MIT
//
// The main process of lamina-spawn once everything is set up: one epoll loop, one table of
// sandboxes. Whatever arrives (a request, a word from a sandbox, the end of a process, the keeper's
// answer) changes one sandbox's state and may send one message.
//
//     monitor.c    the loop, the table, the end of processes
//     instance.c   START and what may be asked of a running instance
//     pool.c       generic sandboxes and prepared waiters, made ahead
//     template.c   templates
//     fork.c       the seats made ahead for their forks, and these
//     filesystems.c  the file systems that instances may have
//     work.c       jobs of the work channel

#ifndef LAMINA_SPAWN_MONITOR_H
#define LAMINA_SPAWN_MONITOR_H

#include "base/compiler.h"
#include "base/error.h"
#include "spawn/filesystems.h"
#include "spawn/look.h"
#include "spawn/request.h"
#include "spawn/sandbox.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define POOL_GENERIC_TARGET 4
#define POOL_WANTS_MAX 16

// A tree and limits that are likely to be started again.
struct pool_want {
    bool is_used;
    struct sandbox_shape shape;
    int64_t last_ns; // of the last START
};

struct pool {
    struct pool_want wants[POOL_WANTS_MAX];
    uint32_t ordered;  // sandboxes that the keeper is making
    int64_t refill_ns; // when to look for what is missing; 0: nothing is
    uint32_t failures; // in a row: a machine on which making fails is not to be asked all the time
};

struct monitor {
    struct sandbox_tools tools;
    struct sandbox *sandboxes; // [slot_count]
    uint32_t slot_count, slot_next, instance_count, work_count, freezing_count, template_count;
    struct pool pool;
    struct filesystems filesystems;
    int epoll_fd, signal_fd, channel_fd, work_fd, keeper_fd;
    pid_t laminad_pid, keeper_pid;
    int64_t reap_ns; // when to look for all children that have ended; 0: none can be left
    int laminad_status;
    bool is_laminad_gone, is_over;
};

// Runs until laminad is gone and all sandboxes are. Returns the exit status for lamina-spawn.
int monitor_run(struct monitor *monitor);

// ---- for the other files of the monitor ----

enum source_kind {
    SOURCE_CHANNEL,
    SOURCE_WORK_CHANNEL,
    SOURCE_SIGNALS,
    SOURCE_KEEPER,
    SOURCE_CONTROL,  // of a slot
    SOURCE_STATUS,   // of a slot
    SOURCE_OCCUPANT, // of a slot
    SOURCE_MOUNTER,  // of an index of filesystems.mounters
};

int monitor_watch(struct monitor *monitor, int fd, uint32_t events, enum source_kind kind,
                  uint32_t slot) MUST_CHECK;

// A free slot's sandbox, zeroed but for its slot; NULL when all are in use. The state is set by the
// caller: until then it stays free.
struct sandbox *monitor_take_slot(struct monitor *monitor);
struct sandbox *monitor_find(struct monitor *monitor, uint64_t id);

// Its process is to end, or, of a template whose forks live, the template. What follows comes with its end.
void monitor_kill(struct monitor *monitor, struct sandbox *sandbox);
// Its groups are to be removed, its slot to be free after that.
void monitor_discard(struct monitor *monitor, struct sandbox *sandbox);

// One message to laminad; waits while the channel is full. A laminad that is gone is no error: the
// loop sees it.
void monitor_send(struct monitor *monitor, struct spawn_head *head, uint16_t type, uint64_t id,
                  size_t size, const int *fds, size_t fd_count);

// instance.c
// `model_fd` is -1 or borrowed.
void instance_start(struct monitor *monitor, const struct spawn_start *start, int model_fd,
                    int64_t arrived_ns);
void instance_request(struct monitor *monitor, const struct spawn_head *head);
void instance_stats(struct monitor *monitor, struct spawn_stats *stats);
void instance_ready(struct monitor *monitor, struct sandbox *sandbox);
void instance_ended(struct monitor *monitor, struct sandbox *sandbox, int wait_status,
                    const struct rusage *usage);
void instance_check_freezing(struct monitor *monitor);

// For instance.c and template.c.
void instance_failed(struct monitor *monitor, uint64_t id, uint32_t step, uint32_t error);
void instance_started(struct monitor *monitor, struct sandbox *sandbox);
void instance_exited(struct monitor *monitor, struct sandbox *sandbox, int wait_status,
                     const struct rusage *usage);

// template.c
// A START of a template: its sandbox is made as any other. Its first order waits for it in its socket.
int template_prepare(struct monitor *monitor, struct sandbox *sandbox,
                     const struct spawn_start *start, int model_fd) MUST_CHECK;
// Its sandbox stands: brings it in.
void template_launch(struct monitor *monitor, struct sandbox *sandbox);
void template_looked(struct monitor *monitor, struct sandbox *sandbox, const struct look *look);
void template_read(struct monitor *monitor, struct sandbox *sandbox); // its occupant's socket
void template_occupant_ended(struct monitor *monitor, struct sandbox *sandbox, int status,
                             const struct rusage *usage);
// The sandbox of a fork or a template has ended.
void template_sandbox_ended(struct monitor *monitor, struct sandbox *sandbox);

// fork.c
#define FORK_SPARES 1 // of each template, and
#define FORK_SEATS 2  // empty ones
// A START of a fork.
void fork_start(struct monitor *monitor, const struct spawn_start *start,
                const struct sandbox_shape *shape, int64_t arrived_ns);
void fork_seat_made(struct monitor *monitor, struct sandbox *seat, bool has_worked);
// It asks for its user to be written down; and is there.
void fork_seat_user(struct monitor *monitor, struct sandbox *seat);
void fork_seat_ready(struct monitor *monitor, struct sandbox *seat);
void fork_refill(struct monitor *monitor, int64_t now_ns);

// pool.c
struct sandbox *pool_take_generic(struct monitor *monitor);
struct sandbox *pool_take_waiter(struct monitor *monitor, const struct sandbox_shape *shape);
void pool_want(struct monitor *monitor, const struct sandbox_shape *shape, int64_t now_ns);
void pool_forget(struct monitor *monitor, const uint8_t tree_id[SPAWN_TREE_ID_SIZE]);
void pool_forget_filesystem(struct monitor *monitor, const char *filesystem_id);
void pool_made(struct monitor *monitor, struct sandbox *sandbox, bool has_worked);
// Something was taken or has ended: look soon.
void pool_touch(struct monitor *monitor, int delay_ms);
void pool_refill(struct monitor *monitor, int64_t now_ns);
// Milliseconds until pool_refill should be called, -1: not needed.
int pool_timeout_ms(const struct monitor *monitor, int64_t now_ns);

// work.c
void work_start(struct monitor *monitor, const struct spawn_work *work,
                int fds[SPAWN_WORK_FDS]); // takes the descriptors over
void work_ended(struct monitor *monitor, struct sandbox *sandbox, int wait_status);

#endif
