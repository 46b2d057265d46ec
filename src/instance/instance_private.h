/* SPDX-License-Identifier: MIT
 *
 * instance_private: what the files of an instance know of each other. Private to src/instance.
 *
 *     instance.c        its life: started, given a call, stopped, out of time
 *     spawn_events.c    what lamina-spawn tells of its sandbox
 *     runtime_events.c  what the runtime and the extensions in it do
 *     instance_call.c   the call that it serves: answered, reported
 *     usage.c           what memory it uses
 *     instance_info.c   what others may ask
 *
 * Thread: loop only.
 */
#ifndef LAMINA_INSTANCE_INSTANCE_PRIVATE_H
#define LAMINA_INSTANCE_INSTANCE_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "instance/extensions.h"
#include "instance/identity.h"
#include "instance/instance.h"
#include "instance/log_stream.h"
#include "instance/platform_api.h"
#include "instance/report.h"
#include "instance/runtime_api.h"
#include "instance/spawn_client.h"
#include "instance/telemetry.h"
#include "loop/loop.h"

/*
 *             START            STARTED            first next
 *   (new) ----------> STARTING --------> INIT ------------------> IDLE <-----------+
 *                        |                |                      |  ^ |            | next
 *                        |                |           invoke     |  | | freeze     |
 *                        |                |      +---------------+  | v            |
 *                        |                |      v      invoke      | FROZEN       |
 *                        |                |     BUSY <--------------|---+          |
 *                        |                |      |   response,      |              |
 *                        |                |      |   error          |              |
 *                        |                |      +-------------> SETTLING ---------+
 *                        |                |                         ^ `next` broke off (from IDLE)
 *                        |                +--- TEMPLATE_READY ---> TEMPLATE
 *                        v                v
 *                   stop, a limit reached, init/error: any state -> ENDING --+
 *                                                                            | EXIT, START_FAILED
 *                   EXIT, START_FAILED: any state ---------------------------+--> DEAD
 *
 * What each state waits for, and until when:
 *   STARTING  lamina-spawn                         STARTING_LIMIT_MS, then a fault of the sandbox
 *   INIT      the runtime's first `next`           spec.init_limit_ms, then a failed init
 *   TEMPLATE  forks are lamina-spawn's business    its owner's instance_stop
 *   IDLE      instance_invoke, instance_freeze     the scheduler's keep-alive
 *   FROZEN    instance_invoke                      the scheduler's keep-alive
 *   BUSY      the runtime's response or error      the call's time-out
 *   SETTLING  the runtime's next `next`            the rest of the call's time-out; then it is ended
 *   ENDING    EXIT                                 init/error: GRACE_MS for the runtime to leave, then KILL
 */
enum instance_state {
    INSTANCE_STARTING,
    INSTANCE_INIT,
    INSTANCE_IDLE,
    INSTANCE_BUSY,
    INSTANCE_SETTLING,
    INSTANCE_FROZEN,
    INSTANCE_TEMPLATE,
    INSTANCE_ENDING,
    INSTANCE_DEAD
};

/* The call being served, or the last one. */
struct call {
    const struct instance_request *request; /* borrowed; NULL: answered, or none yet */
    char id[40]; /* kept after the answer, to tell a late post from a wrong one */
    int64_t begun_ns;
    unsigned depth;     /* as the request's; kept after the answer */
    bool is_too_large;  /* it was refused with 413: an error for its id is still taken */
    bool is_report_due; /* answered, END and REPORT are not yet written */
    struct report report;
    char digest[65];
    struct instance_failure failure;
};

struct usage_wait {
    struct list link;
    instance_usage_cb *cb;
    void *arg;
};

struct instance {
    struct instance_host *host; /* borrowed */
    struct spawn_peer peer;
    struct instance_events events;
    int state;
    char *function, *version, *runtime, *handler;
    char account[13]; /* of its role */
    uint32_t memory_mb, init_limit_ms;
    bool is_init_repeated, is_template, is_snap_start, is_fork;
    struct loop_timer timer;
    struct loop_timer exit_timer;
    struct spawn_exit exit;
    unsigned exit_turns;
    struct loop_deferred deferred;
    struct log_stream log;
    struct runtime_api runtime_api;
    struct platform_api platform_api;
    struct instance_identity *identity;
    struct extensions extensions;
    struct telemetry telemetry;

    int64_t start_ns, started_ns, ready_ns; /* START sent, STARTED read, first `next` */
    uint64_t told_load_us, told_warm_us;    /* Lamina-Init-Phases */
    int32_t pid;

    int peak_fd;
    int64_t peak_read_ms;
    uint64_t memory_peak, inherited_bytes;

    struct call call;
    uint64_t requests;
    bool is_unmounted; /* its file system is dead: this call is its last */
    bool is_sandbox_fault, is_refused, is_restore_failure;
    enum spawn_filesystem_failure mount_failure;
    struct instance_failure failure; /* of the init phase, or why it is being ended */
    struct list usage_waits;
};

/* Moves along an arrow of the diagram above. */
void instance_move(struct instance *instance, enum instance_state state);
/* What happens when a state lasts too long. */
void instance_timer_start(struct instance *instance, int64_t after_ms);
/* It waits for EXIT. */
void instance_kill(struct instance *instance);
/* The same, but external extensions hear of it first and have INSTANCE_SHUTDOWN_MS, as Lambda gives them. */
#define INSTANCE_SHUTDOWN_MS 2000
void instance_shutdown(struct instance *instance, const char *reason);
/* Something in it has failed, and `failure` (of the call if it is BUSY, else of the instance) says what. */
void instance_fail(struct instance *instance);
/* Nothing of it is left: tells its owner. */
void instance_die(struct instance *instance, bool is_init_failure);
/* A fork of a function with SnapStart: its start is a restore, in AWS's words. */
bool instance_is_restored(const struct instance *instance);
/* 0 if `from` has not happened. */
uint64_t instance_us_between(int64_t from_ns, int64_t to_ns);

extern const struct spawn_peer_events instance_peer_events;
extern const struct runtime_api_events instance_api_events;
extern const struct extensions_events instance_extension_events;

/* The call has its outcome: `failure` (the call's own) or `payload` (moved out). The instance's state was moved
 * already. */
void instance_call_answer(struct instance *instance, struct buf *payload, uint64_t duration_us,
                          bool is_error);
/* The same, with the call's own failure, now. */
void instance_call_fail(struct instance *instance);
/* Reads what was printed during the call and closes it in the log, once. */
void instance_call_report(struct instance *instance);

/* Reads the cgroup's peak of memory; remembers one that was told. */
void usage_peak_read(struct instance *instance);
void usage_peak_take(struct instance *instance, uint64_t bytes);
/* Tells all who asked with instance_usage. */
void usage_answer(struct instance *instance, const struct instance_usage *usage);

#endif
