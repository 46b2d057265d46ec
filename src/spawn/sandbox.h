// SPDX-License-Identifier: MIT
//
// One sandbox: its states, and making one.
//
//              keeper makes it          ROOT sent              READY, no id
//     FREE --> ORDERED --> GENERIC ---> ROOTING ----------------> WAITER
//       |                                ^   |                      |
//       +---- START with empty pool -----+   | READY, has an id     | RUN sent (START)
//                                            +------> RUNNING <-----+
//     every state but FREE --(its process has ended)--> ENDING --(cgroups removed)--> FREE
//
// A sandbox of a template goes the same way, but for an occupant: its first process only holds it, and the template is
// brought in by lamina-spawn (RUNNING). Of it seats are made and forked into:
//
//              keeper makes it    NET, READY     FORK sent          FORKED, looked at, no id
//     FREE --> ORDERED --> ROOTING ---> SEAT ----> FORKING -----------------------> SPARE
//                                                     | the same, has an id           | RUN sent (START)
//                                                     +-------> RUNNING <-------------+
//
// ORDERED waits for the keeper; ROOTING for the process's READY; GENERIC and WAITER for a START;
// RUNNING for the end of the process; ENDING for the keeper's removal. What waits has a process
// whose death ends the wait.

#ifndef LAMINA_SPAWN_SANDBOX_H
#define LAMINA_SPAWN_SANDBOX_H

#include "base/compiler.h"
#include "spawn/cgroup.h"
#include "spawn/child.h"
#include "wire/spawn.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

enum sandbox_state {
    SANDBOX_FREE,
    SANDBOX_ORDERED,
    SANDBOX_GENERIC,
    SANDBOX_ROOTING,
    SANDBOX_WAITER,
    SANDBOX_SEAT,
    SANDBOX_FORKING,
    SANDBOX_SPARE,
    SANDBOX_RUNNING,
    SANDBOX_ENDING,
};

// Sandboxes that exist beside the instances: pool, waiters, jobs, and ended ones being removed.
#define SANDBOX_SLOTS_SPARE 256
#define SANDBOX_SLOTS_MAX (SPAWN_INSTANCES_MAX + SANDBOX_SLOTS_SPARE)

// What is opened once, at start, and used for each sandbox.
struct sandbox_tools {
    struct cgroups groups;
    int proc_fd; // the host's /proc
    int null_fd, init_fd, work_fd;
    int cache_fd;      // -1: there is no lamina-cache
    uid_t uid_first;   // the uid of slot 0
    bool can_template; // user namespaces work here
};

// What a sandbox is made of, for its owner.
struct sandbox_parts {
    pid_t pid;
    int pid_fd, control_fd, log_fd, peak_fd; // -1: not there
    // A seat's, for the fork: the pipe's other end, and the entrances of its cgroups (from the front).
    int occupant_log_fd, entrances[CGROUP_DIRS];
};

// clang-format off
#define SANDBOX_NO_PARTS                                                                           \
    {                                                                                              \
        .pid = -1, .pid_fd = -1, .control_fd = -1, .log_fd = -1, .peak_fd = -1,                    \
        .occupant_log_fd = -1, .entrances = {-1, -1, -1, -1}                                       \
    }
// clang-format on

struct template_run;
struct parked_start;

// What a prepared root was made for. A START whose values equal them may have it.
struct sandbox_shape {
    uint8_t tree_id[SPAWN_TREE_ID_SIZE], opt_tree_id[SPAWN_TREE_ID_SIZE];
    uint8_t models_id[SPAWN_TREE_ID_SIZE];
    uint64_t memory_bytes, tmp_bytes;
    uint32_t cpu_millis, pids_max;
    struct spawn_filesystem_use filesystem; // all zero: none
};

// The namespaces of a seat's first process, by their inodes: where its fork has to be.
enum { SANDBOX_NAMES = 5 };

// A template or a fork: a process that was brought into a sandbox which another one holds.
struct occupant {
    pid_t pid;      // 0: not there (yet)
    int pid_fd;     // -1: not there
    int control_fd; // our end of its socket (wire/template.h)
    int fork_fd;    // a fork's end, until FORK takes it; -1
    uint32_t stray_words;
    bool has_ended; // then these:
    int status;
    struct rusage usage;
};

enum template_phase {
    TEMPLATE_NONE,     // an instance
    TEMPLATE_STARTING, // initialises itself, or is not there yet
    TEMPLATE_LOOKING,  // says READY: the keeper looks at it
    TEMPLATE_LIVE,     // may be forked
    TEMPLATE_OVER,     // refused, killed or ended; its sandbox stands while forks live
};

struct sandbox {
    enum sandbox_state state;
    enum child_kind kind;
    uint32_t slot; // its index, its cgroups' name, its uid's offset
    uint64_t id;   // laminad's, 0: none yet
    struct sandbox_parts parts;
    int listeners[2];
    int status_fd; // CHILD_WORK: where WORK_EXIT goes
    struct sandbox_shape shape;
    struct spawn_timings timings;
    int64_t arrived_ns; // the START
    enum spawn_path path;
    struct occupant occupant;
    enum template_phase phase;
    struct sandbox *template;    // of a seat: its template's
    uint64_t mount_ticket;       // its file system's mount is being made; 0: it is not
    struct parked_start *parked; // what an instance is to run when it has that; owned
    uint32_t mounter; // of its file system, from 1; 0: it has none, or one whose mounter is gone
    struct template_run *run;      // of a fork that has an id but is not there yet; owned
    uint64_t names[SANDBOX_NAMES]; // of a seat
    // Of a seat: since when it waits for its process (ROOTING), or since FORK was sent; of a template: when it has made one.
    int64_t forking_ns;
    bool is_frozen;       // a template: it is asked for nothing
    bool is_killed;       // KILL was asked for
    uint32_t stats_asked; // STATS that the keeper has not answered
    int64_t freezing_ns;  // since when FREEZE waits, 0: it does not
    // What it said before its end.
    bool has_failed, has_exit;
    uint32_t failed_step, failed_error;
    int32_t exit_status;
    uint32_t exec_errno;
};

struct sandbox_order {
    enum child_kind kind;
    uint32_t slot;
    bool is_for_parent; // the maker is the keeper: lamina-spawn's main process becomes the parent
    const struct cgroup_limits *limits; // NULL: none yet
    // CHILD_SEAT
    int template_fd;
    uid_t template_uid;
    // CHILD_WORK
    int in_fd, out_fd;
    char *const *arguments;
    uint32_t cpu_seconds;
    bool has_engine; // SPAWN_WORK_ENGINE
    bool is_cache;   // SPAWN_WORK_CACHE
};

// Clones the first process and puts it into its groups; it works on its network meanwhile. 0, or
// -errno with *ret_step, and nothing is left then but empty groups, which `remove` takes away.
int sandbox_make(const struct sandbox_tools *tools, const struct sandbox_order *order,
                 struct sandbox_parts *ret_parts, struct spawn_timings *ret_timings,
                 uint32_t *ret_step) MUST_CHECK;

int sandbox_send_word(const struct sandbox_parts *parts, uint32_t type) MUST_CHECK;
// `tree_fd`: -1, or the mount of the shape's file system.
int sandbox_send_root(const struct sandbox_parts *parts, const struct sandbox_shape *shape,
                      int tree_fd) MUST_CHECK;
// `model_fd`: -1 when there is none.
int sandbox_send_run(const struct sandbox_parts *parts, const struct spawn_start *start,
                     int model_fd) MUST_CHECK;

// A SEQPACKET pair with room for thousands of small messages each way.
int sandbox_channel_open(int ret_pair[2]) MUST_CHECK;

void sandbox_parts_close(struct sandbox_parts *parts);

#endif
